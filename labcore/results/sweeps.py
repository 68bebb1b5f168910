"""Many models beside each other: points, curves, sensitivity, budgets."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

__all__ = ["Allocation", "BudgetReport", "Curve", "Sensitivity", "SweepPoint"]


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
