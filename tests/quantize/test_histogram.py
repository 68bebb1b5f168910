import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labcore import runtime
from labcore.quantize.histogram import Histogram, NotCalibrated

HALF = 4096


def histogram_of(*batches, **options):
    histogram = Histogram(**options)
    for batch in batches:
        histogram.observe(torch.as_tensor(batch))
    return histogram


def contents(histogram):
    """Width, and what each bin that is not empty holds: position from zero outwards -> count."""
    filled = np.flatnonzero(histogram.counts)
    return histogram.width, {int(k) - HALF: int(histogram.counts[k]) for k in filled}


def naive_contents(values):
    largest = max(abs(v) for v in values)
    width = 2.0 ** (math.floor(math.log2(largest)) + 1 - 12)
    bins = {}
    for v in values:
        k = math.floor(abs(v) / width)
        k = k if v >= 0 else -1 - k
        bins[k] = bins.get(k, 0) + 1
    return width, bins


def normal(*shape, seed=0):
    with runtime.fork_rng(seed):
        return torch.randn(*shape)


def test_four_values_by_hand():
    # 4,096 bins of 2^-10 reach to 4, the first power of two above 3.
    histogram = histogram_of([3.0, -1.0, 0.5, 0.0])
    assert contents(histogram) == (2**-10, {3072: 1, -1025: 1, 512: 1, 0: 1})
    assert histogram.range == (-1, 3)
    assert (histogram.max_magnitude, histogram.n_values) == (3, 4)
    counts, means = histogram.filled()
    assert counts.tolist() == [1, 1, 1, 1]
    assert means.tolist() == [-1, 0, 0.5, 3]
    folded = histogram.magnitude_counts()
    assert len(folded) == 3073
    assert np.flatnonzero(folded).tolist() == [0, 512, 1024, 3072]


def test_bins_are_those_of_a_plain_loop():
    values = normal(2000)
    assert contents(histogram_of(values)) == naive_contents(values.tolist())


BATCHES = st.lists(
    hnp.arrays(np.float32, st.integers(0, 30), elements=st.floats(-1e6, 1e6, width=32)), min_size=1, max_size=6
)


@given(BATCHES, st.randoms())
def test_bins_do_not_depend_on_how_the_data_arrive(batches, random):
    whole = histogram_of(np.concatenate(batches))
    random.shuffle(batches)
    parts = histogram_of(*batches)
    assert contents(parts) == contents(whole)
    if whole.n_values:
        assert parts.range == whole.range
        np.testing.assert_allclose(parts.filled()[1], whole.filled()[1], rtol=1e-9, atol=1e-9 * whole.width)


@given(hnp.arrays(np.float32, st.integers(1, 60), elements=st.floats(-1e6, 1e6, width=32)))
def test_the_mirror_image_has_mirrored_bins_and_the_same_magnitudes(values):
    values = values + np.float32(0)  # no negative zeros: zero itself has no side
    values = values[values != 0]
    if len(values):
        histogram, mirror = histogram_of(values), histogram_of(-values)
        assert mirror.counts.tolist() == histogram.counts[::-1].tolist()
        assert mirror.magnitude_counts().tolist() == histogram.magnitude_counts().tolist()


def test_growing_from_tiny_to_huge_loses_no_count():
    batches = [normal(100, seed=k) * 10.0**k for k in range(-30, 31, 6)]
    histogram = histogram_of(*batches)
    assert histogram.n_values == 100 * len(batches)
    assert contents(histogram) == contents(histogram_of(torch.cat(batches[::-1])))
    assert histogram.magnitude_counts().sum() == histogram.n_values


def test_the_largest_magnitude_lies_in_the_upper_half_and_in_the_last_bin():
    for largest in (1e-42, 0.75, 1.0, 127.99, 128.0, 3.4e38):
        folded = histogram_of([0.0, -largest]).magnitude_counts()
        assert 2049 <= len(folded) <= 4096
        assert folded[-1] == folded[0] == 1


def test_every_kind_of_floating_point_number_is_read():
    values = torch.tensor([-1.5, 0.25, 3.0])
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        assert contents(histogram_of(values.to(dtype))) == contents(histogram_of(values))
    extremes = histogram_of(torch.tensor([5e-324, -1.7e308, 1.7e308, 1.6e308], dtype=torch.float64))
    assert extremes.n_values == 4
    assert np.isfinite(extremes.filled()[1]).all()
    assert histogram_of(torch.tensor([5e-324, 1e-310], dtype=torch.float64)).range == (5e-324, 1e-310)


def test_views_and_gradients_are_welcome_and_the_input_stays():
    x = normal(6, 8).requires_grad_()
    copy = x.detach().clone()
    assert contents(histogram_of(x.t()[::2])) == contents(histogram_of(copy.t()[::2].contiguous()))
    assert torch.equal(x, copy)


