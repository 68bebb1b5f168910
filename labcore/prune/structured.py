"""Whole channels: which ones go (a plan that can be looked at), and a smaller model without them."""

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor, nn

from labcore import surgery
from labcore.prune.checks import by_layer, check_names, check_sparsity
from labcore.prune.filters import FilterMethod, score_channels
from labcore.runtime import NoEffectWarning
from labcore.surgery import CouplingSet

__all__ = ["ChannelPlan", "apply_channel_plan", "channel_plan"]


@dataclass(frozen=True, eq=False)
class ChannelPlan:
    """Which channels go.

    Attributes:
        couplings: the sets of coupled channels that were ranked.
        removed: by name of the set, shape (k,): its channels that go, in ascending order. Every set has an entry.
        spared: sets that keep more than was asked for: at least one channel must stay, and a multiple of `round_to`.
    """

    couplings: tuple[CouplingSet, ...]
    removed: dict[str, np.ndarray]
    spared: tuple[str, ...]

    @property
    def summary(self) -> dict[str, tuple[int, int]]:
        """By name of the set: channels that stay, channels there are."""
        return {
            each.name: (each.n_channels - len(self.removed[each.name]), each.n_channels) for each in self.couplings
        }

    @property
    def n_removed(self) -> int:
        return sum(map(len, self.removed.values()))


def channel_plan(
    model: nn.Module,
    sample: Tensor,
    *,
    pruning_ratio: float | Mapping[str, float],
    method: FilterMethod = "l1",
    scope: Literal["set", "global"] = "set",
    round_to: int = 1,
    layers: Iterable[str] | None = None,
    ignored: Iterable[str] = (),
    batches: Iterable[tuple[Tensor, ...]] | None = None,
    seed: int = 0,
) -> ChannelPlan:
    """Choose the channels with the lowest scores; nothing is changed yet.

    Of n channels exactly k = round(pruning_ratio * n) go (Python's `round`: halves to the even number), of equal scores
    the one with the lower index first. Fewer go where `round_to` asks for it, or where a set would lose its last one.

    Args:
        model: any module that `surgery.find_couplings` can follow; left as it was, its mode too.
        sample: one batch, shape (N, ...), to trace the model with.
        pruning_ratio: share of the channels that go, 0 <= ratio < 1; or one by name of the set, the others stay whole.
        method: how channels are ranked, see `filter_scores`.
        scope: `set`: n counts the channels of each set. `global`: n counts all; scores are divided by the mean of their
            set, except those of `gamma`, which are compared as they are.
        round_to: what stays of a set is a multiple of it; a set that is smaller stays whole.
        layers: a set is considered when one of these layers makes its channels; default all.
        ignored: a set stays whole when one of these layers makes its channels.
        batches, seed: see `filter_scores`.

    Raises:
        TypeError, ValueError: a ratio that is not a float in [0, 1); a `round_to` that is not a whole number of at
            least 1; unknown scope, layers or sets (near names are listed); what `filter_scores` raises.

    Warns:
        NoEffectWarning: a ratio above 0, and no channel goes.
    """
    _check_settings(pruning_ratio, scope, round_to)
    traced = surgery.trace(model, sample)
    couplings = _consider(model, surgery.find_couplings(traced), layers, ignored)
    scores = score_channels(traced, couplings, method, batches=batches, seed=seed)
    couplings = tuple(each for each in couplings if each.name in scores)
    if scope == "global":
        asked = _ask_all(scores, pruning_ratio, round_to, comparable=method == "gamma")
    else:
        by_set = by_layer("pruning_ratio", pruning_ratio, scores)
        asked = {name: round(by_set.get(name, 0) * len(values)) for name, values in scores.items()}
    given = {name: _at_most(len(scores[name]), k, round_to) for name, k in asked.items()}
    removed = {name: np.sort(_lowest_first(values)[: given[name]]) for name, values in scores.items()}
    plan = ChannelPlan(couplings, removed, tuple(name for name in scores if given[name] < asked[name]))
    if pruning_ratio != 0 and plan.n_removed == 0:
        warnings.warn(_no_effect(plan, pruning_ratio, round_to), NoEffectWarning, stacklevel=2)
    return plan


