"""A student fifteen times smaller than lab_resnet: `student_grid` (alpha against T), `students` (alone, distilled)."""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import torch
from torch import nn

from labcore import distill
from labcore.data import Batches, Dataset, load_dataset
from labcore.metrics import measure_costs, measure_sizes
from labcore.models import load_model, make_model
from labcore.recipes.curves import stack_seeds
from labcore.recipes.weights import Flipped
from labcore.results import Curve, SweepPoint
from labcore.search import save_sweep
from labcore.training import TrainConfig, evaluate

__all__ = ["ALPHAS", "STUDENT_WIDTH", "TEMPERATURES", "make_students", "run_student"]

# lab_cnn of this width has 5,058 parameters; the teacher has 77,754.
STUDENT_WIDTH = 8
# Twice the epochs of the shipped lab_cnn, and mirrored images; the rate is the best of 0.005, 0.01, 0.02 for a student
# that learns from labels alone.
CONFIG, BATCH = TrainConfig(16, 1e-2), 64
ALPHAS = (0.3, 0.5, 0.7, 0.9, 1.0)
TEMPERATURES = (1, 2, 3, 4, 8, 16)
DEFAULT = (0.9, 4)
GRID_SEEDS, SEEDS = range(3), range(6)
ALONE, DISTILLED = "lab_cnn, labels only", "lab_cnn, distilled"
SETS = ("fashion14", "fashion14-final")


@functools.cache
def _data(name: str = "fashion14") -> Dataset:
    return load_dataset(name)


def outputs_of_teacher() -> distill.TeacherOutputs:
    """What lab_resnet answers on every training image and its mirror image."""
    images = _data().train_images
    return distill.cache_teacher(load_model("lab_resnet"), Batches((torch.cat([images, images.flip(3)]),), 500))


def run_student(outputs: distill.TeacherOutputs, alpha: float, temperature: float, *, seed: int) -> list[float]:
    """Accuracy on each of `SETS`; alpha 0 is the student that learns from labels alone, in every other way alike."""
    batches = Flipped(_data().batches(BATCH, split="train", seed=seed))
    student = make_model("lab_cnn", width=STUDENT_WIDTH, seed=seed)
    config = replace(CONFIG, seed=seed)
    taught = distill.distill(student, outputs, batches, config, temperature=temperature, alpha=alpha)
    return [evaluate(taught.model, _data(name).batches()).accuracy for name in SETS]


def make_students() -> dict[str, tuple[bytes, dict]]:
    """By file name: the grid as one curve for each alpha, and the points for the chart of accuracy against size.

    `fashion14` is what the grid is read by; `fashion14-final` confirms the cell that was fixed beforehand.
    """
    outputs = outputs_of_teacher()
    cells = list(itertools.product(ALPHAS, TEMPERATURES))
    pair = stack_seeds(lambda seed: [run_student(outputs, *each, seed=seed) for each in ((0, 1), DEFAULT)], SEEDS)
    grid = stack_seeds(
        lambda seed: [run_student(outputs, *cell, seed=seed) for cell in cells if cell != DEFAULT], GRID_SEEDS
    )
    # The default cell has been run already, with more seeds.
    grid.insert(cells.index(DEFAULT), pair[1][: len(GRID_SEEDS)])
    facts = {"seeds": len(GRID_SEEDS), "seeds_of_default": len(SEEDS), "recipe": asdict(CONFIG), "flip": True}
    return {
        "student_grid.json": (save_sweep(_curves(pair[0], grid)), facts),
        "students.json": (save_sweep(_points(*pair)), facts | {"seeds": len(SEEDS)}),
    }


def _curves(alone: np.ndarray, grid: Sequence[np.ndarray]) -> list[Curve]:
    """Of `alone`, shape (seeds, sets), and of the cells in order, each of shape (seeds, sets)."""
    cells = np.array(grid).reshape(len(ALPHAS), len(TEMPERATURES), *grid[0].shape)
    curves = []
    for i, name in enumerate(SETS):
        curves.append(Curve(ALONE, name, np.array([1]), alone[:, i : i + 1], {"alpha": 0}))
        for alpha, row in zip(ALPHAS, cells, strict=True):
            curves.append(Curve(f"alpha {alpha:g}", name, np.array(TEMPERATURES), row[:, :, i].T, {"alpha": alpha}))
    return curves


def _points(alone: np.ndarray, distilled: np.ndarray) -> list[SweepPoint]:
    student, teacher = make_model("lab_cnn", width=STUDENT_WIDTH).eval(), load_model("lab_resnet")
    of_teacher = np.array([[evaluate(teacher, _data(name).batches()).accuracy for name in SETS]])
    members: list[tuple[str, nn.Module, np.ndarray]] = [
        (ALONE, student, alone), (DISTILLED, student, distilled), ("lab_resnet, the teacher", teacher, of_teacher)
    ]  # fmt: skip
    points = []
    for family, model, accuracies in members:
        costs, file_bytes = measure_costs(model, _data().test_images[:1]), measure_sizes(model).file_bytes
        points += [
            SweepPoint(family, f"{family}, {name}", costs.n_params, costs.macs, file_bytes, accuracies[:, i], {})
            for i, name in enumerate(SETS)
        ]
    return points
