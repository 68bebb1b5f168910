"""Rules that read a range from a histogram, against plain loops, raw data, numpy and what is known of the Gaussian."""

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from labcore import runtime
from labcore.quantize import INT2, INT4, INT8, INT8_AFFINE, INT16, UINT8, UINT8_AFFINE, int_format, measure_quality
from labcore.quantize.grids import fake_quantize, grid_from_range
from labcore.quantize.histogram import Histogram, NotCalibrated
from labcore.quantize.ranges import clipping_curve, entropy_bounds, kl_divergences, mse_bounds, percentile_bounds

FORMATS = [int_format(bits, scheme) for scheme in ("symmetric", "full", "torch", "affine") for bits in (3, 8)]
FORMATS += [INT16, UINT8, UINT8_AFFINE, int_format(1, "affine"), int_format(1, signed=False)]
FINITE = hnp.arrays(np.float32, st.integers(1, 50), elements=st.floats(-1e3, 1e3, width=32))


def histogram_of(values, **options):
    histogram = Histogram(**options)
    histogram.observe(torch.as_tensor(values))
    return histogram


def normal(n, seed=0):
    with runtime.fork_rng(seed):
        return torch.randn(n)


def gaussian(n=200_001):
    """No sample but the quantiles themselves: what is found is the Gaussian's, not the seed's."""
    return torch.from_numpy(stats.norm.ppf((np.arange(n) + 0.5) / n))


def raw_error(x, low, high, format):
    grid = grid_from_range(float(low), float(high), format)
    return float((fake_quantize(x, grid) - x).double().square().mean())


def every_rule(histogram, format):
    return [
        percentile_bounds(histogram, format, percentile=99.9), entropy_bounds(histogram, format),
        mse_bounds(histogram, format),
    ]  # fmt: skip


# --- all rules ----------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(FINITE, st.sampled_from(FORMATS))
@example(np.float32([16, -1.225e-42]), int_format(3))  # beside the largest value the other one is subnormal
def test_bounds_lie_within_the_data_and_make_a_grid(values, format):
    low, high = float(values.min()), float(values.max())
    for bounds in every_rule(histogram_of(values), format):
        assert min(low, 0) <= bounds[0] <= bounds[1] <= max(high, 0)
        grid = grid_from_range(*bounds, format)
        assert torch.isfinite(fake_quantize(torch.from_numpy(values), grid)).all()


@pytest.mark.case("Q-kl-calib")
@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
@pytest.mark.parametrize("value", [5.0, -5.0, 0.0003662109375, 4.0])
def test_one_value_keeps_its_range(format, value):
    values = torch.full((1000,), value)
    by_share, by_entropy, by_error = every_rule(histogram_of(values), format)
    assert by_share == by_entropy == (value, value)
    if format.scheme != "torch" and (value > 0 or format.signed):
        assert by_error == (value, value)
    # The scheme of torch does not hold its own bounds, so that others may be closer.
    assert raw_error(values, *by_error, format) <= raw_error(values, value, value, format)


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
def test_zeros_alone_have_the_range_zero(format):
    histogram = histogram_of(torch.zeros(100))
    assert every_rule(histogram, format) == [(0, 0)] * 3
    assert clipping_curve(histogram, format, [1.0]).total.tolist() == [0]


@pytest.mark.parametrize("exponent", [-90, -20, 3, 90])
@pytest.mark.parametrize("format", [INT8, int_format(4), INT8_AFFINE], ids=lambda format: format.name)
def test_another_unit_moves_the_bounds_with_the_data(format, exponent):
    values, factor = normal(3000), 2.0**exponent
    here, there = (every_rule(histogram_of(x), format) for x in (values, values * factor))
    np.testing.assert_allclose(there, np.array(here) * factor, rtol=1e-12)


@pytest.mark.parametrize("rule", [entropy_bounds, mse_bounds])
def test_the_mirror_image_has_mirrored_bounds(rule):
    values = normal(5000).exp()
    low, high = rule(histogram_of(values), INT8)
    assert rule(histogram_of(-values), INT8) == (-high, -low)


