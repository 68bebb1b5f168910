"""Exercises of chapter 2: real numbers become codes, x ~ scale * (q - zero_point)."""

import torch

from labcore.lesson.exercises import Exercise, Mistake

__all__ = ["EXERCISES"]

_NAN = float("nan")


# --- 2.1: scale and zero point ---


def _scale_and_zero_point(values):
    low, high = min(values.min().item(), 0), max(values.max().item(), 0)
    scale = (high - low) / 255 or 1
    return scale, round(-low / scale)


def _range_of_the_data(values):
    """Scale of smallest to largest value; where 0 lies outside, or all values are equal, the rest is free."""
    low, high = values.min().item(), values.max().item()
    scale = (high - low) / 255
    if scale == 0:
        return _NAN, _NAN
    return scale, round(-low / scale) if low <= 0 <= high else _NAN


def _wrong(change):
    """A mistake that changes the right scale and zero point; zeros are not its subject."""
    return lambda values: change(values, *_scale_and_zero_point(values)) if values.any() else (_NAN, _NAN)


SCALE_AND_ZERO_POINT = Exercise(
    "2.1",
    "scale and zero point of the codes 0 to 255; 0.0 must come back as exactly 0, and all zeros have scale 1",
    ("values",),
    tuple(
        (torch.tensor(values),)
        for values in (
            [-1.0, 0.5, 3.0], [1.0, 6.0], [2.0, 2.0, 2.0], [-5.0, -1.5, -2.0], [-12.0, 3.0, 27.0], [0.0, 0.0], [0.0],
        )
    ),
    _scale_and_zero_point,
    {
        "quantize.levels_for_steps": Mistake(
            _wrong(lambda values, scale, zero_point: (scale * 255 / 256, _NAN)),
            "You divided the range by 256: 3.0 comes back as 2.984, because its code would be 256.",
            "The codes go from 0 to 255. How many steps lie between the first and the last?",
        ),
        "quantize.zero_point_sign": Mistake(
            _wrong(lambda values, scale, zero_point: (scale, -zero_point)),
            "You gave the zero point the sign of the smallest value. No code is negative.",
            "The smallest value has code 0. Must the code of 0.0 be above or below it?",
        ),
        "quantize.no_zero_point": Mistake(
            _wrong(lambda values, scale, zero_point: (scale, 0)),
            "You gave every range the zero point 0 (a negative one becomes 0 when it is cut): -1 comes back as 0.",
            "If code 0 stands for 0.0, which codes are left for the negative values?",
        ),
        "quantize.zero_point_not_integer": Mistake(
            _wrong(lambda values, scale, zero_point: (scale, -values.min().clamp(max=0).item() / scale)),
            "You gave a zero point that is not a whole number: 0.0 comes back as 0.0039.",
            "Codes are whole numbers. Which of them stands for exactly 0.0?",
        ),
        "quantize.zero_not_in_range": Mistake(
            _range_of_the_data,
            "You took the range from the smallest to the largest value, and 0.0 is not in it: 6 comes back as 5, and "
            "equal values have a range of width 0.",
            "A network pads with 0.0 and its ReLU gives 0.0. Must a range that starts at 1 have a code for it?",
        ),
        "quantize.range_of_width_zero": Mistake(
            lambda values: _scale_and_zero_point(values) if values.any() else (0, _NAN),
            "You gave a range of width 0 the scale 0: what is divided by it is not a number.",
            "A filter may hold zeros only. Which scale brings them back as 0.0?",
        ),
    },
    (
        "Where must the range begin and end, so that 0.0 always lies in it? Look at values that are all positive.",
        "With low <= 0 <= high there are 255 steps between low and high. The zero point is the code of 0.0: how many "
        "steps lie between low and 0.0, as a whole number?",
        "low = min(smallest, 0), high = max(largest, 0). Scale = (high - low) / 255, zero point = round(-low / scale). "
        "If high equals low, give 1 and 0.",
    ),
    tolerance=3e-5,
)  # fmt: skip


# --- 2.2: encode ---


def _rounded(values, scale):
    return (values / scale).round()


def _wrapped(codes):
    """What a cast to int8 makes of whole numbers."""
    return (codes + 128) % 256 - 128


ENCODE = Exercise(
    "2.2",
    "values after they were stored as int8 codes from -127 to 127 and read back",
    ("values", "scale"),
    (
        (torch.tensor([1.5, 2.0, -1.5, 0.019]), 0.01),
        (torch.tensor([0.33, 30.03, -7.33, -0.28, 4.62]), 0.05),
        (torch.tensor([-2.9, 130.3, -400.2, 77.8]), 1.0),
    ),
    lambda values, scale: scale * _rounded(values, scale).clamp(-127, 127),
    {
        "quantize.cast_before_clamp": Mistake(
            lambda values, scale: scale * _wrapped(_rounded(values, scale)),
            "You cast to int8 before the values were cut to the range, so they wrapped around.",
            "1.5 is 150 steps and int8 ends at 127. What is left of 150 in 8 bits?",
        ),
        "quantize.cut_not_rounded": Mistake(
            lambda values, scale: scale * (values / scale).trunc().clamp(-127, 127),
            "You cut off what follows the decimal point instead of rounding.",
            "0.019 is 1.9 steps. Which whole number is nearest?",
        ),
        "quantize.cast_only": Mistake(
            lambda values, scale: scale * _wrapped((values / scale).trunc()),
            "You left everything to the cast: it drops what follows the decimal point, and large values wrap around.",
            "A cast to int8 keeps 8 bits of a whole number. Which two steps must come before it?",
        ),
    },
    (
        "How many steps of size scale is each value? And what should happen to 150 steps when codes end at 127?",
        "Divide by the scale, round to the nearest whole number, keep the result from -127 to 127, and only then cast.",
        "To read back, multiply the codes by the scale.",
    ),
    tolerance=1e-5,
)


# --- 2.3: one scale a channel ---


def _codes(weight, largest):
    return (weight / (largest / 127)).round()


PER_CHANNEL = Exercise(
    "2.3",
    "int8 codes of a weight with one scale an output channel; each row is a channel, its largest magnitude gets 127",
    ("weight",),
    (
        (torch.tensor([[100.0, 40.0, -100.0], [0.1, -0.04, 0.1]]),),
        (torch.tensor([[0.5, -0.2], [30.0, 4.0], [-2.0, 1.1]]),),
        (torch.tensor([[1.0, -0.3, 0.2], [-0.02, 0.05, 0.01], [7.0, 3.0, -9.0]]),),
    ),
    lambda weight: _codes(weight, weight.abs().amax(1, keepdim=True)),
    {
        "quantize.wrong_axis": Mistake(
            lambda weight: _codes(weight, weight.abs().amax(0)),
            "You gave each column a scale: three scales for two channels, and the small channel became 0.",
            "How many output channels does the weight have, and along which axis do they lie?",
        ),
        "quantize.per_tensor": Mistake(
            lambda weight: _codes(weight, weight.abs().max()),
            "You gave all channels one scale, that of the largest weight, and the small channel became 0.",
            "The second channel goes up to 0.1, a step of your scale is 0.8. What is left of the channel?",
        ),
    },
    (
        "Each channel is measured with a ruler of its own. How long must the ruler of a row be?",
        "The scale of a row is its largest magnitude divided by 127.",
        "Take the largest magnitude along axis 1 and keep that axis, so that each row is divided by its own scale. "
        "Then round.",
    ),
    tolerance=1e-3,
)

EXERCISES = (SCALE_AND_ZERO_POINT, ENCODE, PER_CHANNEL)
