"""What learners answer in chapter 4."""

import math
import statistics

import numpy as np
import torch

RIGHT = {
    "4.1": (0.6, 0.3),
    "4.2": (0, 1, 1, 0),
    "4.3": 1,
    "4.4": (-1, 1, 1),
    "4.5": (0.2, -1),
    "4.6": (0.6, -0.6, 0, 0, 0.6, 0),
}
WRONG = {
    "4.1": {
        "binarize.alpha_signed_mean": (-0.25, 0),
        "binarize.alpha_length_over_n": (0.40156, 0.16583),
        "binarize.alpha_root_mean_square": (0.80312, 0.33166),
        "binarize.alpha_largest": (1.5, 0.5),
        "binarize.alpha_sum": (2.4, 1.2),
        "binarize.alpha_of_all_filters": 0.45,
        "binarize.alpha_of_columns": (0.3, 0.9, 0.25, 0.35),
    },
    "4.2": {
        "binarize.slope_as_printed": (0, -0.2, 0.7, 0),
        "binarize.slope_of_magnitude": (0, 0.2, 0.7, 0),
        "binarize.slope_everywhere": (1, 1, 1, 1),
        "binarize.slope_zero": (0, 0, 0, 0),
    },
    "4.3": {
        "binarize.padding_counted": 4,
        "binarize.agreements_only": 3,
        "binarize.product_negated": -1,
        "binarize.padding_agrees": 7,
        "binarize.complement_is_negative": 1,
    },
    "4.4": {
        "binarize.sign_of_three_values": (-1, 0, 1),
        "binarize.sign_as_bit": (0, 1, 1),
        "binarize.zero_is_negative": (-1, -1, 1),
        "binarize.sign_bit": (-1, 1, 1),
    },
    "4.5": {
        "binarize.stepped_the_sign": (1, -1),
        "binarize.started_at_the_sign": (0.999, -1),
        "binarize.not_clipped": (0.2, -1.05),
        "binarize.clipped_at_the_end": (0.2, -1),
    },
    "4.6": {
        "binarize.alpha_over_all_weights": (0.35833, -0.35833, 0, 0, 0.35833, 0),
        "binarize.alpha_divided_by_all": (0.3, -0.3, 0, 0, 0.3, 0),
        "binarize.threshold_with_sign": (0.6, 0, 0, 0, 0.6, 0),
        "binarize.threshold_of_largest": (0.9, 0, 0, 0, 0, 0),
        "binarize.mean_of_no_weights": (0.6, -0.6, 0, 0, 0.6, 0),
        "binarize.division_by_no_weights": (0.6, -0.6, 0, 0, 0.6, 0),
    },
}


# --- 4.1 ---


def alpha_filter_by_filter(weights):
    return [statistics.mean(abs(weight) for weight in filter.tolist()) for filter in weights]


def alpha_by_numpy(weights):
    return np.abs(weights.numpy()).mean(axis=-1)


def alpha_by_projection(weights):
    return (weights * torch.where(weights < 0, -1, 1)).sum(dim=1) / weights.shape[1]


def alpha_of_signed_weights(weights):
    return torch.mean(weights, dim=1)


def alpha_from_the_length(weights):
    return torch.linalg.norm(weights, dim=1) / weights.size(1)


def alpha_from_squares(weights):
    return (weights**2).mean(dim=1) ** 0.5


def alpha_of_the_top(weights):
    return weights.abs().max(dim=1).values


def alpha_without_a_mean(weights):
    return weights.abs().sum(dim=1)


def alpha_of_the_layer(weights):
    return torch.mean(torch.abs(weights)).item()


def alpha_over_axis_0(weights):
    return torch.mean(torch.abs(weights), dim=0)


# --- 4.2 ---


def slope_by_where(r):
    return torch.where((r >= -1) & (r <= 1), 1, 0)


def slope_of_a_clamp(r):
    r = r.clone().requires_grad_()
    r.clamp(-1, 1).sum().backward()
    return r.grad


def slope_inside_only(r):
    return [abs(each) < 1 for each in r.tolist()]


def slope_of_the_paper(r):
    return torch.where(r.abs() <= 1, r, 0)


def slope_of_the_paper_mended(r):
    return torch.where(r.abs() <= 1, r, 0).abs()


def slope_of_the_identity(r):
    return [1] * len(r)


def slope_of_autograd(r):
    r = r.clone().requires_grad_()
    torch.sign(r).sum().backward()
    return r.grad


# --- 4.3 ---


