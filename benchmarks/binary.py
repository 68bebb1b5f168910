"""Signs on packed bits against floats: a matrix product and a convolution, in turns, on one thread and on all.

The second of two calls in a row counts: the operands are where a network that keeps running has them. On one thread
the clock is the time of the processor, as others on the machine would slow a long call more than a short one.
"""

import os
import time
from collections.abc import Callable

import numba
import numpy as np
import torch
from torch.nn import functional as F

from labcore import binarize, deploy
from labcore.binarize import kernels

__all__ = ["run"]

SIZES = ((1024, 256, 2304), (1024, 1024, 4096))  # rows, columns, products of a sum
IMAGES, FILTERS = (8, 256, 14, 14), (256, 256, 3, 3)
RUNS = 15
GOALS = {"packed / BLAS": 11.0, "packed / convolution of torch": 8.0, "packed / naive loop": 58.0}

Calls = dict[str, Callable[[], object]]


def _normal(*shape: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _signs(values: np.ndarray) -> np.ndarray:
    return np.where(values < 0, np.float32(-1), np.float32(1))


# --- what is compared -----------------------------------------------------------------------------


def _products(n_rows: int, n_columns: int, length: int, threads: int) -> Calls:
    a, b = _normal(n_rows, length, seed=0), _normal(n_columns, length, seed=1)
    x, w = torch.from_numpy(_signs(a)), torch.from_numpy(_signs(b))
    packed = binarize.pack_signs(a), binarize.pack_signs(b)
    for way in ("lanes", "plain"):
        if not np.array_equal(binarize.packed_matmul(*packed, way=way), (x @ w.T).numpy()):
            raise ArithmeticError(f"the packed product ({way}) differs from that of floats")
    calls = {
        "BLAS, float": lambda: x @ w.T,
        "packed, plain loop": lambda: binarize.packed_matmul(*packed, way="plain", threads=threads),
        "packed": lambda: binarize.packed_matmul(*packed, threads=threads),
        "packed, rows packed too": lambda: binarize.packed_matmul(binarize.pack_signs(a), packed[1], threads=threads),
    }
    if torch.backends.mkldnn.is_available():
        calls["oneDNN, float"] = lambda: F.linear(x.to_mkldnn(), w).to_dense()
    return calls


def _convolutions(threads: int) -> Calls:
    a, b = _normal(*IMAGES, seed=0), _normal(*FILTERS, seed=1)
    x, w = _signs(a), _signs(b)
    filters, images = binarize.pack_filters(b), binarize.pack_inputs(a, padding=1)
    tensors = torch.from_numpy(x), torch.from_numpy(w)
    expected = F.conv2d(*tensors, padding=1).numpy()
    bordered, naive = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), np.empty_like(expected)
    kernels.compiled("naive_conv")(bordered, w, naive, 1, 1)
    for sums in (naive, binarize.packed_conv2d(a, filters, padding=1)):
        if not np.array_equal(sums, expected):
            raise ArithmeticError("a convolution differs from that of torch")
    calls = {
        "torch, float": lambda: F.conv2d(*tensors, padding=1),
        "packed, plain loop": lambda: binarize.packed_conv2d(a, filters, padding=1, way="plain", threads=threads),
        "packed": lambda: binarize.packed_conv2d(a, filters, padding=1, threads=threads),
        "packed, images packed before": lambda _: binarize.packed_conv2d(images, filters, padding=1, threads=threads),
        "packed, border of +1": lambda: binarize.packed_conv2d(a, filters, padding=1, pad="one", threads=threads),
    }
    if threads == 1:
        calls["naive loop, float"] = lambda: kernels.compiled("naive_conv")(bordered, w, naive, 1, 1)
    return calls


# --- clocks ---------------------------------------------------------------------------------------


def _measure(title: str, calls: Calls, products: int, against: str, threads: int) -> dict[str, float]:
    """Print and give the median time of each call, in milliseconds."""
    clock = time.process_time if threads == 1 else time.perf_counter
    times = np.array([[_milliseconds(call, clock) for call in calls.values()] for _ in range(RUNS)])
    medians = dict(zip(calls, np.median(times, axis=0).tolist(), strict=True))
    print(f"\n{title}, threads: {threads}\n{'':<26}{'ms':>10}{'fastest':>10}{'G products/s':>14}{'speed':>9}")
    for (name, ms), fastest in zip(medians.items(), times.min(0), strict=True):
        rate, speed = products / ms / 1e6, medians[against] / ms
        print(f"{name:<26}{ms:>10.3f}{fastest:>10.3f}{rate:>14.1f}{speed:>8.2f}x")
    return medians


def _milliseconds(call: Callable[[], object], clock: Callable[[], float]) -> float:
    call()
    started = clock()
    call()
    return 1000 * (clock() - started)


@numba.njit
def _chain(n, x):
    for _ in range(n):
        x = x * x + 1  # three cycles and one, on every processor of the last decade
    return x


def _gigahertz() -> float:
    steps = 10_000_000
    times = [_milliseconds(lambda: _chain(steps, 1), time.process_time) for _ in range(5)]
    return 4 * steps / min(times) / 1e6


def _print_processor(clock: float) -> None:
    print(f"this processor: about {clock:.1f} GHz, {deploy.popcount_instructions()}; {deploy.integer_instructions()}")
    print("limit of 512-bit vectors: xor, popcount and add for 512 products take 1.5 cycles where they share two ports")
    print("(341 products a cycle), 0.75 where they have four (683); floats: at most 32 products a cycle")


def run() -> None:
    """Print times, products a second and speed-ups; raise under LABCORE_BENCH=1 when a goal is missed."""
    clock, most = _gigahertz(), os.cpu_count() or 1
    _print_processor(clock)
    ratios, before = dict.fromkeys(GOALS, float("inf")), torch.get_num_threads()
    for threads in sorted({1, most}, reverse=True):
        torch.set_num_threads(threads)
        for size in SIZES:
            calls, products = _products(*size, threads), size[0] * size[1] * size[2]
            ms = _measure(" x ".join(map(str, size)), calls, products, "BLAS, float", threads)
            if threads == 1:
                print(f"packed: {products / ms['packed'] / 1e6 / clock:.0f} products a cycle")
                ratios["packed / BLAS"] = min(ratios["packed / BLAS"], ms["BLAS, float"] / ms["packed"])
        products = IMAGES[0] * IMAGES[2] * IMAGES[3] * np.prod(FILTERS)
        title = f"convolution {FILTERS} of {IMAGES}, padding 1, packing of images included"
        ms = _measure(title, _convolutions(threads), products, "torch, float", threads)
    torch.set_num_threads(before)
    ratios["packed / convolution of torch"] = ms["torch, float"] / ms["packed"]
    ratios["packed / naive loop"] = ms["naive loop, float"] / ms["packed"]
    _judge(ratios)


def _judge(ratios: dict[str, float]) -> None:
    print()
    missed = [name for name, goal in GOALS.items() if ratios[name] < goal]
    for name in reversed(GOALS):
        if name != "packed / BLAS":
            print(f"{name}: {ratios[name]:.1f}x (goal {GOALS[name]:.0f}x)")
    print(f"packed / BLAS: {ratios['packed / BLAS']:.1f}x")
    if missed and os.environ.get("LABCORE_BENCH") == "1":
        raise AssertionError(f"goals missed: {', '.join(missed)}")
