"""Loops that are compiled when they are first called, the same product in three ways, and threads that share it."""

import functools
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from labcore import runtime

__all__ = ["Columns", "Way", "compiled", "fill_product", "naive_conv", "pack_images", "warm_kernels"]

Way = Literal["lanes", "plain"]
_TOGETHER = 16  # columns that the fast loop takes at once: `loops.COLUMNS`, which would load numba

_PACKED = "void(uint64[:, ::1], uint64[::1], int64[::1], int64[::1], int64, int32[:, :, :], int64, int64)"
_SIGNATURES = {
    "naive_conv": "void(float32[:, :, :, ::1], float32[:, :, :, ::1], float32[:, :, :, ::1], int64, int64)",
    "pack_planes": "boolean(float32[:, :, ::1], uint64[:, :, :, ::1], int64, int64, int64, int64, int64)",
    "plain": _PACKED,
    "lanes": _PACKED,
}


# --- loops ----------------------------------------------------------------------------------------


def naive_conv(x, w, y, stride, dilation):
    """Convolution of images that have their border already; x (N, C, H, W), w (O, C, kh, kw), y (N, O, H', W')."""
    for n in range(y.shape[0]):
        for o in range(y.shape[1]):
            for i in range(y.shape[2]):
                for j in range(y.shape[3]):
                    total = np.float32(0)
                    for c in range(w.shape[1]):
                        for r in range(w.shape[2]):
                            for s in range(w.shape[3]):
                                total += x[n, c, i * stride + r * dilation, j * stride + s * dilation] * w[o, c, r, s]
                    y[n, o, i, j] = total


def pack_planes(x, planes, width, top, left, first, last):
    """Signs of 64 channels to a word, for each pixel; gives True when there was NaN.

    x: images first to last of shape (N * groups, channels of a group, H * W); planes: (N * groups, words, H', W'),
    zeros, with a border of `top` rows and `left` columns.
    """
    words = np.empty(x.shape[2], np.uint64)
    unordered = False
    for n in range(first, last):
        for word in range(planes.shape[1]):
            words[:] = 0
            for c in range(64 * word, min(64 * word + 64, x.shape[1])):
                bit = np.uint64(1) << np.uint64(c % 64)
                for p in range(x.shape[2]):
                    value = x[n, c, p]
                    unordered |= value != value
                    words[p] |= bit if value < 0 else np.uint64(0)
            for p in range(x.shape[2]):
                planes[n, word, top + p // width, left + p % width] = words[p]
    return unordered


# --- compiled -------------------------------------------------------------------------------------


@functools.cache
def compiled(name: str) -> Callable[..., Any]:
    """The loop of that name: one of this module, or of `loops`."""
    from labcore.binarize import loops  # takes numba with it

    kernel = getattr(loops, name) if name in get_args(Way) else globals()[name]
    return runtime.compile_kernel(kernel, _SIGNATURES[name], nogil=True)


@functools.cache
def _packed(way: Way) -> Callable[..., Any]:
    try:
        return compiled(way)
    except Exception as error:
        if way == "plain":
            raise
        message = f"vector code cannot be built here ({type(error).__name__}); the plain loop counts: exact, but slower"
        warnings.warn(message, RuntimeWarning, stacklevel=4)
        return compiled("plain")


def warm_kernels(progress: Callable[[str], None] | None = None) -> float:
    """Compile every loop now, so that no learner waits for it; gives the seconds that took.

    Args:
        progress: told the name of each loop before it is compiled.
    """
    started = time.perf_counter()
    for name in _SIGNATURES:
        if progress is not None:
            progress(name)
        (_packed if name in get_args(Way) else compiled)(name)
    return time.perf_counter() - started


# --- shared by threads ----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Columns:
    """Columns of words, read where they lie: word w of column q is source[starts[q] + steps[w]].

    Attributes:
        source: uint64, one dimension.
        starts: int64, one for each column.
        steps: int64, one for each word of a column.
    """

    source: np.ndarray
    starts: np.ndarray
    steps: np.ndarray


def fill_product(
    rows: np.ndarray, columns: Columns, length: int, out: np.ndarray, *, way: Way, threads: int | None
) -> None:
    """out[n, m, p] = length - 2 popcount(row m xor column q), q = n * width + p.

    Args:
        rows: uint64, shape (rows, words).
        columns: of as many words.
        length: bits of a row that count.
        out: int32, shape (n, rows, width), n * width columns; filled.
        way: "lanes" counts eight columns at once, "plain" one word after another.
        threads: that share the columns; None: as many as `runtime.threads` says.
    """
    if way not in get_args(Way):
        raise ValueError(f"way must be one of {', '.join(get_args(Way))}; got {way!r}")
    fill = _packed(way)

    def share(first: int, last: int) -> None:
        fill(rows, columns.source, columns.starts, columns.steps, length, out, first, last)

    _share_out(share, len(columns.starts), threads, multiple=_TOGETHER)


def pack_images(x: np.ndarray, planes: np.ndarray, width: int, border: tuple[int, int], *, threads: int | None) -> bool:
    """Signs of channels as words with a border of zero bits; see `pack_planes`. True when there was NaN."""

    def share(first: int, last: int) -> bool:
        return compiled("pack_planes")(x, planes, width, *border, first, last)

    return any(_share_out(share, len(x), threads, multiple=1))


def _share_out(share: Callable[[int, int], Any], n: int, threads: int | None, *, multiple: int) -> list[Any]:
    """Call `share` on neighbouring parts of range(n), one for each thread; parts begin at a multiple."""
    threads = runtime.threads() if threads is None else threads
    if not (isinstance(threads, int) and threads >= 1):
        raise ValueError(f"threads must be a whole number of at least 1, got {threads!r}")
    size = max(1, -(-n // (threads * multiple))) * multiple
    parts = [(first, min(first + size, n)) for first in range(0, n, size)]
    if len(parts) < 2:
        return [share(*part) for part in parts]
    with ThreadPoolExecutor(len(parts)) as pool:
        return list(pool.map(lambda part: share(*part), parts))
