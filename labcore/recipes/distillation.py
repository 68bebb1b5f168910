"""A large and a small network on 1,000 digits: the teacher, its students, and what they share.

`distillation_digits` and `distillation_grid` make the sweeps.
"""

import copy
import functools
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labcore import distill
from labcore.data import Batches, Dataset, load_dataset
from labcore.distill.train import TeacherLoss
from labcore.models import make_mlp
from labcore.recipes.pruning_rounds import Updates
from labcore.training import TrainConfig, fit

__all__ = [
    "ALPHA", "BATCH", "RECIPE", "STUDENT_CONFIG", "UPDATES", "Jittered", "digits", "teach", "teach_updates",
    "train_teacher",
]  # fmt: skip

ALPHA = 0.9
TEACHER_WIDTH, TEACHER_CONFIG = 600, TrainConfig(80, 2e-3)
# The rate, out of 0.001, 0.004, 0.01, 0.02, serves training on labels best, for every width within the noise. At 0.001
# a tiny student is taught too little, and loses 8 points at T = 20.
STUDENT_CONFIG = TrainConfig(60, 1e-2)
BATCH, UPDATES = 100, 600
# What the manifest says.
RECIPE = {
    "dataset": "mnist5k-few", "batch_size": BATCH, "alpha": ALPHA,
    "teacher": {"width": TEACHER_WIDTH, "dropout": 0.5, "jitter_pixels": 2} | asdict(TEACHER_CONFIG),
    "student": asdict(STUDENT_CONFIG),
}  # fmt: skip


@functools.cache
def digits() -> Dataset:
    """1,000 training and 4,000 test digits."""
    return load_dataset("mnist5k-few")


@dataclass(frozen=True)
class Jittered:
    """Batches of images, each moved by up to `pixels` in both directions (drawn from torch's generator)."""

    batches: Batches
    pixels: int = 2

    def __len__(self) -> int:
        return len(self.batches)

    def __copy__(self) -> "Jittered":
        return Jittered(copy.copy(self.batches), self.pixels)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        for images, *rest in self.batches:
            n, _, height, width = images.shape
            padded = F.pad(images, (self.pixels,) * 4)
            top, left = torch.randint(2 * self.pixels + 1, (2, n, 1))
            rows, columns = top + torch.arange(height), left + torch.arange(width)
            yield padded[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None]].movedim(3, 1), *rest


def train_teacher(seed: int, *, n_classes: int = 10) -> nn.Module:
    """Two layers of 600 units with dropout, on jittered digits of the first `n_classes` classes."""
    known = digits().train_labels < n_classes
    batches = Batches((digits().train_images[known], digits().train_labels[known]), BATCH, seed)
    teacher = make_mlp(TEACHER_WIDTH, dropout=0.5, n_classes=n_classes, seed=seed)
    fit(teacher, Jittered(batches), replace(TEACHER_CONFIG, seed=seed))
    return teacher.eval()


def teach(
    outputs: distill.TeacherOutputs, batches: Batches, *, width: int, temperature: float, alpha: float, seed: int,
    config: TrainConfig = STUDENT_CONFIG,
) -> nn.Module:  # fmt: skip
    """A student of two equal layers, taught for its number of epochs; no augmentation."""
    config = replace(config, seed=seed)
    student = make_mlp(width, seed=seed)
    return distill.distill(student, outputs, batches, config, temperature=temperature, alpha=alpha).model


def teach_updates(outputs: distill.TeacherOutputs, batches: Batches, loss: TeacherLoss, *, seed: int) -> nn.Module:
    """A student of 2 x 300 units, always with the same number of updates, however few images there are."""
    config = TrainConfig(1, STUDENT_CONFIG.learning_rate, seed=seed)
    return distill.train_student(make_mlp(300, seed=seed), outputs, Updates(batches, UPDATES), config, loss=loss).model
