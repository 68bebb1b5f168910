"""The budget game: spend weights or bits better than the same level everywhere, and than the machine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import ipywidgets as widgets
from torch import nn

from labcore import prune, search
from labcore.data import Dataset
from labcore.lesson.progress import floor
from labcore.plots import BudgetGame
from labcore.quantize import QuantConfig, apply_static
from labcore.results import Allocation, BitSensitivity, BudgetReport, Sensitivity
from labcore.training import evaluate
from labcore.widgets.panel import Panel, Scene

__all__ = ["budget", "budget_bits"]


@dataclass(frozen=True, eq=False)
class _Game:
    """What differs between the game of weights and the game of bits.

    Attributes:
        title: of the panel.
        budgets: what may be spent, by the name of the choice.
        unit: of costs and budgets.
        costs: by layer and level.
        levels: by the name of the choice.
        start: every slider's first level.
        knob: what a slider sets, behind the layer's name.
        apply: makes the network with a level for each layer.
        scenes: of the panel; sliders are named as in `_slider`.
    """

    title: str
    budgets: Mapping[str, float]
    unit: str
    costs: search.Choices
    levels: Mapping[str, float]
    start: float
    knob: str
    apply: Callable[[Mapping[str, float]], nn.Module]
    scenes: tuple[Scene, ...]


def budget(model: nn.Module, data: Dataset, sensitivity: Sensitivity) -> Panel:
    """Panel: budget and a level for each layer -> cost and measured accuracy of three players.

    Args:
        model: a trained network.
        data: what it was trained on.
        sensitivity: of its weights, at least three layers and the levels 0 and 0.5, from `search.measure_sensitivity`.
    """
    layers, levels = sensitivity.layers, sensitivity.levels.tolist()
    scores, nothing = prune.scores.magnitude(model), dict.fromkeys(map(_slider, layers), 0.0)
    first, third = _slider(layers[0]), _slider(layers[2])
    # One weight a layer on top: what goes is rounded in every layer, and 80 % of them must fit a budget of 20 %.
    budgets = {
        f"{100 * share:.0f} %": round(share * sensitivity.n_weights.sum()) + len(layers) for share in (0.5, 0.3, 0.2)
    }
    game = _Game(
        "The budget game: who keeps the accuracy with the fewest weights?",
        budgets,
        "weights",
        search.pruning_costs(sensitivity),
        {f"{100 * level:.0f} %": level for level in levels},
        levels[len(levels) // 2],
        "goes",
        lambda chosen: prune.apply_masks(model, prune.masks_per_layer(scores, chosen)),
        (
            Scene(f"half of {layers[0]}", nothing | {first: 0.5}, "few weights, and the accuracy falls"),
            Scene(f"half of {layers[2]}", nothing | {third: 0.5}, "many more weights, and hardly any harm"),
            Scene("20 % may stay", {"allowed": "20 %"}, "the machine spares what the curves show as sensitive"),
        ),
    )
    return _panel(game, data, sensitivity, ("you", "same share", "machine"))


def budget_bits(model: nn.Module, data: Dataset, sensitivity: BitSensitivity, config: QuantConfig) -> Panel:
    """Panel: budget in bytes and bits for each layer's weights -> cost and measured accuracy of three players.

    Args:
        model: a trained network, batch norm folded.
        data: what it was trained on.
        sensitivity: of the model, with 8, 4, 3 and 2 bits, from `search.measure_bit_sensitivity`.
        config: what `sensitivity` was measured with.
    """
    n_weights = sensitivity.n_weights
    smallest, largest = (sensitivity.layers[int(i)] for i in (n_weights.argmin(), n_weights.argmax()))
    shown, whole = [data.train_images[:500]], dict.fromkeys(map(_slider, sensitivity.layers), 8)
    # Two percent on top: enough to spare a small layer.
    budgets = {f"{bits} bits a weight": 1.02 * bits * int(n_weights.sum()) / 8 for bits in (4, 3)}
    game = _Game(
        "The budget game: who keeps the accuracy with the fewest bits?",
        budgets,
        "bytes",
        search.bit_costs(sensitivity, 1 / 8),
        {f"{bits} bits": bits for bits in sensitivity.levels.tolist()},
        4,
        "on",
        lambda chosen: apply_static(model, shown, search.mixed_config(chosen, config)),
        (
            Scene(f"2 bits for {smallest}", whole | {_slider(smallest): 2}, "few bytes saved, the accuracy falls"),
            Scene(f"3 bits for {largest}", whole | {_slider(largest): 3}, "many bytes saved, and hardly any harm"),
            Scene(
                "3 bits a weight", {"allowed": "3 bits a weight"} | dict.fromkeys(whole, 3),
                "few bytes more for the smallest layer: the machine wins back points",
            ),
        ),
    )  # fmt: skip
    return _panel(game, data, sensitivity, ("you", "same bits", "machine"))


def _slider(layer: str) -> str:
    return layer.replace(".", "_")


def _panel(game: _Game, data: Dataset, sensitivity: Sensitivity, players: tuple[str, str, str]) -> Panel:
    names, losses = {_slider(layer): layer for layer in sensitivity.layers}, sensitivity.losses

    def compute(allowed, **levels):
        mine = {names[name]: level for name, level in levels.items()}
        spent, lost = (sum(each[layer][level] for layer, level in mine.items()) for each in (game.costs, losses))
        machines = (search.allocate_uniform, search.allocate_greedy)
        others = [allocate(game.costs, losses, game.budgets[allowed]) for allocate in machines]
        return BudgetReport(
            game.budgets[allowed], game.unit, dict(zip(players, (Allocation(mine, spent, lost), *others), strict=True))
        )

    def measure(stop, **settings):
        accuracies = {}
        for name, player in compute(**settings).players.items():
            accuracies[name] = evaluate(game.apply(player.levels), data.batches(), stop=stop).accuracy
            if stop.is_set():
                return None
        return accuracies

    options = list(game.levels.items())
    sliders = {
        name: widgets.SelectionSlider(description=f"{layer} {game.knob}", options=options, value=game.start)
        for name, layer in names.items()
    }
    return Panel(
        game.title,
        {"allowed": widgets.Dropdown(description=f"{game.unit} that may stay", options=list(game.budgets)), **sliders},
        compute,
        BudgetGame(sensitivity, floor(), players),
        measure=measure,
        scenes=game.scenes,
    )
