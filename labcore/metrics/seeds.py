"""How sure a mean over seeds is."""

import math

import numpy as np
from scipy.special import stdtrit

from labcore.results import Interval, SeedGain

__all__ = ["mean_interval", "measure_seed_gain"]


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


def measure_seed_gain(name: str, values: np.ndarray, reference: np.ndarray) -> SeedGain:
    """What is gained over a reference, seed by seed, with the 95 % interval of the mean (`mean_interval`).

    Args:
        name: what was done, and what it is compared with.
        values, reference: accuracies, shape (seeds,); number i of both shares its seed.

    Raises:
        ValueError: another number of seeds; see also `mean_interval`.

    >>> measure_seed_gain("five against one", np.array([0.93, 0.94, 0.93]), np.array([0.91, 0.92, 0.92])).clear
    True
    """
    values, reference = np.asarray(values, float), np.asarray(reference, float)
    if values.shape != reference.shape:
        raise ValueError(f"need the same seeds on both sides, got shapes {values.shape} and {reference.shape}")
    gains = values - reference
    return SeedGain(name, gains, mean_interval(gains))
