"""Which layers can spare something: one layer pruned at a time, the others whole."""

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
from torch import Tensor, nn

from labcore import prune
from labcore.prune.checks import check_names, check_sparsity
from labcore.results import Sensitivity
from labcore.training import evaluate

__all__ = ["Kind", "measure_sensitivity"]

Kind = Literal["weights", "channels"]

# One layer: its weights, and for each level a network in which nothing else was pruned.
_Layer = tuple[int, Iterable[nn.Module]]


def measure_sensitivity(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    levels: Sequence[float],
    layers: Iterable[str] | None = None,
    kind: Kind = "weights",
    sample: Tensor | None = None,
    stop: threading.Event | None = None,
    progress: Callable[[float], None] | None = None,
) -> Sensitivity:
    """Accuracy after pruning one layer at one level, for all layers and levels; nothing is trained in between.

    `weights`: the smallest round(level * n) weights of the layer become zero (`prune.masks_per_layer`).
    `channels`: the channels with the smallest l1 norm are taken out (`prune.channel_plan`).
    Every level starts from a fresh copy of the model, in evaluation mode.

    Args:
        model: left as it was.
        batches: (images, labels), the same ones for every level.
        levels: ascending shares that go, each 0 <= level < 1.
        layers: names as in the result; default all. `weights`: parameters, see `prune.prunable_parameters`; `channels`:
            sets of coupled channels, see `surgery.find_couplings`.
        kind: what is pruned.
        sample: one batch to trace the model with, for `channels`; default the first image of `batches`.
        stop: when set, the rest stays unmeasured (NaN).
        progress: receives the share done, in [0, 1].

    Raises:
        TypeError, ValueError: levels that are not ascending floats in [0, 1); an unknown kind or layer (near names are
            listed); see also `training.evaluate` and `prune.channel_plan`.

    Source: S. Han et al., Learning both weights and connections, arXiv 1506.02626, section 3.3; H. Li et al., Pruning
        filters for efficient ConvNets, arXiv 1608.08710, section 3.2.
    """
    _check_levels(levels)
    if kind not in get_args(Kind):
        raise ValueError(f"unknown kind {kind!r}; choose one of: {', '.join(get_args(Kind))}")
    baseline = evaluate(model, batches).accuracy
    if kind == "weights":
        pruned = _without_weights(model, levels)
    else:
        pruned = _without_channels(model, next(iter(batches))[0][:1] if sample is None else sample, levels)
    chosen = list(pruned if layers is None else layers)
    check_names("layers", chosen, pruned)
    accuracies = np.full((len(chosen), len(levels)), np.nan)
    copies = (each for name in chosen for each in pruned[name][1])
    for i, copy in enumerate(copies):
        accuracy = evaluate(copy, batches, stop=stop).accuracy
        if stop is not None and stop.is_set():
            break
        accuracies.flat[i] = accuracy
        if progress:
            progress((i + 1) / accuracies.size)
    n_weights = np.array([pruned[name][0] for name in chosen])
    return Sensitivity(tuple(chosen), np.array(levels), accuracies, n_weights, baseline)


def _check_levels(levels: Sequence[float]) -> None:
    for level in levels:
        check_sparsity(level, "every level")
    if not len(levels) or any(after <= before for before, after in itertools.pairwise(levels)):
        raise ValueError(f"levels must ascend, and there must be at least one; got {list(levels)}")


def _without_weights(model: nn.Module, levels: Sequence[float]) -> dict[str, _Layer]:
    def copies(name: str, magnitudes: Tensor) -> Iterator[nn.Module]:
        for level in levels:
            yield prune.apply_masks(model, prune.masks_per_layer({name: magnitudes}, level))

    return {name: (each.numel(), copies(name, each)) for name, each in prune.scores.magnitude(model).items()}


def _without_channels(model: nn.Module, sample: Tensor, levels: Sequence[float]) -> dict[str, _Layer]:
    plans = [prune.channel_plan(model, sample, pruning_ratio=level) for level in levels]

    def copies(name: str) -> Iterator[nn.Module]:
        for plan in plans:
            yield prune.apply_channel_plan(model, replace(plan, removed={name: plan.removed[name]}))

    return {
        each.name: (sum(model.get_submodule(layer).weight.numel() for layer in each.layers("out")), copies(each.name))
        for each in plans[0].couplings
    }
