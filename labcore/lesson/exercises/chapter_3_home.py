"""Exercises of chapter 3 for home: a class that was never shown, the whole bill, and attention maps."""

import torch

from labcore.lesson.exercises import Exercise, Mistake

__all__ = ["EXERCISES"]


# --- 3.4: the bias of a class that was never shown ---


def _accuracy(images, missing, bias):
    added = torch.zeros(images["logits"].shape[1])
    added[missing] = bias
    return ((images["logits"] + added).argmax(1) == images["labels"]).float().mean()


def _probability_accuracy(images, missing, bias):
    return _accuracy(images | {"logits": images["logits"].softmax(1)}, missing, bias)


def _opposite_accuracy(images, missing, bias):
    return _accuracy(images, missing, -bias)


def _recall(images, missing, bias):
    of_missing = images["labels"] == missing
    return _accuracy({name: tensor[of_missing] for name, tensor in images.items()}, missing, bias)


def _best(candidates, score):
    return max(candidates, key=score)


def _bias(validation, test, missing, candidates):
    best = _best(candidates, lambda bias: _accuracy(validation, missing, bias))
    return best, _accuracy(test, missing, best)


def _bias_by(choose, measure):
    """Another way to choose on the validation images, and the accuracy it has on the test images."""

    def answer(validation, test, missing, candidates):
        best = _best(candidates, lambda bias: choose(validation, missing, bias))
        return best, measure(test, missing, best)

    return answer


def _bias_chosen_on_test(validation, test, missing, candidates):
    return _bias(test, test, missing, candidates)


def _images(missing, found_at, lost_at):
    """Images of 3 classes. `found_at`: biases from which images of the missing class are recognised; `lost_at`:
    biases from which images of the others are not. Eight more are never lost."""
    others = [label for label in range(3) if label != missing]
    logits, labels = [], []
    for i, margin in enumerate((*found_at, *lost_at, *range(11, 19))):
        winner = others[i % 2]
        row = [-4.0, -4.0, -4.0]
        row[winner], row[missing] = margin, 0.0
        logits.append(row)
        labels.append(missing if i < len(found_at) else winner)
    return {"logits": torch.tensor(logits), "labels": torch.tensor(labels)}


BIAS = Exercise(
    "3.4",
    "candidate bias of the logit of the missing class with the best accuracy on the validation images, and its "
    "accuracy on the test images",
    ("validation", "test", "missing", "candidates"),
    tuple(
        (_images(missing, *validation), _images(missing, *test), missing, (0.5, 1, 2, 3, 4, 6, 8, 10))
        for missing, validation, test in (
            (
                2,
                ((-0.3, 0.8, 1.5, 2.5, 2.8, 9.0), (0.9, 3.5, 5.0, 7.5)),
                ((-0.2, 0.9, 1.7, 2.2, 3.5, 3.8), (0.7, 4.5, 6.5, 9.0)),
            ),
            (
                0,
                ((-0.1, 0.4, 1.2, 1.8, 7.0), (2.5, 2.7, 3.2, 5.0, 8.5)),
                ((-0.4, 0.6, 0.7, 1.5, 2.6, 2.9), (3.3, 3.6, 5.5, 9.0)),
            ),
            (
                1,
                ((-0.2, 1.6, 2.2, 3.2, 3.6, 9.8), (0.3, 4.2, 4.7, 6.5, 7.2)),
                ((-0.3, 0.7, 1.3, 1.9, 9.0), (0.8, 2.4, 3.5, 3.7, 7.9)),
            ),
        )
    ),
    _bias,
    {
        "bias.recall_alone": Mistake(
            _bias_by(_recall, _accuracy),
            "You looked at the missing class alone: all its images are found, and images of the others are lost.",
            "Which bias would you choose if you only wanted to recognise every image of this class?",
        ),
        "bias.added_to_probabilities": Mistake(
            _bias_by(_probability_accuracy, _probability_accuracy),
            "You added the bias to the probabilities: with a bias of 0.5 they sum to 1.5.",
            "Which numbers may be moved freely: the logits, or the shares that must sum to 1?",
        ),
        "bias.subtracted": Mistake(
            _bias_by(_opposite_accuracy, _opposite_accuracy),
            "You subtracted the bias: no image of the missing class is recognised any more.",
            "The student gives this class too rarely. Must its logit rise or fall?",
        ),
        "bias.chosen_on_test": Mistake(
            _bias_chosen_on_test,
            "You chose the bias on the test images and measured on the same images.",
            "What does an accuracy say about new images when they helped to choose?",
        ),
    },
    (
        "Write a function that gives the accuracy for one bias: add it to one column of a copy of the logits, and "
        "compare the place of the largest logit with the label.",
        "Try all candidates on the validation images. All images count, not only those of the missing class.",
        "Keep the candidate with the highest accuracy there. Measure it once on the test images. Give both numbers, "
        "the bias first.",
    ),
)


