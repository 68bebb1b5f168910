"""Exercises of chapter 4 for home: two values and no third, the weights underneath, and zero as a third value."""

import torch

from labcore.lesson.exercises import Exercise, Mistake

__all__ = ["EXERCISES"]


# --- 4.4: the sign ---


def _sign(values):
    return torch.where(values < 0, -1.0, 1.0)


SIGN = Exercise(
    "4.4",
    "sign of each value, -1 or +1; 0 has the sign +1",
    ("values",),
    tuple((torch.tensor(values),) for values in ([-0.3, 0.0, 0.2], [1.5, -0.0, -2.0, 0.0], [-0.0, 0.0, -1e-30, 3.0])),
    _sign,
    {
        "binarize.sign_of_three_values": Mistake(
            torch.sign,
            "You gave 0 a value of its own, so there are three values.",
            "How many values does one bit have?",
        ),
        "binarize.sign_as_bit": Mistake(
            lambda values: (values >= 0).float(),
            "You gave 0 and 1 instead of -1 and +1: a negative weight now removes its input.",
            "What should a negative weight do to its input?",
        ),
        "binarize.zero_is_negative": Mistake(
            lambda values: torch.where(values > 0, 1.0, -1.0),
            "You gave 0 the sign -1. Both signs would do, but this course takes +1 everywhere.",
            "On which side of the comparison does 0 belong here?",
        ),
        "binarize.sign_bit": Mistake(
            lambda values: torch.where(values.signbit(), -1.0, 1.0),
            "You read the bit of the sign. A floating-point zero may carry it too: -0.0 became -1.",
            "Is -0.0 smaller than 0?",
        ),
    },
    (
        "There are two values. To which of them does 0 go?",
        "Compare with 0, and think of the value that equals it. `torch.sign` gives 0 there.",
        "Give -1 where the value is smaller than 0, and +1 elsewhere. `torch.where` chooses between two values.",
    ),
)


# --- 4.5: latent weights ---


def _trained(step):
    """Training with another step, a function of weights and movement."""

    def answer(weights, gradients, learning_rate):
        for gradient in gradients:
            weights = step(weights, learning_rate * gradient)
        return weights

    return answer


def _clip(weights):
    return weights.clamp(-1, 1)


_walk = _trained(lambda weights, movement: weights - movement)

LATENT = Exercise(
    "4.5",
    "latent weights after training: each row of gradients is a step of gradient descent, and every step ends with "
    "weights from -1 to 1",
    ("weights", "gradients", "learning_rate"),
    tuple(
        (torch.tensor(weights), torch.tensor(gradients), learning_rate)
        for weights, gradients, learning_rate in (
            ([0.3, -0.95], [[0.1, 0.1]] * 100, 0.01),
            ([0.6, -0.8, 0.1], [[-1.0, 0.5, 0.2], [-1.0, 0.5, 0.2], [0.8, -1.5, 0.1]], 0.4),
            ([-0.5, 0.9], [[0.5, -1.0], [0.5, -1.0], [0.5, 1.0], [-0.2, 0.4]], 0.5),
        )
    ),
    _trained(lambda weights, movement: _clip(weights - movement)),
    {
        "binarize.stepped_the_sign": Mistake(
            _trained(lambda weights, movement: _sign(weights - movement)),
            "You kept only the sign after each step. A step is far smaller than 1, so after 100 steps nothing moved.",
            "Where can many small steps add up until a sign changes?",
        ),
        "binarize.started_at_the_sign": Mistake(
            _trained(lambda weights, movement: _clip(_sign(weights) - movement)),
            "You started every step at the sign, so each step forgets the ones before.",
            "The forward pass computes with signs. Which numbers should the step change?",
        ),
        "binarize.not_clipped": Mistake(
            _walk,
            "You let weights leave the range from -1 to 1.",
            "A weight of -5 gives the same sign as -1. How long would it take to come back?",
        ),
        "binarize.clipped_at_the_end": Mistake(
            lambda weights, gradients, learning_rate: _clip(_walk(weights, gradients, learning_rate)),
            "You clipped once, after all steps: in between, weights were outside.",
            "A weight at 1 is pushed up, then down. Where does the way down start?",
        ),
    },
    (
        "Two sets of weights: signs for computing, real numbers for learning. Which of them does a step change?",
        "Go through the rows of gradients. Subtract learning_rate x gradient from the real weights, without a sign.",
        "After each of these steps, bring the weights back to the range from -1 to 1 with `clamp`.",
    ),
    tolerance=1e-4,
)


