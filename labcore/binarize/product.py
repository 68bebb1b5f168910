"""A matrix product of signs without one multiplication."""

import numpy as np

from labcore.binarize.kernels import Columns, Way, fill_product
from labcore.binarize.packing import PackedSigns

__all__ = ["packed_matmul"]


def packed_matmul(a: PackedSigns, b: PackedSigns, *, way: Way = "lanes", threads: int | None = None) -> np.ndarray:
    """A Bᵀ of signs: K - 2 popcount(a xor b), where each pair that differs adds -1 instead of +1.

    Args:
        a: signs, shape (M, K).
        b: signs, shape (N, K): rows, as weights of a linear layer lie.
        way: "lanes" counts eight columns at once, "plain" one word after another; both are exact.
        threads: None: as many as `runtime.threads` says.

    Returns:
        int32, shape (M, N). No rows give an empty product, K = 0 gives zeros.

    Raises:
        TypeError: other than packed signs.
        ValueError: rows of different lengths, an unknown way, threads below 1.

    Source: M. Courbariaux et al., arXiv 1602.02830, section 4.
    """
    for name, packed in (("a", a), ("b", b)):
        if not isinstance(packed, PackedSigns):
            raise TypeError(f"{name} must be signs from pack_signs, got {type(packed).__name__}")
    if a.length != b.length:
        raise ValueError(f"rows of a and b must be equally long, got {a.length} and {b.length} signs")
    out = np.empty((1, len(a.words), len(b.words)), np.int32)
    n_words = b.words.shape[1]
    starts = np.arange(len(b.words), dtype=np.int64) * n_words
    columns = Columns(b.words.ravel(), starts, np.arange(n_words, dtype=np.int64))
    fill_product(np.ascontiguousarray(a.words), columns, a.length, out, way=way, threads=threads)
    return out[0]
