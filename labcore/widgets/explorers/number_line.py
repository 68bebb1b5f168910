"""The number line: real weights on the levels of a grid."""

import math

import ipywidgets as widgets
import torch
from torch import Tensor

from labcore import quantize
from labcore.plots import NumberLine
from labcore.results import GridReport
from labcore.widgets.panel import Panel, Scene

__all__ = ["number_line"]

_CLIPS = (math.inf, 4.0, 3.5, 3.0, 2.5, 2.0, 1.5, 1.0)
_OUTLIERS = (0, 5, 10, 20, 40)
_MAGNIFIED = 24


def number_line(values: Tensor, name: str) -> Panel:
    """Panel: bits, scheme, clip, outlier -> histogram with levels, error, SQNR, and one value in numbers.

    Args:
        values: real weights or activations, any shape, at least 24.
        name: what they are.
    """
    flat = values.detach().flatten()
    sigma = float(flat.std())
    # From the smallest to the largest, so that the slider walks along the number line.
    order = flat.argsort()[torch.linspace(0, len(flat) - 1, _MAGNIFIED).round().long()].tolist()

    def compute(bits: int, scheme: str, clip: float, outlier: int, value: int) -> GridReport:
        extra = flat.new_tensor([outlier * sigma] if outlier else [])
        return quantize.report_grid(
            torch.cat([flat, extra]), quantize.int_format(bits, scheme),
            threshold=clip * sigma, index=order[value],
        )  # fmt: skip

    return Panel(
        f"The number line: {name} on a few levels",
        {
            "bits": widgets.IntSlider(description="bits", value=4, min=2, max=8),
            "scheme": widgets.Dropdown(description="scheme", options=["symmetric", "full", "torch", "affine"]),
            "clip": widgets.SelectionSlider(
                description="clip at", value=math.inf,
                options=[("the largest" if c == math.inf else f"{c:g} sigma", c) for c in _CLIPS],
            ),
            "outlier": widgets.SelectionSlider(
                description="add an outlier", value=0,
                options=[("none" if o == 0 else f"{o} sigma", o) for o in _OUTLIERS],
            ),
            "value": widgets.IntSlider(
                description="magnify value", value=_MAGNIFIED * 3 // 4, min=0, max=_MAGNIFIED - 1
            ),
        },
        compute,
        NumberLine(name),
        scenes=(
            Scene("8 bits", {"bits": 8}, "the levels stand so close that the error is a thin line"),
            Scene("one bit more", {"bits": 5}, "half the step: about 6 dB more than at the start"),
            Scene("clip at 2.5 sigma", {"clip": 2.5}, "a few values are cut off, all others gain: the SQNR rises"),
            Scene("one outlier", {"outlier": 20}, "one value takes the range: most weights fall on a few levels"),
            Scene("outlier, clipped", {"outlier": 20, "clip": 2.5}, "the levels are back, but the outlier is lost"),
        ),
    )  # fmt: skip
