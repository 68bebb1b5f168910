"""What learners answer in chapter 0."""

import itertools
import math
import statistics

import numpy as np
import torch
from scipy.stats import binomtest
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from labcore.lesson.checks import EXERCISES

RIGHT = {
    "0.1": 4_672,
    "0.2": 225_792,
    "0.3": 2_432,
    "0.4": (0.92865, 1),
    "0.5": 9,
}
WRONG = {
    "0.1": {
        "cost.groups_ignored": 18_496,
        "cost.bias_forgotten": 4_608,
        "cost.bias_per_input_channel": 4_640,
        "cost.filters_split": 1_216,
        "cost.kernel_not_squared": 1_600,
    },
    "0.2": {
        "cost.input_size": 903_168,
        "cost.flops": 451_584,
        "cost.padding_forgotten": 165_888,
        "cost.bias_counted": 227_360,
    },
    "0.3": {
        "cost.scales_forgotten": 2_304,
        "cost.one_scale": 2_308,
        "cost.scales_on_input_axis": 2_368,
        "cost.not_packed": 4_736,
        "cost.bits_for_bytes": 19_456,
    },
    "0.4": {"interval.no_width": (1, 1)},
    "0.5": {"timing.warmup_counted": 15.4, "timing.mean": 104 / 9},
}


def parameters_by_layer(in_channels, out_channels, kernel, groups, bias):
    layer = nn.Conv2d(in_channels, out_channels, kernel, groups=groups, bias=bias)
    return sum(parameter.numel() for parameter in layer.parameters())


def parameters_in_floats(in_channels, out_channels, kernel, groups, bias):
    return torch.tensor([in_channels / groups * kernel * kernel * out_channels + (out_channels if bias else 0)])


def macs_by_walking(in_channels, out_channels, kernel, stride, padding, size):
    stops = [x for x in range(-padding, size + padding) if (x + padding) % stride == 0 and x + kernel <= size + padding]
    return sum(out_channels * in_channels * kernel * kernel for _ in itertools.product(stops, stops))


def macs_by_counter(in_channels, out_channels, kernel, stride, padding, size):
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding)(torch.empty(1, in_channels, size, size))
    return counter.get_total_flops() / 2


def bytes_rounded_up(shape, bits, scale_bits):
    return math.ceil(np.prod(shape) * bits / 8) + math.ceil(shape[0] * scale_bits / 8)


def bytes_of_rows(shape, bits, scale_bits):
    return sum((math.prod(shape[1:]) * bits + scale_bits) / 8 for _ in range(shape[0]))


def interval_of_scipy(n_correct, n_images):
    interval = binomtest(n_correct, n_images).proportion_ci(0.95, "wilson")
    return [interval.low, interval.high]


def interval_by_roots(n_correct, n_images):
    p, z2 = n_correct / n_images, 1.96**2 / n_images
    return np.sort(np.roots([1 + z2, -(2 * p + z2), p * p]))


def interval_in_three_digits(n_correct, n_images):
    return tuple(round(end, 3) for end in interval_of_scipy(n_correct, n_images))


def time_sorted_in_place(samples_ms):
    rest = samples_ms[1:]
    rest.sort()
    return (rest[(len(rest) - 1) // 2] + rest[len(rest) // 2]) / 2


def time_of_statistics(samples_ms):
    return statistics.median(list(samples_ms)[1:])


VARIANTS = {
    "0.1": (parameters_by_layer, parameters_in_floats),
    "0.2": (macs_by_walking, macs_by_counter),
    "0.3": (bytes_rounded_up, bytes_of_rows),
    "0.4": (interval_of_scipy, interval_by_roots, interval_in_three_digits),
    "0.5": (time_sorted_in_place, time_of_statistics),
}

UNKNOWN = {
    "0.1": lambda i, o, k, g, bias: o * (i // g) * k**2 + 1,
    "0.2": lambda i, o, k, s, p, size: 2 * EXERCISES["0.2"].reference(i, o, k, s, 0, size),
    "0.3": lambda shape, bits, scale_bits: math.prod(shape) * 4 + shape[0] * 4,
    "0.4": lambda n_correct, n_images: (n_correct / n_images - 0.1, 1),
    "0.5": np.median,  # the warm-up counted, yet right on the first input
}