# --- 3.5: the bill ---

# Forward, and backward to the inputs and to the weights.
_PASSES = 3


def _training(network, images):
    return _PASSES * network["macs"] * images * network["epochs"]


def _bill(teacher, student, images):
    return _training(teacher, images) + teacher["macs"] * images + _training(student, images)


BILL = Exercise(
    "3.5",
    "MACs of everything that a distilled student needs: train the teacher, store its logits of all images once, train "
    "the student; macs is one forward pass of one image, a pass of training costs three times as much",
    ("teacher", "student", "images"),
    (
        ({"macs": 1_000_000, "epochs": 20}, {"macs": 50_000, "epochs": 10}, 5_000),
        ({"macs": 300_000, "epochs": 8}, {"macs": 40_000, "epochs": 30}, 1_000),
        ({"macs": 2_500_000, "epochs": 40}, {"macs": 600_000, "epochs": 25}, 300),
    ),
    _bill,
    {
        "bill.teacher_left_out": Mistake(
            lambda teacher, student, images: _training(student, images),
            "You counted the student alone.",
            "Where do the soft targets come from, and what did they cost?",
        ),
        "bill.training_of_teacher_left_out": Mistake(
            lambda teacher, student, images: teacher["macs"] * images + _training(student, images),
            "You counted the teacher's answers but not its training.",
            "Would there be anything to learn from a teacher that was never trained?",
        ),
        "bill.teacher_run_each_epoch": Mistake(
            lambda teacher, student, images: _training(teacher, images)
            + student["epochs"] * teacher["macs"] * images
            + _training(student, images),
            "You ran the teacher in every epoch of the student, though its logits are stored.",
            "Do the teacher's logits of an image change from one epoch of the student to the next?",
        ),
    },
    (
        "Three items stand on the bill. Which of them are training, and which is a forward pass only?",
        "Training costs 3 x macs x images x epochs. Storing the logits costs macs x images, once.",
        "Add the training of the teacher, one forward pass of the teacher over all images, and the training of the "
        "student.",
    ),
)


# --- 3.6: attention maps ---


def _energies(features):
    return features.square().mean(1).flatten(1)


def _normalised(maps):
    return maps / maps.norm(dim=1, keepdim=True)


ATTENTION_MAP = Exercise(
    "3.6",
    "attention map of each image: mean over channels of the squared features, flattened, with length 1; features have "
    "the shape (images, channels, height, width)",
    ("features",),
    (
        (torch.tensor([[[[1.0, 2.0]], [[-1.0, 1.0]]], [[[0.5, -3.0]], [[1.5, 2.0]]]]),),
        (torch.tensor([[[[2.0, -1.0], [0.5, 3.0]], [[1.0, 1.5], [-2.5, 0.0]]], [[[4.0, 1.0], [1.0, -2.0]]] * 2]),),
        (torch.tensor([[[[1.0], [2.0], [-1.0]]] * 3, [[[0.2], [0.1], [0.4]], [[-0.3], [0.6], [0.0]], [[1.0]] * 3]]),),
    ),
    lambda features: _normalised(_energies(features)),
    {
        "attention.signs_cancel": Mistake(
            lambda features: _normalised(features.mean(1).square().flatten(1)),
            "You took the mean over the channels before the square, so their signs cancel.",
            "One place holds 1 in one channel and -1 in the other. Does the network pay no attention to it?",
        ),
        "attention.normalised_over_batch": Mistake(
            lambda features: _energies(features) / _energies(features).norm(),
            "You divided by the length of all maps together, so a map depends on the other images of its batch.",
            "How long is the map of one image, and how long should it be?",
        ),
    },
    (
        "A large negative feature is attention too. What must happen before the channels are added?",
        "Square first, then take the mean over axis 1, then flatten height and width.",
        "Divide each row by its own length, the square root of the sum of its squares.",
    ),
    tolerance=1e-5,
)

EXERCISES = (BIAS, BILL, ATTENTION_MAP)