@pytest.mark.case("Q-empty")
def test_without_data_every_rule_says_which_layer_was_not_calibrated():
    empty = Histogram("head.fc")
    empty.observe(torch.empty(0, 10))
    for rule in (
        entropy_bounds, mse_bounds, lambda h, f: percentile_bounds(h, f, percentile=99.9),
        lambda h, f: clipping_curve(h, f, [1.0]),
    ):  # fmt: skip
        for format in (INT8, UINT8_AFFINE):
            with pytest.raises(NotCalibrated, match=r"'head.fc' has no range yet: observe at least one batch"):
                rule(empty, format)


# --- percentile ---------------------------------------------------------------------------------------


@pytest.mark.case("Q-kl-calib")
def test_ten_values_by_hand():
    histogram = histogram_of(torch.arange(10.0))
    assert percentile_bounds(histogram, INT8, percentile=99.9) == pytest.approx((0, 8.991), abs=1e-12)
    assert percentile_bounds(histogram, UINT8, percentile=90) == pytest.approx((0, 8.1), abs=1e-12)
    # Affine: 10 % at each end.
    assert percentile_bounds(histogram, UINT8_AFFINE, percentile=80) == pytest.approx((0.9, 8.1), abs=1e-12)


@given(FINITE, st.sampled_from(FORMATS))
def test_percentile_100_is_min_max(values, format):
    bounds = percentile_bounds(histogram_of(values), format, percentile=100)
    assert bounds == (values.min(), values.max())


@pytest.mark.parametrize("percentile", [99, 99.9, 99.99])
def test_percentiles_are_numpys(percentile):
    # The long tail is negative: looking at signed values alone would miss it.
    values = -(normal(100_000) + 0.2).exp() + 1
    exact, histogram = values.double().numpy(), histogram_of(values)
    of_magnitudes = np.percentile(abs(exact), percentile)
    bounds = percentile_bounds(histogram, INT8, percentile=percentile)
    assert bounds == pytest.approx((-of_magnitudes, exact.max()), abs=histogram.width)
    tail = (100 - percentile) / 2
    bounds = percentile_bounds(histogram, INT8_AFFINE, percentile=percentile)
    assert bounds == pytest.approx(np.percentile(exact, [tail, 100 - tail]), abs=histogram.width)


@pytest.mark.parametrize(
    ("percentile", "hint"), [(0.999, r"; did you mean 99\.9\?"), (0, ""), (49, ""), (100.1, ""), (math.nan, "")]
)
def test_a_percentile_outside_50_to_100_is_refused(percentile, hint):
    with pytest.raises(ValueError, match=rf"percentile must be in \[50, 100\], got {percentile}{hint}$"):
        percentile_bounds(histogram_of([1.0]), INT8, percentile=percentile)


@pytest.mark.parametrize("percentile", ["99", None, True])
def test_a_percentile_is_a_number(percentile):
    with pytest.raises(TypeError, match="percentile must be a number"):
        percentile_bounds(histogram_of([1.0]), INT8, percentile=percentile)


# --- entropy ------------------------------------------------------------------------------------------


