"""Exercises of chapter 4: one size for a filter of signs, a slope for the sign, and a product that counts bits."""

import torch

from labcore.lesson.exercises import Exercise, Mistake

__all__ = ["EXERCISES"]


# --- 4.1: alpha ---

ALPHA = Exercise(
    "4.1",
    "alpha of each filter: the number that brings alpha x the signs nearest to the weights; each row is a filter",
    ("weights",),
    tuple(
        (torch.tensor(weights),)
        for weights in (
            [[0.5, -1.5, 0.2, -0.2], [-0.1, 0.3, 0.3, -0.5]],
            [[1.0, -2.0], [-0.5, 0.25], [3.0, 0.5]],
            [[-0.4, -0.9, 0.8], [0.05, 0.1, -0.3]],
        )
    ),
    lambda weights: weights.abs().mean(1),
    {
        "binarize.alpha_signed_mean": Mistake(
            lambda weights: weights.mean(1),
            "You took the mean of the weights with their signs, so they cancel.",
            "The signs are kept already, as +1 and -1. What is left for alpha to say?",
        ),
        "binarize.alpha_length_over_n": Mistake(
            lambda weights: weights.norm(dim=1) / weights.shape[1],
            "You divided the length of the filter by the number of its weights. The squared error of the first filter "
            "is 1.298, the smallest is 1.140.",
            "If all weights have the magnitude 1, which alpha leaves no error?",
        ),
        "binarize.alpha_root_mean_square": Mistake(
            lambda weights: weights.square().mean(1).sqrt(),
            "You took the root of the mean square: it keeps the length of the filter. The squared error of the first "
            "filter is 1.305, the smallest is 1.140.",
            "One large weight counts with its square. Should it pull alpha away from all the others?",
        ),
        "binarize.alpha_largest": Mistake(
            lambda weights: weights.abs().amax(1),
            "You took the largest magnitude, so all weights become as large as the largest.",
            "Three of the four weights of the first filter are 0.5 or less. Are they near 1.5?",
        ),
        "binarize.alpha_sum": Mistake(
            lambda weights: weights.abs().sum(1),
            "You added the magnitudes and did not divide.",
            "Would alpha be twice as large if each weight of the filter stood there twice?",
        ),
        "binarize.alpha_of_all_filters": Mistake(
            lambda weights: weights.abs().mean(),
            "You gave all filters one alpha.",
            "The second filter has smaller weights than the first. How many numbers are needed to say so?",
        ),
        "binarize.alpha_of_columns": Mistake(
            lambda weights: weights.abs().mean(0),
            "You gave each column an alpha, but each row is a filter.",
            "How many filters does the weight have, and along which axis do they lie?",
        ),
    },
    (
        "Alpha stands for the size of the weights of a filter. Which size is nearest to all of them?",
        "Write the squared error of a filter as a sum over its weights. Each term is (|w| - alpha)^2.",
        "The number that is nearest to many numbers, in squares, is their mean. Take it of the magnitudes of each row.",
    ),
    tolerance=1e-5,
)


# --- 4.2: the straight-through estimator ---


def _inside(r):
    return r.abs() <= 1


STRAIGHT_THROUGH = Exercise(
    "4.2",
    "slope that stands in for the derivative of the sign: straight through from -1 to 1, nothing outside",
    ("r",),
    tuple(
        (torch.tensor(r),)
        for r in ([-1.5, -0.2, 0.7, 2.0], [0.4, -0.9, 1.3, -3.0, 0.05], [-0.6, 2.5, -1.2, 0.8, -0.1, 0.3])
    ),
    _inside,
    {
        "binarize.slope_as_printed": Mistake(
            lambda r: r * _inside(r),
            "You used the formula as the paper prints it: where r is negative, so is the slope, and the weight walks "
            "the wrong way.",
            "Does the sign ever fall when its input grows?",
        ),
        "binarize.slope_of_magnitude": Mistake(
            lambda r: r.abs() * _inside(r),
            "You mended the direction but kept the size of r: near 0, where a sign could change, weights hardly move.",
            "How steep is the straight line that goes from -1 at r = -1 to +1 at r = 1?",
        ),
        "binarize.slope_everywhere": Mistake(
            torch.ones_like,
            "You let the gradient pass everywhere, so large values run away.",
            "What would a further step of 0.1 change when r is 2 already?",
        ),
        "binarize.slope_zero": Mistake(
            torch.zeros_like,
            "You took the true slope of the sign, which is 0: nothing learns.",
            "Seen from far away, does the step of the sign rise with its input?",
        ),
    },
    (
        "Draw the sign over r. Replace the step by the straight line from (-1, -1) to (1, 1), flat outside.",
        "How steep is that line between -1 and 1, to the left of 0 and to the right of it? And outside?",
        "Give 1 where the magnitude of r is at most 1, and 0 elsewhere. The value of r is no factor.",
    ),
)


# --- 4.3: a product of signs from XOR and popcount ---


def _differences(a, b):
    return (a ^ b).bit_count()


POPCOUNT_DOT = Exercise(
    "4.3",
    "dot product of two rows of n signs, each packed into a word: bit 1 means -1, bit 0 means +1, and the unused bits "
    "in front are 0",
    ("a", "b", "n", "word"),
    ((0b01001, 0b00101, 5, 8), (0b10110011101, 0b00111010001, 11, 16), (0b110, 0b011, 3, 8)),
    lambda a, b, n, word: n - 2 * _differences(a, b),
    {
        "binarize.padding_counted": Mistake(
            lambda a, b, n, word: word - 2 * _differences(a, b),
            "You counted the unused bits as signs: two zeros look like +1 times +1.",
            "Only 5 of the 8 bits are signs. From how many products does the sum come?",
        ),
        "binarize.agreements_only": Mistake(
            lambda a, b, n, word: n - _differences(a, b),
            "You counted the places where the signs agree, and left out the others.",
            "Signs that agree add 1. What do signs that differ add?",
        ),
        "binarize.product_negated": Mistake(
            lambda a, b, n, word: 2 * _differences(a, b) - n,
            "You added 1 where the signs differ and took 1 away where they agree.",
            "What is the product of two rows that are equal, and how many of their bits differ?",
        ),
        "binarize.padding_agrees": Mistake(
            lambda a, b, n, word: 2 * (word - _differences(a, b)) - n,
            "You counted the ones of an XNOR over the whole word: the unused bits agree, and each was counted twice.",
            "What does XNOR give for two unused bits?",
        ),
        "binarize.complement_is_negative": Mistake(
            lambda a, b, n, word: 2 * (~(a ^ b)).bit_count() - n,
            "You turned the bits around with `~`. In Python this gives a negative number, and its ones are not the "
            "zeros you wanted.",
            "Python's numbers have no last bit. Which bits should be turned around?",
        ),
    },
    (
        "Equal signs multiply to +1, different ones to -1. Which operation on bits finds the different ones?",
        "XOR gives 1 where two bits differ. Let p be the number of these ones; a whole number has `bit_count`.",
        "There are n products: p of them are -1 and n - p are +1. Unused bits never differ, so they are not in p.",
    ),
)

EXERCISES = (ALPHA, STRAIGHT_THROUGH, POPCOUNT_DOT)
