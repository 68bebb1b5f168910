"""What learners answer in chapter 2."""

import math

import numpy as np
import torch
from torch.nn import functional
from torch.nn.utils.fusion import fuse_linear_bn_weights

NAN = math.nan

RIGHT = {
    "2.1": (4 / 255, 64),
    "2.2": (1.27, 1.27, -1.27, 0.02),
    "2.3": [[127, 51, -127], [127, -51, 127]],
    "2.4": 2.5,
    "2.5": (0, 1, 1, 0),
    "2.6": (2460, 0.492),
    "2.7": (3, -1),
}
WRONG = {
    "2.1": {
        "quantize.levels_for_steps": (4 / 256, NAN),
        "quantize.zero_point_sign": (4 / 255, -64),
        "quantize.no_zero_point": (4 / 255, 0),
        "quantize.zero_point_not_integer": (4 / 255, 63.75),
        "quantize.zero_not_in_range": (4 / 255, 64),
        "quantize.range_of_width_zero": (4 / 255, 64),
    },
    "2.2": {
        "quantize.cast_before_clamp": (-1.06, -0.56, 1.06, 0.02),
        "quantize.cut_not_rounded": (1.27, 1.27, -1.27, 0.01),
        "quantize.cast_only": (-1.06, -0.56, 1.06, 0.01),
    },
    "2.3": {
        "quantize.wrong_axis": [[127, 127, -127], [0, 0, 0]],
        "quantize.per_tensor": [[127, 51, -127], [0, 0, 0]],
    },
    "2.4": {"quantize.only_clipping": 4.7, "quantize.only_rounding": 1.5, "quantize.not_aware_of_bits": 2.563},
    "2.5": {
        "quantize.no_slope": (0, 0, 0, 0),
        "quantize.clipped_values_pass": (1, 1, 1, 1),
        "quantize.gradient_times_scale": (0, 0.25, 0.25, 0),
    },
    "2.6": {
        "quantize.zero_point_not_subtracted": (6300, 1.26),
        "quantize.narrow_accumulator": (-100, -0.02),
        "quantize.subtracted_unsigned": (-2660, -0.532),
    },
    "2.7": {
        "quantize.divided_by_variance": (1.5, -0.25),
        "quantize.mean_forgotten": (3, 0.5),
        "quantize.sign_of_mean": (3, 2),
    },
}


# --- 2.1 ---


def grid_of_tensors(values):
    low, high = values.min().clamp(max=0), values.max().clamp(min=0)
    if low == high:
        return 1, 0
    scale = (high - low) / 255
    return scale, torch.round(-low / scale)


def grid_with_zero_appended(values):
    spread = np.append(values.numpy(), 0)
    scale = np.ptp(spread) / 255 or 1.0
    return torch.tensor([scale, np.rint(-spread.min() / scale)])


def grid_of_the_data(values):
    low, high = values.min(), values.max()
    scale = (high - low) / 255
    return scale, torch.round(-low / scale)


def grid_of_the_data_in_uint8(values):
    scale, zero_point = grid_of_the_data(values)
    return scale, zero_point.clamp(0, 255)


def grid_of_the_data_but_of_width_0(values):
    low, high = values.min().item(), values.max().item()
    return ((high - low) / 255, round(-low * 255 / (high - low))) if high > low else (1, 0)


def grid_of_256_steps(values):
    low, high = values.min().clamp(max=0), values.max().clamp(min=0)
    scale = (high - low) / 256
    return scale, torch.round(-low / scale).clamp(0, 255)


def grid_with_the_other_sign(values):
    scale, zero_point = grid_of_tensors(values)
    return scale, 0 - zero_point


def grid_with_the_other_sign_in_uint8(values):
    scale, zero_point = grid_of_tensors(values)
    return scale, min(max(-float(zero_point), 0), 255)


def grid_in_floats(values):
    low, high = values.min().clamp(max=0), values.max().clamp(min=0)
    scale = (high - low) / 255
    return scale, -low / scale


def grid_of_width_0(values):
    low, high = values.min().clamp(max=0), values.max().clamp(min=0)
    scale = (high - low) / 255
    return scale, torch.round(-low / scale)


# --- 2.2 ---


def read_back_by_pytorch(values, scale):
    return torch.fake_quantize_per_tensor_affine(values, scale, 0, -127, 127)


