"""Signs as single bits, 64 to a word. A bit is 1 where a number is negative, and 0 where it is not."""

from dataclasses import dataclass

import numpy as np

__all__ = ["PackedSigns", "check_numbers", "pack_signs", "unpack_signs"]

WORD = 64


@dataclass(frozen=True, eq=False)
class PackedSigns:
    """Rows of signs. Bits behind the last sign are 0, so that xor finds no difference there.

    Attributes:
        words: uint64, shape (rows, ceil(length / 64)); the first sign is the lowest bit.
        length: signs of a row.
    """

    words: np.ndarray
    length: int

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.words), self.length


def check_numbers(values: np.ndarray, name: str, dims: int) -> None:
    """Raise unless `values` is an array of `dims` dimensions whose numbers can be negative."""
    if not isinstance(values, np.ndarray):
        raise TypeError(f"{name} must be a numpy array, got {type(values).__name__}; a tensor has .numpy()")
    if values.dtype.kind not in "if":
        raise TypeError(f"{name} must hold numbers that can be negative, got {values.dtype}")
    if values.ndim != dims:
        raise ValueError(f"{name} must have {dims} dimensions, got shape {values.shape}")


def raise_nan(name: str) -> None:
    raise ValueError(f"NaN has no sign; look for what made it in {name}")


def pack_signs(values: np.ndarray) -> PackedSigns:
    """One bit a number: 1 where it is below 0. Zero, also -0.0, counts as +1.

    Args:
        values: real or whole numbers, shape (rows, K). No rows and K = 0 are packed as they are.

    Raises:
        TypeError: no array, or a type without negative numbers.
        ValueError: NaN, or not two dimensions.

    >>> pack_signs(np.array([[-0.3, 0.0, 0.2, -1.0]])).words
    array([[9]], dtype=uint64)
    """
    check_numbers(values, "values", 2)
    if np.isnan(values).any():
        raise_nan("values")
    return _from_bits(values < 0)


def unpack_signs(packed: PackedSigns) -> np.ndarray:
    """-1 and +1 again, int8, shape (rows, K)."""
    return 1 - 2 * _bits(packed).astype(np.int8)


def _from_bits(bits: np.ndarray) -> PackedSigns:
    rows, length = bits.shape
    packed = np.zeros((rows, -(-length // WORD) * 8), np.uint8)
    packed[:, : -(-length // 8)] = np.packbits(bits, axis=1, bitorder="little")
    return PackedSigns(packed.view("<u8").astype(np.uint64, copy=False), length)


def _bits(packed: PackedSigns) -> np.ndarray:
    if not isinstance(packed, PackedSigns):
        raise TypeError(f"expected signs from pack_signs, got {type(packed).__name__}")
    little = packed.words.astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(little, axis=1, count=packed.length, bitorder="little")