def naive_divergence(counts, n_levels, i):
    """KL(P || Q) with lists: clip at bin i, merge to levels, spread evenly over the bins that are not empty."""
    bins = [float(c) for c in counts]
    bins[0] = bins[1]
    p = bins[:i]
    p[-1] += sum(bins[i:])
    levels = {}
    for j in range(i):
        if bins[j] > 0:
            levels.setdefault(j * n_levels // i, []).append(j)
    q = [0.0] * i
    for members in levels.values():
        for j in members:
            q[j] = sum(bins[k] for k in members) / len(members)
    return stats.entropy(p, q)


def naive_threshold_bin(counts, n_levels):
    best, best_i = math.inf, len(counts)
    for i in range(max(128, n_levels), len(counts) + 1):
        if counts[i - 1]:  # else infinite
            divergence = naive_divergence(counts, n_levels, i)
            if divergence <= best + 1e-10:
                best, best_i = divergence, i
    return best_i


@settings(max_examples=30)
@given(
    hnp.arrays(np.int64, st.integers(130, 220), elements=st.integers(0, 9) | st.just(0) | st.integers(0, 10**6)),
    st.sampled_from([1, 2, 7, 16, 128, 129]),
    st.integers(1, 50),
)
def test_divergences_are_those_of_a_plain_loop(counts, n_levels, last):
    counts[-1] = last
    candidates, divergences = kl_divergences(counts, n_levels)
    assert candidates.tolist() == [i for i in range(max(128, n_levels), len(counts) + 1) if counts[i - 1]]
    naive = [naive_divergence(counts, n_levels, i) for i in candidates]
    np.testing.assert_allclose(divergences, naive, rtol=1e-9, atol=1e-11)


def test_six_bins_by_hand(monkeypatch):
    monkeypatch.setattr("labcore.quantize.ranges._FIRST_CANDIDATE", 4)
    candidates, divergences = kl_divergences(np.array([99, 1, 3, 1, 0, 2]), 2)
    # The first bin takes 1. i = 4: P = 1 1 3 3 of 8, Q = 1 1 2 2 of 6. i = 6: P = 1 1 3 1 0 2, Q = 5/3 x 3, 3/2 0 3/2.
    assert candidates.tolist() == [4, 6]
    by_hand = [
        2 * 1 / 8 * math.log(6 / 8) + 2 * 3 / 8 * math.log(3 * 6 / (2 * 8)),
        2 / 8 * math.log(3 / 5) + 3 / 8 * math.log(9 / 5) + 1 / 8 * math.log(2 / 3) + 2 / 8 * math.log(4 / 3),
    ]
    np.testing.assert_allclose(divergences, by_hand, rtol=1e-12)


# Quantiles of the exponential distribution in 131 bins: few enough for the plain loop, and 7, 8, 9, 16, 128, 129 and
# 256 levels have different thresholds, all below the maximum.
POSITIVE = torch.from_numpy((stats.expon.ppf((np.arange(20_000) + 0.5) / 20_000) * 16).round() / 16)
BOTH_SIGNS = POSITIVE * torch.tensor([1, -1]).repeat(10_000)


@pytest.mark.parametrize(
    ("format", "values", "n_levels"),
    [
        (INT8, BOTH_SIGNS, 128), (INT4, BOTH_SIGNS, 8), (int_format(8, "torch"), POSITIVE, 128),
        (int_format(4, "full"), POSITIVE, 8), (int_format(4, "full"), -POSITIVE, 9), (UINT8, POSITIVE, 256),
        (int_format(4, signed=False), POSITIVE, 16), (int_format(4, "affine"), POSITIVE, 16),
        (int_format(4, "affine"), -POSITIVE, 16), (int_format(3, "affine", signed=False), -POSITIVE, 8),
    ],
    ids=lambda value: value.name if hasattr(value, "name") else "",
)  # fmt: skip
def test_the_threshold_is_that_of_a_plain_loop_with_the_levels_of_the_format(format, values, n_levels):
    histogram = histogram_of(values)
    counts = histogram.magnitude_counts().tolist()
    threshold = naive_threshold_bin(counts, n_levels) * histogram.width
    low, high = values.min().item(), values.max().item()
    assert entropy_bounds(histogram, format) == (max(low, -threshold), min(high, threshold))


def test_more_bits_keep_more():
    histogram = histogram_of(gaussian())
    thresholds = [entropy_bounds(histogram, int_format(bits))[1] for bits in (2, 3, 4, 5)]
    assert thresholds == sorted(thresholds)
    assert thresholds[0] < 0.9 * thresholds[-1]


@pytest.mark.case("Q-kl-calib")
@pytest.mark.parametrize("format", [INT8, int_format(4), UINT8_AFFINE], ids=lambda format: format.name)
def test_a_thousand_times_the_data_keep_the_same_threshold(format):
    values = normal(2000)
    assert entropy_bounds(histogram_of(values.repeat(1000)), format) == entropy_bounds(histogram_of(values), format)


@pytest.mark.case("Q-kl-calib")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [1000, 10_000])
def test_one_outlier_at_8_sigma_is_clipped(n, seed):
    values = normal(n, seed)
    values[0] = 8
    assert 2.5 < entropy_bounds(histogram_of(values), INT8)[1] < 4


