"""Multipliers and shifts against exact fractions."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labcore.quantize.fixed_point import rescale, to_fixed_point


def half_away(value: Fraction) -> int:
    """The nearest whole number, of two equally near ones the one further from zero."""
    whole = int(abs(value) + Fraction(1, 2))
    return whole if value >= 0 else -whole


@pytest.mark.parametrize(
    ("factor", "multiplier", "shift"),
    [(0.5, 2**30, 31), (1.0, 2**30, 30), (0.75, 3 * 2**29, 31), (3.0, 3 * 2**29, 29), (2.0**-31, 2**30, 61)],
)
def test_factors_by_hand(factor, multiplier, shift):
    got = to_fixed_point(torch.tensor(factor, dtype=torch.float64))
    assert [int(each) for each in got] == [multiplier, shift]


def test_a_factor_just_below_a_power_of_two_rounds_up_to_it():
    multiplier, shift = to_fixed_point(torch.tensor(1 - 2.0**-40, dtype=torch.float64))
    assert (int(multiplier), int(shift)) == (2**30, 30)


@settings(deadline=None)
@given(st.floats(2.0**-31, 2.0**29))
def test_a_factor_is_kept_to_31_bits(factor):
    multiplier, shift = to_fixed_point(torch.tensor(factor, dtype=torch.float64))
    assert 2**30 <= int(multiplier) < 2**31
    assert abs(Fraction(int(multiplier), 2 ** int(shift)) / Fraction(factor) - 1) <= Fraction(1, 2**31)


@pytest.mark.case("Q-round")
def test_halves_go_away_from_zero():
    sums = torch.tensor([1, 3, 5, -1, -3, -5, 2, -2, 0])
    multiplier, shift = to_fixed_point(torch.tensor(0.5))
    assert rescale(sums, multiplier, shift).tolist() == [1, 2, 3, -1, -2, -3, 1, -1, 0]


@settings(deadline=None)
@given(st.integers(-(2**31), 2**31 - 1), st.floats(2.0**-31, 2.0**20))
def test_rescaling_is_the_exact_product_rounded_once(total, factor):
    multiplier, shift = to_fixed_point(torch.tensor(factor, dtype=torch.float64))
    expected = half_away(Fraction(total * int(multiplier), 2 ** int(shift)))
    assert int(rescale(torch.tensor([total], dtype=torch.int32), multiplier, shift)) == expected


def test_a_factor_too_small_for_any_sum_gives_zero():
    multiplier, shift = to_fixed_point(torch.tensor(2.0**-80, dtype=torch.float64))
    assert int(rescale(torch.tensor([2**31 - 1]), multiplier, shift)) == 0


@pytest.mark.parametrize("factor", [0.0, -0.5, float("nan"), float("inf"), 2.0**30])
def test_impossible_factors_are_refused(factor):
    with pytest.raises(ValueError, match="a factor must be"):
        to_fixed_point(torch.tensor(factor, dtype=torch.float64))


def test_sums_given_are_left_as_they_were():
    sums = torch.tensor([5, -5])
    rescale(sums, *to_fixed_point(torch.tensor(0.5)))
    assert sums.tolist() == [5, -5]
