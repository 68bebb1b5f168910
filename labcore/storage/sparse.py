"""Sparse encodings: the values that are not zero, and where they stand. All give back the same bits.

"Zero" means that every bit is zero: -0.0, which `weight * mask` leaves behind, is kept as a value (masks are applied by
filling for that reason). The three differ in how they say where:

- `Bitmap`: one bit for each value. Costs n / 8 bytes, whatever the sparsity.
- `Csr`: a column for each kept value and a pointer for each row.
- `Relative`: the distance from the kept value before, in a few bits.
"""

import math

import numpy as np
import torch
from torch import Tensor

__all__ = ["Bitmap", "Csr", "Relative", "rows_of_bytes"]


def rows_of_bytes(tensor: Tensor) -> Tensor:
    """Shape (n, bytes of one value), uint8: what works for every type and keeps every bit."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).reshape(len(flat), tensor.element_size())


def _split(tensor: Tensor) -> tuple[np.ndarray, Tensor]:
    """Places of the values that are not zero in the flattened tensor, ascending, and these values."""
    rows = rows_of_bytes(tensor)
    places = np.flatnonzero(rows.numpy().any(axis=1))
    return places, rows[torch.from_numpy(places)].reshape(-1).view(tensor.dtype)


def _join(places: np.ndarray, values: Tensor, shape: list[int]) -> Tensor:
    """The reverse of `_split`."""
    rows = torch.zeros(math.prod(shape), values.element_size(), dtype=torch.uint8)
    rows[torch.from_numpy(places)] = rows_of_bytes(values)
    return rows.reshape(-1).view(values.dtype).reshape(shape)


class Bitmap:
    """One bit for each value, first value in the highest bit; then the values that are not zero."""

    def encode(self, tensor: Tensor) -> tuple[dict[str, Tensor], dict]:
        places, values = _split(tensor)
        kept = np.zeros(tensor.numel(), dtype=bool)
        kept[places] = True
        return {"mask": torch.from_numpy(np.packbits(kept)), "values": values}, {"shape": list(tensor.shape)}

    def decode(self, arrays: dict[str, Tensor], info: dict) -> Tensor:
        kept = np.unpackbits(arrays["mask"].numpy(), count=math.prod(info["shape"]))
        return _join(np.flatnonzero(kept), arrays["values"], info["shape"])


class Csr:
    """Compressed sparse rows of the 2-D view: first dimension by all others; a vector is one row.

    Kept values, their columns, and for each row the number of kept values before it, and the total: rows + 1 pointers.
    Columns and pointers are each unsigned and as narrow as they can be, of 8, 16, 32 and 64 bits: 8 bits for columns up
    to 256 of them, for pointers up to 255 kept values.
    """

    def encode(self, tensor: Tensor) -> tuple[dict[str, Tensor], dict]:
        places, values = _split(tensor)
        n_rows, n_columns = _matrix_shape(tensor.shape)
        counts = np.bincount(places // max(n_columns, 1), minlength=n_rows)
        pointers = np.concatenate([[0], np.cumsum(counts)])
        arrays = {
            "values": values,
            "columns": _narrow(places % max(n_columns, 1), n_columns - 1),
            "pointers": _narrow(pointers, len(places)),
        }
        return arrays, {"shape": list(tensor.shape)}

    def decode(self, arrays: dict[str, Tensor], info: dict) -> Tensor:
        n_rows, n_columns = _matrix_shape(info["shape"])
        pointers, columns = (arrays[part].to(torch.int64).numpy() for part in ("pointers", "columns"))
        rows = np.repeat(np.arange(n_rows), np.diff(pointers))
        return _join(rows * n_columns + columns, arrays["values"], info["shape"])


def _matrix_shape(shape: list[int] | torch.Size) -> tuple[int, int]:
    return (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (1, math.prod(shape))


def _narrow(numbers: np.ndarray, largest: int) -> Tensor:
    for dtype in (torch.uint8, torch.uint16, torch.uint32):
        if largest <= torch.iinfo(dtype).max:
            return torch.from_numpy(numbers.astype(np.int64)).to(dtype)
    return torch.from_numpy(numbers.astype(np.int64))


class Relative:
    """The distance of each kept value from the one before, less one, in a field of a few bits; fields are packed.

    The first distance counts from one place before the tensor. A distance of more than 2^bits does not fit: a filler
    entry with the value zero is put in, 2^bits places on, as often as needed.

    Args:
        bits: width of a field, 1 to 16; default 5 for up to two dimensions, 8 for convolutions.

    Source: S. Han, H. Mao, W. Dally, Deep Compression, arXiv 1510.00149, section 2 and figure 2.
    """

    def __init__(self, *, bits: int | None = None):
        if bits is not None and (isinstance(bits, bool) or not isinstance(bits, int)):
            raise TypeError(f"bits must be a whole number, got {bits!r}")
        if bits is not None and not 1 <= bits <= 16:
            raise ValueError(f"bits must be from 1 to 16, got {bits}")
        self.bits = bits

    def encode(self, tensor: Tensor) -> tuple[dict[str, Tensor], dict]:
        bits = self.bits or (5 if tensor.dim() <= 2 else 8)
        places, values = _split(tensor)
        distances = np.diff(places, prepend=-1) - 1
        # Each kept value comes after its fillers: its entry is the last of its group.
        entries = np.cumsum((distances >> bits) + 1) - 1
        n_entries = int(entries[-1]) + 1 if len(entries) else 0
        fields = np.full(n_entries, 2**bits - 1)
        fields[entries] = distances & (2**bits - 1)
        arrays = {"fields": _pack(fields, bits), "values": _join(entries, values, [n_entries])}
        return arrays, {"shape": list(tensor.shape), "bits": bits}

    def decode(self, arrays: dict[str, Tensor], info: dict) -> Tensor:
        fields = _unpack(arrays["fields"], info["bits"], len(arrays["values"]))
        return _join(np.cumsum(fields + 1) - 1, arrays["values"], info["shape"])


def _pack(numbers: np.ndarray, bits: int) -> Tensor:
    """Fields of `bits` bits one after the other, highest bit first; the last byte is filled with zeros."""
    each_bit = numbers[:, None] >> np.arange(bits - 1, -1, -1) & 1
    return torch.from_numpy(np.packbits(each_bit.astype(bool)))


def _unpack(packed: Tensor, bits: int, n: int) -> np.ndarray:
    each_bit = np.unpackbits(packed.numpy(), count=n * bits).reshape(n, bits)
    return each_bit @ (1 << np.arange(bits - 1, -1, -1))
