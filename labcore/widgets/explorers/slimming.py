"""Network slimming: a penalty pushes scales of batch norm to zero, a threshold cuts their channels off."""

import ipywidgets as widgets

from labcore import search
from labcore.lesson.progress import floor
from labcore.plots import GammaCut
from labcore.results import SlimmingReport
from labcore.widgets.panel import Panel, Scene

__all__ = ["slimming"]

_LABELS = (
    "share of channels with |gamma| below x", "accuracy without the channels below x",
    "accuracy, 40 % of the channels pruned",
)  # fmt: skip
_ROWS = ("nothing cut", "under the cut gone, at once", "40 % gone, at once", "40 % gone, 4 epochs later")


def slimming() -> Panel:
    """Panel: penalty, threshold -> histogram of the scales, share of channels under it, accuracy without them."""
    curves = search.load_curves("slimming")
    shares, cut, fixed = ({each.family: each for each in curves if each.label == label} for label in _LABELS)
    edges = shares["penalty 0"].x

    def compute(penalty, threshold):
        place = edges.tolist().index(threshold)
        tuned = fixed[penalty].values
        accuracies = (tuned[:, 0], cut[penalty].values[:, place], tuned[:, 1], tuned[:, -1])
        rows = dict(zip(_ROWS, accuracies, strict=True))
        return SlimmingReport(penalty, edges, shares[penalty].values, place, rows)

    return Panel(
        "Slimming: can training push channels out?",
        {
            "penalty": widgets.Dropdown(
                description="penalty lambda", value="penalty 0.01",
                options=[(name.removeprefix("penalty "), name) for name in shares],
            ),
            "threshold": widgets.SelectionSlider(
                description="cut at |gamma|", options=[(f"{edge:g}", edge) for edge in edges.tolist()], value=0.05
            ),
        },
        compute,
        GammaCut(edges, _ROWS, whole=fixed["penalty 0"].mean[0], floor=floor(), date=search.sweep_date("slimming")),
        scenes=(
            Scene("a third for free", {}, "a third of the channels lie at zero, and go without loss"),
            Scene("a step too far", {"threshold": 0.1}, "the next third has small scales too, and is still needed"),
            Scene(
                "no penalty", {"penalty": "penalty 0", "threshold": 0.7},
                "no scale is near zero; without the smallest few the network is broken",
            ),
            Scene(
                "a strong penalty", {"penalty": "penalty 0.03", "threshold": 0.02},
                "two of three channels go without loss, but the penalty itself has cost some points",
            ),
        ),
    )  # fmt: skip
