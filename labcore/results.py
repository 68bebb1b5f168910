"""What travels between layers: frozen records of numpy arrays and numbers, never tensors.

Techniques and metrics write them, plots read them, tests build them by hand.
"""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

__all__ = [
    "Allocation", "BoardMeasurement", "BudgetReport", "ClassChanges", "CostBoard", "CostTable", "Curve", "Energy",
    "Evaluation", "FilterReport", "Interval", "Latency", "LayerCost", "MaskReport", "PairedDifference",
    "PrunedAccuracy", "PruningRound", "Sensitivity", "Sizes", "SmallerMeasurement", "SweepPoint", "TrainingLog",
]  # fmt: skip


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
class LayerCost:
    """One layer. MACs are per sample; activation bytes are those of its output, per sample.

    `peak_bytes`: activations alive at once while this layer runs, per sample.
    """

    name: str
    kind: str
    n_params: int
    macs: int
    activation_bytes: int
    peak_bytes: int


@dataclass(frozen=True, eq=False)
class CostTable:
    """Costs of a model for one sample, layer by layer, in the order of execution."""

    layers: tuple[LayerCost, ...]
    n_params: int
    n_nonzero: int
    macs: int
    peak_activation_bytes: int


@dataclass(frozen=True, eq=False)
class Sizes:
    """A model's size, three ways.

    Attributes:
        dense_bytes: every parameter at its stored width, shared ones once.
        theoretical_bits: nonzero values times their bits: the figure papers quote; it forgets indices and headers.
        file_bytes: what lies on disk.
    """

    dense_bytes: int
    theoretical_bits: int
    file_bytes: int


@dataclass(frozen=True, eq=False)
class Latency:
    """Measured times of one call, in milliseconds, warm-up left out.

    Attributes:
        samples_ms: shape (runs,), in the order measured.
        warmup_ms: shape (warmup,), the calls that do not count.
        threads: threads in use.
        batch: samples in one call.
    """

    samples_ms: np.ndarray
    warmup_ms: np.ndarray
    threads: int
    batch: int

    @property
    def p50_ms(self) -> float:
        return float(np.percentile(self.samples_ms, 50))

    @property
    def p95_ms(self) -> float:
        return float(np.percentile(self.samples_ms, 95))

    @property
    def min_ms(self) -> float:
        return float(self.samples_ms.min())


@dataclass(frozen=True, eq=False)
class Energy:
    """Estimated energy of one sample, from a published table for a 45 nm chip; never a measurement."""

    compute_pj: float
    memory_pj: float

    label = "estimate, 45 nm"

    @property
    def total_pj(self) -> float:
        return self.compute_pj + self.memory_pj


@dataclass(frozen=True, eq=False)
class SweepPoint:
    """One trained network of a sweep, several seeds.

    Attributes:
        family: what was varied (the legend's entry).
        label: names the network.
        n_params, macs, file_bytes: its costs.
        accuracies: shape (seeds,), test accuracy of each seed.
        settings: what was varied, by name.
    """

    family: str
    label: str
    n_params: int
    macs: int
    file_bytes: int
    accuracies: np.ndarray
    settings: dict[str, float]

    @property
    def mean(self) -> float:
        return float(self.accuracies.mean())


@dataclass(frozen=True, eq=False)
class Curve:
    """A measured quantity along some axis, several seeds.

    Attributes:
        family: what was varied (the legend's entry).
        label: what was measured, or when; with `family` it names the curve.
        x: shape (points,). Two points may have one x: before and after a cut.
        values: shape (seeds, points), shares in [0, 1]; accuracies on the test images where nothing else is said.
        settings: what was varied, by name.
    """

    family: str
    label: str
    x: np.ndarray
    values: np.ndarray
    settings: dict[str, float]

    @property
    def mean(self) -> np.ndarray:
        """Over seeds, shape (points,)."""
        return self.values.mean(0)


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """Accuracy of a network with one layer pruned at a time.

    Attributes:
        layers: what was pruned: names of parameters (weights) or of sets of coupled channels.
        levels: shape (levels,), ascending, the share that was pruned.
        accuracies: shape (layers, levels); NaN where the measurement was stopped before.
        n_weights: shape (layers,), weights of each layer; for channels, those of the layers that make them.
        baseline: accuracy of the network as it was.
    """

    layers: tuple[str, ...]
    levels: np.ndarray
    accuracies: np.ndarray
    n_weights: np.ndarray
    baseline: float

    @property
    def losses(self) -> dict[str, dict[float, float]]:
        """Accuracy lost, by layer and level; below 0 where pruning helped."""
        return {
            layer: dict(zip(self.levels.tolist(), (self.baseline - row).tolist(), strict=True))
            for layer, row in zip(self.layers, self.accuracies, strict=True)
        }

    def safe_levels(self, floor: float) -> dict[str, float]:
        """The highest level of each layer that loses no more than `floor`; 0 where none does.

        Args:
            floor: points of accuracy, as a fraction, that the learner is ready to lose.
        """
        # A loss of exactly the floor is within, whatever the last bit of the subtraction says.
        within = self.baseline - self.accuracies <= floor + 1e-9
        return dict(zip(self.layers, np.where(within, self.levels, 0.0).max(1).tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class Allocation:
    """One level for each layer, under a budget.

    Attributes:
        levels: by layer, as named in the choices: a sparsity, a number of bits, a pair of both.
        cost: of all layers together, in the budget's unit.
        loss: sum of the layers' losses, each measured alone: a prediction, not a measurement.
    """

    levels: dict[str, Hashable]
    cost: float
    loss: float


@dataclass(frozen=True, eq=False)
class CostBoard:
    """Four currencies of one network, layer by layer.

    Attributes:
        label: names the network.
        layers: names, in order of execution.
        values: currency -> shape (layers,), each layer's value in that currency's own unit.
        totals: currency -> the network's total as text.
        n_params: total parameters.
        focus: the currency to look at: a key of `values`, ``time`` or ``all``.
    """

    label: str
    layers: tuple[str, ...]
    values: dict[str, np.ndarray]
    totals: dict[str, str]
    n_params: int
    focus: str = "all"


@dataclass(frozen=True, eq=False)
class BoardMeasurement:
    """What a network of a `CostBoard` did on this machine.

    Attributes:
        accuracy: on the test images, with its 95 % interval.
        layer_ms: shape (layers,), median time of each layer.
        total_ms: median time of the whole network.
        batch: images in one timed call.
    """

    accuracy: Interval
    n_correct: int
    n_images: int
    layer_ms: np.ndarray
    total_ms: float
    batch: int


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


@dataclass(frozen=True, eq=False)
class BudgetReport:
    """One move in the budget game.

    Attributes:
        budget: what the cost may be, in `unit`.
        unit: of costs.
        players: by name, the levels each player chose and what they cost.
    """

    budget: float
    unit: str
    players: dict[str, Allocation]
