"""Exercises of chapter 2 for home: where to clip, what a gradient sees, and a layer in whole numbers."""

import numpy as np
import torch

from labcore.lesson.exercises import Exercise, Mistake

__all__ = ["EXERCISES"]


# --- 2.4: where to clip ---


def _gaussian(deviation, seed):
    sample = np.random.default_rng(seed).standard_normal(100_000, dtype=np.float32)
    return torch.from_numpy(deviation * sample)


def _cheapest(candidates, error):
    return candidates[torch.stack([error(clip) for clip in candidates]).argmin()]


def _rounded_to_levels(values, clip, bits):
    step = clip / (2 ** (bits - 1) - 1)
    return step * (values / step).round()


def _best_clip(values, bits, candidates):
    def error(clip):
        return (values - _rounded_to_levels(values.clamp(-clip, clip), clip, bits)).square().sum()

    return _cheapest(candidates, error)


def _least_rounding(values, bits, candidates):
    def error(clip):
        inside = values.clamp(-clip, clip)
        return (inside - _rounded_to_levels(inside, clip, bits)).square().sum()

    return _cheapest(candidates, error)


# The largest value of each sample lies between the last two. Candidates are ten times the tolerance apart, and the
# 99 % quantile is three times the tolerance from the nearest.
_CLIPS = torch.tensor([*range(15, 45, 2), 47]) / 10

BEST_CLIP = Exercise(
    "2.4",
    "candidate with the smallest squared error, when values are clipped to -clip and clip and rounded to codes from "
    "-(2^(bits-1) - 1) to 2^(bits-1) - 1",
    ("values", "bits", "candidates"),
    ((_gaussian(1, 0), 4, _CLIPS), (_gaussian(1, 0), 8, _CLIPS), (_gaussian(2, 1), 6, 2 * _CLIPS)),
    _best_clip,
    {
        "quantize.only_clipping": Mistake(
            lambda values, bits, candidates: _cheapest(
                candidates, lambda clip: (values - values.clamp(-clip, clip)).square().sum()
            ),
            "You made the error of clipping as small as possible: the range goes up to the largest value.",
            "A wider range has wider steps. What does this do to all the values near 0?",
        ),
        "quantize.only_rounding": Mistake(
            _least_rounding,
            "You made the error of rounding as small as possible: the smallest range has the finest steps.",
            "How far away are the values beyond the clip when they come back?",
        ),
        "quantize.not_aware_of_bits": Mistake(
            lambda values, bits, candidates: values.abs().quantile(0.99),
            "You cut off the largest 1 % of the values, with few bits and with many.",
            "With 8 bits the steps are 18 times finer than with 4. Is the same clip still the best one?",
        ),
    },
    (
        "Two errors add up: values outside are clipped, values inside are rounded. One falls and one grows with the "
        "clip.",
        "Try every candidate: clip, divide by the step, round, multiply by the step, and compare with the values.",
        "The step is clip / (2^(bits-1) - 1). Keep the candidate whose sum of squared differences is smallest.",
    ),
    tolerance=0.02,
)


# --- 2.5: the gradient of rounding ---

STRAIGHT_THROUGH = Exercise(
    "2.5",
    "gradient of the values behind clipping and rounding, straight through; gradient is that of the rounded values",
    ("values", "gradient", "scale", "window"),
    tuple(
        (torch.tensor(values), torch.tensor(gradient), scale, window)
        for values, gradient, scale, window in (
            ([-2.0, -0.5, 0.3, 1.4], [1.0, 1.0, 1.0, 1.0], 0.25, 1.0),
            ([0.7, -3.0, 1.9, -1.2, 2.6], [0.5, -2.0, 1.5, 0.8, 3.0], 0.5, 2.0),
            ([0.04, -0.6, 0.45], [-1.0, 4.0, 2.0], 0.1, 0.5),
        )
    ),
    lambda values, gradient, scale, window: gradient * (values.abs() <= window),
    {
        "quantize.no_slope": Mistake(
            lambda values, gradient, scale, window: 0 * gradient,
            "You took the true slope of rounding, which is 0: nothing learns.",
            "Seen from far away, does the staircase of rounding rise with its input?",
        ),
        "quantize.clipped_values_pass": Mistake(
            lambda values, gradient, scale, window: gradient,
            "You let the gradient pass everywhere, so clipped values run away.",
            "What happens to the output when a value that is clipped already moves further out?",
        ),
        "quantize.gradient_times_scale": Mistake(
            lambda values, gradient, scale, window: scale * gradient * (values.abs() <= window),
            "You multiplied by the scale. Rounding divides by it first and multiplies by it last.",
            "Between the ends, how much does the rounded value grow on average when the value grows by 1?",
        ),
    },
    (
        "Draw the rounded value over the value. Replace the stairs by the straight line through them.",
        "Inside the window the straight line has slope 1. Outside, clipping makes it flat: slope 0.",
        "Multiply the gradient by 1 where the magnitude of the value is at most the window, and by 0 elsewhere.",
    ),
)