def read_back_in_a_loop(values, scale):
    return [scale * max(-127, min(127, round(value / scale))) for value in values.tolist()]


def read_back_after_an_early_cast(values, scale):
    # By way of int32, as the cast of a float that does not fit is left to the machine.
    return scale * (values / scale).round().int().to(torch.int8).clamp(-127, 127)


def read_back_without_round(values, scale):
    return scale * (values / scale).clamp(-127, 127).to(torch.int8)


def read_back_after_a_cast(values, scale):
    return scale * (values / scale).int().to(torch.int8)


# --- 2.3 ---


def codes_of_rows(weight):
    return torch.stack([(127 * row / row.abs().max()).round() for row in weight]).to(torch.int8)


def codes_by_pytorch(weight):
    scales = weight.abs().amax(1) / 127
    read_back = torch.fake_quantize_per_channel_affine(weight, scales, torch.zeros(len(weight)), 0, -127, 127)
    return read_back / scales[:, None]


def codes_of_columns(weight):
    return (weight / weight.abs().max(0).values * 127).round().to(torch.int8)


def codes_of_a_tensor(weight):
    return read_back_by_pytorch(weight, weight.abs().max() / 127) / weight.abs().max() * 127


# --- 2.4 ---


def clip_by_pytorch(values, bits, candidates):
    last = 2 ** (bits - 1) - 1
    errors = [
        functional.mse_loss(torch.fake_quantize_per_tensor_affine(values, clip / last, 0, -last, last), values)
        for clip in candidates.tolist()
    ]
    return candidates[int(np.argmin(errors))]


def clip_in_numpy(values, bits, candidates):
    values, candidates = values.double().numpy(), candidates.double().numpy()
    steps = candidates / (2 ** (bits - 1) - 1)
    errors = [
        ((values - step * np.rint(np.clip(values, -c, c) / step)) ** 2).mean()
        for step, c in zip(steps, candidates, strict=True)
    ]
    return min(zip(errors, candidates, strict=True))[1]


def largest_candidate(values, bits, candidates):
    return candidates.max()


def smallest_candidate(values, bits, candidates):
    return candidates.min().item()


def largest_percent_cut(values, bits, candidates):
    return np.percentile(abs(values.numpy()), 99)


# --- 2.5 ---


def gradient_by_pytorch(values, gradient, scale, window):
    values.requires_grad_()
    last = round(window / scale)
    torch.fake_quantize_per_tensor_affine(values, scale, 0, -last, last).backward(gradient)
    return values.grad


def gradient_by_detaching(values, gradient, scale, window):
    values.requires_grad_()
    clipped = values.clamp(-window, window)
    (clipped + (scale * (clipped / scale).round() - clipped).detach()).backward(gradient)
    return values.grad


def gradient_of_round(values, gradient, scale, window):
    values.requires_grad_()
    (scale * (values.clamp(-window, window) / scale).round()).backward(gradient)
    return values.grad


def gradient_around_the_clip(values, gradient, scale, window):
    values.requires_grad_()
    rounded = scale * (values.clamp(-window, window) / scale).round()
    (values + (rounded - values).detach()).backward(gradient)
    return values.grad


def gradient_with_the_scale_left_in(values, gradient, scale, window):
    return torch.where(values.abs() < window, gradient, 0) * scale


# --- 2.6 ---


def dot_in_python(x, zero_point, w, scales):
    total = sum((a - zero_point) * b for a, b in zip(x.tolist(), w.tolist(), strict=True))
    return [total, math.prod(scales) * total]


def dot_with_the_zero_point_apart(x, zero_point, w, scales):
    total = torch.dot(x.int(), w.int()) - zero_point * w.sum()
    return total, total.item() * scales[0] * scales[1]


def dot_of_codes(x, zero_point, w, scales):
    total = (x * w).sum()
    return total, total * scales[0] * scales[1]


def dot_subtracted_in_uint8(x, zero_point, w, scales):
    total = ((x - zero_point) * w).sum()
    return total, total * scales[0] * scales[1]


def dot_summed_in_int8(x, zero_point, w, scales):
    total = ((x.int() - zero_point) * w).sum().to(torch.int8)
    return total, total.item() * scales[0] * scales[1]


