"""Scores of channels that need data."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, fx, nn

from labcore.prune.filters_by_weight import channel_rows
from labcore.prune.scores import TaylorVariant, taylor_sums
from labcore.surgery import CouplingSet, TracedModel, find_places, tap
from labcore.training import evaluating

__all__ = ["mean_activations", "share_active", "taylor_of_filters"]

Batches = Iterable[tuple[Tensor, ...]]


def mean_activations(model: nn.Module, couplings: Sequence[CouplingSet], batches: Batches) -> dict[str, np.ndarray]:
    """Mean of |x| as the next layers receive it, summed over these layers."""
    readers = dict.fromkeys(member.layer for each in couplings for member in each.members if member.role == "in")
    means = _mean_inputs(model, readers, batches)
    scores = {each.name: np.zeros(each.n_channels) for each in couplings}
    for each in couplings:
        for member in each.members:
            if member.role == "in":
                scores[each.name] += means[member.layer][member.indices].mean(1)
    return scores


def _mean_inputs(model: nn.Module, layers: Iterable[str], batches: Batches) -> dict[str, np.ndarray]:
    """Mean of |x| over samples and places, for each channel that a layer receives."""
    totals, n_values = dict.fromkeys(layers, 0.0), dict.fromkeys(layers, 0)
    with evaluating(model):
        for images, *_ in batches:
            with tap(model, layers) as taps:
                model(images)
            for layer in layers:
                axis = -1 if isinstance(model.get_submodule(layer), nn.Linear) else 1
                for received in taps[layer].inputs:
                    rows = received.movedim(axis, 0).flatten(1).abs()
                    totals[layer] = totals[layer] + rows.sum(1, dtype=torch.double).cpu().numpy()
                    n_values[layer] += rows.shape[1]
    for layer, total in totals.items():
        if not n_values[layer]:
            raise ValueError("method 'activation' needs batches=, at least one (images, ...)")
        if not np.isfinite(total).all():
            raise ValueError(f"layer {layer!r} received NaN or infinity: its channels cannot be ranked")
    return {layer: total / n_values[layer] for layer, total in totals.items()}


class _NonZeros(fx.Interpreter):
    """Counts, along an axis of what some operations give, the values that are not zero.

    It looks while the graph runs: a later operation may work in place, and a pooling leaves fewer zeros.
    """

    def __init__(self, traced: TracedModel, axes: Mapping[fx.Node, int]):
        super().__init__(fx.GraphModule(traced.model, traced.nodes[0].graph))
        self.extra_traceback = False  # our own message is enough
        self.traced = traced
        self.axes, self.totals, self.n_values = axes, dict.fromkeys(axes, 0), dict.fromkeys(axes, 0)

    def run_node(self, n: fx.Node) -> object:
        result = super().run_node(n)
        if n in self.axes:
            if not result.isfinite().all():
                raise ValueError(f"{self.traced.describe(n)} gave NaN or infinity: its channels cannot be ranked")
            rows = result.movedim(self.axes[n], 0).flatten(1)
            self.totals[n] = self.totals[n] + rows.count_nonzero(1).cpu().numpy()
            self.n_values[n] += rows.shape[1]
        return result


def share_active(traced: TracedModel, couplings: Sequence[CouplingSet], batches: Batches) -> dict[str, np.ndarray]:
    """Share of values after ReLU that are not zero, summed over the ReLUs of each set; sets without are left out."""
    places = {name: each for name, each in find_places(traced, couplings, ("relu", "relu6")).items() if each}
    if couplings and not places:
        names = ", ".join(each.name for each in couplings)
        raise ValueError(f"method 'apoz' needs ReLU; channels of {names} pass none; try 'activation'")
    counter = _NonZeros(traced, {place.node: place.axis for each in places.values() for place in each})
    with torch.inference_mode():
        for images, *_ in batches:
            counter.run(images)
    if not all(counter.n_values.values()):
        raise ValueError("method 'apoz' needs batches=, at least one (images, ...)")
    return {
        name: sum((counter.totals[p.node] / counter.n_values[p.node])[p.indices].mean(1) for p in each)
        for name, each in places.items()
    }


def taylor_of_filters(
    model: nn.Module, couplings: Sequence[CouplingSet], variant: TaylorVariant, batches: Batches
) -> dict[str, np.ndarray]:
    """`scores.taylor` for filters: its sum over batches runs over the weights of a filter too."""
    sums = taylor_sums(model, batches, variant=variant)
    scores = {each.name: np.zeros(each.n_channels) for each in couplings}
    for each in couplings:
        for member in each.members:
            if member.role == "out":
                values = sums[f"{member.layer}.weight"]
                rows = channel_rows(model.get_submodule(member.layer), values, member)
                scores[each.name] += np.abs(rows.sum(1))
    return scores
