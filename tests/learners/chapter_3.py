"""What learners answer in chapter 3."""

import math
import statistics

import numpy as np
import torch
from torch.nn import functional

NAN = math.nan

RIGHT = {
    "3.1": [[0.43050, 0.30847, 0.26112], [0.30252, 0.30252, 0.39496]],
    "3.2": 8.5203,
    "3.3": (0.02523, 0.00391),
    "3.4": (3, 15 / 18),
    "3.5": 312_500_000_000,
    "3.6": [[0.37139, 0.92848], [0.18885, 0.98201]],  # along (1, 2.5) and (1.25, 6.5)
}
WRONG = {
    "3.1": {
        "distill.temperature_multiplies": [[0.94260, 0.04693, 0.01047], [0.07679, 0.07679, 0.84641]],
        "distill.divided_afterwards": [[0.20951, 0.07707, 0.04675], [0.07889, 0.07889, 0.17556]],
        "distill.softmax_over_images": [[0.33924, 0.26894, 0.19260], [0.66076, 0.73106, 0.80740]],
    },
    "3.2": {
        "distill.t_squared_forgotten": 1.6006,
        "distill.t_not_squared": 2.9845,
        "distill.alpha_swapped": 6.4025,
        "distill.kl_reversed": 6.9975,
        "distill.mean_over_classes": 3.5996,
        "distill.summed_over_batch": 15.9012,
        "distill.only_teacher_softened": 34.2626,
        "distill.only_student_softened": 23.2194,
        "distill.hard_term_softened": 7.7964,
        "distill.probabilities_for_log": -14.5202,
        "distill.softmax_twice": 2.4086,
        "distill.cross_entropy_for_kl": 20.8628,
    },
    "3.3": {
        "compare.best_against_worst": (0.0282, NAN),
        "compare.best_against_mean": (0.02567, NAN),
        "compare.one_seed": (0.0282, NAN),
        "compare.fewer_epochs": (0.0408, 0.00283),
        "compare.not_paired": (0.02523, 0.00344),
    },
    "3.4": {
        "bias.recall_alone": (10, 14 / 18),
        "bias.added_to_probabilities": (0.5, 13 / 18),
        "bias.subtracted": (0.5, 12 / 18),
        "bias.chosen_on_test": (4, 17 / 18),
    },
    "3.5": {
        "bill.teacher_left_out": 7_500_000_000,
        "bill.training_of_teacher_left_out": 12_500_000_000,
        "bill.teacher_run_each_epoch": 357_500_000_000,
    },
    "3.6": {
        "attention.signs_cancel": [[0, 1], [0.97014, 0.24254]],
        "attention.normalised_over_batch": [[0.13994, 0.34985], [0.17493, 0.90962]],
    },
}


# --- 3.1 ---


