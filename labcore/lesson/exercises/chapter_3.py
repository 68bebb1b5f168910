"""Exercises of chapter 3: soft targets, the loss of distillation, and a fair comparison."""

import torch
from torch.nn import functional

from labcore.lesson.exercises import Exercise, Mistake

__all__ = ["EXERCISES"]

_NAN = float("nan")


# --- 3.1: softmax with a temperature ---

SOFTMAX = Exercise(
    "3.1",
    "softmax with a temperature; each row is an image, its outputs are the logits of the classes",
    ("logits", "temperature"),
    (
        (torch.tensor([[2.0, 1.0, 0.5], [4.0, 4.0, 4.8]]), 3.0),
        (torch.tensor([[1.0, -1.0, 0.0, 3.0], [0.5, 2.0, -2.0, 1.0], [0.0, 0.3, 0.6, -1.0]]), 2.0),
        (torch.tensor([[5.0, -2.0], [0.4, 1.1], [-3.0, 0.2]]), 5.0),
    ),
    lambda logits, temperature: (logits / temperature).softmax(1),
    {
        "distill.temperature_multiplies": Mistake(
            lambda logits, temperature: (logits * temperature).softmax(1),
            "You multiplied by the temperature: the answer became harder, not softer.",
            "At a very high temperature all classes should look alike. What must happen to the logits?",
        ),
        "distill.divided_afterwards": Mistake(
            lambda logits, temperature: logits.softmax(1) / temperature,
            "You divided after the softmax: each row sums to 1 / temperature.",
            "What must the shares of all classes sum to, at any temperature?",
        ),
        "distill.softmax_over_images": Mistake(
            lambda logits, temperature: (logits / temperature).softmax(0),
            "You shared out each class over the images: the first row sums to 0.80. This is no softmax of an image.",
            "Which numbers compete with each other, those of a row or those of a column?",
        ),
    },
    (
        "What should a temperature do: change the logits, or change the shares that come out?",
        "Divide the logits by the temperature. Then make each row sum to 1.",
        "Take the softmax of logits / temperature along axis 1.",
    ),
    tolerance=1e-5,
)


# --- 3.2: the loss of distillation ---


def _soft(logits, temperature=1):
    return (logits / temperature).softmax(1)


def _kl(target, answer):
    """Kullback-Leibler divergence of shares: a sum over the classes, a mean over the images."""
    return (target * (target.log() - answer.log())).sum() / len(target)


def _total(soft, hard, alpha):
    return alpha * soft + (1 - alpha) * hard


def _loss(student, teacher, labels, temperature, alpha):
    soft = temperature**2 * _kl(_soft(teacher, temperature), _soft(student, temperature))
    return _total(soft, functional.cross_entropy(student, labels), alpha)


def _with_soft_term(soft_term):
    """The loss with another soft term, a function of student, teacher and temperature."""

    def loss(student, teacher, labels, temperature, alpha):
        hard = functional.cross_entropy(student, labels)
        return _total(soft_term(student, teacher, temperature), hard, alpha)

    return loss


def _with_soft_term_times(factor):
    """The loss with its soft term times a factor, a function of the teacher's logits and the temperature."""
    return _with_soft_term(lambda s, t, T: factor(t, T) * T**2 * _kl(_soft(t, T), _soft(s, T)))


