"""Signs: the weights of a layer as one number times -1 and +1, and 0 where that is allowed."""

import ipywidgets as widgets
from torch import nn

from labcore import binarize
from labcore.plots import SignCodes
from labcore.results import SignReport
from labcore.widgets.panel import Panel, Scene

__all__ = ["signs"]


def signs(model: nn.Module) -> Panel:
    """Panel: layer, kind, Delta -> the values that are left among the weights, their codes, what is lost.

    Args:
        model: a trained network; its layers with at least two filters are shown.
    """
    found = {name: model.get_submodule(name).weight.detach() for name in binarize.find_layers(model)}
    weights = {name: weight for name, weight in found.items() if len(weight) > 1}
    errors = {name: binarize.sweep_factors(weight) for name, weight in weights.items()}
    layer = list(weights)[len(weights) // 2]

    def compute(layer: str, kind: str, factor: float) -> SignReport:
        ternary = kind == "ternary"
        return binarize.report_signs(weights[layer], layer, factor=factor if ternary else None, errors=errors[layer])

    best, _ = compute(layer, "binary", binarize.FACTOR).best
    return Panel(
        "Signs: one bit a weight",
        {
            "layer": widgets.Dropdown(description="layer", options=list(weights), value=layer),
            "kind": widgets.Dropdown(
                description="values", options=[("-1, +1 (binary)", "binary"), ("-1, 0, +1 (ternary)", "ternary")]
            ),
            "factor": widgets.FloatSlider(
                description="ternary: Delta / mean |W|", value=binarize.FACTOR, min=0, max=2, step=0.025,
                readout_format=".3f", layout=widgets.Layout(width="400px"),
            ),
        },
        compute,
        SignCodes(max(each.max() for each in errors.values())),
        scenes=(
            Scene("binary", {}, "alpha is the mean magnitude; over a third of the squares is lost"),
            Scene("allow zero", {"kind": "ternary"}, "small weights become 0, alpha grows: the loss about halves"),
            Scene(
                "best Delta", {"kind": "ternary", "factor": best},
                "the bottom of the curve is flat: hardly better than at 0.7",
            ),
            Scene(
                "nearly all zero", {"kind": "ternary", "factor": 2.0},
                "a few large weights are left: more is lost than with two values",
            ),
        ),
    )  # fmt: skip
