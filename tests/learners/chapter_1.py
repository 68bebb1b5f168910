"""What learners answer in chapter 1."""

import itertools

import numpy as np
import torch
from torch import nn

from labcore.lesson.checks import EXERCISES
from labcore.prune import cubic
from labcore.prune.masks import drop_lowest, masks_n_m

RIGHT = {
    "1.1": (1, 0, 0, 1, 1),
    "1.2": (0, 0, 0, 1, 1, 1, 1, 1, 1, 1),
    "1.3": (0.481, 0),
    "1.4": (6, 2, 2.5),
    "1.5": [[0, 1, 2, 3, *range(8, 16)], [100, 101, 102, 103, *range(108, 116)]],
    "1.6": 0.7875,
    "1.7": [[1, 0, 1, 0], [0, 0, 1, 1]],
    "1.8": {
        "convolution.weight": [[[[i, i + 0.25], [i + 0.5, i + 0.75]]] for i in (0.25, 2.25, 3.25)],
        "batch_norm.weight": [4.25, 4.75, 5],
        "batch_norm.bias": [5.25, 5.75, 6],
        "batch_norm.running_mean": [6.25, 6.75, 7],
        "batch_norm.running_var": [7.25, 7.75, 8],
        "linear.weight": [[8.25 + (i + 16 * row) / 4 for i in (*range(4), *range(8, 16))] for row in (0, 1)],
    },
}
_STATISTICS = {
    "batch_norm.running_mean": [6.25, 6.5, 6.75, 7],
    "batch_norm.running_var": [7.25, 7.5, 7.75, 8],
}
_BATCH_NORM = {"batch_norm.weight": [4.25, 4.5, 4.75, 5], "batch_norm.bias": [5.25, 5.5, 5.75, 6]} | _STATISTICS

WRONG = {
    "1.1": {"mask.sign_kept": (1, 0, 0, 0, 1), "mask.of_what_goes": (0, 1, 1, 0, 0)},
    "1.2": {
        "mask.ties_all_go": (0, 0, 0, 0, 1, 1, 1, 1, 1, 1),
        "mask.ties_all_stay": (1, 1, 1, 1, 1, 1, 1, 1, 1, 1),
        "mask.ties_go_last_first": (1, 0, 0, 0, 1, 1, 1, 1, 1, 1),
        "mask.last_position_at_zero": (0, 0, 0, 0, 1, 1, 1, 1, 1, 1),
        "mask.raises_at_zero": (0, 0, 0, 0, 1, 1, 1, 1, 1, 1),
        "mask.sparsity_is_kept": (0, 0, 0, 0, 0, 0, 0, 1, 1, 1),
        "mask.signed_sort": (0, 0, 1, 1, 1, 0, 1, 1, 1, 1),
    },
    "1.3": {"step.grew_back": (0.481, -0.058), "step.momentum_not_masked": (0.481, -0.018)},
    "1.4": {"rank.signs_cancel": (0, 2, -1.5), "rank.wrong_axis": (4.5, 6)},
    "1.5": {
        "surgery.one_column": [[0, *range(2, 16)], [100, *range(102, 116)]],
        "surgery.every_nth_column": [[i + j for j in (0, 2, 3, 4, 6, 7, 8, 10, 11, 12, 14, 15)] for i in (0, 100)],
    },
    "1.6": {"schedule.linear": 0.45, "schedule.upside_down": 0.1125, "schedule.past_the_end": 0.7875},
    "1.7": {
        "groups.ranked_over_all": [[1, 1, 1, 1], [0, 0, 0, 0]],
        "groups.along_outputs": [[1, 1, 1, 1], [0, 0, 0, 0]],
    },
    "1.8": {
        "surgery.batch_norm_not_cut": RIGHT["1.8"] | _BATCH_NORM,
        "surgery.running_statistics_not_cut": RIGHT["1.8"] | _STATISTICS,
    },
}


def mask_in_a_loop(weights, threshold):
    return [1 if abs(float(weight)) > threshold else 0 for weight in weights]


def mask_in_place(weights, threshold):
    weights[weights.abs() < threshold] = 0
    return weights != 0


def exactly_k_by_sorted(weights, sparsity):
    gone = sorted(range(len(weights)), key=lambda i: abs(weights[i]))[: int(len(weights) * sparsity + 0.5)]
    return [float(i not in gone) for i in range(len(weights))]


def exactly_k_of_the_package(weights, sparsity):
    return drop_lowest(weights.abs(), round(sparsity * len(weights)))


def step_of_pytorch(weights, velocity, gradient, mask, momentum, learning_rate):
    parameter = nn.Parameter(weights)
    optimizer = torch.optim.SGD([parameter], learning_rate, momentum=momentum)
    optimizer.state[parameter]["momentum_buffer"] = velocity
    parameter.grad = gradient
    optimizer.step()
    return mask * parameter


