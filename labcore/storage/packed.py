"""Whole numbers of a few bits, packed without gaps: two codes of 4 bits fill a byte, and eight signs."""

import numpy as np
import torch
from torch import Tensor

__all__ = ["Packed", "Signs"]


class Packed:
    """Whole numbers in as many bits as their smallest and largest need, in two's complement where one is negative.

    The bits of one number follow those of the one before, lowest first; the last byte is filled with zeros.
    """

    def encode(self, tensor: Tensor) -> tuple[dict[str, Tensor], dict]:
        if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
            raise TypeError(f"only whole numbers can be packed, got {tensor.dtype}")
        values = tensor.detach().cpu().long().flatten().numpy()
        low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
        signed = low < 0
        n_bits = max(max(high, 0).bit_length(), (-low - 1).bit_length() if signed else 1) + signed
        bits = (values[:, None] >> np.arange(n_bits)) & 1
        packed = np.packbits(bits.astype(np.uint8), bitorder="little")
        info = {
            "bits": n_bits, "signed": signed, "shape": list(tensor.shape),
            "dtype": str(tensor.dtype).removeprefix("torch."),
        }  # fmt: skip
        return {"bits": torch.from_numpy(packed)}, info

    def decode(self, arrays: dict[str, Tensor], info: dict) -> Tensor:
        n_bits, shape = info["bits"], info["shape"]
        n = int(np.prod(shape, dtype=np.int64))
        bits = np.unpackbits(arrays["bits"].numpy(), count=n * n_bits, bitorder="little").reshape(n, n_bits)
        values = bits.astype(np.int64) @ (1 << np.arange(n_bits, dtype=np.int64))
        if info["signed"]:
            values -= (values >> (n_bits - 1)) << n_bits
        return torch.from_numpy(values).to(getattr(torch, info["dtype"])).reshape(shape)


class Signs:
    """-1 and +1 in one bit each: 1 where the number is negative."""

    def encode(self, tensor: Tensor) -> tuple[dict[str, Tensor], dict]:
        if not ((tensor == 1) | (tensor == -1)).all():
            raise ValueError("only -1 and +1 fit into one bit")
        arrays, info = Packed().encode((tensor < 0).to(torch.uint8))
        return arrays, info | {"dtype": str(tensor.dtype).removeprefix("torch.")}

    def decode(self, arrays: dict[str, Tensor], info: dict) -> Tensor:
        return 1 - 2 * Packed().decode(arrays, info)
