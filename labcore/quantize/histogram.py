"""One histogram of everything a layer saw. It grows with the data; every way to choose a range reads it."""

import math
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

__all__ = ["Batch", "Histogram", "NanPolicy", "NotCalibrated", "check_choice", "read_batch"]

NanPolicy = Literal["raise", "ignore"]

_HALF = 4096  # bins on each side of zero
_HALF_BITS = 12
_LOWEST_EXPONENT = -1022  # of a normal float64, so that 1 / width stays finite
_CHUNK = 1 << 16  # values: half a megabyte, which stays in the processor's cache


class NotCalibrated(RuntimeError):
    """A range was asked for before any value was observed."""

    def __init__(self, name: str):
        super().__init__(f"{name!r} has no range yet: observe at least one batch with values in it first")


class Batch(NamedTuple):
    """Finite values, shape (N,), with their extremes."""

    values: Tensor
    low: float
    high: float


def check_choice(what: str, value: str, choices: object) -> None:
    """Raise ValueError unless the value is one of a Literal's."""
    if value not in get_args(choices):
        raise ValueError(f"{what} must be one of {', '.join(get_args(choices))}; got {value!r}")


def read_batch(x: Tensor, name: str, nan_policy: NanPolicy) -> Batch | None:
    """Flat finite values of x; None when there are none.

    Args:
        x: floating point, any shape.
        name: the layer, for the error message.
        nan_policy: "raise", or "ignore" to leave NaN and infinity out.

    Raises:
        TypeError: x is not a tensor of floating-point numbers.
        ValueError: NaN or infinity under "raise".
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"{name!r} observes tensors of floating-point numbers, got {kind}")
    values = x.detach().flatten()
    if nan_policy == "ignore":
        values = values[values.isfinite()]
    if not values.numel():
        return None
    # aminmax hands NaN on, so two numbers tell whether all are finite.
    low, high = (float(end) for end in torch.aminmax(values))
    if not (math.isfinite(low) and math.isfinite(high)):
        n_bad = int((~values.isfinite()).sum())
        raise ValueError(
            f"the calibration data of {name!r} hold NaN or infinity ({n_bad:,} of {values.numel():,} values); "
            "look at the layers before it, or leave such values out with nan_policy='ignore'"
        )
    return Batch(values, low, high)


class Histogram:
    """Counts and sums of values in bins of equal width that grow with the data.

    The width is a power of two and zero is an edge: 2,048 to 4,096 bins cover [0, max |x|]. When a value falls
    outside, pairs of bins become one. Pairing is exact, so the bins do not depend on the order of the batches.

    Args:
        name: the layer, for error messages.
        nan_policy: "raise", or "ignore" to leave NaN and infinity out.

    Attributes:
        width: of a bin, in units of the data.
        counts: values in each bin, shape (8192,). Bin 4096 + k holds [k, k + 1) * width; bin 4095 - k mirrors it.
        n_values: how many values were observed.
    """

    def __init__(self, name: str = "activation", *, nan_policy: NanPolicy = "raise"):
        check_choice("nan_policy", nan_policy, NanPolicy)
        self.name, self.nan_policy = name, nan_policy
        self.counts = np.zeros(2 * _HALF, np.int64)
        # In units of the width: neither huge nor tiny data overflow.
        self._sums = np.zeros(2 * _HALF)
        self._exponent = _LOWEST_EXPONENT
        self._low, self._high = math.inf, -math.inf

    @property
    def width(self) -> float:
        return math.ldexp(1.0, self._exponent)

    @property
    def n_values(self) -> int:
        return int(self.counts.sum())

    @property
    def range(self) -> tuple[float, float]:
        """Smallest and largest value, exact. Raises NotCalibrated before any data."""
        if self._low > self._high:
            raise NotCalibrated(self.name)
        return self._low, self._high

    @property
    def max_magnitude(self) -> float:
        """Largest |x|, exact. Raises NotCalibrated before any data."""
        low, high = self.range
        return max(-low, high)

    def observe(self, x: Tensor) -> None:
        """Count the values of x, any shape. A batch without values changes nothing; an error neither.

        Raises:
            TypeError: x is not a tensor of floating-point numbers.
            ValueError: NaN or infinity under nan_policy "raise".
        """
        batch = read_batch(x, self.name, self.nan_policy)
        if batch is None:
            return
        self._low, self._high = min(self._low, batch.low), max(self._high, batch.high)
        self._grow()
        for chunk in batch.values.split(_CHUNK):
            # A product with a power of two is exact; the cast cuts towards zero, the same on both sides.
            scaled = chunk.double() * math.ldexp(1.0, -self._exponent)
            bins = scaled.long() + _HALF - (chunk < 0).long()
            self.counts += torch.bincount(bins, minlength=2 * _HALF).cpu().numpy()
            self._sums += torch.bincount(bins, weights=scaled, minlength=2 * _HALF).cpu().numpy()

    def filled(self) -> tuple[np.ndarray, np.ndarray]:
        """Count and mean value of every bin that holds something, ascending by value."""
        return _filled(self.counts, self._sums, self.width)

    def magnitude_counts(self) -> np.ndarray:
        """Counts of |x| by bin, shape (n_bins,); the last one holds the largest |x|."""
        n_bins = int(math.ldexp(self.max_magnitude, -self._exponent)) + 1
        return (self.counts[_HALF:] + self.counts[_HALF - 1 :: -1])[:n_bins]

    def quantile(self, share: float) -> float:
        """Value below which a share of the values lies, 0 <= share <= 1: exact at 0 and 1, else to one width.

        Interpolates between order statistics as `numpy.quantile` does.
        """
        low, high = self.range
        return _quantile(*self.filled(), share, low, high)

    def magnitude_quantile(self, share: float) -> float:
        """The same of |x|: exact at 1, else to one width."""
        largest = self.max_magnitude
        sums = self._sums[_HALF:] - self._sums[_HALF - 1 :: -1]
        counts, means = _filled(self.counts[_HALF:] + self.counts[_HALF - 1 :: -1], sums, self.width)
        return _quantile(counts, means, share, means[0], largest)

    def _grow(self) -> None:
        largest = self.max_magnitude
        # largest < 2**e, by at most a factor of two.
        exponent = math.frexp(largest)[1] - _HALF_BITS if largest else _LOWEST_EXPONENT
        doublings = max(exponent - self._exponent, 0)
        for _ in range(min(doublings, _HALF_BITS)):
            self.counts, self._sums = (_pair(bins) for bins in (self.counts, self._sums))
        self._sums = np.ldexp(self._sums, -doublings)
        self._exponent += doublings


def _pair(bins: np.ndarray) -> np.ndarray:
    """Neighbours added, for bins twice as wide; zero stays an edge in the middle."""
    return np.pad(bins.reshape(-1, 2).sum(1), _HALF // 2)


def _filled(counts: np.ndarray, sums: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    some = counts > 0
    return counts[some], sums[some] / counts[some] * width


def _quantile(counts: np.ndarray, means: np.ndarray, share: float, low: float, high: float) -> float:
    """Quantile of values of which the extremes are known, and of the others the mean of their bin."""
    reached = np.cumsum(counts)
    last = reached[-1] - 1
    rank = share * last
    below = math.floor(rank)
    ends = []
    for order in (below, min(below + 1, last)):
        value = means[np.searchsorted(reached, order, side="right")]
        ends.append(high if order == last else low if order == 0 else min(max(value, low), high))
    return float(ends[0] + (rank - below) * (ends[1] - ends[0]))