def step_with_everything_masked(weights, velocity, gradient, mask, momentum, learning_rate):
    velocity.mul_(momentum).add_(gradient).mul_(mask)
    return (weights - learning_rate * velocity).tolist()


def scores_by_norm(filters):
    return torch.linalg.vector_norm(filters, ord=1, dim=1)


def scores_in_a_loop(filters):
    return [sum(abs(weight) for weight in row) for row in filters.tolist()]


def smaller_linear_by_blocks(weight, map_index, map_size):
    blocks = list(weight.split(map_size, dim=1))
    del blocks[map_index]
    return torch.cat(blocks, dim=1)


def smaller_linear_by_numpy(weight, map_index, map_size):
    return np.delete(weight.numpy(), np.arange(map_size) + map_index * map_size, axis=1)


def agp_of_the_package(step, start, end, initial, final):
    return cubic(step, start=start, end=end, initial=initial, final=final)


def agp_by_what_is_left(step, start, end, initial, final):
    left = max(end - step, 0) / (end - start)
    return initial * left**3 + final * (1 - left**3)


def two_of_four_in_loops(weights):
    mask = torch.ones_like(weights)
    for row, begin in itertools.product(range(weights.shape[0]), range(0, weights.shape[1], 4)):
        for i in sorted(range(begin, begin + 4), key=lambda i: weights[row, i].abs())[:2]:
            mask[row, i] = 0
    return mask


def two_of_four_of_the_package(weights):
    return masks_n_m({"weight": weights.abs()})["weight"]


def without_filter_by_index(tensors, filter_index, map_size):
    kept = [i for i in range(len(tensors["batch_norm.weight"])) if i != filter_index]
    columns = [i * map_size + j for i in kept for j in range(map_size)]
    linear = {"linear.weight": tensors.pop("linear.weight")[:, columns]}
    return linear | {name: tensor[kept] for name, tensor in tensors.items()}


def without_filter_in_numpy(tensors, filter_index, map_size):
    smaller = {name: np.delete(tensor.numpy(), filter_index, axis=0) for name, tensor in tensors.items()}
    smaller["linear.weight"] = smaller_linear_by_numpy(tensors["linear.weight"], filter_index, map_size)
    return smaller


def mask_of_largest(weights, sparsity):
    magnitudes = weights.abs()
    return magnitudes > magnitudes.topk(round(sparsity * len(weights)), largest=False).values[-1]


def mask_above_the_largest_that_goes(weights, sparsity):
    gone = sorted(weights.abs().tolist())[: round(sparsity * len(weights))]
    return [abs(weight) > max(gone) for weight in weights.tolist()]


def batch_norm_left_whole(tensors, filter_index, map_size):
    cut = {name: tensors[name] for name in tensors if name.startswith(("convolution", "linear"))}
    return tensors | without_filter_in_numpy(cut, filter_index, map_size)


def parameters_cut_only(tensors, filter_index, map_size):
    smaller = without_filter_in_numpy(tensors, filter_index, map_size)
    return smaller | {name: tensor for name, tensor in tensors.items() if "running" in name}


VARIANTS = {
    "1.1": (mask_in_a_loop, mask_in_place),
    "1.2": (exactly_k_by_sorted, exactly_k_of_the_package),
    "1.3": (step_of_pytorch, step_with_everything_masked),
    "1.4": (scores_by_norm, scores_in_a_loop),
    "1.5": (smaller_linear_by_blocks, smaller_linear_by_numpy),
    "1.6": (agp_of_the_package, agp_by_what_is_left),
    "1.7": (two_of_four_in_loops, two_of_four_of_the_package),
    "1.8": (without_filter_by_index, without_filter_in_numpy),
}
NATURAL = {
    "1.2": (("mask.raises_at_zero", mask_of_largest), ("mask.raises_at_zero", mask_above_the_largest_that_goes)),
    "1.8": (
        ("surgery.batch_norm_not_cut", batch_norm_left_whole),
        ("surgery.running_statistics_not_cut", parameters_cut_only),
    ),
}

UNKNOWN = {
    "1.1": lambda weights, threshold: weights * (weights.abs() >= threshold),
    "1.2": lambda weights, sparsity: drop_lowest(-weights.abs(), round(sparsity * len(weights))),
    "1.3": lambda w, v, g, mask, momentum, lr: mask * (w - lr * g),
    "1.4": lambda filters: filters.norm(dim=1),
    "1.5": lambda weight, map_index, map_size: weight[:, map_size:],
    "1.6": lambda step, start, end, initial, final: final + (initial - final) * (1 - min(step / end, 1)) ** 2,
    "1.7": lambda weights: 1 - EXERCISES["1.7"].reference(weights),
    "1.8": lambda tensors, filter_index, map_size: EXERCISES["1.8"].reference(
        tensors, (filter_index + 1) % len(tensors["batch_norm.weight"]), map_size
    ),
}
