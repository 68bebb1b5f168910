"""Three ways from real to whole numbers."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labcore import quantize
from labcore.quantize.rounding import rounding_rule

HALVES = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, -2.5])


@pytest.mark.case("Q-round")
@pytest.mark.parametrize(
    ("rounding", "expected"),
    [("half_even", [0, 2, 2, 0, -2, -2]), ("half_away", [1, 2, 3, -1, -2, -3])],
)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_halves(rounding, expected, dtype):
    assert rounding_rule(rounding)(HALVES.to(dtype)).tolist() == expected


@pytest.mark.case("Q-round")
@pytest.mark.parametrize(("rounding", "expected"), [("half_even", [3, 5, 5, 3]), ("half_away", [4, 5, 6, 2])])
def test_zero_point_is_added_after_rounding(rounding, expected):
    # Rounded after adding 3, the halves 3.5, 4.5, 5.5 and 2.5 would become 4, 4, 6 and 2.
    grid = quantize.Grid(quantize.UINT8_AFFINE, torch.tensor(1.0), torch.tensor(3, dtype=torch.int32))
    x = HALVES[:4]
    assert quantize.encode(x, grid, rounding=rounding).tolist() == expected
    assert quantize.fake_quantize(x, grid, rounding=rounding).tolist() == [code - 3 for code in expected]


@given(st.floats(-(2.0**30), 2.0**30, width=32))
def test_half_away_is_exact(x):
    expected = math.copysign(math.floor(abs(Fraction(x)) + Fraction(1, 2)), x)
    assert rounding_rule("half_away")(torch.tensor([x])).item() == expected


def test_half_away_keeps_the_number_just_below_a_half():
    just_below = torch.tensor([0.49999997, -0.49999997, 8388607.5 - 1])
    assert rounding_rule("half_away")(just_below).tolist() == [0, 0, 8388607]


def test_stochastic_rounding_is_right_on_average():
    x = torch.tensor([0.3, -1.7, 2.0, 0.0]).repeat_interleave(20_000)
    rounded = rounding_rule("stochastic", 0)(x).view(4, -1)
    # Four standard errors of the mean: sqrt(0.21 / 20,000) = 0.0032.
    assert torch.allclose(rounded.mean(1), torch.tensor([0.3, -1.7, 2.0, 0.0]), atol=0.013)
    assert rounded[0].unique().tolist() == [0, 1]
    assert rounded[1].unique().tolist() == [-2, -1]
    assert rounded[2:].unique().tolist() == [0, 2]


def test_stochastic_rounding_depends_on_its_seed_alone():
    x, before = torch.full((1000,), 0.5), torch.random.get_rng_state()
    first, again, other = (rounding_rule("stochastic", seed)(x) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("use", [quantize.encode, quantize.fake_quantize])
def test_unknown_rounding_lists_the_known_ones(use):
    grid = quantize.grid_from_range(-1.0, 1.0, quantize.INT8)
    with pytest.raises(ValueError, match="half_even, half_away, stochastic; got 'nearest'"):
        use(torch.zeros(2), grid, rounding="nearest")
