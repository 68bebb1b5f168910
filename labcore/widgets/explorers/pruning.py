"""The scalpel: which weights go, what is left, and one epoch of repair."""

import functools

import ipywidgets as widgets
from torch import nn

from labcore import prune
from labcore.data import Dataset
from labcore.lesson.progress import floor
from labcore.plots import Scalpel
from labcore.training import TrainConfig, evaluate, fit
from labcore.widgets.panel import Action, Panel, Scene

__all__ = ["pruning"]

_SPARSITIES = (0.0, 0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98)
_REPAIR = TrainConfig(epochs=1, learning_rate=1e-3, schedule="constant")


def pruning(model: nn.Module, data: Dataset) -> Panel:
    """Panel: score, scope, sparsity, layer -> map, histogram, bytes, measured accuracy; a button repairs for one epoch.

    Args:
        model: a trained network.
        data: what it was trained on.
    """
    names = prune.prunable_parameters(model)
    whole = evaluate(model, data.batches())
    scorers = {
        "smallest": prune.scores.magnitude,
        "random": lambda net: prune.scores.random(net, seed=0),
        "largest": prune.scores.largest,
    }

    @functools.cache
    def masks(score, scope, sparsity):
        select = prune.masks_global if scope == "whole network" else prune.masks_per_layer
        return select(scorers[score](model), sparsity)

    def compute(score, scope, sparsity, layer, hold):
        return prune.report_masks(model, masks(score, scope, sparsity), layer)

    def measure(score, scope, sparsity, layer, hold, stop):
        return prune.measure_pruned(
            prune.apply_masks(model, masks(score, scope, sparsity)), whole, data.batches(), stop=stop
        )

    def repair(score, scope, sparsity, layer, hold, stop, progress):
        chosen = masks(score, scope, sparsity)
        tuned = prune.apply_masks(model, chosen)
        hook = prune.hold(chosen) if hold == "held" else None
        fit(tuned, data.batches(64, split="train", seed=0), _REPAIR, after_step=hook, stop=stop, progress=progress)
        return prune.measure_pruned(tuned, whole, data.batches(), tuned=True, stop=stop)

    reach = max(float(values.max()) for values in prune.scores.magnitude(model).values())
    untouched = prune.report_masks(model, prune.magnitude_masks(model, sparsity=0.0), names[0])
    return Panel(
        "The scalpel: which weights can go?",
        {
            "score": widgets.Dropdown(description="go first", options=list(scorers)),
            "scope": widgets.Dropdown(description="ranked over", options=["whole network", "each layer"]),
            "sparsity": widgets.SelectionSlider(
                description="sparsity", options=[(f"{100 * s:.0f} %", s) for s in _SPARSITIES], value=0.7
            ),
            "layer": widgets.Dropdown(description="show", options=names),
            "hold": widgets.Dropdown(description="mask in repair", options=["held", "forgotten"]),
        },
        compute,
        Scalpel(whole, floor(), reach, untouched.sizes["dense"]),
        measure=measure,
        action=Action("repair", repair),
        scenes=(
            Scene("smallest 70 %", {}, "most weights are gone, and the accuracy hardly moves"),
            Scene("random 70 %", {"score": "random"}, "the same number at random: the network is broken"),
            Scene("random 30 %", {"score": "random", "sparsity": 0.3}, "less than half as many, and still more harm"),
            Scene("largest 1 %", {"score": "largest", "sparsity": 0.01}, "one weight in a hundred matters"),
            Scene("cliff 95 %", {"sparsity": 0.95}, "the accuracy falls off a cliff"),
            Scene("cliff, repaired", {"sparsity": 0.95}, "one epoch under the mask brings most of it back", act=True),
            Scene(
                "cliff, mask forgotten", {"sparsity": 0.95, "hold": "forgotten"},
                "an even better accuracy; now look at the zeros", act=True,
            ),
        ),
    )  # fmt: skip
