"""Filters and neurons: who goes, at once, after tuning, from scratch; and what the smaller network costs."""

import functools

import ipywidgets as widgets
from torch import nn

from labcore import prune, search
from labcore.data import Dataset
from labcore.lesson.progress import floor
from labcore.plots import FilterGallery
from labcore.training import evaluate
from labcore.widgets.panel import Panel, Scene

__all__ = ["filters"]

_METHODS = ("gamma", "l1", "random", "largest")
_RATIOS = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75)
_TUNED, _SCRATCH = "after 2 epochs", "from scratch"


def filters(model: nn.Module, data: Dataset) -> Panel:
    """Panel: method, share, layer -> the filters that go, the costs that are left, accuracy at once and later.

    Args:
        model: `lab_cnn` with its shipped weights, on whose like the sweep behind "later" was measured.
        data: `fashion14`.
    """
    whole, sample = evaluate(model, data.batches()), data.test_images[:1]
    tuned = {point.label: point.accuracies for point in search.load_sweep("filters")}
    # The same share from every layer leaves the shape of a plainly narrower network.
    scratch = {point.label: point.accuracies for point in search.load_sweep("widths")}

    @functools.cache
    def plan(method, ratio):
        return prune.channel_plan(model, sample, pruning_ratio=ratio, method=method)

    def compute(method, ratio, layer):
        later = {
            _TUNED: tuned.get(f"{method}, {ratio:.0%} of the channels, {_TUNED}"),
            _SCRATCH: scratch.get(f"lab_cnn, width {16 * (1 - ratio):.0f}"),
        }
        known = {name: values for name, values in later.items() if values is not None}
        words = f"{method}, {ratio:.1%} of the filters of every layer"
        return prune.report_filters(model, plan(method, ratio), layer, sample, label=words, later=known)

    def measure(method, ratio, layer, stop):
        smaller = prune.apply_channel_plan(model, plan(method, ratio))
        return prune.measure_smaller(model, smaller, whole, data.batches(), data.test_images[:50], stop=stop)

    layers = list(plan("l1", 0.0).removed)
    return Panel(
        "Filters and neurons: who goes?",
        {
            "method": widgets.Dropdown(description="ranked by", options=_METHODS),
            "ratio": widgets.SelectionSlider(
                description="share that goes", options=[(f"{ratio:.1%}", ratio) for ratio in _RATIOS], value=0.25
            ),
            "layer": widgets.Dropdown(description="show", options=layers),
        },
        compute,
        FilterGallery(whole, floor(), (_TUNED, _SCRATCH), search.sweep_date("filters")),
        measure=measure,
        scenes=(
            Scene("by gamma", {}, "at once the accuracy falls; two epochs bring it back"),
            Scene("at random", {"method": "random"}, "at once it falls further; after two epochs the gap is gone"),
            Scene("the largest", {"method": "largest"}, "even this wrong choice can be repaired"),
            Scene("half of all", {"ratio": 0.5}, "a quarter of the MACs is left; the time falls less"),
        ),
    )
