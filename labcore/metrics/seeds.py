"""How sure a mean over seeds is."""

import math

import numpy as np
from scipy.special import stdtrit

from labcore.results import Interval

__all__ = ["mean_interval"]


def mean_interval(values: np.ndarray, confidence: float = 0.95) -> Interval:
    """Mean over seeds with its interval: mean ± t s / sqrt(n), with Student's t of n - 1 degrees of freedom.

    For a difference between two settings, give the differences seed by seed: what both share then drops out.

    Args:
        values: one a seed, shape (n,), n at least 2.
        confidence: in (0, 1).

    Raises:
        ValueError: fewer than two seeds, NaN or infinity; a confidence outside (0, 1).

    Source: Student, The probable error of a mean, Biometrika 6 (1908).

    >>> interval = mean_interval(np.array([1.0, 2.0, 3.0]))
    >>> round(interval.low, 3), interval.value, round(interval.high, 3)
    (-0.484, 2.0, 4.484)
    """
    values = np.asarray(values, float)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(f"need finite numbers of at least two seeds, got {values.tolist()}; one seed has no spread")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), got {confidence}; 0.95 is usual")
    spread = float(values.std(ddof=1)) / math.sqrt(len(values))
    half = float(stdtrit(len(values) - 1, (1 + confidence) / 2)) * spread
    mean = float(values.mean())
    return Interval(mean - half, mean, mean + half)
