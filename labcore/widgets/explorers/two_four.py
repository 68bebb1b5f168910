"""Two of every four: what a rule about neighbours costs beside free choice."""

import ipywidgets as widgets
from torch import nn

from labcore import prune
from labcore.data import Dataset
from labcore.lesson.progress import floor
from labcore.plots import PatternMap
from labcore.training import evaluate
from labcore.widgets.panel import Panel, Scene

__all__ = ["two_four"]


def two_four(model: nn.Module, data: Dataset) -> Panel:
    """Panel: rule, layer -> the weights that stay, their share of the magnitude, measured accuracy.

    Args:
        model: a trained network with layers whose inputs are a multiple of eight; those are cut.
        data: what it was trained on.
    """
    whole, scores = evaluate(model, data.batches()), prune.pattern_scores(model)
    masks = {pattern: prune.pattern_masks(scores, pattern) for pattern in prune.PATTERNS}

    def compute(pattern, layer):
        return prune.report_pattern(model, masks, pattern, layer)

    def measure(pattern, layer, stop):
        return prune.measure_pruned(prune.apply_masks(model, masks[pattern]), whole, data.batches(), stop=stop)

    return Panel(
        "Two of every four: what does the rule cost?",
        {
            "pattern": widgets.Dropdown(description="what stays", options=list(prune.PATTERNS)),
            "layer": widgets.Dropdown(description="show", options=list(scores)),
        },
        compute,
        PatternMap(whole, tuple(prune.PATTERNS), shape=prune.CORNER, floor=floor()),
        measure=measure,
        scenes=(
            Scene("2 of 4", {}, "two of each group of four stay; at once the accuracy falls by a few points"),
            Scene("any half", {"pattern": "any half"}, "as many zeros, free to stand anywhere: more magnitude stays"),
            Scene("4 of 8", {"pattern": "4 of 8"}, "wider groups: what stays of the magnitude lies between the two"),
            Scene("1 of 4", {"pattern": "1 of 4"}, "three of four go: without training again the network is broken"),
        ),
    )  # fmt: skip
