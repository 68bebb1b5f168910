"""Many models beside each other: points, curves, sensitivity, budgets."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from labcore.results.accuracy import Interval

__all__ = [
    "Allocation", "BitSensitivity", "BudgetReport", "Curve", "CurveChoice", "ScoreChoice",
    "SeedChoice", "SeedGain", "Sensitivity", "SweepPoint",
]  # fmt: skip


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
    settings: dict[str, float | str]

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
class CurveChoice:
    """Curves that are compared at one of their points.

    Attributes:
        curves: all that could be shown; the first point of the first one is the network before anything went.
        shown: families that are shown.
        place: index of the point in every curve; -1 for the last.
    """

    curves: tuple[Curve, ...]
    shown: tuple[str, ...]
    place: int

    @property
    def whole(self) -> float:
        """Accuracy of the network before anything went, mean over seeds."""
        return float(self.curves[0].mean[0])


@dataclass(frozen=True, eq=False)
class ScoreChoice:
    """Scores of what may go, compared where a share of it is gone.

    Attributes:
        kind: what goes, and when it was measured.
        curves: accuracy against the share that is gone, one a score.
        place: index of the share in every curve.
        reference: family of the curve that the others are compared with, seed by seed.
    """

    kind: str
    curves: tuple[Curve, ...]
    place: int
    reference: str

    @property
    def accuracies(self) -> dict[str, np.ndarray]:
        """By score, shape (seeds,)."""
        return {curve.family: curve.values[:, self.place] for curve in self.curves}

    @property
    def gains(self) -> dict[str, np.ndarray]:
        """Accuracy minus that of the reference with the same seed, by score, shape (seeds,)."""
        return {name: values - self.accuracies[self.reference] for name, values in self.accuracies.items()}


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
class BitSensitivity(Sensitivity):
    """Accuracy of a network with the weights of one layer at a time on few bits.

    Attributes:
        layers: names of the layers.
        levels: shape (levels,), descending, bits of a weight.
        accuracies, n_weights: as in `Sensitivity`.
        baseline: accuracy with all weights in float.
    """

    def safe_levels(self, floor: float) -> dict[str, float]:
        """The fewest bits of each layer that lose no more than `floor`; infinity where none do.

        Args:
            floor: points of accuracy, as a fraction, that the learner is ready to lose.
        """
        within = self.baseline - self.accuracies <= floor + 1e-9
        return dict(zip(self.layers, np.where(within, self.levels, np.inf).min(1).tolist(), strict=True))


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


@dataclass(frozen=True, eq=False)
class SeedChoice:
    """Several things that were done to the same networks, one setting of a sweep.

    Attributes:
        title: the setting, in words.
        whole: accuracy before anything was done, shape (seeds,).
        accuracies: by what was done, shape (seeds,) each.
    """

    title: str
    whole: np.ndarray
    accuracies: dict[str, np.ndarray]

    @property
    def best(self) -> str:
        """Which of them has the highest mean."""
        return max(self.accuracies, key=lambda name: self.accuracies[name].mean())


@dataclass(frozen=True, eq=False)
class SeedGain:
    """What something gains, several seeds.

    Attributes:
        name: what was done, and what it is compared with.
        gains: accuracy minus that of what it is compared with, seed by seed, shape (seeds,).
        interval: of their mean.
    """

    name: str
    gains: np.ndarray
    interval: Interval

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return not self.interval.low <= 0 <= self.interval.high