def dot_of_unpacked_signs(a, b, n, word):
    x, y = ([1 - 2 * (each >> place & 1) for place in range(n)] for each in (a, b))
    return np.dot(x, y)


def dot_by_masked_xnor(a, b, n, word):
    agreements = (~(a ^ b) & ((1 << n) - 1)).bit_count()
    return 2 * agreements - n


def dot_by_text(a, b, n, word):
    return n - 2 * bin(a ^ b).count("1")


def dot_of_the_word(a, b, n, word):
    return word - 2 * (a ^ b).bit_count()


def dot_of_the_word_by_xnor(a, b, n, word):
    return 2 * (~(a ^ b) & ((1 << word) - 1)).bit_count() - word


def dot_of_agreements(a, b, n, word):
    return (~(a ^ b) & ((1 << n) - 1)).bit_count()


def dot_turned_around(a, b, n, word):
    differ = (a ^ b).bit_count()
    return differ - (n - differ)


def dot_by_xnor_with_padding(a, b, n, word):
    return 2 * (~(a ^ b) & ((1 << word) - 1)).bit_count() - n


def dot_by_complement(a, b, n, word):
    same = bin(~(a ^ b)).count("1")
    return same - (n - same)


# --- 4.4 ---


def sign_by_comparison(values):
    return 2 * (values >= 0).int() - 1


def sign_by_numpy(values):
    return np.where(values.numpy() < 0, -1, 1)


def sign_one_by_one(values):
    return [1 if value >= 0 else -1 for value in values]


def sign_of_numpy(values):
    return np.sign(values.numpy())


def sign_as_a_bool(values):
    return values >= 0


def sign_of_what_is_above_0(values):
    return 2 * (values > 0).float() - 1


def sign_copied(values):
    return torch.copysign(torch.ones_like(values), values)


# --- 4.5 ---


def latent_by_numpy(weights, gradients, learning_rate):
    weights = weights.numpy()
    for gradient in gradients.numpy():
        weights = np.clip(weights - learning_rate * gradient, -1, 1)
    return weights


def latent_by_optimizer(weights, gradients, learning_rate):
    weights = torch.nn.Parameter(weights.clone())
    optimizer = torch.optim.SGD([weights], lr=learning_rate)
    for gradient in gradients:
        weights.grad = gradient
        optimizer.step()
        with torch.no_grad():
            weights.clamp_(-1, 1)
    return weights


def latent_of_signs(weights, gradients, learning_rate):
    binary = torch.where(weights < 0, -1.0, 1.0)
    for gradient in gradients:
        binary = torch.where(binary - learning_rate * gradient < 0, -1.0, 1.0)
    return binary


def latent_from_signs(weights, gradients, learning_rate):
    for gradient in gradients:
        binary = torch.where(weights < 0, -1.0, 1.0)
        weights = torch.clamp(binary - learning_rate * gradient, -1, 1)
    return weights


def latent_without_bounds(weights, gradients, learning_rate):
    return weights - learning_rate * gradients.sum(dim=0)


def latent_in_one_step(weights, gradients, learning_rate):
    return torch.clamp(weights - learning_rate * gradients.sum(dim=0), -1, 1)


# --- 4.6 ---


def ternary_by_where(weights):
    magnitude = weights.abs()
    kept = magnitude > 0.7 * magnitude.mean()
    alpha = magnitude[kept].mean() if kept.any() else 0
    return torch.where(kept, alpha * weights.sign(), 0)


def ternary_in_python(weights):
    values = weights.tolist()
    delta = 0.7 * sum(map(abs, values)) / len(values)
    kept = [abs(value) for value in values if abs(value) > delta]
    alpha = sum(kept) / max(len(kept), 1)
    return [math.copysign(alpha, value) if abs(value) > delta else 0 for value in values]


def ternary_of_nothing(weights):
    kept = weights.abs() > 0.7 * weights.abs().mean()
    return weights.abs()[kept].mean() * weights.sign() * kept


def ternary_of_nothing_by_sums(weights):
    kept = (weights.abs() > 0.7 * weights.abs().mean()).float()
    return torch.where(weights < 0, -kept, kept) * (weights.abs() * kept).sum() / kept.sum()


def ternary_of_nothing_in_python(weights):
    values = weights.tolist()
    delta = 0.7 * sum(map(abs, values)) / len(values)
    kept = [abs(value) for value in values if abs(value) > delta]
    alpha = sum(kept) / len(kept)
    return [math.copysign(alpha, value) if abs(value) > delta else 0 for value in values]


