"""Five tasks of rising difficulty, all of 14x14 images, made from the data sets that are shipped."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from labcore.data import Dataset, load_dataset

__all__ = ["TASKS", "Task", "halve_images", "load_task", "pair_images", "select_classes"]


def select_classes(data: Dataset, labels: Sequence[int]) -> Dataset:
    """The images of some classes; the first of `labels` becomes class 0, and so on.

    Raises:
        ValueError: fewer than two classes, one of them twice, or one that the data set does not have.
    """
    if len(set(labels)) != len(labels) or len(labels) < 2:
        raise ValueError(f"need two or more different classes, got {list(labels)}")
    if unknown := [label for label in labels if not 0 <= label < len(data.class_names)]:
        raise ValueError(f"{data.name} has classes 0 to {len(data.class_names) - 1}, got {unknown}")

    def choose(images: Tensor, old: Tensor) -> tuple[Tensor, Tensor]:
        kept = torch.isin(old, torch.tensor(labels))
        new = torch.full((len(data.class_names),), -1)
        new[torch.tensor(labels)] = torch.arange(len(labels))
        return images[kept], new[old[kept]]

    return _with(
        data, choose(data.train_images, data.train_labels), choose(data.test_images, data.test_labels),
        tuple(data.class_names[label] for label in labels),
    )  # fmt: skip


def halve_images(data: Dataset) -> Dataset:
    """Images of half the height and width: the mean of each square of four pixels."""
    images = (F.avg_pool2d(each, 2) for each in (data.train_images, data.test_images))
    return replace(data, **dict(zip(("train_images", "test_images"), images, strict=True)))


def pair_images(data: Dataset, *, seed: int = 0) -> Dataset:
    """Each image with another one drawn at random, as two channels; the class is the pair of classes, in order.

    Args:
        data: images of one channel; with n classes, the pairs have n * n.
        seed: of the partners.
    """
    rng, n = np.random.default_rng(seed), len(data.class_names)

    def pair(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        partner = torch.from_numpy(rng.permutation(len(images)))
        return torch.cat([images, images[partner]], 1), labels * n + labels[partner]

    return _with(
        data, pair(data.train_images, data.train_labels), pair(data.test_images, data.test_labels),
        tuple(f"{a} + {b}" for a in data.class_names for b in data.class_names),
    )  # fmt: skip


def _with(
    data: Dataset, train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], class_names: tuple[str, ...]
) -> Dataset:
    return replace(
        data, train_images=train[0], train_labels=train[1], test_images=test[0], test_labels=test[1],
        class_names=class_names,
    )  # fmt: skip


@dataclass(frozen=True)
class Task:
    """One step of the ladder.

    Attributes:
        difficulty: 1 to 5.
        name: in words.
        make: gives the data.
    """

    difficulty: int
    name: str
    make: Callable[[], Dataset]


TASKS = (
    Task(1, "two garments", lambda: select_classes(load_dataset("fashion14"), (0, 1))),
    Task(2, "ten digits", lambda: halve_images(load_dataset("mnist5k"))),
    Task(3, "ten garments", lambda: load_dataset("fashion14")),
    Task(4, "four tops that look alike", lambda: select_classes(load_dataset("fashion14"), (0, 2, 4, 6))),
    Task(5, "pairs of garments", lambda: pair_images(load_dataset("fashion14"))),
)


def load_task(difficulty: int) -> Dataset:
    """The data of one step: images of shape (1, 14, 14), for pairs (2, 14, 14).

    Raises:
        ValueError: no such difficulty.
    """
    for task in TASKS:
        if task.difficulty == difficulty:
            return task.make()
    raise ValueError(f"difficulty must be from 1 to {len(TASKS)}, got {difficulty!r}")
