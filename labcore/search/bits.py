"""Which layers can do with few bits: the weights of one layer on a grid at a time, the others in float."""

import itertools
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor, nn

from labcore.quantize import QuantConfig, apply_static, int_format
from labcore.quantize.selection import choose_layers
from labcore.results import BitSensitivity
from labcore.training import evaluate

__all__ = ["bit_costs", "measure_bit_sensitivity", "mixed_config"]


def measure_bit_sensitivity(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    calibration: Iterable[tuple[Tensor, ...]],
    *,
    bits: Sequence[int] = (8, 6, 4, 3, 2),
    config: QuantConfig | None = None,
    stop: threading.Event | None = None,
    progress: Callable[[float], None] | None = None,
) -> BitSensitivity:
    """Accuracy with the weights of one layer on few bits, for all layers and numbers of bits; nothing is trained.

    Activations are on the grids of `config` throughout, in the baseline too.

    Args:
        model: left as it was.
        batches: (inputs, labels), the same ones for every measurement.
        calibration: batches for the ranges of activations, see `quantize.apply_static`.
        bits: descending.
        config: granularity of the weights, and all about activations; default `QuantConfig()`.
        stop: when set, the rest stays unmeasured (NaN).
        progress: receives the share done, in [0, 1].

    Raises:
        TypeError, ValueError: bits that do not descend, or that the scheme of the weights does not have; see also
            `quantize.apply_static` and `training.evaluate`.

    Source: H. Wu et al., arXiv 2004.09602, section 6.1.
    """
    if not len(bits) or any(after >= before for before, after in itertools.pairwise(bits)):
        raise ValueError(f"bits must descend, and there must be at least one; got {list(bits)}")
    config = config or QuantConfig()
    layers = choose_layers(model, config)
    plans = [mixed_config({layer: each}, config) for layer in layers for each in bits]
    baseline = evaluate(apply_static(model, calibration, mixed_config({}, config)), batches).accuracy
    accuracies = np.full((len(layers), len(bits)), np.nan)
    for i, plan in enumerate(plans):
        accuracy = evaluate(apply_static(model, calibration, plan), batches, stop=stop).accuracy
        if stop is not None and stop.is_set():
            break
        accuracies.flat[i] = accuracy
        if progress:
            progress((i + 1) / accuracies.size)
    n_weights = np.array([model.get_submodule(layer).weight.numel() for layer in layers])
    return BitSensitivity(tuple(layers), np.array(bits), accuracies, n_weights, baseline)


def mixed_config(bits: Mapping[str, int], config: QuantConfig | None = None) -> QuantConfig:
    """Settings under which each layer's weight has its own number of bits; that of a layer without one is in float.

    Args:
        bits: by layer, for example `Allocation.levels`.
        config: scheme and granularity of the weights, and all about activations; default `QuantConfig()`.
    """
    config = config or QuantConfig()
    like = config.weights or int_format(8)
    return replace(config, weights=None, overrides={layer: replace(like, bits=each) for layer, each in bits.items()})


def bit_costs(sensitivity: BitSensitivity, per_bit: float | Mapping[str, float] = 1.0) -> dict[str, dict[int, float]]:
    """What the weights of each layer cost at each number of bits; scales are not counted.

    Args:
        per_bit: one number, or one by layer. 1 counts bits, 1/8 bytes; multiplications with a weight times the bits of
            an activation give bit operations.
    """
    each = per_bit if isinstance(per_bit, Mapping) else dict.fromkeys(sensitivity.layers, per_bit)
    return {
        layer: {bits: each[layer] * n * bits for bits in sensitivity.levels.tolist()}
        for layer, n in zip(sensitivity.layers, sensitivity.n_weights.tolist(), strict=True)
    }
