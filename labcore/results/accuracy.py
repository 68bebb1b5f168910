"""What a model answered: accuracy, intervals, paired differences, and one run of training."""

from dataclasses import dataclass

import numpy as np

__all__ = ["ClassChanges", "ComparedAccuracy", "Evaluation", "Interval", "PairedDifference", "TrainingLog"]


@dataclass(frozen=True, eq=False)
class Interval:
    """An estimate between its bounds."""

    low: float
    value: float
    high: float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a model answered on a fixed set of images.

    Attributes:
        predictions: shape (N,), the class the model chose.
        labels: shape (N,), the right class.
        n_classes: how many classes there are.
    """

    predictions: np.ndarray
    labels: np.ndarray
    n_classes: int

    @property
    def n_images(self) -> int:
        return len(self.labels)

    @property
    def n_correct(self) -> int:
        return int((self.predictions == self.labels).sum())

    @property
    def accuracy(self) -> float:
        """Share of right answers, in [0, 1]."""
        return self.n_correct / self.n_images


@dataclass(frozen=True, eq=False)
class PairedDifference:
    """Two models on the same images: `difference` is the accuracy of the second minus that of the first.

    Attributes:
        difference: with its 95 % interval, from the images on which only one of the two is right.
        only_first: images that only the first model got right.
        only_second: images that only the second model got right.
        flipped: shape (K,), indices of images whose predicted class changed.
    """

    difference: Interval
    only_first: int
    only_second: int
    flipped: np.ndarray

    @property
    def significant(self) -> bool:
        """Whether the 95 % interval leaves out zero."""
        return not self.difference.low <= 0 <= self.difference.high


@dataclass(frozen=True, eq=False)
class ComparedAccuracy:
    """How often a changed network is right, beside the answers of the original on the same images.

    Attributes:
        accuracy: with its 95 % interval.
        pair: against the original, image by image.
        n_images: test images.
    """

    accuracy: Interval
    pair: PairedDifference
    n_images: int


@dataclass(frozen=True, eq=False)
class ClassChanges:
    """Who pays for a change of model, class by class.

    Attributes:
        before, after: shape (classes,), accuracy of the two models.
        flipped: shape (classes,), images of that class whose prediction changed.
        lost: shape (K,), indices of images that were right and are wrong now.
        pair: the two models compared as a whole.
    """

    before: np.ndarray
    after: np.ndarray
    flipped: np.ndarray
    lost: np.ndarray
    pair: PairedDifference


@dataclass(frozen=True, eq=False)
class TrainingLog:
    """One run of the training loop.

    Attributes:
        losses: shape (epochs,), mean training loss of each finished epoch.
        accuracies: shape (epochs,), accuracy on the evaluation batches after each epoch (empty without them).
        best_epoch: index of the epoch with the best accuracy (lowest loss without evaluation), -1 when none finished.
        seconds: wall time.
        interrupted: whether it was stopped; the model then holds the weights of `best_epoch`.
    """

    losses: np.ndarray
    accuracies: np.ndarray
    best_epoch: int
    seconds: float
    interrupted: bool