# --- 4.6: a third value ---


def _share_of_mean(weights):
    return 0.7 * weights.abs().mean()


def _kept(weights, kept, n=None):
    """Signs of the kept weights times their mean magnitude; n divides instead of their number."""
    alpha = (weights.abs() * kept).sum().item() / (kept.sum().item() if n is None else n)
    return alpha * weights.sign() * kept


def _ternary(weights):
    kept = weights.abs() > _share_of_mean(weights)
    return _kept(weights, kept) if kept.any() else torch.zeros_like(weights)


def _wrong(values):
    """A mistake in layers that hold anything; what it makes of zeros is not its subject."""
    return lambda weights: values(weights) if weights.any() else torch.full_like(weights, float("nan"))


def _infinite_for_zeros(weights):
    return _ternary(weights) if weights.any() else torch.full_like(weights, float("inf"))


TERNARY = Exercise(
    "4.6",
    "weights that became -alpha, 0 or alpha: 0 where the magnitude is at most 0.7 x the mean magnitude; alpha is the "
    "mean magnitude of the others; a layer of zeros stays as it is",
    ("weights",),
    tuple(
        (torch.tensor(weights),)
        for weights in (
            [0.9, -0.6, 0.1, -0.2, 0.3, 0.05], [-1.2, 0.4, 0.1, -0.5, 0.9, 0.0, -0.05, 0.2], [0.0] * 3, [0.0] * 5,
        )
    ),
    _ternary,
    {
        "binarize.alpha_over_all_weights": Mistake(
            _wrong(lambda weights: weights.abs().mean() * _ternary(weights).sign()),
            "You took alpha as the mean magnitude of all weights, also of those that became 0.",
            "The error of a weight that is 0 does not depend on alpha. Which weights should alpha be near to?",
        ),
        "binarize.alpha_divided_by_all": Mistake(
            _wrong(lambda weights: _kept(weights, weights.abs() > _share_of_mean(weights), len(weights))),
            "You added the magnitudes of the kept weights, but divided by the number of all weights.",
            "How many numbers did you add up?",
        ),
        "binarize.threshold_with_sign": Mistake(
            _wrong(lambda weights: _kept(weights, weights > _share_of_mean(weights))),
            "You compared the weights with their signs, so every negative weight became 0.",
            "Does -0.6 change the output less than 0.3 does?",
        ),
        "binarize.threshold_of_largest": Mistake(
            _wrong(lambda weights: _kept(weights, weights.abs() > 0.7 * weights.abs().max())),
            "You took 0.7 of the largest magnitude as the threshold, so one large weight removes the others.",
            "If one weight grew to 100, how many weights would be left?",
        ),
        "binarize.mean_of_no_weights": Mistake(
            _infinite_for_zeros,
            "You took the mean of no weights: in a layer of zeros nothing is above the threshold, and 0 / 0 is not a "
            "number.",
            "How many weights are kept when all of them are 0?",
        ),
        "binarize.division_by_no_weights": Mistake(
            lambda weights: _kept(weights, weights.abs() > _share_of_mean(weights)),
            "You divided by the number of kept weights, and in a layer of zeros there are none.",
            "Which alpha suits a layer in which every weight becomes 0?",
            raises=(ZeroDivisionError, ValueError, RuntimeError, IndexError),
        ),
    },
    (
        "Three questions, one after the other: which weights are kept, which sign do they have, how large are they?",
        "Kept are the weights whose magnitude is above 0.7 x the mean magnitude. Their signs do not matter for this.",
        "Alpha is the mean magnitude of the kept weights. If none is kept, give zeros without dividing.",
    ),
    tolerance=1e-5,
)  # fmt: skip

EXERCISES = (SIGN, LATENT, TERNARY)
