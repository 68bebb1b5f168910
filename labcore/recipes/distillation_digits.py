"""Students on 1,000 digits: `temperature`, `slow_students`, `few_labels`, `unseen_digit`, `new_classes`."""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labcore import distill
from labcore.data import Batches, stratified_indices
from labcore.recipes.curves import stack_seeds
from labcore.recipes.distillation import (
    ALPHA,
    BATCH,
    RECIPE,
    STUDENT_CONFIG,
    UPDATES,
    digits,
    teach,
    teach_updates,
    train_teacher,
)
from labcore.results import Curve
from labcore.search import save_arrays, save_sweep
from labcore.training import evaluate, predict

__all__ = [
    "make_few_labels", "make_new_classes", "make_slow_students", "make_temperature", "make_unseen_digit",
    "run_few_labels", "run_new_classes", "run_slowly", "run_temperature", "run_unseen_digit",
]  # fmt: skip

TEMPERATURES = (1, 2, 4, 8, 20)


def _accuracy(model: nn.Module) -> float:
    return evaluate(model, digits().batches()).accuracy


def _outputs(teacher: nn.Module) -> distill.TeacherOutputs:
    return distill.cache_teacher(teacher, digits().batches(split="train"))


# --- which temperature ------------------------------------------------------------------------------

WIDTHS = (300, 20, 10)
SLOW_WIDTH, SLOW_TEMPERATURES = 20, (1, 20)
SLOW_EPOCHS = (STUDENT_CONFIG.epochs, 4 * STUDENT_CONFIG.epochs)


def run_temperature(
    outputs: distill.TeacherOutputs, width: int, *, seed: int, temperatures: Sequence[float] = TEMPERATURES
) -> list[float]:
    """Accuracy of a student of labels alone, then of one student for each temperature."""
    batches = digits().batches(BATCH, split="train", seed=seed)
    settings = [(1, 0), *((temperature, ALPHA) for temperature in temperatures)]
    return [
        _accuracy(teach(outputs, batches, width=width, temperature=temperature, alpha=alpha, seed=seed))
        for temperature, alpha in settings
    ]


def make_temperature() -> dict[str, tuple[bytes, dict]]:
    """The curves by file name: large, small and tiny students against temperature, beside labels alone and the teacher.

    With them, what the teacher of seed 0 answered, so that a chapter can teach a student on the spot.
    """

    def run(seed: int) -> list:
        teacher = train_teacher(seed)
        outputs = _outputs(teacher)
        test, _ = predict(teacher, digits().batches())
        students = [run_temperature(outputs, width, seed=seed) for width in WIDTHS]
        return [[_accuracy(teacher)], outputs.logits.numpy(), test.numpy(), *students]

    teacher, train_logits, test_logits, *students = stack_seeds(run, range(5))
    curves = [Curve("teacher, 2 x 600 units", "labels only", np.array([1]), teacher, {"width": 600})]
    for width, values in zip(WIDTHS, students, strict=True):
        family = f"student, 2 x {width} units"
        curves.append(Curve(family, "labels only", np.array([1]), values[:, :1], {"width": width}))
        curves.append(Curve(family, "distilled", np.array(TEMPERATURES), values[:, 1:], {"width": width}))
    arrays = {"train_logits": train_logits[0].astype(np.float16), "test_logits": test_logits[0].astype(np.float16)}
    return {
        "temperature.json": (save_sweep(curves), {"seeds": 5, "recipe": RECIPE}),
        "digits_teacher.npz": (save_arrays(arrays), {"seed": 0, "recipe": RECIPE, "accuracy": teacher[0, 0]}),
    }


def make_slow_students() -> dict[str, tuple[bytes, dict]]:
    """The small student at a tenth of the learning rate: T = 1 and T = 20 against epochs, by file name."""

    def run(seed: int) -> list[list[float]]:
        outputs = _outputs(train_teacher(seed))
        return [[run_slowly(outputs, t, epochs, seed=seed) for epochs in SLOW_EPOCHS] for t in SLOW_TEMPERATURES]

    curves = [
        Curve(f"T = {t}", "a tenth of the learning rate", np.array(SLOW_EPOCHS), values, {"width": SLOW_WIDTH})
        for t, values in zip(SLOW_TEMPERATURES, stack_seeds(run, range(5)), strict=True)
    ]
    return {"slow_students.json": (save_sweep(curves), {"seeds": 5, "recipe": RECIPE})}


