"""The whole network on few bits: mode, bits, granularity, calibration."""

import functools
from collections.abc import Mapping

import ipywidgets as widgets
from torch import nn

from labcore import metrics, quantize, surgery
from labcore.data import Dataset
from labcore.lesson.progress import floor
from labcore.plots import NetworkBits
from labcore.training import evaluate
from labcore.widgets.panel import Panel, Scene

__all__ = ["quantization"]

_CALIBRATIONS = {
    "largest value": ("max", 100.0), "99.9 %": ("percentile", 99.9), "99 %": ("percentile", 99.0),
    "entropy": ("entropy", 100.0), "least squared error": ("mse", 100.0),
}  # fmt: skip
_MODES = ("static", "dynamic", "weight-only", "aware")
_BITS = (8, 6, 5, 4, 3, 2)


def _describe(aware: Mapping[int, nn.Module], bits: int, asked: int) -> str:
    """What the weights of the mode "aware" were trained with, and that its other controls rest."""
    missing = "" if bits == asked else f"not trained on {asked} bits ({', '.join(map(str, aware))}); "
    return (
        f"{missing}trained on {bits} bits: weights and activations, one scale a channel, largest value, norm folded; "
        "other controls rest"
    )


def quantization(model: nn.Module, data: Dataset, aware: Mapping[int, nn.Module]) -> Panel:
    """Panel: mode, bits, granularity, calibration, batch norm -> error of the weights, sizes, energy, accuracy.

    Args:
        model: a trained network that `surgery.trace` follows, with batch norms that can be folded.
        data: what it was trained on.
        aware: the network trained with its rounding, by bits, from `quantize.load_aware`. Fewer bits stand in for those
            that are missing; below the fewest, the fewest.
    """
    folded = surgery.fold_batch_norm(model, data.test_images[:1])
    nets = {"folded": folded, "left in float": model}
    whole, costs = evaluate(model, data.batches()), metrics.measure_costs(model, data.test_images[:1])
    float_bytes = metrics.measure_sizes(model).file_bytes
    shown = [data.train_images[:500]]

    def trained_bits(weights: int) -> int:
        return max((bits for bits in aware if bits <= weights), default=min(aware))

    @functools.cache
    def quantized(mode, weights, activations, granularity, calibration, norms) -> nn.Module:
        if mode == "aware":
            return aware[trained_bits(weights)]
        method, percentile = _CALIBRATIONS[calibration]
        config = quantize.QuantConfig(
            weights=quantize.int_format(weights), activations=quantize.int_format(activations),
            granularity=quantize.PER_CHANNEL if granularity == "per channel" else quantize.PER_TENSOR,
            calibration=method, percentile=percentile,
        )  # fmt: skip
        if mode == "static":
            return quantize.apply_static(nets[norms], shown, config)
        apply = quantize.apply_dynamic if mode == "dynamic" else quantize.apply_weight_only
        return apply(nets[norms], config)

    def compute(**settings):
        asked = settings["weights"]
        note = _describe(aware, trained_bits(asked), asked) if settings["mode"] == "aware" else ""
        return quantize.report_network(quantized(**settings), costs, float_bytes, note=note)

    def measure(stop, **settings):
        return metrics.measure_compared(quantized(**settings), whole, data.batches(), stop=stop)

    options = [(f"{bits} bits", bits) for bits in _BITS]
    layers = tuple(each.name for each in costs.layers if each.macs)
    low = {"weights": 3}
    trained = low | {"mode": "aware", "activations": 3, "granularity": "per channel"}
    return Panel(
        "The whole network on few bits",
        {
            "mode": widgets.Dropdown(description="mode", options=_MODES),
            "weights": widgets.SelectionSlider(description="weights", options=options[::-1], value=8),
            "activations": widgets.SelectionSlider(description="activations", options=options[::-1], value=8),
            "granularity": widgets.Dropdown(description="scales", options=["per tensor", "per channel"]),
            "calibration": widgets.Dropdown(description="range by", options=list(_CALIBRATIONS)),
            "norms": widgets.Dropdown(description="batch norm", options=list(nets)),
        },
        compute,
        NetworkBits(whole, floor(), layers, float_bytes),
        measure=measure,
        scenes=(
            Scene("weights on 3 bits", low, "one scale for the tensor: the accuracy falls"),
            Scene("one scale a channel", low | {"granularity": "per channel"}, "about half of it comes back"),
            Scene("2 bits", {"weights": 2, "activations": 2}, "too few: the network is broken"),
            Scene("trained with rounding", trained, "3 bits everywhere, after one epoch; compare the mode static"),
            Scene("weights only", {"mode": "weight-only"}, "a quarter of the bytes; it computes in floating point"),
        ),
    )  # fmt: skip
