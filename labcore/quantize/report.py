"""What a grid does to values, and one output of an integer layer, in numbers for a picture."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labcore.metrics import estimate_energy
from labcore.quantize.files import measure_file_bytes
from labcore.quantize.fixed_point import rescale
from labcore.quantize.formats import NumberFormat
from labcore.quantize.grids import Grid, decode, encode, grid_from_range
from labcore.quantize.integer_layers import RELU, IntegerLayer
from labcore.quantize.layers import QuantizedLayer
from labcore.quantize.model_report import report_quantization
from labcore.quantize.quality import measure_quality
from labcore.results import CostTable, GridReport, IntegerWalk, NetworkOnGrids

__all__ = ["report_grid", "report_network", "report_walk"]

# The table of energies has no narrower numbers: fewer bits are counted as 8.
_ENERGY_BITS = (8, 16, 32)


def report_grid(values: Tensor, format: NumberFormat, *, threshold: float = math.inf, index: int = 0) -> GridReport:
    """Values beside their codes on one grid.

    Args:
        values: floating point, any shape, at least one.
        format: of the codes.
        threshold: magnitudes beyond it are clipped; default none are.
        index: of the value to magnify, in the flattened values.

    Raises:
        ValueError: no value; a threshold that is not positive; an index beyond the values.
    """
    flat = values.detach().flatten().float()
    if not 0 <= index < len(flat):
        raise ValueError(f"index must be from 0 to {len(flat) - 1}, got {index}")
    if not threshold > 0:
        raise ValueError(f"threshold must be above 0, got {threshold}")
    kept = flat.clamp(-threshold, threshold)
    grid = grid_from_range(float(kept.min()), float(kept.max()), format)
    codes = encode(flat, grid)
    decoded = decode(codes, grid)
    levels = decode(torch.arange(format.qmin, format.qmax + 1), grid)
    low, high = float(levels[0]), float(levels[-1])
    # Values up to half a step beyond the last level are rounded to it, not clipped.
    outside = (flat < low - grid.scale / 2) | (flat > high + grid.scale / 2)
    return GridReport(
        format.name, float(grid.scale), int(grid.zero_point), levels.numpy(), flat.numpy(), codes.numpy(),
        decoded.numpy(), low, high, measure_quality(flat, decoded).sqnr_db, int(outside.sum()), index,
    )  # fmt: skip


def report_network(model: nn.Module, costs: CostTable, float_bytes: int, *, note: str = "") -> NetworkOnGrids:
    """What quantization did to a network, beside the original.

    Args:
        model: from one of the `apply_` functions.
        costs: of the original in floating point, from `metrics.measure_costs`.
        float_bytes: of the original's file, from `metrics.measure_sizes`.
        note: what the weights were trained with, in words.
    """
    report = report_quantization(model)
    widths = [max(each.weight_bits for each in report.layers), max(each.activation_bits for each in report.layers)]
    weights, activations = (next(bits for bits in _ENERGY_BITS if bits >= width) for width in widths)
    before, after = estimate_energy(costs), estimate_energy(costs, weight_bits=weights, activation_bits=activations)
    return NetworkOnGrids(
        tuple(each.name for each in report.layers),
        np.array([each.sqnr_db for each in report.layers]),
        {
            "float file": float_bytes,
            "codes and scales": math.ceil(report.size_bits / 8),
            "file of codes": measure_file_bytes(model),
        },
        {"computing": after.compute_pj / before.total_pj, "reading weights": after.memory_pj / before.total_pj},
        tuple(each.name for each in report.in_float),
        note,
    )  # fmt: skip


def report_walk(
    layer: QuantizedLayer, image: Tensor, input_grid: Grid, output_grid: Grid, *,
    channel: int, place: tuple[int, int], step: int, accumulator_bits: int,
) -> IntegerWalk:  # fmt: skip
    """One output of a convolution with a ReLU behind it, in whole numbers and in floating point.

    Args:
        layer: a convolution without groups.
        image: what it reads, real numbers of shape (C, H, W).
        input_grid, output_grid: one scale each.
        channel: of the output.
        place: (row, column) of the output.
        step: how far the walk has come, from 1 to 6.
        accumulator_bits: sums beyond them wrap around.

    Raises:
        ValueError: a channel or place that the output does not have.
    """
    plain = layer.layer
    outputs = plain(image[None])[0].detach()
    if not (0 <= channel < len(outputs) and all(0 <= i < n for i, n in zip(place, outputs.shape[1:], strict=True))):
        raise ValueError(f"no channel {channel} at {place}: the output has the shape {tuple(outputs.shape)}")
    patches = F.unfold(image[None], plain.kernel_size, plain.dilation, plain.padding, plain.stride)[0]
    x = patches[:, place[0] * outputs.shape[2] + place[1]]
    ours = IntegerLayer(layer, input_grid, output_grid, RELU)
    codes, weights = encode(x, input_grid), ours.weight[channel].flatten()
    zero, bias, multiplier, shift = (int(part[channel if len(part) > 1 else 0]) for part in ours.parts())
    sums = _wrap(((codes.long() - zero) * weights).cumsum(0), accumulator_bits)
    total = _wrap(sums[-1:] + bias, accumulator_bits)
    output = ours.to_codes(rescale(total, torch.tensor(multiplier), torch.tensor(shift)))
    scale = layer.weight_quantizer.grid.scale
    return IntegerWalk(
        step, x.numpy(), plain.weight.detach()[channel].flatten().numpy(), float(plain.bias.detach()[channel]),
        float(outputs[channel, place[0], place[1]].relu()), float(input_grid.scale), zero,
        float(scale[channel] if scale.dim() else scale), codes.numpy(), weights.numpy(), sums.numpy(), accumulator_bits,
        bias, multiplier, shift, float(output_grid.scale), int(output_grid.zero_point), int(output),
    )  # fmt: skip


def _wrap(sums: Tensor, bits: int) -> Tensor:
    """What a register of that many bits holds, in two's complement."""
    half = 2 ** (bits - 1)
    return (sums + half) % (2 * half) - half
