"""Four currencies: what a network of another width costs, layer by layer, and how often it is right."""

import ipywidgets as widgets

from labcore.data import Dataset
from labcore.lesson.progress import floor
from labcore.metrics import make_board, measure_board
from labcore.models import load_model, make_model
from labcore.plots import CostBars
from labcore.search import load_sweep, sweep_date
from labcore.widgets.panel import Panel, Scene

__all__ = ["costs"]

_CURRENCIES = [
    ("all four", "all"), ("parameters", "parameters"), ("MACs", "macs"), ("activations", "activations"),
    ("time", "time"),
]  # fmt: skip
_FAMILY = "lab_cnn, every layer narrower or wider"


def costs(data: Dataset) -> Panel:
    """Panel: width, currency and images a call -> costs of each layer, measured accuracy and time.

    Args:
        data: `fashion14`, on which the shipped networks were trained.
    """
    neighbours = [point for point in load_sweep("widths") if point.family == _FAMILY]
    sample, batches = data.test_images[:1], data.batches()

    def compute(width: int, currency: str, batch: int):
        return make_board(make_model("lab_cnn", width=width).eval(), sample, label=f"width {width}", focus=currency)

    def measure(width: int, currency: str, batch: int, stop):
        board = compute(width, currency, batch)
        return measure_board(load_model("lab_cnn", width=width), board, batches, data.test_images[:batch], stop=stop)

    return Panel(
        "What does each layer of lab_cnn cost?",
        {
            "width": widgets.SelectionSlider(
                description="width", options=[int(point.settings["width"]) for point in neighbours], value=16
            ),
            "currency": widgets.Dropdown(description="look at", options=_CURRENCIES),
            "batch": widgets.Dropdown(description="images a call", options=[1, 50, 250], value=50),
        },
        compute,
        CostBars(compute(16, "all", 50).layers, neighbours, floor(), sweep_date("widths")),
        measure=measure,
        scenes=(
            Scene("parameters", {"currency": "parameters"}, "conv3 holds most parameters"),
            Scene("activations", {"currency": "activations"}, "conv1 makes the largest map, with few parameters"),
            Scene("time", {"currency": "time"}, "time follows none of the other three bars exactly"),
            Scene("half the width", {"width": 8}, "less than a third of the parameters, and a small loss of accuracy"),
        ),
    )  # fmt: skip