def run_slowly(outputs: distill.TeacherOutputs, temperature: float, epochs: int, *, seed: int) -> float:
    """Accuracy of the small student at a tenth of its learning rate."""
    config = replace(STUDENT_CONFIG, epochs=epochs, learning_rate=STUDENT_CONFIG.learning_rate / 10)
    batches = digits().batches(BATCH, split="train", seed=seed)
    settings = {"width": SLOW_WIDTH, "temperature": temperature, "alpha": ALPHA, "seed": seed, "config": config}
    return _accuracy(teach(outputs, batches, **settings))


# --- few labels -------------------------------------------------------------------------------------

N_LABELS = (50, 100, 200, 500, 1000)
WAYS = ("labels only", "the same images and the teacher", "and images without labels")


def run_few_labels(outputs: distill.TeacherOutputs, n_labels: int, *, seed: int) -> list[float]:
    """Accuracies of the three ways, in the order of `WAYS`, with equally many updates."""
    images, labels = digits().train_images, digits().train_labels
    chosen = torch.from_numpy(stratified_indices(labels.numpy(), n_labels, seed=seed))
    few = Batches((images[chosen], labels[chosen]), min(n_labels, BATCH), seed)
    partly = torch.full_like(labels, -1)
    partly[chosen] = labels[chosen]
    everything = Batches((images, partly), BATCH, seed)
    return [
        _accuracy(teach_updates(outputs, batches, functools.partial(partly_labelled, alpha=alpha), seed=seed))
        for batches, alpha in ((few, 0), (few, ALPHA), (everything, ALPHA))
    ]


def partly_labelled(student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float) -> Tensor:
    """The distillation loss at T = 4, with alpha 1 for samples without label (below 0); mean over all samples."""
    known = labels >= 0
    parts = [(known, labels[known], alpha), (~known, None, 1)]
    return sum(
        rows.float().mean() * distill.distillation_loss(
            student_logits[rows], teacher_logits[rows], targets, temperature=4, alpha=share
        )
        for rows, targets, share in parts if rows.any()
    )  # fmt: skip


def make_few_labels() -> dict[str, tuple[bytes, dict]]:
    """The curves by file name. The teacher has seen all 1,000 labels."""

    def run(seed: int) -> list[list[float]]:
        outputs = _outputs(train_teacher(seed))
        return [run_few_labels(outputs, n_labels, seed=seed) for n_labels in N_LABELS]

    values = np.array(stack_seeds(run, range(3)))  # shape (numbers of labels, seeds, ways)
    curves = [
        Curve(way, "student, 2 x 300 units", np.array(N_LABELS), values[:, :, i].T, {}) for i, way in enumerate(WAYS)
    ]
    recipe = {"seeds": 3, "recipe": RECIPE, "updates": UPDATES, "temperature": 4, "labels_of_the_teacher": 1000}
    return {"few_labels.json": (save_sweep(curves), recipe)}


# --- the digit nobody showed ------------------------------------------------------------------------

MISSING = 3
BIASES = np.arange(0, 8.25, 0.5)
CONTROL = "labels only"


def run_unseen_digit(outputs: distill.TeacherOutputs, *, seed: int, temperature: float, alpha: float) -> Tensor:
    """Test logits of a student that met neither image nor label of the digit; as float16, shape (N, 10)."""
    seen = digits().train_labels != MISSING
    batches = Batches((digits().train_images[seen], digits().train_labels[seen]), BATCH, seed)
    student = teach(outputs, batches, width=300, temperature=temperature, alpha=alpha, seed=seed)
    return predict(student, digits().batches())[0].half()


def _with_biases(logits: np.ndarray) -> np.ndarray:
    """Recall of the missing digit and of all others at each bias, shape (2, biases)."""
    z, labels = torch.from_numpy(logits).float(), digits().test_labels
    measured = [distill.measure_bias(z, labels, MISSING, float(bias)) for bias in BIASES]
    return np.round([[each.recall for each in measured], [each.others for each in measured]], 4)


