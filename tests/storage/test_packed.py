"""Packed whole numbers: by hand, and there and back."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labcore.storage import encoded_bytes, load_model_, read_container, save_model
from labcore.storage.packed import Packed, Signs


def test_two_codes_of_four_bits_fill_a_byte():
    arrays, info = Packed().encode(torch.tensor([7, -7, 1, -8], dtype=torch.int8))
    # Lowest bits first: -7 is 1001, -8 is 1000 in two's complement.
    assert arrays["bits"].tolist() == [0b1001_0111, 0b1000_0001]
    assert info == {"bits": 4, "signed": True, "shape": [4], "dtype": "int8"}


@pytest.mark.parametrize(
    ("values", "n_bits"),
    [
        ([0, 0], 1), ([0, 1], 1), ([3], 2), ([255], 8), ([-1], 1), ([-1, 0], 1), ([-1, 1], 2), ([-128, 127], 8),
        ([-129], 9),
    ],
)  # fmt: skip
def test_numbers_take_the_bits_they_need(values, n_bits):
    assert Packed().encode(torch.tensor(values))[1]["bits"] == n_bits


@settings(deadline=None)
@given(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=20), st.integers(0, 30))
def test_every_number_comes_back(values, fewer):
    tensor = torch.tensor([value >> fewer for value in values], dtype=torch.int32)
    assert torch.equal(Packed().decode(*Packed().encode(tensor)), tensor)


@pytest.mark.parametrize("shape", [(0,), (), (3, 0), (2, 3, 5)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int64])
def test_shape_and_type_come_back(shape, dtype):
    tensor = torch.ones(shape, dtype=dtype)
    back = Packed().decode(*Packed().encode(tensor))
    assert (back.shape, back.dtype) == (tensor.shape, tensor.dtype)
    assert torch.equal(back, tensor)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.complex64])
def test_what_is_no_whole_number_is_refused(dtype):
    with pytest.raises(TypeError, match="whole numbers"):
        Packed().encode(torch.zeros(2, dtype=dtype))


def test_a_file_holds_codes_of_two_bits_in_a_quarter_of_a_byte(tmp_path):
    holder = torch.nn.Module()
    holder.register_buffer("codes", torch.randint(-1, 2, (100, 100), dtype=torch.int8))
    sizes = {}
    for encoding in ("dense", "packed"):
        save_model(tmp_path / encoding, holder, encodings={"codes": encoding})
        sizes[encoding] = (tmp_path / encoding).stat().st_size
    assert encoded_bytes(holder.codes, "packed") == 2500
    assert 7400 < sizes["dense"] - sizes["packed"] < 7600
    assert torch.equal(read_container(tmp_path / "packed").tensors["codes"], holder.codes)
    other = torch.nn.Module()
    other.register_buffer("codes", torch.zeros(100, 100, dtype=torch.int8))
    load_model_(other, tmp_path / "packed")
    assert torch.equal(other.codes, holder.codes)


def test_signs_take_one_bit_each():
    codes = torch.tensor([[1, -1, -1, 1, 1], [1, 1, 1, 1, -1]], dtype=torch.int8)
    arrays, info = Signs().encode(codes)
    assert arrays["bits"].tolist() == [0b00000110, 0b10]
    back = Signs().decode(arrays, info)
    assert torch.equal(back, codes)
    assert back.dtype == torch.int8
    assert torch.equal(Signs().decode(*Signs().encode(codes.float())), codes.float())


def test_other_numbers_are_no_signs():
    with pytest.raises(ValueError, match=r"only -1 and \+1"):
        Signs().encode(torch.tensor([1, 0, -1]))
