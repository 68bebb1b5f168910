"""How much each channel counts: one score for every set of coupled channels, larger = more important."""

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from labcore.surgery import CouplingSet, Member, find_couplings, tap, trace
from labcore.training import evaluating

__all__ = ["FilterMethod", "filter_scores", "score_channels"]

FilterMethod = Literal["l1", "l2", "gamma", "activation", "random", "largest"]


def filter_scores(
    model: nn.Module,
    sample: Tensor,
    method: FilterMethod = "l1",
    *,
    batches: Iterable[tuple[Tensor, ...]] | None = None,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Scores of all channels that can go, by the name of their set (see `surgery.find_couplings`).

    - `l1`: sum of |w| of a channel's filter; `l2`: root of the sum of its squares. Where several layers make a channel
      (both sides of an addition, a depthwise convolution after another one), their scores are added.
    - `gamma`: |weight| of the batch norms that the channel passes, summed; sets without batch norm are left out.
    - `activation`: mean of |x| as the next layers receive it (after batch norm, activation and pooling), summed.
    - `random`: uniform in [0, 1), by `seed`. `largest`: `l1` turned round, so that the largest go first.

    Args:
        model: left as it was; scored in evaluation mode.
        sample: one batch, shape (N, ...), to trace the model with.
        batches: (images, ...) for `activation`.

    Returns:
        Non-negative scores in double precision, shape (channels,), in the order of the sets' channels.

    Raises:
        ValueError: an unknown method; weights or activations that are not finite; `gamma` where no channel passes
            batch norm; `activation` without batches; see also `surgery.trace` and `surgery.find_couplings`.

    Source: l1, H. Li et al., Pruning filters for efficient ConvNets, arXiv 1608.08710; gamma, Z. Liu et al., Network
    slimming, arXiv 1708.06519.
    """
    return score_channels(model, find_couplings(trace(model, sample)), method, batches=batches, seed=seed)


def score_channels(
    model: nn.Module,
    couplings: Sequence[CouplingSet],
    method: FilterMethod,
    *,
    batches: Iterable[tuple[Tensor, ...]] | None,
    seed: int,
) -> dict[str, np.ndarray]:
    """`filter_scores` of sets that have been found already."""
    _check_finite(model, couplings)
    match method:
        case "l1" | "l2":
            return _norms(model, couplings, method)
        case "largest":
            sizes = _norms(model, couplings, "l1")
            return {name: max(map(np.max, sizes.values())) - values for name, values in sizes.items()}
        case "gamma":
            return _gammas(model, couplings)
        case "activation":
            return _activations(model, couplings, batches)
        case "random":
            generator = np.random.default_rng(seed)
            return {each.name: generator.random(each.n_channels) for each in couplings}
    raise ValueError(f"unknown method {method!r}; choose one of: {', '.join(get_args(FilterMethod))}")


def _check_finite(model: nn.Module, couplings: Sequence[CouplingSet]) -> None:
    for layer in dict.fromkeys(member.layer for each in couplings for member in each.members):
        for name, parameter in model.get_submodule(layer).named_parameters():
            if not parameter.isfinite().all():
                raise ValueError(f"layer {layer!r} holds NaN or infinity in its {name}: its channels cannot be ranked")


# --- scores from weights ----------------------------------------------------------------------------


def _norms(model: nn.Module, couplings: Sequence[CouplingSet], method: Literal["l1", "l2"]) -> dict[str, np.ndarray]:
    order = {"l1": 1, "l2": 2}[method]
    return {
        each.name: sum(
            _weight_norms(model.get_submodule(member.layer), member, order)
            for member in each.members
            if member.role == "out"
        )
        for each in couplings
    }


def _weight_norms(module: nn.Module, member: Member, order: int) -> np.ndarray:
    """Norm of the weights with which a layer makes or normalises each channel, shape (channels,)."""
    weight = module.weight.detach()
    if getattr(module, "transposed", False):
        # (in, out / groups, ...): the channels that are made stand on axis 1, counted within their group.
        weight = weight.unflatten(0, (module.groups, -1)).transpose(1, 2).flatten(0, 1)
    rows = torch.linalg.vector_norm(weight.reshape(len(weight), -1), order, dim=1, dtype=torch.double)
    return np.linalg.norm(rows.cpu().numpy()[member.indices], order, axis=1)


def _gammas(model: nn.Module, couplings: Sequence[CouplingSet]) -> dict[str, np.ndarray]:
    scores = {}
    for each in couplings:
        for member in each.members:
            module = model.get_submodule(member.layer)
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.weight is not None:
                scores[each.name] = scores.get(each.name, 0) + _weight_norms(module, member, 1)
    if couplings and not scores:
        names = ", ".join(each.name for each in couplings)
        raise ValueError(f"method 'gamma' needs batch norm with weights; channels of {names} pass none; try 'l1'")
    return scores


# --- scores from data -------------------------------------------------------------------------------


def _activations(
    model: nn.Module, couplings: Sequence[CouplingSet], batches: Iterable[tuple[Tensor, ...]] | None
) -> dict[str, np.ndarray]:
    readers = dict.fromkeys(member.layer for each in couplings for member in each.members if member.role == "in")
    means = _mean_inputs(model, readers, batches or ())
    scores = {each.name: np.zeros(each.n_channels) for each in couplings}
    for each in couplings:
        for member in each.members:
            if member.role == "in":
                scores[each.name] += means[member.layer][member.indices].mean(1)
    return scores


def _mean_inputs(
    model: nn.Module, layers: Iterable[str], batches: Iterable[tuple[Tensor, ...]]
) -> dict[str, np.ndarray]:
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
