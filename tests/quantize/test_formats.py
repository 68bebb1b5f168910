"""Formats: which codes there are, and how a range is laid on them."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labcore import quantize
from labcore.quantize.formats import NumberFormat, scale_and_zero_point

SCHEMES = "symmetric", "full", "torch", "affine"


@pytest.mark.parametrize(
    ("bits", "scheme", "signed", "qmin", "qmax"),
    [
        (8, "symmetric", True, -127, 127),
        (8, "full", True, -128, 127),
        (8, "torch", True, -128, 127),
        (8, "affine", True, -128, 127),
        (4, "symmetric", True, -7, 7),
        (2, "symmetric", True, -1, 1),
        (2, "full", True, -2, 1),
        (16, "affine", True, -32768, 32767),
        (8, "symmetric", False, 0, 255),
        (8, "full", False, 0, 255),
        (8, "torch", False, 0, 255),
        (8, "affine", False, 0, 255),
        (3, "affine", False, 0, 7),
        (1, "affine", False, 0, 1),
        (1, "affine", True, -1, 0),
        (1, "symmetric", False, 0, 1),
    ],
)
def test_codes_of_a_format(bits, scheme, signed, qmin, qmax):
    format = quantize.int_format(bits, scheme, signed)
    assert (format.qmin, format.qmax, format.n_levels) == (qmin, qmax, qmax - qmin + 1)


def test_four_bits_signed_and_symmetric_unless_told():
    assert quantize.int_format() == NumberFormat(4, "symmetric", True) == quantize.INT4


def test_named_formats_are_what_their_names_say():
    assert [each.name for each in (quantize.INT2, quantize.INT8, quantize.INT16, quantize.UINT8)] == [
        "int2 symmetric", "int8 symmetric", "int16 symmetric", "uint8 symmetric",
    ]  # fmt: skip
    assert quantize.INT8_AFFINE.name == "int8 affine"
    assert quantize.UINT8_AFFINE.name == "uint8 affine"


def test_formats_are_values():
    assert len({quantize.INT8, NumberFormat(8), NumberFormat(8, signed=False)}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        quantize.INT8.bits = 4


@pytest.mark.parametrize("bits", [True, 3.5, "8", None, 8.0])
def test_bits_of_another_type_are_refused(bits):
    with pytest.raises(TypeError, match="bits must be a whole number from 1 to 16, got"):
        quantize.int_format(bits)


@pytest.mark.parametrize("bits", [0, -1, 17, 32])
def test_bits_outside_one_to_sixteen_are_refused(bits):
    with pytest.raises(ValueError, match=f"from 1 to 16, got {bits}"):
        quantize.int_format(bits)


def test_unknown_scheme_lists_the_known_ones():
    with pytest.raises(ValueError, match="symmetric, full, torch, affine; got 'asymmetric'"):
        quantize.int_format(8, "asymmetric")


def test_signed_is_true_or_false():
    with pytest.raises(TypeError, match="signed must be True or False, got 'unsigned'"):
        quantize.int_format(8, "affine", "unsigned")


@pytest.mark.parametrize(("scheme", "signed"), [("symmetric", True), ("full", True), ("torch", True), ("torch", False)])
def test_one_bit_that_holds_no_positive_value_is_refused(scheme, signed):
    with pytest.raises(ValueError, match=r"2 bits or more, or scheme='affine'"):
        quantize.int_format(1, scheme, signed)


# --- from a range to scale and zero point, by hand ----------------------------------------------------


def laid_on(low: float, high: float, format: NumberFormat) -> tuple[float, int]:
    ends = (torch.tensor(end, dtype=torch.float64) for end in (low, high))
    scale, zero_point = scale_and_zero_point(*ends, format, torch.float64)
    return scale.item(), zero_point.item()


@pytest.mark.case("Q-sym-127.5")
@pytest.mark.parametrize(
    ("scheme", "signed", "low", "high", "scale", "zero_point", "decoded_high"),
    [
        ("symmetric", True, -1.0, 1.0, 1 / 127, 0, 1.0),
        ("full", True, -1.0, 1.0, 1 / 127, 0, 1.0),
        ("torch", True, -1.0, 1.0, 1 / 127.5, 0, 127 / 127.5),
        # Where the negative side is longer, only "full" uses the lowest code for it.
        ("symmetric", True, -1.0, 0.25, 1 / 127, 0, 32 / 127),
        ("full", True, -1.0, 0.25, 1 / 128, 0, 0.25),
        ("torch", True, -1.0, 0.25, 1 / 127.5, 0, 32 / 127.5),
        ("symmetric", False, -1.0, 1.0, 1 / 255, 0, 1.0),
        ("full", False, -1.0, 1.0, 1 / 255, 0, 1.0),
        ("torch", False, -1.0, 1.0, 1 / 127.5, 128, 127 / 127.5),
        ("affine", False, -1.0, 1.55, 0.01, 100, 1.55),
        ("affine", True, -1.0, 1.55, 0.01, -28, 1.55),
        ("affine", False, 0.0, 2.55, 0.01, 0, 2.55),
        ("affine", False, -2.55, 0.0, 0.01, 255, 0.0),
    ],
)
def test_eight_bits_on_a_range(scheme, signed, low, high, scale, zero_point, decoded_high):
    format = quantize.int_format(8, scheme, signed)
    assert laid_on(low, high, format) == (pytest.approx(scale, rel=1e-12), zero_point)
    grid = quantize.grid_from_range(low, high, format)
    assert quantize.fake_quantize(torch.tensor(high), grid).item() == pytest.approx(decoded_high, rel=1e-6)


def test_three_bits_on_a_range():
    assert laid_on(-2.0, 1.0, quantize.int_format(3)) == (pytest.approx(2 / 3), 0)
    assert laid_on(-2.0, 1.0, quantize.int_format(3, "full")) == (0.5, 0)
    assert laid_on(-2.0, 1.0, quantize.int_format(3, "torch")) == (pytest.approx(2 / 3.5), 0)
    assert laid_on(-2.0, 1.5, quantize.int_format(3, "affine")) == (0.5, 0)
    assert laid_on(-2.0, 1.5, quantize.int_format(3, "affine", signed=False)) == (0.5, 4)


@pytest.mark.case("Q-one-sided")
@pytest.mark.parametrize("format", [quantize.UINT8_AFFINE, quantize.INT8_AFFINE], ids=lambda format: format.name)
def test_range_is_extended_to_hold_zero(format):
    assert laid_on(1.0, 3.0, format) == (pytest.approx(3 / 255), format.qmin)
    assert laid_on(-3.0, -1.0, format) == (pytest.approx(3 / 255), format.qmax)


FORMATS = st.builds(NumberFormat, st.integers(2, 16), st.sampled_from(SCHEMES), st.booleans())


@given(FORMATS, st.tuples(st.floats(-1e300, 1e300), st.floats(-1e300, 1e300)))
def test_scale_is_positive_and_zero_has_a_code(format, ends):
    scale, zero_point = laid_on(min(ends), max(ends), format)
    assert 0 < scale < float("inf")
    assert format.qmin <= zero_point <= format.qmax
    assert format.qmin <= 0 <= format.qmax
    assert format.n_levels <= 2**format.bits