LOSS = Exercise(
    "3.2",
    "loss of distillation: alpha x the soft term + (1 - alpha) x cross-entropy with the labels, a mean over the images",
    ("student", "teacher", "labels", "temperature", "alpha"),
    tuple(
        (torch.tensor(student), torch.tensor(teacher), torch.tensor(labels), temperature, alpha)
        for student, teacher, labels, temperature, alpha in (
            ([[4.0, -1.0, 4.0], [-1.0, 4.0, 4.0]], [[1.0, 6.0, 1.0], [4.0, 2.0, 0.0]], [1, 0], 4.0, 0.8),
            (
                [[1.0, 3.0, 0.0, -2.0], [2.0, -1.0, 0.5, 4.0], [0.0, 2.0, 5.0, 1.0]],
                [[5.0, 1.0, -1.0, 0.0], [-2.0, 0.0, 3.0, 1.5], [4.0, 2.5, 0.0, -3.0]],
                [0, 3, 2], 2.5, 0.6,
            ),
            ([[3.0, -2.0], [1.0, 4.0], [0.0, 2.0], [-1.0, 5.0], [2.0, 2.5]],
             [[-1.0, 3.0], [2.0, -2.0], [4.0, 0.5], [1.0, 0.0], [-3.0, 2.0]], [1, 0, 0, 1, 1], 3.0, 0.3),
        )
    ),
    _loss,
    {
        "distill.t_squared_forgotten": Mistake(
            _with_soft_term_times(lambda t, T: 1 / T**2),
            "You left out the square of the temperature: the soft term has almost no gradient.",
            "A higher T divides the logits and brings the shares together: the gradient falls twice. What lifts it?",
        ),
        "distill.t_not_squared": Mistake(
            _with_soft_term_times(lambda t, T: 1 / T),
            "You multiplied the soft term by the temperature, not by its square.",
            "By which factor does the gradient of the soft term shrink when T doubles: by 2 or by 4?",
        ),
        "distill.alpha_swapped": Mistake(
            lambda s, t, y, T, alpha: _loss(s, t, y, T, 1 - alpha),
            "You gave alpha to the labels and the rest to the teacher.",
            "With alpha = 1, does the student of this exercise learn from the teacher or from the labels?",
        ),
        "distill.kl_reversed": Mistake(
            _with_soft_term(lambda s, t, T: T**2 * _kl(_soft(s, T), _soft(t, T))),
            "You took the divergence the wrong way round, as if the student were the target.",
            "Whose shares weight the differences, those of the one who teaches or of the one who learns?",
        ),
        "distill.mean_over_classes": Mistake(
            _with_soft_term_times(lambda t, T: 1 / t.shape[1]),
            "You took a mean over images and classes: with more classes the soft term shrinks.",
            "The divergence of one image is a sum over its classes. Over what is the mean taken?",
        ),
        "distill.summed_over_batch": Mistake(
            _with_soft_term_times(lambda t, T: len(t)),
            "You summed the soft term over the images: with a larger batch it outweighs the labels.",
            "Cross-entropy is a mean over the images. What happens to the sum of both terms in a batch twice as large?",
        ),
        "distill.only_teacher_softened": Mistake(
            _with_soft_term(lambda s, t, T: T**2 * _kl(_soft(t, T), _soft(s))),
            "You used the temperature for the teacher only.",
            "If student and teacher have equal logits, what should the soft term be?",
        ),
        "distill.only_student_softened": Mistake(
            _with_soft_term(lambda s, t, T: T**2 * _kl(_soft(t), _soft(s, T))),
            "You used the temperature for the student only.",
            "If student and teacher have equal logits, what should the soft term be?",
        ),
        "distill.hard_term_softened": Mistake(
            lambda s, t, y, T, alpha: _loss(s, t, y, T, alpha)
            + (1 - alpha) * (functional.cross_entropy(s / T, y) - functional.cross_entropy(s, y)),
            "You used the temperature in the cross-entropy with the labels too.",
            "At which temperature will the student answer when it is used?",
        ),
        "distill.probabilities_for_log": Mistake(
            _with_soft_term(
                lambda s, t, T: T**2 * functional.kl_div(_soft(s, T), _soft(t, T), reduction="batchmean")
            ),
            "You gave probabilities where log-probabilities belong: a divergence is never negative.",
            "What does the first argument of `kl_div` have to be?",
        ),
        "distill.softmax_twice": Mistake(
            lambda s, t, y, T, alpha: _loss(_soft(s), t, y, T, alpha),
            "You took the softmax of the student twice: its shares went in as if they were logits.",
            "Cross-entropy and soft term each contain a softmax. What do they expect?",
        ),
        "distill.cross_entropy_for_kl": Mistake(
            _with_soft_term(lambda s, t, T: -(T**2) * (_soft(t, T) * _soft(s, T).log()).sum() / len(t)),
            "You took a cross-entropy for the divergence: it has the same gradient, but never reaches 0.",
            "Which part of the cross-entropy depends on the teacher alone, and stays when the student is perfect?",
        ),
    },
    (
        "Two terms: the student follows the teacher at temperature T, and it follows the labels at temperature 1.",
        "The soft term is T^2 x the divergence of the student's shares from the teacher's, both at T: a sum over the "
        "classes, a mean over the images.",
        "`kl_div` takes the student's log-probabilities first and the teacher's probabilities second. With "
        "reduction=\"batchmean\" it sums over classes and divides by the number of images.",
    ),
    tolerance=1e-3,
)  # fmt: skip