def ternary_by_statistics(weights):
    delta = 0.7 * statistics.mean(map(abs, weights.tolist()))
    alpha = statistics.mean(abs(weight) for weight in weights.tolist() if abs(weight) > delta)
    return alpha * weights.sign() * (weights.abs() > delta)


def ternary_with_the_binary_alpha(weights):
    mean = weights.abs().mean()
    return mean * weights.sign() * (weights.abs() > 0.7 * mean)


def ternary_with_a_mean_of_zeros(weights):
    kept = weights.abs() > 0.7 * weights.abs().mean()
    return (weights.abs() * kept).mean() * weights.sign() * kept


def ternary_of_positive_weights(weights):
    kept = weights > 0.7 * weights.abs().mean()
    return weights[kept].mean() * kept


def ternary_of_the_largest(weights):
    kept = weights.abs() > 0.7 * weights.abs().max()
    return weights.abs()[kept].mean() * weights.sign() * kept


def ternary_without_the_factor(weights):
    kept = weights.abs() > weights.abs().mean()
    return weights.sign() * kept * (weights.abs() * kept).sum() / kept.sum().clamp(min=1)


VARIANTS = {
    "4.1": (alpha_filter_by_filter, alpha_by_numpy, alpha_by_projection),
    "4.2": (slope_by_where, slope_of_a_clamp, slope_inside_only),
    "4.3": (dot_of_unpacked_signs, dot_by_masked_xnor, dot_by_text),
    "4.4": (sign_by_comparison, sign_by_numpy, sign_one_by_one),
    "4.5": (latent_by_numpy, latent_by_optimizer),
    "4.6": (ternary_by_where, ternary_in_python),
}
NATURAL = {
    "4.1": (
        ("binarize.alpha_signed_mean", alpha_of_signed_weights),
        ("binarize.alpha_length_over_n", alpha_from_the_length),
        ("binarize.alpha_root_mean_square", alpha_from_squares),
        ("binarize.alpha_largest", alpha_of_the_top),
        ("binarize.alpha_sum", alpha_without_a_mean),
        ("binarize.alpha_of_all_filters", alpha_of_the_layer),
        ("binarize.alpha_of_columns", alpha_over_axis_0),
    ),
    "4.2": (
        ("binarize.slope_as_printed", slope_of_the_paper),
        ("binarize.slope_of_magnitude", slope_of_the_paper_mended),
        ("binarize.slope_everywhere", slope_of_the_identity),
        ("binarize.slope_zero", slope_of_autograd),
    ),
    "4.3": (
        ("binarize.padding_counted", dot_of_the_word),
        ("binarize.padding_counted", dot_of_the_word_by_xnor),
        ("binarize.agreements_only", dot_of_agreements),
        ("binarize.product_negated", dot_turned_around),
        ("binarize.padding_agrees", dot_by_xnor_with_padding),
        ("binarize.complement_is_negative", dot_by_complement),
    ),
    "4.4": (
        ("binarize.sign_of_three_values", sign_of_numpy),
        ("binarize.sign_as_bit", sign_as_a_bool),
        ("binarize.zero_is_negative", sign_of_what_is_above_0),
        ("binarize.sign_bit", sign_copied),
    ),
    "4.5": (
        ("binarize.stepped_the_sign", latent_of_signs),
        ("binarize.started_at_the_sign", latent_from_signs),
        ("binarize.not_clipped", latent_without_bounds),
        ("binarize.clipped_at_the_end", latent_in_one_step),
    ),
    "4.6": (
        ("binarize.alpha_over_all_weights", ternary_with_the_binary_alpha),
        ("binarize.alpha_divided_by_all", ternary_with_a_mean_of_zeros),
        ("binarize.threshold_with_sign", ternary_of_positive_weights),
        ("binarize.threshold_of_largest", ternary_of_the_largest),
        ("binarize.mean_of_no_weights", ternary_of_nothing),
        ("binarize.mean_of_no_weights", ternary_of_nothing_by_sums),
        ("binarize.division_by_no_weights", ternary_of_nothing_in_python),
        ("binarize.division_by_no_weights", ternary_by_statistics),
    ),
}

UNKNOWN = {
    "4.1": lambda weights: weights.abs().median(1).values,
    "4.2": lambda r: (2 - 2 * r.abs()).clamp(min=0),
    "4.3": lambda a, b, n, word: (a ^ b).bit_count(),
    "4.4": lambda values: 2 * torch.sigmoid(values) - 1,
    "4.5": lambda weights, gradients, learning_rate: latent_by_numpy(weights, -gradients, learning_rate),
    "4.6": ternary_without_the_factor,
}