def test_with_a_million_values_the_outlier_still_goes_and_the_tail_stays():
    values = normal(1_000_000)
    largest = values.abs().max().item()
    values[0] = 8
    assert 4 < entropy_bounds(histogram_of(values), INT8)[1] < largest


@pytest.mark.case("Q-kl-calib")
def test_a_sparse_histogram_keeps_everything():
    # Every level holds one value: the whole range loses nothing.
    values = torch.linspace(-1, 1, 11)
    for format in (INT8, INT8_AFFINE, int_format(5)):
        assert entropy_bounds(histogram_of(values), format) == (-1, 1)


def test_with_more_levels_than_bins_everything_is_kept():
    values = normal(1000)
    assert entropy_bounds(histogram_of(values), INT16) == (values.min(), values.max())


def test_zeros_do_not_decide_but_a_spike_elsewhere_does():
    values = normal(20_000).abs()
    alone = entropy_bounds(histogram_of(values), INT8)[1]
    zeros = entropy_bounds(histogram_of(torch.cat([values, torch.zeros(1_000_000)])), INT8)[1]
    assert zeros == pytest.approx(alone, rel=0.05)
    # A constant background, as in standardised images: the rule keeps little more than the spike.
    spike = entropy_bounds(histogram_of(torch.cat([values, torch.full((20_000,), 0.8)])), INT4)[1]
    assert spike < 0.5 * entropy_bounds(histogram_of(values), INT4)[1]


# --- squared error ------------------------------------------------------------------------------------

DATA = {
    "normal": normal(20_000),
    "relu": normal(20_000).relu(),
    "long tail": normal(20_000).exp() - 1,
    "shifted": normal(20_000) + 1,
    "all negative": -normal(20_000).abs() - 0.5,
    "outlier": torch.cat([normal(20_000), torch.tensor([8.0, -30.0])]),
    "rare negative": torch.cat([3 * normal(20_000).abs(), torch.tensor([-1.0, -2.0])]),
}


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize(
    "format", [INT2, int_format(3), INT8, int_format(4, "torch"), int_format(4, "full")], ids=lambda format: format.name
)
def test_the_squared_error_is_the_smallest_of_a_search_on_the_raw_data(name, format):
    x = DATA[name]
    largest = x.abs().max().item()
    searched = min(
        raw_error(x, max(x.min().item(), -t), min(x.max().item(), t), format)
        for t in np.geomspace(largest / 50, largest, 300)
        if t >= -x.max() and t >= x.min()
    )
    assert raw_error(x, *mse_bounds(histogram_of(x), format), format) <= 1.01 * searched


@pytest.mark.slow
@pytest.mark.parametrize("name", ["normal", "shifted", "outlier", "rare negative", "relu", "all negative"])
@pytest.mark.parametrize("bits", [3, 4, 8])
def test_affine_squared_error_is_the_smallest_of_a_search_over_both_ends(name, bits):
    x, format = torch.cat([DATA[name][:6000], DATA[name][-2:]]), int_format(bits, "affine", signed=False)
    low, high = min(x.min().item(), 0), max(x.max().item(), 0)
    shares = 2.0 ** -np.arange(0, 5, 1 / 6)
    searched = min(
        raw_error(x, low * a, high * b, format) for a in (shares if low else [1]) for b in (shares if high else [1])
    )
    assert raw_error(x, *mse_bounds(histogram_of(x), format), format) <= 1.01 * searched


@pytest.mark.parametrize("scheme", ["symmetric", "affine"])
def test_bounds_of_smallest_error_are_exact_in_single_precision(scheme):
    # A grid stores its scale so, and an affine zero point at [-t, t] lies between two codes: one digit decides.
    for x in (DATA["normal"], DATA["shifted"], 1e-3 * DATA["outlier"]):
        bounds = mse_bounds(histogram_of(x), int_format(3, scheme))
        assert bounds == tuple(np.float32(bounds).tolist())


