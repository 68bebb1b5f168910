"""Exercises of chapter 1: what pruning removes, and how it stays removed."""

import torch

from labcore.lesson.exercises import Exercise, Mistake

__all__ = ["EXERCISES"]


# --- 1.1: mask of a threshold ---

THRESHOLD_MASK = Exercise(
    "1.1",
    "mask of a threshold: 0 for the weights whose magnitude is below it, 1 for the others",
    ("weights", "threshold"),
    (
        (torch.tensor([0.9, -0.2, 0.05, -0.7, 0.3]), 0.25),
        (torch.tensor([-1.5, 0.4, 2.0, -0.1]), 1.0),
        (torch.tensor([0.02, -0.03, -0.3, 0.01, 0.2, -0.05]), 0.1),
    ),
    lambda weights, threshold: weights.abs() >= threshold,
    {
        "mask.sign_kept": Mistake(
            lambda weights, threshold: weights >= threshold,
            "You compared the weights with their signs, so every negative weight went.",
            "Does -0.7 change the output less than 0.3 does?",
        ),
        "mask.of_what_goes": Mistake(
            lambda weights, threshold: weights.abs() < threshold,
            "You marked the weights that go.",
            "A weight is multiplied by its mask. Which number must stand where a weight stays?",
        ),
    },
    (
        "What makes a weight small: its value, or its distance from 0?",
        "Take the magnitudes first. Then compare each of them with the threshold.",
        "The mask is 0 where the magnitude is below the threshold and 1 elsewhere.",
    ),
)


# --- 1.2: a share of the weights, exactly ---


def _count(weights, sparsity):
    return round(sparsity * len(weights))


def _first_removed(order, count):
    mask = torch.ones(len(order))
    mask[order[:count]] = 0
    return mask


def _exactly_k(weights, sparsity):
    return _first_removed(weights.abs().argsort(stable=True), _count(weights, sparsity))


def _ties_removed(weights, sparsity):
    count = _count(weights, sparsity)
    return weights.abs() > weights.abs().sort().values[count - 1] if count else torch.ones(len(weights))


def _ties_kept(weights, sparsity):
    return weights.abs() >= weights.abs().sort().values[_count(weights, sparsity)]


# Equal magnitudes lie on both sides of every cut: a threshold gives the same mask whichever of the two it is read from.
EXACTLY_K = Exercise(
    "1.2",
    "mask that removes exactly a share of the weights; of equal magnitudes the lower index goes first",
    ("weights", "sparsity"),
    (
        (torch.tensor([0.1, -0.1, 0.1, 0.1, 0.2, -0.3, 0.4, 0.5, 0.6, 0.7]), 0.3),
        (torch.tensor([0.5, -0.2, 0.2, 0.3, -0.2, 0.9, -0.6, 0.2]), 0.25),
        (torch.tensor([0.4, -0.4, 0.1]), 0.0),
    ),
    _exactly_k,
    {
        "mask.ties_all_go": Mistake(
            _ties_removed,
            "You removed every weight as small as the last one that has to go.",
            "Four weights share the smallest magnitude and three have to go. Can a threshold alone choose three?",
        ),
        "mask.ties_all_stay": Mistake(
            _ties_kept,
            "You kept every weight that is not smaller than the threshold, so weights equal to it all stay.",
            "How many of the ten weights are strictly smaller than 0.1?",
        ),
        "mask.ties_go_last_first": Mistake(
            lambda weights, sparsity: _first_removed(
                len(weights) - 1 - weights.abs().flip(0).argsort(stable=True), _count(weights, sparsity)
            ),
            "You removed the right number, but of equal magnitudes the higher index went first.",
            "Which of the four weights of magnitude 0.1 comes first in the list?",
        ),
        "mask.last_position_at_zero": Mistake(
            lambda weights, sparsity: weights.abs() > weights.abs().sort().values[_count(weights, sparsity) - 1],
            "You read a threshold at position k - 1 of the sorted magnitudes and removed all that is not above it.",
            "How many weights lie on this threshold, and which position is k - 1 when nothing has to go?",
        ),
        "mask.raises_at_zero": Mistake(
            lambda weights, sparsity: weights.abs() > weights.abs().kthvalue(_count(weights, sparsity)).values,
            "You looked for the largest magnitude that goes, and when k is 0 there is none.",
            "Which weights go when the sparsity is 0?",
            raises=(RuntimeError, IndexError, ValueError),
        ),
        "mask.sparsity_is_kept": Mistake(
            lambda weights, sparsity: _first_removed(
                weights.abs().argsort(stable=True), len(weights) - _count(weights, sparsity)
            ),
            "You took the sparsity as the share that stays.",
            "How many weights of a network with sparsity 0 are 0?",
        ),
        "mask.signed_sort": Mistake(
            lambda weights, sparsity: _first_removed(weights.argsort(stable=True), _count(weights, sparsity)),
            "You sorted the weights with their signs, so the most negative went first.",
            "Is -0.3 one of the three smallest weights?",
        ),
    },
    (
        "A threshold cannot tell equal magnitudes apart. What can you count instead?",
        "Sort the positions by magnitude, with a sort that leaves equal ones in their order (stable).",
        "Start from a mask of ones and write 0 at the first k of these positions; k = round(sparsity x all weights).",
    ),
)


# --- 1.3: one step under a mask ---


def _masked_step(weights, velocity, gradient, mask, momentum, learning_rate):
    return mask * _free_step(weights, velocity, gradient, mask, momentum, learning_rate)


def _free_step(weights, velocity, gradient, mask, momentum, learning_rate):
    return weights - learning_rate * (momentum * velocity + gradient)


MASKED_STEP = Exercise(
    "1.3",
    "weights after one step of gradient descent with momentum, under a mask",
    ("weights", "velocity", "gradient", "mask", "momentum", "learning_rate"),
    tuple(
        (*(torch.tensor(values) for values in vectors), momentum, learning_rate)
        for vectors, momentum, learning_rate in (
            (([0.5, 0.0], [0.1, 0.2], [0.1, 0.4], [1.0, 0.0]), 0.9, 0.1),
            (([0.0, -0.3, 0.8], [0.5, -0.1, 0.0], [-1.0, 0.6, 0.2], [0.0, 1.0, 1.0]), 0.8, 0.5),
            (([0.0, 1.2, 0.0, -0.4], [-0.3, 0.2, 0.6, 0.1], [0.2, 0.1, 0.7, -0.5], [0.0, 1.0, 0.0, 1.0]), 0.5, 0.2),
        )
    ),
    _masked_step,
    {
        "step.grew_back": Mistake(
            _free_step,
            "You made the step without the mask, and the removed weight grew back.",
            "The mask of the second weight is 0. What must this weight be after every step?",
        ),
        "step.momentum_not_masked": Mistake(
            lambda w, v, g, mask, momentum, lr: _free_step(w, v, mask * g, mask, momentum, lr),
            "You masked the gradient but not the momentum.",
            "The second gradient is 0 now. What else moves the second weight?",
        ),
    },
    (
        "Two things move a weight: its gradient, and the velocity it still has from the steps before.",
        "The new velocity is momentum x velocity + gradient. The step is learning_rate x the new velocity.",
        "Make the step as if there were no mask. Then multiply the weights themselves by the mask.",
    ),
)

EXERCISES = (THRESHOLD_MASK, EXACTLY_K, MASKED_STEP)
