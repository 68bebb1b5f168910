"""Exercises of chapter 0: what a network costs."""

import math

import numpy as np

from labcore.lesson.exercises import Exercise, Mistake
from labcore.metrics import wilson_interval

__all__ = ["EXERCISES"]


# --- 0.1: parameters of a convolution ---


def _conv_parameters(in_channels, out_channels, kernel, groups, bias):
    return out_channels * (in_channels // groups) * kernel**2 + out_channels * bias


CONV_PARAMETERS = Exercise(
    "0.1",
    "parameters of a convolution",
    ("in_channels", "out_channels", "kernel", "groups", "bias"),
    ((32, 64, 3, 4, True), (6, 9, 5, 3, True), (10, 4, 7, 2, False)),
    _conv_parameters,
    {
        "cost.groups_ignored": Mistake(
            lambda i, o, k, g, bias: o * i * k**2 + o * bias,
            "You let every filter see all input channels.",
            "With 4 groups, how many of the 32 input channels does one filter see?",
        ),
        "cost.bias_forgotten": Mistake(
            lambda i, o, k, g, bias: o * (i // g) * k**2,
            "You counted the weights and left out the bias.",
            "How many numbers does the layer add after it has multiplied?",
        ),
        "cost.bias_per_input_channel": Mistake(
            lambda i, o, k, g, bias: o * (i // g) * k**2 + i * bias,
            "You counted one bias for each input channel.",
            "Is a bias added to what goes into a filter, or to what comes out of it?",
        ),
        "cost.filters_split": Mistake(
            lambda i, o, k, g, bias: (o // g) * (i // g) * k**2 + o * bias,
            "You divided both the filters and their input channels by the number of groups.",
            "The groups share the filters among them. How many filters are there in all groups together?",
        ),
        "cost.kernel_not_squared": Mistake(
            lambda i, o, k, g, bias: o * (i // g) * k + o * bias,
            "You counted the kernel along one side only.",
            "How many weights does a kernel of 3 by 3 have?",
        ),
    },
    (
        "Begin with one filter: which block of the input does it cover at one position?",
        "One filter has kernel x kernel weights for each input channel that it sees. Groups reduce these channels.",
        "Multiply by the number of filters, which is out_channels. Then add one bias for each filter, if there is any.",
    ),
)


# --- 0.2: operations of a convolution ---


def _output_size(size, kernel, stride, padding):
    return (size + 2 * padding - kernel) // stride + 1


def _macs(in_channels, out_channels, kernel, stride, padding, size):
    return _output_size(size, kernel, stride, padding) ** 2 * out_channels * in_channels * kernel**2


CONV_MACS = Exercise(
    "0.2",
    "MACs of a convolution on a square image",
    ("in_channels", "out_channels", "kernel", "stride", "padding", "size"),
    ((16, 32, 3, 2, 1, 14), (3, 8, 5, 3, 2, 20), (5, 7, 4, 2, 3, 11)),
    _macs,
    {
        "cost.input_size": Mistake(
            lambda i, o, k, s, p, size: size**2 * o * i * k**2,
            "You counted one step for every pixel of the input.",
            "At how many positions does a filter stop when it moves by 2 pixels at a time?",
        ),
        "cost.flops": Mistake(
            lambda i, o, k, s, p, size: 2 * _macs(i, o, k, s, p, size),
            "You counted multiplications and additions separately: these are FLOPs.",
            "How many FLOPs are one MAC (multiply and accumulate)?",
        ),
        "cost.padding_forgotten": Mistake(
            lambda i, o, k, s, p, size: _macs(i, o, k, s, 0, size),
            "You left out the padding.",
            "How large is the image after the zeros are added around it?",
        ),
        "cost.bias_counted": Mistake(
            lambda i, o, k, s, p, size: _macs(i, o, k, s, p, size) + _output_size(size, k, s, p) ** 2 * o,
            "You added one operation for the bias at every output value.",
            "A bias is added, but is anything multiplied?",
        ),
    },
    (
        "First find how many pixels the output has. Then ask what one of them costs.",
        "One side of the output has (size + 2 x padding - kernel) // stride + 1 pixels.",
        "One output pixel of one channel costs as many MACs as a filter has weights. Multiply by the number of output "
        "pixels and of output channels.",
    ),
)


# --- 0.3: bytes of a quantized layer ---


def _file_bytes(shape, bits, scale_bits):
    return (math.prod(shape) * bits + shape[0] * scale_bits) / 8


FILE_BYTES = Exercise(
    "0.3",
    "bytes of a layer with few bits a weight and one scale an output channel",
    ("shape", "bits", "scale_bits"),
    (((32, 16, 3, 3), 4, 32), ((10, 6, 5, 5), 2, 16), ((12, 40), 3, 32)),
    _file_bytes,
    {
        "cost.scales_forgotten": Mistake(
            lambda shape, bits, scale_bits: math.prod(shape) * bits / 8,
            "You counted the weights and left out the scales.",
            "What does the reader of the file need, besides the codes, to get the weights back?",
        ),
        "cost.one_scale": Mistake(
            lambda shape, bits, scale_bits: (math.prod(shape) * bits + scale_bits) / 8,
            "You counted one scale for the whole layer.",
            "How many output channels does the layer have, and how many scales does each of them own?",
        ),
        "cost.scales_on_input_axis": Mistake(
            lambda shape, bits, scale_bits: (math.prod(shape) * bits + shape[1] * scale_bits) / 8,
            "You counted one scale for each input channel.",
            "Which axis of the weight holds the output channels?",
        ),
        "cost.not_packed": Mistake(
            lambda shape, bits, scale_bits: math.prod(shape) + shape[0] * scale_bits / 8,
            "You gave every weight a byte of its own.",
            "How many 4-bit numbers fit into one byte?",
        ),
        "cost.bits_for_bytes": Mistake(
            lambda shape, bits, scale_bits: 8 * _file_bytes(shape, bits, scale_bits),
            "You gave the number of bits.",
            "How many bits are one byte?",
        ),
    },
    (
        "Two things lie in the file: the codes of the weights, and the scales. Count each in bits.",
        "There are as many codes as weights, and as many scales as output channels: shape[0].",
        "Add the bits of all codes and of all scales. Then turn bits into bytes.",
    ),
)


# --- 0.4: how sure is an accuracy ---


def _wilson(n_correct, n_images):
    interval = wilson_interval(n_correct, n_images)
    return interval.low, interval.high


def _wald(n_correct, n_images):
    share = n_correct / n_images
    half = 1.96 * math.sqrt(share * (1 - share) / n_images)
    return share - half, share + half


INTERVAL = Exercise(
    "0.4",
    "95 % interval of an accuracy (Wilson)",
    ("n_correct", "n_images"),
    ((50, 50), (43, 50), (360, 400)),
    _wilson,
    {
        "interval.no_width": Mistake(
            _wald,
            "You put the interval around the measured share and took its width from that share alone.",
            "All 50 of 50 are right. Would you bet that the network never errs?",
        ),
    },
    (
        "An interval must keep some width even when every answer is right.",
        "Wilson's interval asks: which true shares p would give this count within z = 1.96 standard deviations of p?",
        "Its centre is (share + z^2 / 2n) / (1 + z^2 / n). Its half width is "
        "z x sqrt(share (1 - share) / n + z^2 / 4n^2) / (1 + z^2 / n).",
    ),
    tolerance=5e-4,
)


# --- 0.5: how long does one call take ---


def _typical_ms(samples_ms):
    return float(np.median(samples_ms[1:]))


TIMING = Exercise(
    "0.5",
    "typical time of a call; the first sample is the warm-up",
    ("samples_ms",),
    tuple(
        (np.array(samples, dtype=float),)
        for samples in (
            (50, 9, 9, 9, 10, 9, 9, 31, 9, 9),
            (80, 5, 6, 7, 8),
            (40, 4, 4.5, 22, 4.5, 4.1, 4.2, 4.4),
        )
    ),
    _typical_ms,
    {
        "timing.warmup_counted": Mistake(
            lambda samples_ms: samples_ms.mean(),
            "You took the mean of all samples, with the first one among them.",
            "What does the first call do that no later call does?",
        ),
        "timing.mean": Mistake(
            lambda samples_ms: samples_ms[1:].mean(),
            "You took the mean: one call that was interrupted moves it by a quarter.",
            "Which number stays where it is when one single sample becomes very long?",
        ),
    },
    (
        "Look at the samples one by one: which of them are not typical, and why?",
        "Leave out the warm-up. One of the others may be very long; it should not count more than any other sample.",
        "Sort what is left and take the one in the middle.",
    ),
)

EXERCISES = (CONV_PARAMETERS, CONV_MACS, FILE_BYTES, INTERVAL, TIMING)
