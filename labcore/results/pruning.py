"""What pruning did to a model."""

from dataclasses import dataclass

import numpy as np

from labcore.results.accuracy import Interval, PairedDifference, TrainingLog

__all__ = ["FilterReport", "MaskReport", "PrunedAccuracy", "PruningRound", "SmallerMeasurement"]


@dataclass(frozen=True, eq=False)
class PruningRound:
    """One cut and the training after it.

    Attributes:
        sparsity: share of zeros among the masked weights, in [0, 1].
        cut_accuracy: right after the cut (and rewinding), before training; NaN when nothing was evaluated.
        log: of the training under the masks; its last accuracy is that of the finished round.
    """

    sparsity: float
    cut_accuracy: float
    log: TrainingLog


@dataclass(frozen=True, eq=False)
class MaskReport:
    """A network under masks.

    Attributes:
        layer: the parameter shown.
        weights: its weights as a matrix, shape (rows, columns).
        kept: which of them stay, the same shape.
        cut: magnitude of the largest weight of this layer that goes, NaN when none goes.
        sparsity: share of zeros among all prunable weights.
        by_layer: share of zeros of each parameter.
        sizes: bytes of all prunable weights in each format.
    """

    layer: str
    weights: np.ndarray
    kept: np.ndarray
    cut: float
    sparsity: float
    by_layer: dict[str, float]
    sizes: dict[str, int]


@dataclass(frozen=True, eq=False)
class PrunedAccuracy:
    """What a pruned network did on the test images.

    Attributes:
        accuracy: with its 95 % interval.
        pair: against the whole network, image by image.
        n_images: test images.
        sparsity: share of zeros when it was measured.
        tuned: whether it was trained after pruning.
    """

    accuracy: Interval
    pair: PairedDifference
    n_images: int
    sparsity: float
    tuned: bool


@dataclass(frozen=True, eq=False)
class FilterReport:
    """Which filters go, and what the smaller network costs.

    Attributes:
        label: method and share.
        layer: the layer shown.
        filters: its kernels, absolute values averaged over input channels, shape (filters, height, width).
        removed: which filters go, shape (filters,).
        costs: share of the whole network that is left, by currency.
        later: accuracies measured beforehand, by what was done after the cut: shape (seeds,).
    """

    label: str
    layer: str
    filters: np.ndarray
    removed: np.ndarray
    costs: dict[str, float]
    later: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class SmallerMeasurement:
    """What a smaller network did on this machine: accuracy, and its time as a share of the whole network's."""

    accuracy: PrunedAccuracy
    time_share: float
    batch: int