@pytest.mark.case("Q-empty")
@pytest.mark.parametrize("empty", [torch.empty(0), torch.empty(0, 3), torch.empty(2, 0, 4)])
def test_a_batch_without_values_changes_nothing(empty):
    histogram = histogram_of([1.0, -2.0])
    before = contents(histogram), histogram.range
    histogram.observe(empty)
    assert (contents(histogram), histogram.range) == before
    histogram.observe(torch.tensor([5.0]))
    assert contents(histogram) == contents(histogram_of([1.0, -2.0, 5.0]))
    with pytest.raises(NotCalibrated, match=r"'stem.conv' has no range yet"):
        histogram_of(empty, name="stem.conv").quantile(0.5)


@pytest.mark.case("Q-nonfinite-calib")
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_an_error_that_names_the_layer(bad):
    histogram = histogram_of([1.0, -2.0], name="block2.conv")
    before = contents(histogram), histogram.range
    with pytest.raises(ValueError, match=r"'block2.conv' hold NaN or infinity \(2 of 4 values\).*nan_policy='ignore'"):
        histogram.observe(torch.tensor([1.0, bad, 9.0, bad]))
    assert (contents(histogram), histogram.range) == before
    with pytest.raises(NotCalibrated):
        histogram_of([bad], nan_policy="ignore").range  # noqa: B018
    kept = histogram_of([1.0, bad, 9.0], [bad], nan_policy="ignore")
    assert contents(kept) == contents(histogram_of([1.0, 9.0]))
    assert kept.range == (1, 9)


@pytest.mark.parametrize("bad", [[1.0], np.ones(3), 1.0, None])
def test_only_tensors_are_observed(bad):
    with pytest.raises(TypeError, match=r"'fc' observes tensors of floating-point.*, got (list|ndarray|float|None)"):
        Histogram("fc").observe(bad)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.uint8, torch.complex64])
def test_only_floating_point_numbers_are_observed(dtype):
    with pytest.raises(TypeError, match=f"got {dtype}"):
        Histogram().observe(torch.ones(3, dtype=dtype))


@pytest.mark.case("Q-kl-calib")
def test_a_quantile_of_few_values_interpolates_and_never_passes_the_largest():
    histogram = histogram_of(torch.arange(10.0))
    assert histogram.quantile(0.999) == pytest.approx(8.991, abs=1e-12)
    assert histogram.magnitude_quantile(0.999) == pytest.approx(8.991, abs=1e-12)
    assert histogram_of(-torch.arange(10.0)).magnitude_quantile(0.999) == pytest.approx(8.991, abs=1e-12)
    assert (histogram.quantile(0), histogram.quantile(0.5), histogram.quantile(1)) == (0, 4.5, 9)
    alone = histogram_of([-7.0])
    assert (alone.quantile(0), alone.quantile(1), alone.magnitude_quantile(0.9)) == (-7, -7, 7)


@given(
    hnp.arrays(np.float32, st.integers(1, 80), elements=st.floats(-1e3, 1e3, width=32)),
    st.floats(0, 1),
)
def test_quantiles_are_numpys_to_a_bin(values, share):
    histogram = histogram_of(values)
    exact = values.astype(np.float64)
    assert histogram.quantile(share) == pytest.approx(np.quantile(exact, share), abs=histogram.width)
    folded = np.quantile(abs(exact), share)
    assert histogram.magnitude_quantile(share) == pytest.approx(folded, abs=histogram.width)
    assert histogram.range[0] <= histogram.quantile(share) <= histogram.range[1]
    assert histogram.magnitude_quantile(share) <= histogram.max_magnitude
    assert (histogram.quantile(0), histogram.quantile(1)) == (exact.min(), exact.max())
    assert histogram.magnitude_quantile(1) == abs(exact).max()


@pytest.mark.parametrize("share", [0.0005, 0.25, 0.99, 0.999, 0.9999])
def test_quantiles_of_many_values_are_numpys_to_a_bin(share):
    values = normal(50_000)
    histogram = histogram_of(*values.split(700))
    assert histogram.quantile(share) == pytest.approx(np.quantile(values.double(), share), abs=histogram.width)
    folded = np.quantile(values.double().abs(), share)
    assert histogram.magnitude_quantile(share) == pytest.approx(folded, abs=histogram.width)


def test_zeros_alone_are_all_in_one_bin_until_something_comes():
    histogram = histogram_of(torch.zeros(5))
    assert (histogram.range, histogram.quantile(0.9), histogram.magnitude_counts().tolist()) == ((0, 0), 0, [5])
    histogram.observe(torch.tensor([2.0]))
    assert contents(histogram) == contents(histogram_of([0.0, 0, 0, 0, 0, 2.0]))
