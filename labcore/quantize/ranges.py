"""The range to keep, read from a histogram: clip more, or round more coarsely.

Every rule gives bounds (low, high) for `grids.grid_from_range`. It clips |x| at a threshold t and keeps
[max(-t, min x), min(t, max x)]; percentile and squared error cut each tail by itself for affine formats.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch

from labcore.quantize.formats import NumberFormat
from labcore.quantize.granularity import PER_CHANNEL
from labcore.quantize.grids import fake_quantize, grid_from_range
from labcore.quantize.histogram import Histogram
from labcore.results import ClippingCurve

__all__ = [
    "Bounds", "check_percentile", "clipping_curve", "entropy_bounds", "kl_divergences", "mse_bounds",
    "percentile_bounds",
]  # fmt: skip

Bounds = tuple[float, float]

_FIRST_CANDIDATE = 128  # bins; a narrower range is never tried for the entropy
_TIE = 1e-10  # nats; divergences closer than this differ by rounding only
_SHARES = 2.0 ** -(np.arange(321) / 32)  # of the largest value: each 2.2 % smaller than the one before
_ROUNDS = 2  # of the two ends, for affine formats


def percentile_bounds(histogram: Histogram, format: NumberFormat, *, percentile: float) -> Bounds:
    """Clip the largest (100 - percentile) % of |x|; for affine formats half of them at each end.

    Args:
        histogram: of the activations.
        format: affine or not.
        percentile: in [50, 100]; 100 keeps everything.
    """
    check_percentile(percentile)
    if format.scheme == "affine":
        tail = (100 - percentile) / 200
        return histogram.quantile(tail), histogram.quantile(1 - tail)
    return _clip(histogram, histogram.magnitude_quantile(percentile / 100))


def entropy_bounds(histogram: Histogram, format: NumberFormat) -> Bounds:
    """Clip where the quantized distribution of |x| differs least from the clipped one: min over i of KL(P_i || Q_i).

    P_i: the first i bins, with everything beyond added to the last. Q_i: the same bins without the rest, merged to
    as many levels as the format has on one side, each spread evenly over its bins that are not empty. The
    first bin takes the count of the second, so that the zeros of a ReLU do not decide. Candidates are i = 128 and
    more; equal divergences go to the widest range.

    Source: S. Migacz, 8-bit inference with TensorRT, GTC 2017; H. Wu et al., arXiv 2004.09602.
    """
    counts = histogram.magnitude_counts()
    candidates, divergences = kl_divergences(counts, _n_levels(format, *histogram.range))
    if not len(candidates):
        return histogram.range
    best = candidates[np.flatnonzero(divergences <= divergences.min() + _TIE)[-1]]
    return _clip(histogram, best * histogram.width)


def kl_divergences(counts: np.ndarray, n_levels: int) -> tuple[np.ndarray, np.ndarray]:
    """KL(P_i || Q_i) in nats of every candidate i where it is finite; see `entropy_bounds`.

    With running sums over the bins a candidate costs one pass over the levels, not over its bins.

    Args:
        counts: of |x| by bin, shape (n_bins,); the last one is not zero.
        n_levels: of the format on one side of zero.

    Returns:
        The candidates i (bins kept), ascending, and their divergences.
    """
    counts = counts.astype(np.float64)
    counts[0] = counts[min(1, len(counts) - 1)]
    # An empty last bin gives Q = 0 where P holds the outliers: the divergence is infinite.
    ends = np.flatnonzero(counts) + 1
    ends = ends[ends >= max(n_levels, _FIRST_CANDIDATE)]
    mass, filled, information = (np.r_[0, np.cumsum(each)] for each in (counts, counts > 0, _x_log_x(counts)))
    total = mass[-1]
    # Level k of candidate i covers the bins from ceil(k i / n) up to ceil((k + 1) i / n).
    edges = -(-np.arange(n_levels + 1) * ends[:, None] // n_levels)
    in_level, n_filled = np.diff(mass[edges]), np.diff(filled[edges])
    log_density = np.log(np.where(in_level > 0, in_level, 1) / np.maximum(n_filled, 1))
    last, outliers = counts[ends - 1], total - mass[ends]
    own = information[ends] - _x_log_x(last) + _x_log_x(last + outliers)
    cross = (in_level * log_density).sum(1) + outliers * log_density[:, -1]
    return ends, (own - cross) / total - math.log(total) + np.log(mass[ends])


def mse_bounds(histogram: Histogram, format: NumberFormat) -> Bounds:
    """Clip where the mean squared error of the quantized values is smallest.

    Candidates for t are max |x| * 2^(-k / 32), k = 0 ... 320; equal errors go to the widest range. For affine formats
    and data of both signs the two ends then take turns. The error is that of the mean value of each bin, put through
    the grid that the bounds give.
    """
    low, high = histogram.range
    thresholds = _single(histogram.max_magnitude * _SHARES)
    best = _smallest_error(histogram, format, [_clip(histogram, t) for t in thresholds])
    if format.scheme == "affine" and low < 0 < high:
        lows, highs = _single(low * _SHARES).tolist(), _single(high * _SHARES).tolist()
        for _ in range(_ROUNDS):
            best = _smallest_error(histogram, format, [best, *((best[0], end) for end in highs)])
            best = _smallest_error(histogram, format, [best, *((end, best[1]) for end in lows)])
    return best


def clipping_curve(histogram: Histogram, format: NumberFormat, candidates: Sequence[float]) -> ClippingCurve:
    """Error against the threshold at which |x| is clipped, split in its two parts.

    Args:
        histogram: of the activations (or weights).
        format: of the quantized values.
        candidates: thresholds in units of the data, > 0.

    Returns:
        Errors as shares of the data's mean square: a total of 0.01 is an SQNR of 20 dB.

    Raises:
        NotCalibrated: before any data.
        ValueError: no candidate, or one that is not positive and finite.
    """
    thresholds = np.asarray(candidates, np.float64)
    if not thresholds.size or thresholds.ndim != 1 or not (np.isfinite(thresholds) & (thresholds > 0)).all():
        raise ValueError(f"candidates must be positive finite thresholds, at least one, got {candidates!r}")
    clipping, rounding = _errors(histogram, format, [_clip(histogram, t) for t in thresholds])
    return ClippingCurve(format.name, thresholds, clipping, rounding)


def check_percentile(percentile: float) -> None:
    """Raise TypeError for anything but a number, ValueError outside [50, 100]."""
    if isinstance(percentile, bool) or not isinstance(percentile, int | float):
        raise TypeError(f"percentile must be a number in [50, 100], got {percentile!r}")
    if not 50 <= percentile <= 100:
        hint = f"; did you mean {100 * percentile:g}?" if 0.5 <= percentile <= 1 else ""
        raise ValueError(f"percentile must be in [50, 100], got {percentile}{hint}")


def _clip(histogram: Histogram, threshold: float) -> Bounds:
    low, high = (min(max(end, -threshold), threshold) for end in histogram.range)
    return float(low), float(high)


def _n_levels(format: NumberFormat, low: float, high: float) -> int:
    """Levels on the longer side of zero, zero included: 128 for 8 symmetric bits, 256 for unsigned ones."""
    zero_point = int(grid_from_range(low, high, format).zero_point)
    above, below = format.qmax - zero_point, zero_point - format.qmin
    return (below if -low > high and below else above) + 1


def _x_log_x(x: np.ndarray) -> np.ndarray:
    return x * np.log(np.where(x > 0, x, 1))


def _single(values: np.ndarray) -> np.ndarray:
    """With the digits of single precision, as in a grid: affine zero points at [-t, t] turn on the last one."""
    mantissas, exponents = np.frexp(values)
    return np.ldexp(mantissas.astype(np.float32).astype(np.float64), exponents)


def _smallest_error(histogram: Histogram, format: NumberFormat, candidates: Sequence[Bounds]) -> Bounds:
    return candidates[int(np.argmin(sum(_errors(histogram, format, candidates))))]


def _errors(histogram: Histogram, format: NumberFormat, candidates: Sequence[Bounds]) -> tuple[np.ndarray, np.ndarray]:
    """Clipping and rounding error of each pair of bounds, as shares of the mean square of the data."""
    counts, means = histogram.filled()
    # In units of a power of two near the largest value no square overflows, and no digit is lost.
    unit = math.ldexp(1.0, math.frexp(histogram.max_magnitude)[1] - 1)
    low, high = torch.from_numpy((np.array(candidates) / unit).astype(np.float32)).T
    # One row a candidate, each with its own grid.
    grids = grid_from_range(low, high, format, granularity=PER_CHANNEL)
    values = torch.from_numpy(means / unit).expand(len(candidates), -1)
    moved = (fake_quantize(values, grids) - values).numpy()
    squares = counts * moved**2 / max(counts @ (means / unit) ** 2, 1e-300)
    # Rounding moves a value by half a step at most: whatever moved further was clipped.
    clipped = np.abs(moved) > grids.scale.numpy()[:, None] / 2 * (1 + 1e-6)
    return (squares * clipped).sum(1), (squares * ~clipped).sum(1)
