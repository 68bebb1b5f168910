"""What pruning did to a model."""

from dataclasses import dataclass

import numpy as np

from labcore.results.accuracy import ComparedAccuracy, TrainingLog

__all__ = [
    "FilterReport", "MaskReport", "PatternReport", "PrunedAccuracy", "PruningRound", "SlimmingReport",
    "SmallerMeasurement",
]  # fmt: skip


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
class PatternReport:
    """Weights of which a rule about neighbours lets some stay.

    Attributes:
        rule: its name.
        group: neighbours in a row that the rule looks at together, 0 where it looks at the whole layer.
        layer: the parameter shown.
        weights: a corner of it, shape (rows, columns); neighbours stand in a row.
        kept: which of them stay, the same shape.
        kept_l1: by rule, share of the layer's sum of magnitudes that stays.
        layers: parameters that the rule cuts.
        sparsity: share of zeros among them.
    """

    rule: str
    group: int
    layer: str
    weights: np.ndarray
    kept: np.ndarray
    kept_l1: dict[str, float]
    layers: tuple[str, ...]
    sparsity: float


@dataclass(frozen=True, eq=False)
class PrunedAccuracy(ComparedAccuracy):
    """What a pruned network did on the test images.

    Attributes:
        sparsity: share of zeros when it was measured.
        tuned: whether it was trained after pruning.
    """

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


@dataclass(frozen=True, eq=False)
class SlimmingReport:
    """Scales of batch norm after training with a penalty on them.

    Attributes:
        label: the penalty, in words.
        edges: shape (thresholds,), ascending.
        shares: shape (seeds, thresholds), share of the channels whose |gamma| is below each.
        place: index of the threshold in question.
        accuracies: by what was cut and tuned, shape (seeds,) each.
    """

    label: str
    edges: np.ndarray
    shares: np.ndarray
    place: int
    accuracies: dict[str, np.ndarray]
