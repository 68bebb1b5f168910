"""Grids: from a range to scales, and from values to codes and back."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labcore import quantize
from labcore.quantize import PER_CHANNEL, PER_TENSOR, PER_TOKEN, per_group
from labcore.quantize.formats import NumberFormat

SCHEMES = "symmetric", "full", "torch", "affine"
ALL_FORMATS = [quantize.int_format(bits, scheme, signed) for bits in (2, 3, 8, 16) for scheme in SCHEMES
               for signed in (True, False)]  # fmt: skip
FORMATS = st.builds(NumberFormat, st.integers(2, 16), st.sampled_from(SCHEMES), st.booleans())
FLOATS = st.floats(-(2.0**100), 2.0**100, width=32)
TENSORS = st.lists(FLOATS, min_size=1, max_size=20).map(torch.tensor)
LARGEST = torch.finfo(torch.float32).max

by_name = {"ids": lambda format: format.name}


def half_step(grid: quantize.Grid) -> float:
    """Half a step, and what float32 rounds away on the way to a code and back."""
    return float(grid.scale.max()) * (0.5 + grid.format.n_levels * 2**-22)


# --- by hand ------------------------------------------------------------------------------------------


def test_four_numbers_by_hand():
    x = torch.tensor([-1.0, -0.26, 0.5, 1.5])
    grid = quantize.fit_grid(x, quantize.int_format(3, "affine", signed=False))
    assert grid.scale.item() == pytest.approx(2.5 / 7)
    assert grid.zero_point.item() == 3  # 1 / (2.5 / 7) = 2.8
    codes = quantize.encode(x, grid)
    assert codes.tolist() == [0, 2, 4, 7]  # -2.8, -0.73, 1.4, 4.2, rounded, plus 3
    assert quantize.decode(codes, grid).tolist() == pytest.approx([-7.5 / 7, -2.5 / 7, 2.5 / 7, 10 / 7])


@pytest.mark.parametrize(
    ("bits", "signed", "dtype"),
    [
        (2, True, torch.int8), (8, True, torch.int8), (9, True, torch.int16), (16, True, torch.int16),
        (1, False, torch.uint8), (8, False, torch.uint8), (9, False, torch.int16), (15, False, torch.int16),
        (16, False, torch.int32),
    ],
)  # fmt: skip
def test_codes_have_the_smallest_type_that_holds_them(bits, signed, dtype):
    format = quantize.int_format(bits, "affine", signed)
    assert quantize.encode(torch.zeros(2), quantize.grid_from_range(-1.0, 1.0, format)).dtype == dtype
    assert torch.iinfo(dtype).min <= format.qmin
    assert format.qmax <= torch.iinfo(dtype).max


def test_bounds_may_be_numbers_or_tensors():
    for low, high in ((-1, 2), (-1.0, 2.0), (np.float32(-1), np.float64(2)), (torch.tensor(-1.0), torch.tensor(2.0))):
        grid = quantize.grid_from_range(low, high, quantize.INT8)
        assert grid.scale.dtype == torch.float32
        assert grid.scale.item() == pytest.approx(2 / 127)


def test_bounds_per_channel():
    low, high = torch.tensor([-1.0, 0.0]), torch.tensor([0.5, 4.0])
    grid = quantize.grid_from_range(low, high, quantize.UINT8_AFFINE, granularity=PER_CHANNEL, axis=1)
    x = torch.tensor([[-1.0, 0.0], [0.5, 4.0]])
    assert quantize.encode(x, grid).tolist() == [[0, 0], [255, 255]]


# --- degenerate ranges --------------------------------------------------------------------------------


@pytest.mark.case("Q-const")
@pytest.mark.parametrize("format", ALL_FORMATS, **by_name)
def test_constant_comes_back_within_half_a_step(format):
    values = 5.0, -5.0, 1e-40, -1e-40, 1e-30, 3e38, LARGEST, -LARGEST, 0.0, -0.0
    for value, granularity in product(values, (PER_TENSOR, PER_CHANNEL, per_group(2), PER_TOKEN)):
        x = torch.full((3, 4), value)
        grid = quantize.fit_grid(x, format, granularity=granularity)
        assert grid.scale.isfinite().all()
        assert (grid.scale > 0).all()
        assert ((format.qmin <= grid.zero_point) & (grid.zero_point <= format.qmax)).all()
        decoded = quantize.decode(quantize.encode(x, grid), grid)
        assert torch.equal(decoded, quantize.fake_quantize(x, grid))
        if value < 0 and not format.signed and format.scheme in ("symmetric", "full"):
            assert (decoded == 0).all()
        else:
            assert ((decoded.double() - value).abs() <= half_step(grid)).all()


@pytest.mark.case("Q-const")
def test_constants_sit_at_the_ends_of_an_affine_range():
    for value, zero_point, code in ((5.0, 0, 255), (-5.0, 255, 0), (0.0, 0, 0)):
        x = torch.full((3,), value)
        grid = quantize.fit_grid(x, quantize.UINT8_AFFINE)
        assert grid.zero_point.item() == zero_point
        assert quantize.encode(x, grid).tolist() == [code] * 3
        assert quantize.fake_quantize(x, grid).tolist() == pytest.approx([value] * 3)


@pytest.mark.case("Q-const")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_ends_of_a_float_type_stay_finite(dtype):
    limits = torch.finfo(dtype)
    ends = [limits.min, 0.0, limits.max], [limits.smallest_normal, 0.0], [limits.smallest_normal / 8, 0.0]
    for format, values in product(ALL_FORMATS, ends):
        x = torch.tensor(values, dtype=dtype)
        grid = quantize.fit_grid(x, format)
        decoded = quantize.fake_quantize(x, grid)
        assert decoded.dtype == dtype
        assert decoded.isfinite().all()
        assert decoded[values.index(0.0)] == 0


@pytest.mark.case("Q-one-sided")
@pytest.mark.parametrize("values", [[1.0, 2.2, 3.0], [5.0, 5.5, 6.0], [-3.0, -2.0, -1.0], [-6.0, -5.5, -5.0]])
@pytest.mark.parametrize("format", [quantize.UINT8_AFFINE, quantize.int_format(4, "affine"), quantize.INT8], **by_name)
@pytest.mark.parametrize("granularity", [PER_TENSOR, PER_TOKEN, per_group(3)], **by_name)
def test_range_away_from_zero_is_kept(values, format, granularity):
    x = torch.tensor([values])
    grid = quantize.fit_grid(x, format, granularity=granularity)
    assert (quantize.fake_quantize(x, grid) - x).abs().max() <= half_step(grid)
    assert quantize.fake_quantize(torch.zeros(1, 3), grid).tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.case("Q-empty")
@pytest.mark.parametrize(
    ("shape", "granularity", "scales"),
    [
        ((0,), PER_TENSOR, ()), ((2, 0), PER_TENSOR, ()), ((2, 0), PER_CHANNEL, (2,)), ((0, 4), PER_CHANNEL, (0,)),
        ((2, 0), PER_TOKEN, (2,)), ((0, 4), PER_TOKEN, (0,)), ((2, 0), per_group(4), (2, 0)),
        ((0, 4), per_group(2), (0, 2)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("format", [quantize.INT8, quantize.UINT8_AFFINE], **by_name)
def test_no_values_count_as_zeros(shape, granularity, scales, format):
    x = torch.empty(shape)
    grid = quantize.fit_grid(x, format, granularity=granularity)
    assert grid.scale.shape == grid.zero_point.shape == scales
    assert (grid.scale == 1).all()
    codes = quantize.encode(x, grid)
    assert codes.shape == quantize.decode(codes, grid).shape == quantize.fake_quantize(x, grid).shape == shape


# --- codes never wrap ---------------------------------------------------------------------------------


@pytest.mark.case("Q-cast-wrap")
def test_values_outside_the_range_take_its_last_code():
    unit = quantize.Grid(quantize.INT8, torch.tensor(1.0), torch.tensor(0, dtype=torch.int32))
    assert quantize.encode(torch.tensor([200.0, -200.0, 1e30, torch.inf, -torch.inf]), unit).tolist() == [
        127, -127, 127, 127, -127,
    ]  # fmt: skip
    unsigned = quantize.Grid(quantize.UINT8, torch.tensor(1.0), torch.tensor(0, dtype=torch.int32))
    assert quantize.encode(torch.tensor([300.0, -1.0]), unsigned).tolist() == [255, 0]


@pytest.mark.case("Q-cast-wrap")
@given(TENSORS, st.lists(st.floats(width=32, allow_nan=False), min_size=1).map(torch.tensor), FORMATS)
def test_codes_stay_in_the_format(seen, x, format):
    codes = quantize.encode(x, quantize.fit_grid(seen, format)).int()
    assert ((format.qmin <= codes) & (codes <= format.qmax)).all()


# --- properties ---------------------------------------------------------------------------------------


@given(TENSORS, FORMATS)
def test_values_in_the_range_move_half_a_step_at_most(x, format):
    grid = quantize.fit_grid(x, format)
    step, zero = float(grid.scale), int(grid.zero_point)
    inside = x.double().clamp(step * (format.qmin - zero), step * (format.qmax - zero))
    moved = quantize.fake_quantize(x, grid).double() - inside
    assert moved.abs().max() <= half_step(grid)
    if format.scheme == "affine" or (format.signed and format.scheme != "torch"):
        assert (inside - x.double()).abs().max() <= half_step(grid)  # nothing was clipped


@given(TENSORS, FORMATS)
def test_grid_keeps_zero_order_and_itself(x, format):
    grid = quantize.fit_grid(x, format)
    assert quantize.fake_quantize(torch.zeros(3), grid).tolist() == [0.0, 0.0, 0.0]
    ascending = quantize.encode(x.sort().values, grid).int()
    assert (ascending.diff() >= 0).all()
    codes = torch.arange(format.qmin, format.qmax + 1)
    assert torch.equal(quantize.encode(quantize.decode(codes, grid), grid).long(), codes)


@given(TENSORS, FORMATS, st.sampled_from(["half_even", "half_away", "stochastic"]))
def test_fake_quantization_is_decoding_the_codes(x, format, rounding):
    grid = quantize.fit_grid(x, format)
    codes = quantize.encode(x, grid, rounding=rounding, seed=3)
    assert torch.equal(quantize.decode(codes, grid), quantize.fake_quantize(x, grid, rounding=rounding, seed=3))


# --- types and layouts --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("granularity", [PER_TENSOR, PER_CHANNEL, per_group(4), PER_TOKEN], **by_name)
def test_every_float_type_gives_the_codes_of_its_values(dtype, granularity):
    x = torch.randn(6, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    for format in (quantize.INT8_AFFINE, quantize.INT16):
        grid = quantize.fit_grid(x, format, granularity=granularity)
        assert grid.scale.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert grid.zero_point.dtype == torch.int32
        exact = quantize.fit_grid(x.double(), format, granularity=granularity)
        different = quantize.encode(x, grid).int() - quantize.encode(x.double(), exact).int()
        assert different.abs().max() <= (1 if format == quantize.INT16 else 0)  # float32 holds 16 bits but for ties
        assert quantize.fake_quantize(x, grid).dtype == dtype


@pytest.mark.parametrize("granularity", [PER_TENSOR, PER_CHANNEL, per_group(6), PER_TOKEN], **by_name)
def test_layout_in_memory_does_not_matter(granularity):
    x = torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    grid = quantize.fit_grid(x, quantize.INT8_AFFINE, granularity=granularity)
    codes = quantize.encode(x, grid)
    for other in (x.to(memory_format=torch.channels_last), x.transpose(0, 2).contiguous().transpose(0, 2)):
        assert torch.equal(quantize.fit_grid(other, quantize.INT8_AFFINE, granularity=granularity).scale, grid.scale)
        assert torch.equal(quantize.encode(other, grid), codes)
        assert torch.equal(quantize.fake_quantize(other, grid), quantize.decode(codes, grid))
        assert torch.equal(quantize.decode(codes.transpose(0, 2).contiguous().transpose(0, 2), grid),
                           quantize.decode(codes, grid))  # fmt: skip


def test_nothing_is_written_in_place():
    x = torch.randn(4, 6)
    grid = quantize.fit_grid(x, quantize.INT8_AFFINE, granularity=PER_CHANNEL)
    codes = quantize.encode(x, grid)
    kept = [each.clone() for each in (x, codes, grid.scale, grid.zero_point)]
    quantize.decode(codes, grid)
    for rounding in ("half_even", "half_away", "stochastic"):
        quantize.fake_quantize(x, grid, rounding=rounding)
    assert all(torch.equal(*pair) for pair in zip(kept, (x, codes, grid.scale, grid.zero_point), strict=True))


def test_float64_ranges_beyond_float32():
    x = torch.tensor([1e300, -1e308], dtype=torch.float64)
    grid = quantize.fit_grid(x, quantize.INT8_AFFINE)
    assert (quantize.fake_quantize(x, grid) - x).abs().max() <= grid.scale / 2 * (1 + 1e-12)
    with pytest.raises(ValueError, match="too wide for a scale in float32"):
        quantize.grid_from_range(-1e308, 1e308, quantize.INT8)


# --- what is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [torch.tensor([1, 2]), torch.tensor([True]), [1.0], None, torch.tensor([1j])])
def test_only_floating_point_is_quantized(bad):
    grid = quantize.grid_from_range(-1.0, 1.0, quantize.INT8)
    for use in (lambda: quantize.fit_grid(bad, quantize.INT8), lambda: quantize.encode(bad, grid),
                lambda: quantize.fake_quantize(bad, grid)):  # fmt: skip
        with pytest.raises(TypeError, match="floating-point numbers, got"):
            use()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("granularity", [PER_TENSOR, PER_CHANNEL, PER_TOKEN, per_group(2)], **by_name)
def test_range_of_nan_or_infinity_is_refused(bad, granularity):
    x = torch.randn(4, 6)
    x[2, 3] = bad
    with pytest.raises(ValueError, match="must be finite, got NaN or infinity"):
        quantize.fit_grid(x, quantize.INT8, granularity=granularity)


def test_nan_has_no_code():
    grid = quantize.grid_from_range(-1.0, 1.0, quantize.INT8)
    with pytest.raises(ValueError, match="1 of 3 values"):
        quantize.encode(torch.tensor([0.0, torch.nan, 1.0]), grid)


@pytest.mark.parametrize(("low", "high"), [("a", 1.0), (True, 1.0), (0.0, None), ([0.0], [1.0])])
def test_bounds_that_are_no_numbers_are_refused(low, high):
    with pytest.raises(TypeError, match=r"(low|high) must be a number or a tensor"):
        quantize.grid_from_range(low, high, quantize.INT8)


def test_bounds_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match="were they swapped"):
        quantize.grid_from_range(1.0, -1.0, quantize.INT8)


def test_bounds_of_a_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"per channel, low and high need one shape with 1 dimensions, got \(\)"):
        quantize.grid_from_range(-1.0, 1.0, quantize.INT8, granularity=PER_CHANNEL)
    with pytest.raises(ValueError, match=r"got \(2,\) and \(3,\)"):
        quantize.grid_from_range(torch.zeros(2), torch.zeros(3), quantize.INT8, granularity=PER_CHANNEL)


@pytest.mark.parametrize("bad", [torch.tensor([1.0]), torch.tensor([True]), [1]])
def test_codes_are_whole_numbers(bad):
    with pytest.raises(TypeError, match="whole numbers, got"):
        quantize.decode(bad, quantize.grid_from_range(-1.0, 1.0, quantize.INT8))


@pytest.mark.parametrize("bad", [-128, 128])
def test_codes_outside_the_format_are_refused(bad):
    with pytest.raises(ValueError, match=f"int8 symmetric has codes from -127 to 127, got {min(bad, 0)} to"):
        quantize.decode(torch.tensor([0, bad]), quantize.grid_from_range(-1.0, 1.0, quantize.INT8))
