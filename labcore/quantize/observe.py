"""The activations of a model as histograms, and what a range of one of them costs."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import fx, nn

from labcore.quantize.calibration import make_observer
from labcore.quantize.config import QuantConfig
from labcore.quantize.formats import INT16, NumberFormat
from labcore.quantize.grids import decode, grid_from_range
from labcore.quantize.histogram import Histogram
from labcore.quantize.layers import QuantizedLayer, Quantizer
from labcore.quantize.post_training import apply_static
from labcore.quantize.ranges import clipping_curve
from labcore.results import ClippingCurve, ClippingReport
from labcore.surgery import tap
from labcore.training import evaluating

__all__ = ["observe_activations", "report_clipping", "sweep_clipping"]

_BINS, _THRESHOLDS = 128, 120


def observe_activations(model: nn.Module, batches: Iterable) -> dict[str, Histogram]:
    """Values that the static way puts on grids, by the layer that makes them; those of the data are "input".

    Args:
        model: as for `apply_static`, batch norm folded; left as it was.
        batches: as for `apply_static`.
    """
    # On 16 bits nothing is lost that a histogram could show.
    fine = apply_static(model, batches, QuantConfig(weights=None, activations=INT16, output=None))
    quantizers = {node.target: _maker(fine, node) for node in fine.graph.nodes if _is(fine, node, Quantizer)}
    with tap(fine, quantizers) as taps, evaluating(fine):
        for batch in batches:
            fine(batch if isinstance(batch, torch.Tensor) else batch[0])
    histograms = {}
    for target, name in quantizers.items():
        histograms[name] = Histogram(name)
        for values in taps[target].inputs:
            histograms[name].observe(values)
    return histograms


def _is(model: fx.GraphModule, node: fx.Node, kind: type[nn.Module]) -> bool:
    return node.op == "call_module" and isinstance(model.get_submodule(node.target), kind)


def _maker(model: fx.GraphModule, node: fx.Node) -> str:
    """The layer upstream that gives these values; a sum or concatenation has its own name."""
    while len(node.all_input_nodes) == 1:
        (node,) = node.all_input_nodes
        if _is(model, node, QuantizedLayer):
            return node.target
    return "input" if node.op == "placeholder" else node.name


def sweep_clipping(histogram: Histogram, format: NumberFormat) -> ClippingCurve:
    """The two errors at 120 thresholds from a hundredth of the largest magnitude to all of it."""
    return clipping_curve(histogram, format, histogram.max_magnitude * np.geomspace(0.01, 1, _THRESHOLDS))


def report_clipping(
    histogram: Histogram, format: NumberFormat, config: QuantConfig, curve: ClippingCurve
) -> ClippingReport:
    """One layer's values under the range that a calibration by histogram chooses.

    Args:
        histogram: from `observe_activations`.
        format: of the values.
        config: its calibration, "percentile", "entropy" or "mse", and percentile.
        curve: from `sweep_clipping`, of the same histogram and format.
    """
    observer = make_observer(config.calibration, percentile=config.percentile)
    observer.histogram = histogram
    low, high = observer.bounds(format)
    threshold = max(-low, high)
    grid = grid_from_range(low, high, format)
    levels = decode(torch.arange(format.qmin, format.qmax + 1), grid)
    counts, means = histogram.filled()
    heights, edges = np.histogram(np.abs(means), _BINS, (0, histogram.max_magnitude), weights=counts)
    return ClippingReport(
        histogram.name, edges, heights, threshold, levels[levels >= 0].numpy(),
        float(counts[np.abs(means) > threshold].sum() / counts.sum()), curve,
    )  # fmt: skip