def shares_by_numpy(logits, temperature):
    powers = np.exp(logits.numpy() / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def shares_one_by_one(logits, temperature):
    return [functional.softmax(row / temperature, dim=0) for row in logits]


def shares_times_temperature(logits, temperature):
    return torch.softmax(logits * temperature, dim=1)


def shares_over_temperature(logits, temperature):
    return torch.softmax(logits, dim=-1) / temperature


def shares_over_axis_0(logits, temperature):
    return torch.softmax(logits / temperature, dim=0)


# --- 3.2 ---


def kl(student, teacher, reduction="batchmean"):
    return functional.kl_div(student.log_softmax(1), teacher.softmax(1), reduction=reduction)


def loss_with(soft):
    """A loss whose soft term is a function of student, teacher and temperature."""
    return lambda s, t, y, T, alpha: alpha * soft(s, t, T) + (1 - alpha) * functional.cross_entropy(s, y)


def loss_of_pytorch(student, teacher, labels, temperature, alpha):
    soft = kl(student / temperature, teacher / temperature)
    return alpha * temperature**2 * soft + (1 - alpha) * functional.cross_entropy(student, labels)


def loss_of_single_images(student, teacher, labels, temperature, alpha):
    losses = []
    for s, t, label in zip(student.tolist(), teacher.tolist(), labels.tolist(), strict=True):
        p, q, at_1 = (np.exp(x) / np.exp(x).sum() for x in (np.array(t) / temperature, np.array(s) / temperature, s))
        losses.append(alpha * temperature**2 * (p * np.log(p / q)).sum() - (1 - alpha) * math.log(at_1[label]))
    return statistics.mean(losses)


def loss_by_cross_entropies(student, teacher, labels, temperature, alpha):
    shares = functional.softmax(teacher / temperature, dim=1)
    soft = functional.cross_entropy(student / temperature, shares)
    least = functional.cross_entropy(teacher / temperature, shares)
    return torch.lerp(functional.cross_entropy(student, labels), (soft - least) * temperature**2, alpha)


NATURAL_LOSSES = {
    "distill.t_squared_forgotten": loss_with(lambda s, t, T: kl(s / T, t / T)),
    "distill.t_not_squared": loss_with(lambda s, t, T: T * kl(s / T, t / T)),
    "distill.alpha_swapped": lambda s, t, y, T, alpha: loss_of_pytorch(s, t, y, T, 1 - alpha),
    "distill.kl_reversed": loss_with(lambda s, t, T: T**2 * kl(t / T, s / T)),
    "distill.mean_over_classes": loss_with(lambda s, t, T: T**2 * kl(s / T, t / T, "mean")),
    "distill.summed_over_batch": loss_with(lambda s, t, T: T**2 * kl(s / T, t / T, "sum")),
    "distill.only_teacher_softened": loss_with(lambda s, t, T: T**2 * kl(s, t / T)),
    "distill.only_student_softened": loss_with(lambda s, t, T: T**2 * kl(s / T, t)),
    "distill.hard_term_softened": lambda s, t, y, T, alpha: alpha * T**2 * kl(s / T, t / T)
    + (1 - alpha) * functional.cross_entropy(s / T, y),
    "distill.probabilities_for_log": loss_with(
        lambda s, t, T: T**2 * functional.kl_div((s / T).softmax(1), (t / T).softmax(1), reduction="batchmean")
    ),
    "distill.softmax_twice": lambda s, t, y, T, alpha: loss_of_pytorch(s.softmax(1), t, y, T, alpha),
    "distill.cross_entropy_for_kl": loss_with(
        lambda s, t, T: T**2 * functional.cross_entropy(s / T, (t / T).softmax(1))
    ),
}


# --- 3.3 ---


def gain_in_python(baseline, distilled, epochs):
    gains = [float(d - b) for d, b in zip(distilled, baseline[epochs], strict=True)]
    return statistics.mean(gains), statistics.stdev(gains)


def gain_in_numpy(baseline, distilled, epochs):
    gains = distilled.numpy() - baseline[epochs].numpy()
    return [gains.mean(), gains.std(ddof=1)]


def gain_of_the_first_seed(baseline, distilled, epochs):
    return distilled[0] - baseline[epochs][0], 0


def gain_of_the_extremes(baseline, distilled, epochs):
    return distilled.max() - baseline[epochs].min(), distilled.std()


def gain_of_the_best(baseline, distilled, epochs):
    return distilled.max() - baseline[epochs].mean(), 0


def gain_over_the_first_baseline(baseline, distilled, epochs):
    gains = distilled - next(iter(baseline.values()))
    return gains.mean(), gains.std()


def gain_of_means(baseline, distilled, epochs):
    before = baseline[epochs]
    return distilled.mean() - before.mean(), math.hypot(distilled.std(), before.std())


# --- 3.4 ---


def bias_in_a_loop(validation, test, missing, candidates):
    def right(images, bias):
        moved = images["logits"].clone()
        moved[:, missing] += bias
        return (moved.argmax(dim=1) == images["labels"]).float().mean().item()

    best = candidates[0]
    for bias in candidates:
        if right(validation, bias) > right(validation, best):
            best = bias
    return best, right(test, best)


def bias_by_margins(validation, test, missing, candidates):
    def right(images, bias):
        logits, labels = images["logits"].numpy(), images["labels"].numpy()
        others = np.where(np.arange(3) == missing, -np.inf, logits)
        answers = np.where(logits[:, missing] + bias > others.max(1), missing, others.argmax(1))
        return np.mean(answers == labels)

    rights = [right(validation, bias) for bias in candidates]
    best = candidates[int(np.argmax(rights))]
    return [best, right(test, best)]


def bias_that_finds_all(validation, test, missing, candidates):
    def found(bias):
        moved = validation["logits"].clone()
        moved[:, missing] += bias
        return (moved.argmax(1) == missing)[validation["labels"] == missing].sum()

    best = max(candidates, key=found)
    return bias_in_a_loop(test, test, missing, (best,))


def bias_of_probabilities(validation, test, missing, candidates):
    shares = [{"logits": images["logits"].softmax(1), "labels": images["labels"]} for images in (validation, test)]
    return bias_in_a_loop(*shares, missing, candidates)


def bias_taken_away(validation, test, missing, candidates):
    bias, accuracy = bias_in_a_loop(validation, test, missing, [-bias for bias in candidates])
    return -bias, accuracy


def bias_of_the_test_images(validation, test, missing, candidates):
    return bias_in_a_loop(test, test, missing, candidates)


# --- 3.5 ---


def bill_item_by_item(teacher, student, images):
    items = [3 * network["macs"] * network["epochs"] for network in (teacher, student)]
    return images * sum([*items, teacher["macs"]])


def bill_in_passes(teacher, student, images):
    return float(images) * ((3 * teacher["epochs"] + 1) * teacher["macs"] + 3 * student["epochs"] * student["macs"])


def bill_of_the_student(teacher, student, images):
    return 3 * images * student["epochs"] * student["macs"]


def bill_of_a_ready_teacher(teacher, student, images):
    return images * (3 * student["epochs"] * student["macs"] + teacher["macs"])


def bill_without_a_store(teacher, student, images):
    step = teacher["macs"] + 3 * student["macs"]
    return images * (3 * teacher["epochs"] * teacher["macs"] + student["epochs"] * step)


# --- 3.6 ---


def map_of_the_sum(features):
    return functional.normalize((features**2).sum(dim=1).flatten(start_dim=1))


def map_by_numpy(features):
    maps = (features.numpy() ** 2).mean(axis=1).reshape(len(features), -1)
    return maps / np.linalg.norm(maps, axis=1)[:, None]


def map_of_the_mean(features):
    return functional.normalize(features.mean(dim=1).pow(2).flatten(1))


def map_of_a_batch(features):
    maps = features.pow(2).mean(1).flatten(1)
    return maps / torch.linalg.norm(maps)


VARIANTS = {
    "3.1": (shares_by_numpy, shares_one_by_one),
    "3.2": (loss_of_pytorch, loss_of_single_images, loss_by_cross_entropies),
    "3.3": (gain_in_python, gain_in_numpy),
    "3.4": (bias_in_a_loop, bias_by_margins),
    "3.5": (bill_item_by_item, bill_in_passes),
    "3.6": (map_of_the_sum, map_by_numpy),
}
NATURAL = {
    "3.1": (
        ("distill.temperature_multiplies", shares_times_temperature),
        ("distill.divided_afterwards", shares_over_temperature),
        ("distill.softmax_over_images", shares_over_axis_0),
    ),
    "3.2": tuple(NATURAL_LOSSES.items()),
    "3.3": (
        ("compare.one_seed", gain_of_the_first_seed),
        ("compare.best_against_worst", gain_of_the_extremes),
        ("compare.best_against_mean", gain_of_the_best),
        ("compare.fewer_epochs", gain_over_the_first_baseline),
        ("compare.not_paired", gain_of_means),
    ),
    "3.4": (
        ("bias.recall_alone", bias_that_finds_all),
        ("bias.added_to_probabilities", bias_of_probabilities),
        ("bias.subtracted", bias_taken_away),
        ("bias.chosen_on_test", bias_of_the_test_images),
    ),
    "3.5": (
        ("bill.teacher_left_out", bill_of_the_student),
        ("bill.training_of_teacher_left_out", bill_of_a_ready_teacher),
        ("bill.teacher_run_each_epoch", bill_without_a_store),
    ),
    "3.6": (("attention.signs_cancel", map_of_the_mean), ("attention.normalised_over_batch", map_of_a_batch)),
}

UNKNOWN = {
    "3.1": lambda logits, temperature: torch.sigmoid(logits / temperature),
    "3.2": lambda s, t, y, temperature, alpha: temperature**2 * functional.mse_loss(s, t) * alpha,
    "3.3": lambda baseline, distilled, epochs: ((distilled - baseline[epochs]).median(), distilled.std()),
    "3.4": lambda validation, test, missing, candidates: (0, bias_in_a_loop(validation, test, missing, [0])[1]),
    "3.5": lambda teacher, student, images: bill_in_passes(teacher, student, images) / 3,
    "3.6": lambda features: map_of_the_sum(features.abs().sqrt()),
}
