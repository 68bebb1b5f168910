"""What panels and chapters show of binary weights, bits, networks and speed."""

import threading
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labcore import metrics
from labcore.binarize.apply import all_binary, apply_binary, fix_binary
from labcore.binarize.codes import fit_binary, fit_ternary, relative_error, ternary_threshold
from labcore.binarize.convolution import pack_filters, packed_conv2d
from labcore.binarize.files import measure_file_bytes
from labcore.binarize.kernels import compiled
from labcore.results import BitProduct, PartialBinary, SignReport, SpeedComparison

__all__ = ["compare_convolutions", "report_bits", "report_partial", "report_signs", "sweep_factors", "theory_speedup"]

FACTORS = np.linspace(0, 2, 81)


def sweep_factors(weight: Tensor, factors: np.ndarray = FACTORS) -> np.ndarray:
    """Relative error of ternary weights for each Delta / mean |W| (one Delta a filter), shape of `factors`."""
    return np.array([
        relative_error(weight, fit_ternary(weight, delta=ternary_threshold(weight, factor=f)).values)
        for f in factors.tolist()
    ])  # fmt: skip


def report_signs(
    weight: Tensor, layer: str, *, factor: float | None = None, errors: np.ndarray | None = None
) -> SignReport:
    """One layer's weights with one alpha a filter: binary, or ternary with Delta = factor * mean |W|.

    Args:
        weight: shape (filters, ...).
        layer: its name.
        factor: None for binary weights.
        errors: of `sweep_factors`, if they are at hand.
    """
    weight = weight.detach()
    binary = fit_binary(weight)
    fitted, deltas = binary, torch.zeros(len(weight))
    if factor is not None:
        deltas = ternary_threshold(weight, factor=factor)
        fitted = fit_ternary(weight, delta=deltas)
    return SignReport(
        layer,
        weight.flatten(1).numpy(), fitted.codes.flatten(1).to(torch.int8).numpy(),
        fitted.alpha.flatten().numpy(), deltas.flatten().numpy(),
        relative_error(weight, fitted.values), factor,
        FACTORS, sweep_factors(weight) if errors is None else errors, relative_error(weight, binary.values),
    )  # fmt: skip


def report_bits(a: Sequence[int], b: Sequence[int], *, word: int = 8) -> BitProduct:
    """The product of two vectors of signs by bits.

    Args:
        a, b: -1 and +1, equally long, from 1 to `word` of them.
        word: bits of a word.

    Raises:
        ValueError: other numbers, other lengths.
    """
    if not (len(a) == len(b) and 1 <= len(a) <= word):
        raise ValueError(f"need two equally long vectors of 1 to {word} signs, got {len(a)} and {len(b)}")
    if not {*a, *b} <= {-1, 1}:
        raise ValueError(f"signs are -1 and +1, got {sorted({*a, *b})}")
    signs = [np.array(each, np.int8) for each in (a, b)]
    bits = [np.pad(each < 0, (0, word - len(each))).astype(np.uint8) for each in signs]
    return BitProduct(*signs, *bits)


def report_partial(
    model: nn.Module, binary: Sequence[str], accuracies: Mapping[str, np.ndarray], *, sample: Tensor
) -> PartialBinary:
    """Costs of a network with some layers as in `all_binary`, beside accuracies that were measured before.

    A layer with binary weights and real inputs still adds real numbers: its multiply-accumulates count as real.

    Args:
        model: the real network.
        binary: names of the layers that are binary.
        accuracies: by names of binary layers joined with " + " ("none" without any), shape (seeds,).
        sample: one batch.
    """
    costs = metrics.measure_costs(model, sample)
    macs = {layer.name: layer.macs for layer in costs.layers if layer.macs}
    real_bytes = metrics.measure_sizes(model).file_bytes
    names = tuple(name for name in macs if name in binary)
    settings = all_binary(model, names)
    made = measure_file_bytes(fix_binary(apply_binary(model, layers=settings))) if names else real_bytes
    n_binary = sum(macs[name] for name in names if settings[name].activations == "binary")
    middle = " + ".join(list(macs)[1:-1])
    return PartialBinary(
        tuple(macs), names, accuracies[" + ".join(names) or "none"], accuracies["none"], accuracies[middle],
        made, real_bytes, sum(macs.values()) - n_binary, n_binary,
    )  # fmt: skip


def theory_speedup(channels: int, positions: int, *, word: int = 64) -> float:
    """word c N / (c N + word): operations of a real convolution over those of a binary one.

    It counts `word` products of signs, and one real product for each output, as one operation each.

    Args:
        channels: c of the input.
        positions: N of the kernel, 9 for 3x3.

    >>> round(theory_speedup(256, 9), 2), round(theory_speedup(3, 1), 2)
    (62.27, 2.87)

    Source: M. Rastegari et al., arXiv 1603.05279v4, section 3.2.
    """
    n = channels * positions
    return word * n / (n + word)


def compare_convolutions(
    channels: int, *, kernel: int = 3, size: int = 14, runs: int = 5, stop: threading.Event | None = None
) -> SpeedComparison:
    """Time one convolution with as many filters as channels, one image, one thread: packed, by torch, by a plain loop.

    Signs of the inputs are packed within the time. All three results are compared first.

    Args:
        channels: of inputs and outputs.
        kernel: side, odd.
        size: side of the image.
        runs: of each way, by turns.
        stop: when set, measuring ends early.

    Raises:
        ArithmeticError: the results differ.
    """
    rng, border = np.random.default_rng(0), kernel // 2
    x = np.where(rng.standard_normal((1, channels, size, size)) < 0, -1, 1).astype(np.float32)
    w = np.where(rng.standard_normal((channels, channels, kernel, kernel)) < 0, -1, 1).astype(np.float32)
    bordered = np.pad(x, ((0, 0), (0, 0), (border, border), (border, border)))
    filters, weight, naive = pack_filters(w), torch.from_numpy(w), np.empty((1, channels, size, size), np.float32)
    ways = (
        lambda _: packed_conv2d(x, filters, padding=border, threads=1),
        lambda batch: F.conv2d(batch, weight, padding=border),
        lambda _: compiled("naive_conv")(bordered, w, naive, 1, 1),
    )
    batch = torch.from_numpy(x)
    sums, expected, _ = (way(batch) for way in ways)
    if not (np.array_equal(sums, expected.numpy()) and np.array_equal(naive, expected.numpy())):
        raise ArithmeticError("three ways to compute one convolution differ")
    times = metrics.measure_in_turn(ways, batch, runs=runs, warmup=1, stop=stop)
    formula = theory_speedup(channels, kernel**2)
    return SpeedComparison(channels, kernel, size, formula, *(each.p50_ms for each in times))
