"""Intervals, paired comparison, and who pays."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from labcore import metrics
from labcore.results import Evaluation


def evaluation(predictions, labels, n_classes=10):
    return Evaluation(np.array(predictions, dtype=np.int64), np.array(labels, dtype=np.int64), n_classes)


def discordant(only_first, only_second, n):
    """Two evaluations of n images of class 0; on `only_first` of them only the first model is right, and so on."""
    first, second = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    second[:only_first] = 1
    first[only_first : only_first + only_second] = 1
    return evaluation(first, np.zeros(n), 2), evaluation(second, np.zeros(n), 2)


counts = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.case("C-noise")
def test_fifty_of_fifty_right_keeps_its_width():
    interval = metrics.wilson_interval(50, 50)
    assert (round(interval.low, 3), interval.value, interval.high) == (0.929, 1.0, 1.0)
    assert metrics.wilson_interval(0, 50).low == 0.0


@settings(deadline=None)
@given(counts, st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_wilson_agrees_with_scipy(count, confidence):
    ours = metrics.wilson_interval(*count, confidence)
    theirs = binomtest(*count).proportion_ci(confidence, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@settings(deadline=None)
@given(counts)
def test_wilson_ends_solve_the_score_equation(count):
    interval = metrics.wilson_interval(*count)
    for end in (interval.low, interval.high):
        if 0 < end < 1:
            z = abs(interval.value - end) / math.sqrt(end * (1 - end) / count[1])
            assert z == pytest.approx(norm.ppf(0.975), rel=1e-6)
    assert 0 <= interval.low <= interval.value <= interval.high <= 1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 0), ValueError, "n_images must be at least 1"),
        ((6, 5), ValueError, "n_correct must be from 0 to n_images = 5, got 6"),
        ((-1, 5), ValueError, "got -1"),
        ((2.5, 5), TypeError, "n_correct must be a whole number, got 2.5"),
        ((True, 5), TypeError, "n_correct"),
        ((2, 5, 95), ValueError, "did you mean 0.95?"),
        ((2, 5, 1.0), ValueError, r"confidence must be in \(0, 1\), got 1.0"),
        ((2, 5, math.nan), ValueError, "confidence"),
    ],
)
def test_wilson_refuses_what_is_no_count(arguments, error, message):
    with pytest.raises(error, match=message):
        metrics.wilson_interval(*arguments)


def test_accuracy_interval_takes_numpy_counts():
    interval = metrics.accuracy_interval(evaluation([0, 1, 1, 0], [0, 1, 0, 0]))
    assert interval.value == 0.75
    assert interval.low == pytest.approx(metrics.wilson_interval(np.int64(3), 4).low)


def test_paired_difference_by_hand():
    difference = metrics.compare_paired(
        evaluation([0, 1, 2, 3], [0, 1, 0, 0]),
        evaluation([0, 5, 0, 4], [0, 1, 0, 0]),
    )
    assert (difference.only_first, difference.only_second) == (1, 1)
    assert difference.difference.value == 0
    assert difference.flipped.tolist() == [1, 2, 3]
    # p = q = 2 / 6, so the half width is z * sqrt((2 / 3) / 6) = z / 3.
    assert difference.difference.high == pytest.approx(1.959964 / 3, abs=1e-6)
    assert not difference.significant


@pytest.mark.case("C-noise")
def test_same_answers_still_leave_a_doubt():
    same = evaluation([0] * 100, [0] * 100)
    difference = metrics.compare_paired(same, same).difference
    assert difference.low < 0 == difference.value < difference.high < 0.03


@pytest.mark.case("C-noise")
@pytest.mark.parametrize(
    ("n", "only_first", "only_second"),
    [
        (50, 0.1, 0.2),
        (500, 0.01, 0.01),
        (500, 0.0, 0.05),
        (5000, 0.0, 0.0005),
        (5000, 0.001, 0.003),
        (5000, 0.02, 0.05),
    ],
)
def test_the_paired_interval_covers_the_truth_95_times_in_100(n, only_first, only_second):
    draws = np.random.default_rng(n).multinomial(n, [only_first, only_second, 1 - only_first - only_second], 2000)
    drawn, times = np.unique(draws[:, :2], axis=0, return_counts=True)
    covered = 0
    for (first, second), repeats in zip(drawn, times, strict=True):
        interval = metrics.compare_paired(*discordant(first, second, n)).difference
        covered += repeats * (interval.low <= only_second - only_first <= interval.high)
    assert covered / 2000 >= 0.94


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 500))
def test_swapping_the_models_turns_the_interval_around(only_first, only_second, more):
    n = only_first + only_second + more + 1
    first, second = discordant(only_first, only_second, n)
    there, back = metrics.compare_paired(first, second), metrics.compare_paired(second, first)
    assert (there.only_first, there.only_second) == (only_first, only_second)
    assert -1 <= there.difference.low <= there.difference.value <= there.difference.high <= 1
    assert (there.difference.low, there.difference.value) == pytest.approx(
        (-back.difference.high, -back.difference.value)
    )


def test_a_real_difference_is_significant():
    assert metrics.compare_paired(*discordant(60, 20, 5000)).significant


@pytest.mark.parametrize("compare", [metrics.compare_paired, metrics.flipped_per_class])
@pytest.mark.parametrize("other", [evaluation([0, 1], [1, 0]), evaluation([0, 1, 1], [0, 1, 1])])
def test_only_answers_on_the_same_images_compare(compare, other):
    with pytest.raises(ValueError, match="same images"):
        compare(evaluation([0, 1], [0, 1]), other)


def test_per_class_figures_by_hand():
    first = evaluation([0, 0, 1, 2, 2], [0, 1, 1, 2, 2], 4)
    second = evaluation([0, 1, 0, 2, 0], [0, 1, 1, 2, 2], 4)
    np.testing.assert_equal(metrics.accuracy_per_class(first), [1.0, 0.5, 1.0, np.nan])
    np.testing.assert_equal(metrics.flipped_per_class(first, second), [0, 2, 1, 0])
    assert metrics.flipped_per_class(first, second).sum() == len(metrics.compare_paired(first, second).flipped)


@pytest.mark.parametrize("measure", [metrics.accuracy_interval, metrics.accuracy_per_class])
@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (evaluation([], []), "no images"),
        (evaluation([0, 1], [0]), "one prediction for each label"),
        (evaluation([0, 1], [0, 7], 2), "labels must be from 0 to n_classes - 1 = 1, got 0 to 7"),
        (evaluation([0, 1], [-1, 0], 2), "got -1 to 0"),
    ],
)
def test_a_broken_evaluation_is_refused(measure, broken, message):
    with pytest.raises(ValueError, match=message):
        measure(broken)
