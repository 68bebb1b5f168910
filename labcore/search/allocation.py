"""A budget for the whole network: which level each layer gets.

The game is the same for every technique. A layer has levels (a sparsity, a number of bits, a pair of both); each level
has a cost, which the budget limits, and a loss. Losses are measured one layer at a time and added up, which is a
prediction: evaluate the network that comes out.
"""

import math
from collections.abc import Hashable, Mapping

from labcore.results import Allocation, Sensitivity

__all__ = ["Choices", "allocate_greedy", "allocate_uniform", "pruning_costs"]

# By layer, a number for each of its levels.
Choices = Mapping[str, Mapping[Hashable, float]]


def pruning_costs(sensitivity: Sensitivity, per_weight: float | Mapping[str, float] = 1.0) -> dict[str, dict]:
    """What each layer costs at each level of `sensitivity`: `per_weight` for every weight that stays.

    Args:
        per_weight: one number, or one by layer. 1 counts weights, bits of a weight give bits, multiplications with a
            weight (MACs of the layer / its weights) give MACs.
    """
    each = per_weight if isinstance(per_weight, Mapping) else dict.fromkeys(sensitivity.layers, per_weight)
    return {
        layer: {level: each[layer] * (n - round(level * n)) for level in sensitivity.levels.tolist()}
        for layer, n in zip(sensitivity.layers, sensitivity.n_weights.tolist(), strict=True)
    }


def allocate_greedy(costs: Choices, losses: Choices, budget: float) -> Allocation:
    """From the best level of every layer, step by step to cheaper ones, until the budget fits.

    A step takes one layer to any of its cheaper levels. Its price is the loss it adds, divided by the cost it saves;
    the step with the lowest price is taken, of equal ones that of the first layer, then of the first level.
    No allocation that costs as little as the result loses less. One that costs more, within the budget, may: the last
    step often saves more than is needed.

    Args:
        costs: by layer and level; `budget` limits their sum.
        losses: by the same layers and levels, for example `Sensitivity.losses`.
        budget: in the unit of the costs.

    Raises:
        ValueError: no layer, or a layer without levels; costs and losses of different layers or levels; numbers that
            are not finite; a budget that the cheapest levels together exceed.
    """
    _check(costs, losses, budget)
    # Of equally good levels the cheapest.
    levels = {layer: min(each, key=lambda level: (each[level], costs[layer][level])) for layer, each in losses.items()}
    while _sum(costs, levels) > budget:
        _, layer, level = min(_steps(costs, losses, levels), key=lambda step: step[0])
        levels[layer] = level
    return Allocation(levels, _sum(costs, levels), _sum(losses, levels))


def allocate_uniform(costs: Choices, losses: Choices, budget: float) -> Allocation:
    """The same level for every layer: of those within the budget the one with the least loss, then the first.

    Arguments and errors as in `allocate_greedy`; levels that only some layers have do not count.
    """
    _check(costs, losses, budget)
    first, *others = losses.values()
    shared = [dict.fromkeys(losses, level) for level in first if all(level in each for each in others)]
    affordable = [levels for levels in shared if _sum(costs, levels) <= budget]
    if not affordable:
        least = min((_sum(costs, levels) for levels in shared), default=math.inf)
        raise ValueError(f"no level for all layers costs at most {budget:,.9g}; the least possible is {least:,.9g}")
    levels = min(affordable, key=lambda levels: _sum(losses, levels))
    return Allocation(levels, _sum(costs, levels), _sum(losses, levels))


def _steps(costs: Choices, losses: Choices, levels: Mapping[str, Hashable]):
    """Price, layer and level of every step that saves something."""
    for layer, now in levels.items():
        for level, cost in costs[layer].items():
            saved = costs[layer][now] - cost
            if saved > 0:
                yield (losses[layer][level] - losses[layer][now]) / saved, layer, level


def _sum(numbers: Choices, levels: Mapping[str, Hashable]) -> float:
    return sum(numbers[layer][level] for layer, level in levels.items())


def _check(costs: Choices, losses: Choices, budget: float) -> None:
    if not costs or not all(costs.values()):
        raise ValueError("need at least one layer, and at least one level for each")
    if {layer: set(each) for layer, each in costs.items()} != {layer: set(each) for layer, each in losses.items()}:
        got = f"{_names(costs)}; {_names(losses)}"
        raise ValueError(f"costs and losses must have the same layers and levels; got {got}")
    for what, numbers in (("cost", costs), ("loss", losses)):
        for layer, each in numbers.items():
            if wrong := [level for level, number in each.items() if not math.isfinite(number)]:
                raise ValueError(f"the {what} of {layer!r} at level {wrong[0]!r} is {each[wrong[0]]}, no number")
    least = sum(min(each.values()) for each in costs.values())
    if not budget >= least:
        raise ValueError(f"budget {budget:,.9g} cannot be met: the cheapest levels still cost {least:,.9g}")


def _names(numbers: Choices) -> str:
    return ", ".join(f"{layer} {list(each)}" for layer, each in numbers.items())