def make_unseen_digit() -> dict[str, tuple[bytes, dict]]:
    """By file name: recall against the bias of the missing digit, and the test logits of seed 0 for a bias at will."""
    settings = [(temperature, ALPHA) for temperature in TEMPERATURES] + [(1, 0)]
    families = [*(f"T = {temperature}" for temperature in TEMPERATURES), CONTROL]

    def run(seed: int) -> list[np.ndarray]:
        outputs = _outputs(train_teacher(seed))
        return [run_unseen_digit(outputs, seed=seed, temperature=t, alpha=alpha).numpy() for t, alpha in settings]

    by_family = dict(zip(families, stack_seeds(run, range(4)), strict=True))
    curves = []
    for family, logits in by_family.items():
        values = np.array([_with_biases(each) for each in logits])  # shape (seeds, 2, biases)
        for i, label in enumerate(("the missing digit", "all other digits")):
            curves.append(Curve(family, label, BIASES, values[:, i], {"missing": MISSING}))
    facts = {"recipe": RECIPE, "missing": MISSING}
    return {
        "unseen_digit.json": (save_sweep(curves), {"seeds": 4} | facts),
        "unseen_digit.npz": (save_arrays({name: each[0] for name, each in by_family.items()}), {"seed": 0} | facts),
    }


# --- new classes ------------------------------------------------------------------------------------

N_OLD = 8  # the teacher knows 0 to 7; 8 and 9 are new
N_NEW_LABELS = (5, 20, 50)
HELPS = ("as few labels of every digit", "all labels of 0 to 7", "the teacher of 0 to 7, no labels of them")
PARTS = ("all digits", "the two new ones", "0 to 7")


def run_new_classes(outputs: distill.TeacherOutputs, n_labels: int, *, seed: int) -> list[list[float]]:
    """For each of `HELPS`, accuracy on each of `PARTS`; every student has `n_labels` of each new digit."""
    images, labels = digits().train_images, digits().train_labels
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(labels)))
    few = torch.cat([order[labels[order] == digit][:n_labels] for digit in range(10)])
    # Each new digit as often as an old one: otherwise the few drown.
    new = few[labels[few] >= N_OLD].repeat(100 // n_labels)
    everything = torch.cat([new, (labels < N_OLD).nonzero().flatten()])
    chosen_by_teacher = torch.where(labels < N_OLD, outputs.logits.argmax(1), labels)
    ways = [
        (few, labels, _labels_alone), (everything, labels, _labels_alone),
        (everything, chosen_by_teacher, shared_classes),
    ]  # fmt: skip
    return [
        _by_part(teach_updates(outputs, Batches((images[rows], targets[rows]), BATCH, seed), loss, seed=seed))
        for rows, targets, loss in ways
    ]


def _labels_alone(student_logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(student_logits, labels)


def shared_classes(student_logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Tensor:
    """The distillation loss at T = 4 with a teacher of the first classes only: its term compares those alone.

    New digits count too: how much an 8 looks like a 3 is part of what the teacher knows.
    """
    shared = student_logits[:, : teacher_logits.shape[1]]
    soft = distill.distillation_loss(shared, teacher_logits, None, temperature=4, alpha=1)
    return (1 - ALPHA) * F.cross_entropy(student_logits, labels) + ALPHA * soft


def _by_part(model: nn.Module) -> list[float]:
    answered = evaluate(model, digits().batches())
    right, new = answered.predictions == answered.labels, answered.labels >= N_OLD
    return [float(right[which].mean()) for which in (np.ones_like(new), new, ~new)]


def make_new_classes() -> dict[str, tuple[bytes, dict]]:
    """The curves by file name: a teacher of eight digits, and a few labels of two others."""

    def run(seed: int) -> list[list[list[float]]]:
        outputs = _outputs(train_teacher(seed, n_classes=N_OLD))
        return [run_new_classes(outputs, n_labels, seed=seed) for n_labels in N_NEW_LABELS]

    values = np.array(stack_seeds(run, range(3)))  # shape (numbers of labels, seeds, helps, parts)
    curves = [
        Curve(way, part, np.array(N_NEW_LABELS), values[:, :, i, j].T, {})
        for (i, way), (j, part) in itertools.product(enumerate(HELPS), enumerate(PARTS))
    ]
    recipe = {"seeds": 3, "recipe": RECIPE, "updates": UPDATES, "temperature": 4, "classes_of_the_teacher": N_OLD}
    return {"new_classes.json": (save_sweep(curves), recipe)}
