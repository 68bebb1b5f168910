"""The budget game: spend a number of weights better than the same share everywhere, and than the machine."""

import ipywidgets as widgets
from torch import nn

from labcore import prune, search
from labcore.data import Dataset
from labcore.lesson.progress import floor
from labcore.plots import BudgetGame
from labcore.results import Allocation, BudgetReport, Sensitivity
from labcore.training import evaluate
from labcore.widgets.panel import Panel, Scene

__all__ = ["budget"]

_PLAYERS = ("you", "same share", "machine")


def budget(model: nn.Module, data: Dataset, sensitivity: Sensitivity) -> Panel:
    """Panel: budget and a level for each layer -> cost and measured accuracy of three players.

    Args:
        model: a trained network.
        data: what it was trained on.
        sensitivity: of its weights, at least three layers and the levels 0 and 0.5, from `search.measure_sensitivity`.
    """
    costs, losses = search.pruning_costs(sensitivity), sensitivity.losses
    # One weight a layer on top: what goes is rounded in every layer, and 80 % of them must fit a budget of 20 %.
    allowed = {share: round(share * sensitivity.n_weights.sum()) + len(sensitivity.layers) for share in (0.5, 0.3, 0.2)}
    names = {layer.replace(".", "_"): layer for layer in sensitivity.layers}
    scores = prune.scores.magnitude(model)

    def compute(share, **levels):
        mine = {names[name]: level for name, level in levels.items()}
        spent = sum(costs[layer][level] for layer, level in mine.items())
        players = {
            _PLAYERS[0]: Allocation(mine, spent, sum(losses[layer][level] for layer, level in mine.items())),
            _PLAYERS[1]: search.allocate_uniform(costs, losses, allowed[share]),
            _PLAYERS[2]: search.allocate_greedy(costs, losses, allowed[share]),
        }
        return BudgetReport(allowed[share], "weights", players)

    def measure(share, stop, **levels):
        accuracies = {}
        for name, player in compute(share, **levels).players.items():
            pruned = prune.apply_masks(model, prune.masks_per_layer(scores, player.levels))
            accuracies[name] = evaluate(pruned, data.batches(), stop=stop).accuracy
            if stop.is_set():
                return None
        return accuracies

    options = [(f"{100 * level:.0f} %", level) for level in sensitivity.levels.tolist()]
    sliders = {
        name: widgets.SelectionSlider(description=f"{layer} goes", options=options, value=options[len(options) // 2][1])
        for name, layer in names.items()
    }
    keys, layers, nothing = list(names), list(names.values()), dict.fromkeys(names, 0.0)
    return Panel(
        "The budget game: who keeps the accuracy with the fewest weights?",
        {
            "share": widgets.Dropdown(
                description="weights that may stay", options=[(f"{100 * share:.0f} %", share) for share in allowed]
            ),
            **sliders,
        },
        compute,
        BudgetGame(sensitivity, floor(), _PLAYERS),
        measure=measure,
        scenes=(
            Scene(f"half of {layers[0]}", nothing | {keys[0]: 0.5}, "few weights, and the accuracy falls"),
            Scene(f"half of {layers[2]}", nothing | {keys[2]: 0.5}, "many more weights, and hardly any harm"),
            Scene("20 % may stay", {"share": 0.2}, "the machine spares what the curves show as sensitive"),
        ),
    )