# --- 3.3: a fair comparison ---


def _gain(baseline, distilled, epochs):
    differences = distilled - baseline[epochs]
    return differences.mean(), differences.std()


FAIR_GAIN = Exercise(
    "3.3",
    "mean and sample standard deviation of the gain, seed by seed; baseline holds accuracies by epochs of training, "
    "the student trained for `epochs`",
    ("baseline", "distilled", "epochs"),
    tuple(
        ({n: torch.tensor(accuracies) for n, accuracies in baseline.items()}, torch.tensor(distilled), epochs)
        for baseline, distilled, epochs in (
            ({5: [0.8812, 0.8790, 0.8851], 20: [0.8948, 0.9012, 0.8960]}, [0.9230, 0.9220, 0.9227], 20),
            ({10: [0.801, 0.822, 0.815, 0.790], 30: [0.846, 0.851, 0.860, 0.829]}, [0.871, 0.868, 0.883, 0.861], 30),
            ({2: [0.70, 0.73, 0.69], 8: [0.81, 0.84, 0.86], 40: [0.87, 0.86, 0.89]}, [0.85, 0.91, 0.89], 8),
        )
    ),
    _gain,
    {
        "compare.best_against_worst": Mistake(
            lambda baseline, distilled, epochs: (distilled.max() - baseline[epochs].min(), _NAN),
            "You compared the best distilled student with the worst baseline.",
            "How large would this gain be between two groups of seeds of the same method?",
        ),
        "compare.best_against_mean": Mistake(
            lambda baseline, distilled, epochs: (distilled.max() - baseline[epochs].mean(), _NAN),
            "You compared the best distilled student with the mean of the baseline.",
            "Would you accept the best seed of the baseline against the mean of the distilled students?",
        ),
        "compare.one_seed": Mistake(
            lambda baseline, distilled, epochs: (distilled[0] - baseline[epochs][0], _NAN),
            "You compared one seed of each.",
            "The second seed gives another gain. Which of the two would you report?",
        ),
        "compare.fewer_epochs": Mistake(
            lambda baseline, distilled, epochs: _gain(baseline, distilled, min(baseline)),
            "You compared with a baseline that was trained for fewer epochs.",
            "How much of this gain comes from the teacher, and how much from longer training?",
        ),
        "compare.not_paired": Mistake(
            lambda baseline, distilled, epochs: (
                (distilled - baseline[epochs]).mean(),
                (distilled.var() + baseline[epochs].var()).sqrt(),
            ),
            "You joined the deviations of the two methods, as if their seeds were not the same: the mean is right, the "
            "deviation is not.",
            "Student and baseline with the same seed start from the same weights. What is the gain of each seed?",
        ),
    },
    (
        "A comparison is fair when only one thing differs. Which baseline was trained as long as the student?",
        "Take the gain of each seed: distilled minus baseline with the same seed.",
        "Give the mean of these gains and their sample standard deviation (`std` of a tensor).",
    ),
    tolerance=1e-5,
)

EXERCISES = (SOFTMAX, LOSS, FAIR_GAIN)
