"""The interval of a mean over seeds, against a table of Student's t and against scipy."""

import numpy as np
import pytest
from scipy import stats

from labcore import metrics


def test_interval_by_hand():
    # Mean 2, standard deviation 1, t = 4.303 for 2 degrees of freedom: half 4.303 / sqrt(3).
    interval = metrics.mean_interval(np.array([1.0, 2.0, 3.0]))
    assert interval.value == 2
    assert (interval.low, interval.high) == (pytest.approx(2 - 2.4842, abs=1e-3), pytest.approx(2 + 2.4842, abs=1e-3))


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_interval_agrees_with_scipy(confidence):
    values = np.random.default_rng(0).normal(size=7)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(confidence)
    interval = metrics.mean_interval(values, confidence)
    assert (interval.low, interval.high) == (pytest.approx(low), pytest.approx(high))


def test_equal_seeds_have_no_spread():
    interval = metrics.mean_interval(np.array([0.5, 0.5]))
    assert interval.low == interval.value == interval.high == 0.5


@pytest.mark.parametrize("values", [[], [1.0], [[1.0, 2.0]], [1.0, np.nan], [1.0, np.inf]])
def test_too_few_or_broken_numbers_are_refused(values):
    with pytest.raises(ValueError, match="at least two seeds"):
        metrics.mean_interval(np.array(values))


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_a_confidence_is_a_share(confidence):
    with pytest.raises(ValueError, match="confidence"):
        metrics.mean_interval(np.array([1.0, 2.0]), confidence)


def test_a_gain_is_taken_seed_by_seed():
    # Seeds spread by 20 points, gains by none: only pairs can tell.
    reference = np.array([0.7, 0.8, 0.9])
    gain = metrics.measure_seed_gain("more", reference + 0.01, reference)
    assert gain.gains == pytest.approx([0.01] * 3)
    assert (gain.interval.low, gain.interval.high) == (pytest.approx(0.01), pytest.approx(0.01))
    assert gain.clear
    assert metrics.measure_seed_gain("less", reference - 0.01, reference).clear


def test_a_gain_within_its_spread_is_not_clear():
    reference = np.array([0.8, 0.8, 0.8, 0.8])
    gain = metrics.measure_seed_gain("more", np.array([0.82, 0.79, 0.82, 0.79]), reference)
    paired = stats.ttest_rel(np.array([0.82, 0.79, 0.82, 0.79]), reference)
    assert paired.pvalue > 0.05
    assert not gain.clear
    assert (gain.interval.low, gain.interval.high) == pytest.approx(tuple(paired.confidence_interval()))
    assert not metrics.measure_seed_gain("nothing", reference, reference).clear


def test_a_gain_needs_the_same_seeds_on_both_sides():
    with pytest.raises(ValueError, match=r"the same seeds on both sides, got shapes \(2,\) and \(1,\)"):
        metrics.measure_seed_gain("more", np.array([0.8, 0.9]), np.array([0.8]))
