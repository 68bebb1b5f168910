"""Observers: they see batches of a layer's activations, then say which range to keep."""

from collections.abc import Callable
from functools import partial
from typing import Literal, Protocol

from torch import Tensor

from labcore.quantize.formats import NumberFormat
from labcore.quantize.histogram import Histogram, NanPolicy, NotCalibrated, check_choice, read_batch
from labcore.quantize.ranges import Bounds, check_percentile, entropy_bounds, mse_bounds, percentile_bounds

__all__ = ["Calibration", "HistogramObserver", "MaxObserver", "MovingAverageObserver", "Observer", "make_observer"]

Calibration = Literal["max", "moving_average", "percentile", "entropy", "mse"]


class Observer(Protocol):
    """Sees batches, then says which range to keep."""

    def observe(self, x: Tensor) -> None:
        """Take the values of x into account. Raises TypeError for non-floats, ValueError for NaN or infinity."""

    def bounds(self, format: NumberFormat) -> Bounds:
        """Smallest and largest value to keep, in units of the data. Raises NotCalibrated before any data."""


class MaxObserver:
    """Smallest and largest value of all batches: nothing is clipped, one outlier sets the step.

    Args:
        name: the layer, for error messages.
        nan_policy: "raise", or "ignore" to leave NaN and infinity out.
    """

    def __init__(self, name: str = "activation", *, nan_policy: NanPolicy = "raise"):
        check_choice("nan_policy", nan_policy, NanPolicy)
        self.name, self.nan_policy = name, nan_policy
        self._range: Bounds | None = None

    def observe(self, x: Tensor) -> None:
        batch = read_batch(x, self.name, self.nan_policy)
        if batch is not None:
            new = batch.low, batch.high
            self._range = self._combine(self._range, new) if self._range else new

    def bounds(self, format: NumberFormat) -> Bounds:
        if self._range is None:
            raise NotCalibrated(self.name)
        return self._range

    def _combine(self, old: Bounds, new: Bounds) -> Bounds:
        return min(old[0], new[0]), max(old[1], new[1])


class MovingAverageObserver(MaxObserver):
    """Exponential average of each batch's smallest and largest value: m <- m + c (x - m).

    The first batch is taken whole and fades slowly: after k more batches it still weighs (1 - c)^k. A first batch
    of zeros leaves a range 100 times too small after the next one, at c = 0.01. Shuffle, and show many batches.

    Args:
        constant: c, in (0, 1].
        name, nan_policy: as for `MaxObserver`.
    """

    def __init__(self, constant: float = 0.01, *, name: str = "activation", nan_policy: NanPolicy = "raise"):
        if isinstance(constant, bool) or not isinstance(constant, int | float):
            raise TypeError(f"the averaging constant must be a number in (0, 1], got {constant!r}")
        if not 0 < constant <= 1:
            raise ValueError(f"the averaging constant must be in (0, 1], got {constant}")
        super().__init__(name, nan_policy=nan_policy)
        self._constant = constant

    def _combine(self, old: Bounds, new: Bounds) -> Bounds:
        low, high = (m + self._constant * (x - m) for m, x in zip(old, new, strict=True))
        return low, high


class HistogramObserver:
    """A histogram of all batches, and the rule that reads a range from it.

    Args:
        find_bounds: such as `entropy_bounds`.
        histogram: the one to fill; several observers may read the same.
    """

    def __init__(self, find_bounds: Callable[[Histogram, NumberFormat], Bounds], histogram: Histogram):
        self.histogram = histogram
        self._find_bounds = find_bounds

    def observe(self, x: Tensor) -> None:
        self.histogram.observe(x)

    def bounds(self, format: NumberFormat) -> Bounds:
        return self._find_bounds(self.histogram, format)


def make_observer(
    calibration: Calibration,
    *,
    name: str = "activation",
    percentile: float = 99.99,
    averaging_constant: float = 0.01,
    nan_policy: NanPolicy = "raise",
) -> Observer:
    """Observer for one layer.

    Args:
        calibration: "max", "moving_average", "percentile", "entropy" or "mse".
        name: the layer, for error messages.
        percentile: for "percentile", in [50, 100]; 100 is "max".
        averaging_constant: for "moving_average", in (0, 1].
        nan_policy: "raise" on NaN and infinity, or "ignore" to leave them out.

    Raises:
        ValueError: an unknown name, or a number outside its interval.
    """
    check_choice("calibration", calibration, Calibration)
    if calibration == "max":
        return MaxObserver(name, nan_policy=nan_policy)
    if calibration == "moving_average":
        return MovingAverageObserver(averaging_constant, name=name, nan_policy=nan_policy)
    check_percentile(percentile)
    by_share = partial(percentile_bounds, percentile=percentile)
    find_bounds = {"percentile": by_share, "entropy": entropy_bounds, "mse": mse_bounds}[calibration]
    return HistogramObserver(find_bounds, Histogram(name, nan_policy=nan_policy))