def apply_channel_plan(model: nn.Module, plan: ChannelPlan) -> nn.Module:
    """A smaller copy of the model without the channels of a plan; the original stays as it is.

    Raises:
        ValueError: a model of other shapes than the one the plan was made for.
    """
    return surgery.remove_channels(model, plan.couplings, plan.removed)


def _check_settings(pruning_ratio: float | Mapping[str, float], scope: str, round_to: int) -> None:
    if scope not in ("set", "global"):
        raise ValueError(f"unknown scope {scope!r}; choose one of: set, global")
    if isinstance(pruning_ratio, Mapping) and scope == "global":
        raise TypeError("with scope 'global' pruning_ratio is one number for all sets, got a dictionary")
    for ratio in pruning_ratio.values() if isinstance(pruning_ratio, Mapping) else [pruning_ratio]:
        check_sparsity(ratio, "pruning_ratio")
    if not isinstance(round_to, int) or isinstance(round_to, bool):
        raise TypeError(f"round_to must be a whole number of channels, got {round_to!r}")
    if round_to < 1:
        raise ValueError(f"round_to must be at least 1 channel, got {round_to}")


def _consider(
    model: nn.Module, couplings: Iterable[CouplingSet], layers: Iterable[str] | None, ignored: Iterable[str]
) -> Sequence[CouplingSet]:
    makers = {each: each.layers("out") for each in couplings}
    able = {layer for names in makers.values() for layer in names}
    layers, ignored = _names("layers", able if layers is None else layers), _names("ignored", ignored)
    for argument, names in (("layers", layers), ("ignored", ignored)):
        check_names(argument, sorted(names), surgery.named_layers(model))
    if fixed := sorted(layers - able):
        raise ValueError(f"no channel of {fixed[0]!r} can go; layers whose channels can: {', '.join(sorted(able))}")
    return [each for each, names in makers.items() if not layers.isdisjoint(names) and ignored.isdisjoint(names)]


def _names(argument: str, names: Iterable[str]) -> set[str]:
    if isinstance(names, str):
        raise TypeError(f"{argument} must be a list of names, got the string {names!r}; did you mean [{names!r}]?")
    return set(names)


def _lowest_first(scores: np.ndarray) -> np.ndarray:
    return scores.argsort(kind="stable")


def _at_most(n: int, wanted: int, round_to: int) -> int:
    """How many of n channels go when `wanted` should, at least one stays, and what stays is a multiple."""
    stay = math.ceil(max(n - wanted, 1) / round_to) * round_to
    return n - min(n, stay)


def _ask_all(scores: Mapping[str, np.ndarray], ratio: float, round_to: int, *, comparable: bool) -> dict[str, int]:
    """How many channels of each set the ratio asks for when all are ranked together.

    What a set cannot give, as its last channels must stay, is taken from the next in the ranking.
    """
    owners = [name for name, values in scores.items() for _ in values]
    # The smallest divisor keeps a set of zeros at zero.
    scaled = [v if comparable else v / max(v.mean(), np.finfo(float).tiny) for v in scores.values()]
    room = {name: _at_most(len(values), len(values), round_to) for name, values in scores.items()}
    asked, left = dict.fromkeys(scores, 0), round(ratio * len(owners))
    for place in _lowest_first(np.concatenate([*scaled, []])):
        if left == 0:
            break
        asked[owners[place]] += 1
        left -= asked[owners[place]] <= room[owners[place]]
    return asked


def _no_effect(plan: ChannelPlan, ratio: float | Mapping[str, float], round_to: int) -> str:
    if not plan.couplings:
        return "no channel can go: looked for coupled channels that are neither inputs nor outputs, found none"
    sizes = ", ".join(f"{name} has {n}" for name, (_, n) in plan.summary.items())
    return f"pruning_ratio {ratio} with round_to {round_to} lets no channel go: {sizes}"
