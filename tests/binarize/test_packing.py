"""Signs become bits and come back; what has no sign is refused."""

import numpy as np
import pytest
import torch

from labcore import binarize

LENGTHS = (1, 31, 32, 33, 63, 64, 65, 1000, 4608)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_four_numbers_by_hand():
    packed = binarize.pack_signs(np.array([[-0.3, 0.0, 0.2, -1.0]]))
    assert packed.words.tolist() == [[0b1001]]
    assert packed.shape == (1, 4)
    assert binarize.unpack_signs(packed).tolist() == [[-1, 1, 1, -1]]


@pytest.mark.case("B-sign0")
def test_zeros_count_as_plus_one_and_denormals_by_their_sign():
    tiny = np.finfo(np.float32).smallest_subnormal
    values = np.array([[0.0, -0.0, tiny, -tiny, np.inf, -np.inf]], np.float32)
    signs = binarize.unpack_signs(binarize.pack_signs(values))
    assert signs.tolist() == [[1, 1, 1, -1, 1, -1]]
    assert signs.tolist() == binarize.binary_sign(torch.from_numpy(values)).tolist()


@pytest.mark.case("B-sign0")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_nan_has_no_sign(dtype):
    with pytest.raises(ValueError, match="NaN has no sign"):
        binarize.pack_signs(np.array([[1, np.nan, -1]], dtype))


@pytest.mark.parametrize("length", LENGTHS)
def test_signs_come_back_and_bits_behind_them_are_zero(length):
    values = normal(3, length)
    packed = binarize.pack_signs(values)
    assert packed.words.dtype == np.uint64
    assert packed.words.shape == (3, -(-length // 64))
    assert (binarize.unpack_signs(packed) == np.where(values < 0, -1, 1)).all()
    assert (np.bitwise_count(packed.words).sum(1) == (values < 0).sum(1)).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.int16, np.int32, np.int64])
def test_every_type_of_number_gives_the_same_bits(dtype):
    values = np.round(3 * normal(4, 70)).astype(dtype)
    expected = binarize.pack_signs(values.astype(np.float64)).words
    assert (binarize.pack_signs(values).words == expected).all()


def test_smallest_double_keeps_its_sign():
    assert binarize.unpack_signs(binarize.pack_signs(np.array([[-5e-324, 5e-324]]))).tolist() == [[-1, 1]]


def test_arrays_may_lie_in_any_order_and_stay_as_they_are():
    values = normal(140, 9)
    kept = values.copy()
    for view in (values.T, values[::3, ::-2], np.asfortranarray(values)):
        assert (binarize.unpack_signs(binarize.pack_signs(view)) == np.where(view < 0, -1, 1)).all()
    assert (values == kept).all()


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
def test_nothing_is_packed_as_nothing(shape):
    packed = binarize.pack_signs(np.zeros(shape))
    assert packed.shape == shape
    assert binarize.unpack_signs(packed).shape == shape


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (torch.zeros(2, 2), TypeError, "numpy array, got Tensor"),
        ([[1.0]], TypeError, "got list"),
        (np.zeros((2, 2), bool), TypeError, "can be negative, got bool"),
        (np.zeros((2, 2), np.uint8), TypeError, "got uint8"),
        (np.zeros((2, 2), complex), TypeError, "got complex128"),
        (np.zeros(4), ValueError, r"2 dimensions, got shape \(4,\)"),
        (np.zeros((1, 2, 2)), ValueError, "2 dimensions"),
    ],
)
def test_what_cannot_be_packed_is_named(values, error, message):
    with pytest.raises(error, match=message):
        binarize.pack_signs(values)


def test_only_packed_signs_are_unpacked():
    with pytest.raises(TypeError, match="signs from pack_signs, got ndarray"):
        binarize.unpack_signs(np.zeros((2, 2)))