# --- 2.6: multiply and accumulate in whole numbers ---


def _wrapped(numbers, lowest):
    """What 8 bits keep of whole numbers; `lowest` is -128 or 0."""
    return (numbers - lowest) % 256 + lowest


def _with_value(accumulator, scales):
    return accumulator, accumulator * scales[0] * scales[1]


def _integer_dot(x, zero_point, w, scales):
    return _with_value(((x.long() - zero_point) * w.long()).sum(), scales)


INTEGER_DOT = Exercise(
    "2.6",
    "accumulator of uint8 inputs (with a zero point) times int8 weights, and its real value; scales are those of the "
    "inputs and the weights",
    ("x", "zero_point", "w", "scales"),
    tuple(
        (torch.tensor(x, dtype=torch.uint8), zero_point, torch.tensor(w, dtype=torch.int8), scales)
        for x, zero_point, w, scales in (
            ([130, 10], 128, [50, -20], (0.01, 0.02)),
            ([3, 200, 90], 100, [-7, 30, 11], (0.05, 0.004)),
            ([255, 0, 17, 64], 60, [9, 127, -40, 3], (0.02, 0.1)),
        )
    ),
    _integer_dot,
    {
        "quantize.zero_point_not_subtracted": Mistake(
            lambda x, zero_point, w, scales: _with_value((x.long() * w).sum(), scales),
            "You multiplied the codes as they are. The result is off by the zero point times the sum of the weights.",
            "Which number does code 128 stand for, and what should it add to the sum?",
        ),
        "quantize.narrow_accumulator": Mistake(
            lambda x, zero_point, w, scales: _with_value(
                _wrapped(_integer_dot(x, zero_point, w, scales)[0], -128), scales
            ),
            "You kept the sum in 8 bits, and it wrapped around.",
            "One product of two codes may be as large as 255 x 127. How many bits does it need?",
        ),
        "quantize.subtracted_unsigned": Mistake(
            lambda x, zero_point, w, scales: _with_value((_wrapped(x.long() - zero_point, 0) * w).sum(), scales),
            "You subtracted the zero point in uint8, where no number is negative: 10 - 128 became 138.",
            "Which type must the codes have before anything is subtracted from them?",
        ),
    },
    (
        "Write down what the codes stand for. Code 128 is 0.0: it must not add anything.",
        "Make the codes wide integers first. Then subtract the zero point, multiply by the weights and sum.",
        "The real value is the accumulator times the scale of the inputs times the scale of the weights. Give both "
        "numbers, the accumulator first.",
    ),
)


# --- 2.7: fold a batch norm ---


def _fold(weight, gamma, beta, mean, variance):
    factor = gamma / variance**0.5
    return weight * factor, beta - mean * factor


FOLD = Exercise(
    "2.7",
    "weight and bias that do what a weight without bias does in front of a batch norm; eps is left out",
    ("weight", "gamma", "beta", "mean", "variance"),
    tuple(
        tuple(torch.tensor(number) for number in numbers)
        for numbers in ((2.0, 3.0, 0.5, 1.0, 4.0), (-1.5, 0.8, -0.2, 0.6, 0.25), (0.4, -2.0, 1.0, -3.0, 9.0))
    ),
    _fold,
    {
        "quantize.divided_by_variance": Mistake(
            lambda weight, gamma, beta, mean, variance: _fold(weight, gamma, beta, mean, variance**2),
            "You divided by the variance.",
            "If all inputs are twice as large, how do the variance and the standard deviation change?",
        ),
        "quantize.mean_forgotten": Mistake(
            lambda weight, gamma, beta, mean, variance: (_fold(weight, gamma, beta, mean, variance)[0], beta),
            "You left out the mean.",
            "What does the batch norm give for an input that equals the mean?",
        ),
        "quantize.sign_of_mean": Mistake(
            lambda weight, gamma, beta, mean, variance: _fold(weight, gamma, beta, -mean, variance),
            "You added the mean where the batch norm subtracts it.",
            "The batch norm gives beta for an input that equals the mean. Does your line give beta there?",
        ),
    },
    (
        "Write the output as a line in x: the batch norm takes weight * x, and gives something times x plus a number.",
        "The batch norm gives gamma * (weight * x - mean) / sqrt(variance) + beta. Which part multiplies x?",
        "With f = gamma / sqrt(variance), the new weight is weight * f. The new bias is all that is left when x is 0.",
    ),
    tolerance=1e-4,
)

EXERCISES = (BEST_CLIP, STRAIGHT_THROUGH, INTEGER_DOT, FOLD)
