"""How far values moved: SQNR, squared error, cosine, largest error."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from labcore import quantize
from labcore.quantize import measure_quality


def test_four_numbers_by_hand():
    quality = measure_quality(torch.tensor([3.0, 4.0, 0.0, 0.0]), torch.tensor([3.0, 4.0, 0.3, -0.4]))
    assert quality.sqnr_db == pytest.approx(20)  # 20 log10(5 / 0.5)
    assert quality.mse == pytest.approx(0.25 / 4)
    assert quality.cosine == pytest.approx(25 / (5 * math.sqrt(25.25)))
    assert quality.max_error == pytest.approx(0.4)


def test_twice_the_error_costs_six_decibels():
    x, error = torch.randn(2, 1000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    first, second = (measure_quality(x, x + share * error).sqnr_db for share in (0.01, 0.02))
    assert first - second == pytest.approx(20 * math.log10(2))


NUMBERS = st.integers(-(2**20), 2**20).map(lambda number: number / 1000)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1))
def test_against_numpy(pairs):
    x, y = np.array(pairs).T
    assume(x.any() and (x != y).any())
    quality = measure_quality(*map(torch.from_numpy, (x.copy(), y.copy())))
    assert quality.sqnr_db == pytest.approx(10 * np.log10((x**2).sum() / ((x - y) ** 2).sum()), abs=1e-9)
    assert quality.mse == pytest.approx(((x - y) ** 2).mean())
    assert quality.max_error == pytest.approx(np.abs(x - y).max())
    cosine = (x * y).sum() / math.sqrt((x**2).sum() * (y**2).sum()) if y.any() else 0.0
    assert quality.cosine == pytest.approx(cosine, abs=1e-9)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_sqnr_is_that_of_torchao():
    from torchao.quantization.utils import compute_error

    x = torch.randn(3, 400, generator=torch.Generator().manual_seed(0))
    y = quantize.fake_quantize(x, quantize.fit_grid(x, quantize.INT4))
    assert measure_quality(x, y).sqnr_db == pytest.approx(compute_error(x, y).item(), rel=1e-5)


@pytest.mark.parametrize(
    ("dtype", "size"),
    [
        (torch.float16, 6e4), (torch.float32, 1e-37), (torch.float32, 3e38), (torch.float64, 1e-300),
        (torch.float64, 1e300),
    ],
)  # fmt: skip
def test_size_of_the_values_does_not_matter(dtype, size):
    x = torch.tensor([size, -size / 2, 0.0], dtype=dtype)
    quality = measure_quality(x, x.double() * 0.9)
    assert quality.sqnr_db == pytest.approx(20, abs=1e-3)
    assert quality.cosine == pytest.approx(1)
    assert quality.max_error == pytest.approx(size / 10, rel=1e-3)


def test_no_error_and_nothing_but_error():
    x, zeros = torch.tensor([1.0, 2.0]), torch.zeros(2)
    for same in (x, zeros):
        quality = measure_quality(same, same.clone())
        assert (quality.sqnr_db, quality.mse, quality.cosine, quality.max_error) == (math.inf, 0, 1, 0)
    lost = measure_quality(x, zeros)
    assert (lost.sqnr_db, lost.cosine, lost.max_error) == (0, 0, 2)
    invented = measure_quality(zeros, x)
    assert (invented.sqnr_db, invented.cosine, invented.mse) == (-math.inf, 0, 2.5)


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        ([1.0], torch.ones(1), TypeError, "x must be a tensor, got list"),
        (torch.ones(1), None, TypeError, "approximated must be a tensor, got NoneType"),
        (torch.ones(2), torch.ones(3), ValueError, r"one shape with values in them, got \(2,\) and \(3,\)"),
        (torch.ones(0), torch.ones(0), ValueError, r"got \(0,\) and \(0,\)"),
        (torch.tensor([torch.nan]), torch.ones(1), ValueError, "x holds NaN"),
        (torch.ones(1), torch.tensor([torch.inf]), ValueError, "approximated holds NaN or infinity"),
    ],
)
def test_what_cannot_be_compared_is_refused(x, y, error, message):
    with pytest.raises(error, match=message):
        measure_quality(x, y)


# --- what a bit is worth ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("scheme", ["symmetric", "full", "torch", "affine"])
def test_a_bit_is_worth_six_decibels_on_gaussian_values(seed, scheme):
    x = torch.randn(100_000, generator=torch.Generator().manual_seed(seed))
    bits = np.arange(4, 9)
    grids = [quantize.fit_grid(x, quantize.int_format(int(each), scheme)) for each in bits]
    sqnr = [measure_quality(x, quantize.fake_quantize(x, grid)).sqnr_db for grid in grids]
    assert 6.0 <= np.polyfit(bits, sqnr, 1)[0] <= 6.6


def test_rounding_costs_a_twelfth_of_a_squared_step():
    x = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0))
    grid = quantize.fit_grid(x, quantize.INT8)
    quality = measure_quality(x, quantize.fake_quantize(x, grid))
    assert quality.mse == pytest.approx(float(grid.scale) ** 2 / 12, rel=0.01)


def test_finer_granularity_is_never_worse():
    x = torch.randn(64, 64, generator=torch.Generator().manual_seed(0)) * torch.logspace(-2, 0, 64)[:, None]
    order = quantize.PER_TENSOR, quantize.PER_CHANNEL, quantize.per_group(16), quantize.per_group(4)
    grids = [quantize.fit_grid(x, quantize.INT4, granularity=each) for each in order]
    sqnr = [measure_quality(x, quantize.fake_quantize(x, grid)).sqnr_db for grid in grids]
    assert sqnr == sorted(sqnr)
