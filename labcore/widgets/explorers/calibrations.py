"""Which calibration wins: six ways to choose the range of activations, on two networks and three formats."""

import ipywidgets as widgets

from labcore import search
from labcore.lesson.progress import floor
from labcore.plots import Contest
from labcore.results import SeedChoice
from labcore.widgets.panel import Panel, Scene

__all__ = ["calibrations"]

_BITS = {"15 levels (unsigned 4 bits)": 4, "7 levels (unsigned 3 bits)": 3, "3 levels (unsigned 2 bits)": 2}
_NAMES = {
    "max": "largest value", "99.99 %": "99.99 %", "99.9 %": "99.9 %", "99 %": "99 %", "entropy": "entropy",
    "mse": "least squared error",
}  # fmt: skip


def calibrations() -> Panel:
    """Panel: network, levels of the activations -> accuracy of six calibrations, from the shipped sweep.

    Weights are on 8 bits, one scale a channel; batch norm is not folded.
    """
    points = search.load_sweep("quantization")
    whole = {point.settings["model"]: point.accuracies for point in points if point.settings["mode"] == "float"}

    def compute(network: str, levels: str) -> SeedChoice:
        wanted = {
            "model": network, "mode": "static", "weight_bits": 8, "activation_bits": _BITS[levels],
            "granularity": "per channel", "folded": False, "after_relu": "unsigned",
        }  # fmt: skip
        found = {
            point.settings["calibration"]: point.accuracies
            for point in points if wanted.items() <= point.settings.items()
        }  # fmt: skip
        title = f"{network}: activations on {levels}"
        return SeedChoice(title, whole[network], {words: found[name] for name, words in _NAMES.items()})

    return Panel(
        "Which calibration wins?",
        {
            "network": widgets.Dropdown(description="network", options=list(whole)),
            "levels": widgets.Dropdown(description="activations on", options=list(_BITS)),
        },
        compute,
        Contest(tuple(_NAMES.values()), floor(), search.sweep_date("quantization")),
        scenes=(
            Scene("plain, many levels", {}, "all are close: with many levels the choice hardly matters"),
            Scene("plain, 3 levels", {"levels": "3 levels (unsigned 2 bits)"}, "the largest value loses by far"),
            Scene("depthwise", {"network": "lab_mobile"}, "a depthwise network needs the choice earlier"),
        ),
    )
