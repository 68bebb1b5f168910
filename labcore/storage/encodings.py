"""Ways to write one tensor as named arrays, by name; what each of them costs in bytes."""

import gzip
from typing import Protocol

from torch import Tensor

from labcore.storage.packed import Packed, Signs
from labcore.storage.sparse import Bitmap, Csr, Relative, rows_of_bytes

__all__ = ["ENCODINGS", "FILE_ENCODINGS", "Encoding", "encoded_bytes", "encoding_sizes", "gzip_bytes"]


class Encoding(Protocol):
    """One way to write a tensor as named arrays and a few JSON values."""

    def encode(self, tensor: Tensor) -> tuple[dict[str, Tensor], dict]:
        """Arrays by part name, and what else `decode` needs. The tensor is not changed."""

    def decode(self, arrays: dict[str, Tensor], info: dict) -> Tensor:
        """The tensor, with its shape and type."""


class _Dense:
    """Every value at its own width."""

    def encode(self, tensor: Tensor) -> tuple[dict[str, Tensor], dict]:
        return {"values": tensor}, {}

    def decode(self, arrays: dict[str, Tensor], info: dict) -> Tensor:
        return arrays["values"]


# Encodings of any tensor. A further one is one more entry.
ENCODINGS: dict[str, Encoding] = {"dense": _Dense(), "bitmap": Bitmap(), "csr": Csr(), "relative": Relative()}
# What a file may use: also the encoding of whole numbers. Names that share storage are written as "alias".
FILE_ENCODINGS: dict[str, Encoding] = {**ENCODINGS, "packed": Packed(), "signs": Signs()}


def encoded_bytes(tensor: Tensor, encoding: str) -> int:
    """Bytes of the arrays of one tensor in one encoding, a key of `FILE_ENCODINGS`."""
    return sum(array.nbytes for array in FILE_ENCODINGS[encoding].encode(tensor)[0].values())


def encoding_sizes(tensor: Tensor) -> dict[str, int]:
    """Bytes of one tensor in every encoding, indices included, and those of its dense bytes after gzip.

    Only the arrays count: name, shape and type in a file's header come on top, alike for all.

    Returns:
        Bytes by name: the keys of `ENCODINGS`, and ``gzip``.
    """
    sizes = {name: encoded_bytes(tensor, name) for name in ENCODINGS}
    return sizes | {"gzip": gzip_bytes(rows_of_bytes(tensor).numpy().tobytes())}


def gzip_bytes(payload: bytes) -> int:
    """How many bytes gzip makes of a payload, at its highest level."""
    return len(gzip.compress(payload, compresslevel=9, mtime=0))
