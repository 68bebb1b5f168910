"""Loops over a linear layer, compiled when they are first called.

All take x (frames, in), w (out, in), b (out,), and fill y (frames, rows).
"""

import functools
from collections.abc import Callable

import numpy as np

from labcore import runtime

__all__ = ["compiled", "integer", "naive", "unrolled", "vector"]


def naive(x, w, b, y):
    for n in range(x.shape[0]):
        for o in range(w.shape[0]):
            total = np.float32(0)
            for i in range(w.shape[1]):
                total += x[n, i] * w[o, i]
            y[n, o] = total + b[o]


def unrolled(x, w, b, y):
    whole = w.shape[1] // 8 * 8
    for n in range(x.shape[0]):
        for o in range(w.shape[0]):
            # Four sums that do not wait for each other.
            t0 = t1 = t2 = t3 = np.float32(0)
            for i in range(0, whole, 8):
                t0 += x[n, i] * w[o, i]
                t1 += x[n, i + 1] * w[o, i + 1]
                t2 += x[n, i + 2] * w[o, i + 2]
                t3 += x[n, i + 3] * w[o, i + 3]
                t0 += x[n, i + 4] * w[o, i + 4]
                t1 += x[n, i + 5] * w[o, i + 5]
                t2 += x[n, i + 6] * w[o, i + 6]
                t3 += x[n, i + 7] * w[o, i + 7]
            for i in range(whole, w.shape[1]):
                t0 += x[n, i] * w[o, i]
            y[n, o] = (t0 + t1) + (t2 + t3) + b[o]


def vector(x, w, b, y):
    # The text of `naive`, compiled so that sums may change their order. A function of its own: numba keeps compiled
    # code by name, whatever the settings.
    for n in range(x.shape[0]):
        for o in range(w.shape[0]):
            total = np.float32(0)
            for i in range(w.shape[1]):
                total += x[n, i] * w[o, i]
            y[n, o] = total + b[o]


def integer(x, w, b, y, rows, scale):
    # Frames inside: a row of weights is read once for a whole batch.
    for j in range(rows.shape[0]):
        o = rows[j]
        for n in range(x.shape[0]):
            total = np.int32(0)
            for i in range(w.shape[1]):
                total += np.int32(x[n, i]) * np.int32(w[o, i])
            y[n, j] = np.float32(total) * scale + b[o]


@functools.cache
def compiled(kernel: Callable[..., None]) -> Callable[..., None]:
    return runtime.compile_kernel(kernel, fastmath=kernel is vector)