# --- 2.7 ---


def fold_of_pytorch(weight, gamma, beta, mean, variance):
    one = torch.ones(1)
    folded = fuse_linear_bn_weights(weight * one[None], None, mean * one, variance * one, 1e-5, gamma * one, beta * one)
    return [float(number) for number in folded]


def fold_by_two_points(weight, gamma, beta, mean, variance):
    def through(x):
        numbers = (number.reshape(1) for number in (mean, variance, gamma, beta))
        return functional.batch_norm((weight * x).reshape(1, 1), *numbers, eps=0).item()

    return through(1.0) - through(0.0), through(0.0)


def fold_with_variance(weight, gamma, beta, mean, variance):
    return weight * gamma / variance, beta - mean * gamma / variance


def fold_without_mean(weight, gamma, beta, mean, variance):
    return weight * gamma / math.sqrt(variance), beta


def fold_plus_mean(weight, gamma, beta, mean, variance):
    return weight * gamma / variance.sqrt(), beta + gamma * mean / variance.sqrt()


VARIANTS = {
    "2.1": (grid_of_tensors, grid_with_zero_appended),
    "2.2": (read_back_by_pytorch, read_back_in_a_loop),
    "2.3": (codes_of_rows, codes_by_pytorch),
    "2.4": (clip_by_pytorch, clip_in_numpy),
    "2.5": (gradient_by_pytorch, gradient_by_detaching),
    "2.6": (dot_in_python, dot_with_the_zero_point_apart),
    "2.7": (fold_of_pytorch, fold_by_two_points),
}
NATURAL = {
    "2.1": (
        ("quantize.zero_not_in_range", grid_of_the_data),
        ("quantize.zero_not_in_range", grid_of_the_data_in_uint8),
        ("quantize.zero_not_in_range", grid_of_the_data_but_of_width_0),
        ("quantize.levels_for_steps", grid_of_256_steps),
        ("quantize.zero_point_sign", grid_with_the_other_sign),
        ("quantize.no_zero_point", grid_with_the_other_sign_in_uint8),
        ("quantize.zero_point_not_integer", grid_in_floats),
        ("quantize.range_of_width_zero", grid_of_width_0),
    ),
    "2.2": (
        ("quantize.cast_before_clamp", read_back_after_an_early_cast),
        ("quantize.cut_not_rounded", read_back_without_round),
        ("quantize.cast_only", read_back_after_a_cast),
    ),
    "2.3": (("quantize.wrong_axis", codes_of_columns), ("quantize.per_tensor", codes_of_a_tensor)),
    "2.4": (
        ("quantize.only_clipping", largest_candidate),
        ("quantize.only_rounding", smallest_candidate),
        ("quantize.not_aware_of_bits", largest_percent_cut),
    ),
    "2.5": (
        ("quantize.no_slope", gradient_of_round),
        ("quantize.clipped_values_pass", gradient_around_the_clip),
        ("quantize.gradient_times_scale", gradient_with_the_scale_left_in),
    ),
    "2.6": (
        ("quantize.zero_point_not_subtracted", dot_of_codes),
        ("quantize.subtracted_unsigned", dot_subtracted_in_uint8),
        ("quantize.narrow_accumulator", dot_summed_in_int8),
    ),
    "2.7": (
        ("quantize.divided_by_variance", fold_with_variance),
        ("quantize.mean_forgotten", fold_without_mean),
        ("quantize.sign_of_mean", fold_plus_mean),
    ),
}

UNKNOWN = {
    "2.1": lambda values: (grid_of_tensors(values)[0], torch.floor(torch.as_tensor(grid_of_tensors(values)[1])) + 1),
    "2.2": lambda values, scale: torch.fake_quantize_per_tensor_affine(values, scale, 0, -128, 127),
    "2.3": lambda weight: codes_of_rows(weight.flip(1)),
    "2.4": lambda values, bits, candidates: candidates[candidates > 4 * values.std()][0],
    "2.5": lambda values, gradient, scale, window: gradient * (values.abs() > window),
    "2.6": lambda x, zero_point, w, scales: dot_in_python(x, zero_point, w, (scales[0], 1)),
    "2.7": lambda weight, gamma, beta, mean, variance: (weight * gamma, beta - mean * gamma),
}
