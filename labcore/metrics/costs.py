"""What a model costs before anything is timed: parameters, MACs, activations, bit operations, energy."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from labcore.metrics.calls import check_model
from labcore.metrics.recording import Recording, record
from labcore.results import CostTable, Energy, LayerCost
from labcore.surgery import distinct_parameters

__all__ = [
    "DRAM_PJ_PER_32_BITS", "OPERATION_PJ", "count_bops", "count_macs", "count_nonzero", "count_params",
    "estimate_energy", "measure_costs",
]  # fmt: skip

# Picojoules of one multiplication and of the addition that follows it, on a 45 nm chip at 0.9 V.
# Products of int8 are added in 32 bits: eight would overflow at once.
# Source: M. Horowitz, Computing's energy problem (and what we can do about it), ISSCC 2014, figure 1.1.9.
OPERATION_PJ = {"fp32": (3.7, 0.9), "fp16": (1.1, 0.4), "int8": (0.2, 0.1)}
# Source: S. Han et al., EIE, arXiv 1602.01528, table I.
DRAM_PJ_PER_32_BITS = 640.0

_FORMATS = {32: "fp32", 16: "fp16", 8: "int8"}


def count_params(model: nn.Module) -> int:
    """Parameters that the model really holds: shared ones once. Zero for a model without parameters."""
    check_model(model)
    return sum(values.numel() for values in distinct_parameters(model).values())


def count_nonzero(model: nn.Module) -> int:
    """Parameters that are not zero, shared ones once."""
    check_model(model)
    return sum(int(torch.count_nonzero(values)) for values in distinct_parameters(model).values())


def count_macs(model: nn.Module, sample: Tensor) -> int:
    """Multiply-accumulates of one sample in evaluation mode: products of matrices and convolutions (1 MAC = 2 FLOPs).

    Biases, normalization, activations and pooling count as nothing.

    Args:
        model: any module; left as it was.
        sample: one batch, shape (N, ...); the count is divided by N.

    Raises:
        TypeError, ValueError: no module, no tensor, an empty batch, or one that the model cannot take.
    """
    return round(record(model, sample).total_macs / len(sample))


def measure_costs(model: nn.Module, sample: Tensor) -> CostTable:
    """Parameters, MACs and activation memory of every layer and of the whole model, for one sample.

    A row is a module that computes something itself or holds parameters itself: nearly always one without children, but
    a functional call stands in the row of the module that makes it. A module used several times has one row: its MACs
    add up, its bytes are the most of any use. The model itself stands under the name of its class. The rows' parameters
    and MACs add up to the totals.

    Activations are counted as an engine would keep them. Each lives from the operation that makes it to the last that
    reads it; the input counts, whatever does not depend on it (parameters, buffers) does not. Views are free. An
    elementwise operation, batch normalization included, overwrites an input that nothing reads later.

    Args:
        model: any module; left as it was.
        sample: one batch, shape (N, ...); counts are divided by N.

    Raises:
        TypeError, ValueError: no module, no tensor, an empty batch, or one that the model cannot take.
    """
    recording = record(model, sample)
    peak_bytes, peak_by_layer = recording.peaks()
    n_params = _params_by_module(model)
    holders = (name for name, count in n_params.items() if count)
    kinds = {name or type(model).__name__: type(module).__name__ for name, module in model.named_modules()}
    layers = [
        _layer_cost(name, kinds[name], n_params[name], recording, peak_by_layer.get(name, 0), len(sample))
        for name in dict.fromkeys((*peak_by_layer, *holders))
    ]
    return CostTable(
        layers=tuple(layers),
        n_params=sum(n_params.values()),
        n_nonzero=count_nonzero(model),
        macs=round(recording.total_macs / len(sample)),
        peak_activation_bytes=round(peak_bytes / len(sample)),
    )


def _layer_cost(name: str, kind: str, n_params: int, recording: Recording, peak: int, n_samples: int) -> LayerCost:
    return LayerCost(
        name=name,
        kind=kind,
        n_params=n_params,
        macs=round(recording.macs.get(name, 0) / n_samples),
        activation_bytes=round(recording.output_bytes.get(name, 0) / n_samples),
        peak_bytes=round(peak / n_samples),
    )


def _params_by_module(model: nn.Module) -> dict[str, int]:
    """Parameters that each module holds itself; shared ones count for the first."""
    counts = {name or type(model).__name__: 0 for name, _ in model.named_modules()}
    for name, values in distinct_parameters(model).items():
        counts[name.rpartition(".")[0] or type(model).__name__] += values.numel()
    return counts


def count_bops(
    costs: CostTable, *, weight_bits: int | Mapping[str, int], activation_bits: int | Mapping[str, int]
) -> int:
    """Bit operations of one sample: the sum over layers of MACs * weight bits * activation bits.

    Args:
        costs: from `measure_costs`.
        weight_bits, activation_bits: one number for all layers, or one for each layer with MACs, by name.

    Raises:
        TypeError, ValueError: widths that are not whole numbers of at least 1; names that are missing or unknown.

    Source: C. Baskin et al., UNIQ, arXiv 1804.10969, without its term for the accumulator.
    """
    weights = _bits_by_layer("weight_bits", weight_bits, costs)
    activations = _bits_by_layer("activation_bits", activation_bits, costs)
    return sum(layer.macs * weights[layer.name] * activations[layer.name] for layer in costs.layers if layer.macs)


def _bits_by_layer(argument: str, bits: int | Mapping[str, int], costs: CostTable) -> Mapping[str, int]:
    busy = [layer.name for layer in costs.layers if layer.macs]
    if not isinstance(bits, Mapping):
        bits = dict.fromkeys(busy, bits)
    unknown = sorted(bits.keys() - {layer.name for layer in costs.layers})
    missing = [name for name in busy if name not in bits]
    if unknown or missing:
        raise ValueError(f"{argument} must name every layer with MACs: missing {missing}, unknown {unknown}")
    for name, width in bits.items():
        if not isinstance(width, int) or isinstance(width, bool):
            raise TypeError(f"{argument} of {name!r} must be a whole number of bits, got {width!r}")
        if width < 1:
            raise ValueError(f"{argument} of {name!r} must be at least 1 bit, got {width}")
    return bits


def estimate_energy(costs: CostTable, *, weight_bits: int = 32, activation_bits: int = 32) -> Energy:
    """Energy of one sample from a published table: an estimate for a 45 nm chip, never a measurement.

    Compute = MACs * (multiplication + addition), in the wider of the two formats. Memory = every parameter read once
    from DRAM at `weight_bits`. Assumed: activations stay on the chip and cost nothing; nothing else costs anything;
    zeros are multiplied and read like other values.

    Args:
        costs: from `measure_costs`.
        weight_bits, activation_bits: 32 (fp32), 16 (fp16) or 8 (int8); the table holds no others.

    Raises:
        ValueError: a width that is not in the table.

    Source: `OPERATION_PJ` and `DRAM_PJ_PER_32_BITS`.
    """
    for argument, bits in (("weight_bits", weight_bits), ("activation_bits", activation_bits)):
        if bits not in _FORMATS:
            valid = ", ".join(f"{width} ({name})" for width, name in _FORMATS.items())
            raise ValueError(f"{argument} must be one of: {valid}; the table has no figure for {bits!r}")
    multiplication, addition = OPERATION_PJ[_FORMATS[max(weight_bits, activation_bits)]]
    return Energy(
        compute_pj=costs.macs * (multiplication + addition),
        memory_pj=costs.n_params * weight_bits / 32 * DRAM_PJ_PER_32_BITS,
    )