@pytest.mark.parametrize(("bits", "sigmas"), [(2, 1.224), (3, 1.95), (4, 2.5), (6, 3.25), (8, 3.92)])
def test_the_best_clip_of_a_gaussian_grows_with_the_bits(bits, sigmas):
    low, high = mse_bounds(histogram_of(gaussian()), int_format(bits))
    assert high == pytest.approx(sigmas, rel=0.025)
    assert low == pytest.approx(-high, rel=1e-12)


@pytest.mark.parametrize(("bits", "sqnr_db"), [(2, 7.2), (3, 13.3), (4, 18.9), (6, 29.7), (8, 40.5)])
def test_what_the_best_clip_of_a_gaussian_gives(bits, sqnr_db):
    x, format = gaussian(), int_format(bits)
    grid = grid_from_range(*mse_bounds(histogram_of(x), format), format)
    assert measure_quality(x, fake_quantize(x, grid)).sqnr_db == pytest.approx(sqnr_db, abs=0.12)


# --- clip or round ------------------------------------------------------------------------------------


def test_four_values_split_by_hand():
    # 2 bits: levels -2, 0, 2. 4 is clipped to 2; 1 and -1 round to 0 (half to even); 2 stays. Squares: 16 + 1 + 4 + 1.
    curve = clipping_curve(histogram_of([4.0, 1, 2, -1]), INT2, [2, 4])
    np.testing.assert_allclose(curve.clipping, [4 / 22, 0], atol=1e-12)
    # At 4 the levels are -4, 0, 4: 4 stays, 1 and -1 go to 0, and so does 2.
    np.testing.assert_allclose(curve.rounding, [2 / 22, 6 / 22], rtol=1e-9)
    np.testing.assert_allclose(curve.total, [6 / 22, 6 / 22], rtol=1e-9)
    assert curve.thresholds.tolist() == [2, 4]
    assert curve.format == "int2 symmetric"


@pytest.mark.parametrize("format", [INT4, INT8, int_format(3, "torch"), int_format(4, "affine")], ids=lambda f: f.name)
def test_the_total_is_the_error_of_the_raw_data(format):
    x = normal(50_000)
    # In single precision, as a grid takes them: the affine zero point at [-t, t] turns on the last digit.
    thresholds = np.linspace(0.5, x.abs().max().item(), 12).astype(np.float32).tolist()
    curve = clipping_curve(histogram_of(x), format, thresholds)
    measured = [
        measure_quality(x, fake_quantize(x, grid_from_range(max(-t, x.min().item()), min(t, x.max().item()), format)))
        for t in thresholds
    ]
    np.testing.assert_allclose(-10 * np.log10(curve.total), [quality.sqnr_db for quality in measured], atol=0.01)


def test_clipping_falls_and_rounding_rises_with_the_threshold():
    x = gaussian()
    histogram = histogram_of(x)
    thresholds = np.linspace(0.25, histogram.max_magnitude, 60)
    curve = clipping_curve(histogram, INT4, thresholds)
    assert (np.diff(curve.clipping) <= 0).all()
    assert (np.diff(curve.rounding) > 0).all()
    assert curve.clipping[-1] == 0
    assert curve.clipping[0] > 100 * curve.rounding[0]
    # A U: down to the best threshold, then up; the squared-error rule finds its bottom.
    bottom = curve.total.argmin()
    assert (np.diff(curve.total)[:bottom] < 0).all()
    assert (np.diff(curve.total)[bottom:] > 0).all()
    assert curve.best == thresholds[bottom]
    assert mse_bounds(histogram, INT4)[1] == pytest.approx(curve.best, abs=2 * (thresholds[1] - thresholds[0]))


@pytest.mark.parametrize("candidates", [[], [0.0], [-1.0], [math.nan], [math.inf, 1], [[1.0, 2.0]]])
def test_thresholds_that_clip_nothing_sensible_are_refused(candidates):
    with pytest.raises(ValueError, match="candidates must be positive finite thresholds, at least one"):
        clipping_curve(histogram_of([1.0]), INT8, candidates)
