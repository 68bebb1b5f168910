"""Clip or round: which range of a layer's activations to keep."""

import functools

import ipywidgets as widgets
from torch import nn

from labcore import metrics, quantize, surgery
from labcore.data import Dataset
from labcore.lesson.progress import floor
from labcore.plots import ClipOrRound
from labcore.results import ClippingReport
from labcore.training import evaluate
from labcore.widgets.panel import Panel, Scene

__all__ = ["clipping"]

_PERCENTILES = (90.0, 95.0, 98.0, 99.0, 99.5, 99.9, 99.99, 100.0)
_SIGNED, _UNSIGNED = "3 positive levels (signed 3 bits)", "7 positive levels (unsigned 3 bits)"
_FORMATS = {
    _SIGNED: (3, "signed"), _UNSIGNED: (3, "unsigned"), "15 positive levels (unsigned 4 bits)": (4, "unsigned"),
    "255 positive levels (unsigned 8 bits)": (8, "unsigned"),
}  # fmt: skip


def clipping(model: nn.Module, data: Dataset) -> Panel:
    """Panel: layer, format, method, percentile -> histogram with the range, the two errors, measured accuracy.

    Weights stay on 8 bits, so that what is lost is lost by the activations.

    Args:
        model: a trained network that `surgery.trace` follows.
        data: what it was trained on.
    """
    folded = surgery.fold_batch_norm(model, data.test_images[:1])
    whole = evaluate(model, data.batches())
    shown = [data.train_images[:500]]
    histograms = quantize.observe_activations(folded, shown)

    def config(levels: str, method: str, percentile: float) -> quantize.QuantConfig:
        bits, after_relu = _FORMATS[levels]
        return quantize.QuantConfig(
            activations=quantize.int_format(bits), calibration=method, percentile=percentile, after_relu=after_relu
        )

    # The U is the same for every range of one layer and format.
    curve = functools.cache(lambda layer, format: quantize.sweep_clipping(histograms[layer], format))

    def compute(layer: str, levels: str, method: str, percentile: float) -> ClippingReport:
        settings = config(levels, method, percentile)
        format = settings.without_sign(settings.activations)
        return quantize.report_clipping(histograms[layer], format, settings, curve(layer, format))

    def measure(layer: str, levels: str, method: str, percentile: float, stop):
        quantized = quantize.apply_static(folded, shown, config(levels, method, percentile))
        return metrics.measure_compared(quantized, whole, data.batches(), stop=stop)

    names = list(histograms)
    return Panel(
        "Clip or round? The range of the activations",
        {
            "layer": widgets.Dropdown(description="show", options=names, value=names[-1]),
            "levels": widgets.Dropdown(description="format", options=list(_FORMATS)),
            "method": widgets.Dropdown(
                description="range by",
                options=[("percentile", "percentile"), ("least squared error", "mse"), ("entropy", "entropy")],
            ),
            "percentile": widgets.SelectionSlider(
                description="keep", value=100.0, options=[(f"{p:g} %", p) for p in _PERCENTILES]
            ),
        },
        compute,
        ClipOrRound(whole, floor()),
        measure=measure,
        scenes=(
            Scene("keep all", {}, "the three levels are far apart: rounding breaks the network"),
            Scene("cut off 1 %", {"percentile": 99.0}, "the largest values are clipped, and the accuracy rises"),
            Scene("cut off 10 %", {"percentile": 90.0}, "too much is clipped: the other side of the U"),
            Scene("no sign, keep all", {"levels": _UNSIGNED}, "seven levels instead of three: little is left to win"),
        ),
    )  # fmt: skip
