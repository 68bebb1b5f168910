"""Which weights stay. Masks are data: parameter name -> boolean tensor of the parameter's shape, True where it stays.

Of n weights exactly k = round(sparsity * n) go (Python's `round`: halves to the even number), the lowest scores first;
of equal scores the one with the lower index goes first. A layer may lose its last weight: `masks_global` has a floor
against it, the others do what they are told.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from labcore.prune.checks import by_layer, check_amount, check_mask, check_names, check_scores, check_sparsity
from labcore.prune.scores import magnitude

__all__ = [
    "Masks", "drop_lowest", "keep_n_of_m", "magnitude_masks", "masks_by_deviation", "masks_by_threshold",
    "masks_global", "masks_n_m", "masks_per_layer",
]  # fmt: skip

Masks = dict[str, Tensor]


# --- selection on tensors ---------------------------------------------------------------------------


def drop_lowest(scores: Tensor, k: int) -> Tensor:
    """Mask without the k lowest scores along the last dimension; of equal ones the lower index goes first."""
    if k == 0:
        return torch.ones_like(scores, dtype=torch.bool)
    # Not a sort: on eleven million weights that takes seconds.
    highest_gone = scores.kthvalue(k, dim=-1, keepdim=True).values
    below, equal = scores < highest_gone, scores == highest_gone
    return ~below & (~equal | (equal.cumsum(-1) > k - below.sum(-1, keepdim=True)))


def keep_n_of_m(scores: Tensor, n: int, m: int) -> Tensor:
    """Mask that keeps the n highest of every m neighbours along dimension 1, whose size m divides."""
    groups = scores.movedim(1, -1).unflatten(-1, (-1, m))
    return drop_lowest(groups, m - n).flatten(-2).movedim(-1, 1).contiguous()


# --- selection on models ----------------------------------------------------------------------------


def masks_by_threshold(model: nn.Module, threshold: float) -> Masks:
    """Weights under a threshold go: keep where |w| >= threshold.

    Raises:
        TypeError, ValueError: a threshold that is no number of at least 0; weights that are not finite.
    """
    check_amount("threshold", threshold)
    magnitudes = magnitude(model)
    check_scores(magnitudes)
    return {name: values >= threshold for name, values in magnitudes.items()}


def masks_by_deviation(model: nn.Module, sensitivity: float | Mapping[str, float]) -> Masks:
    """One threshold for each layer, in units of its own spread: keep where |w| >= sensitivity * std(layer).

    std is that of the layer's weights around their mean, divided by n.

    Args:
        sensitivity: one number, or one by parameter name; layers not named keep everything.

    Raises:
        TypeError, ValueError: no number of at least 0; an unknown name; weights that are not finite.

    Source: S. Han et al., Learning both weights and connections, arXiv 1506.02626.
    """
    magnitudes = magnitude(model)
    check_scores(magnitudes)
    multiples = by_layer("sensitivity", sensitivity, magnitudes)
    for each in multiples.values():
        check_amount("sensitivity", each)
    deviations = {name: model.get_parameter(name).detach().std(correction=0) for name in magnitudes}
    return {name: values >= multiples.get(name, 0) * deviations[name] for name, values in magnitudes.items()}


def masks_per_layer(
    scores: Mapping[str, Tensor], sparsity: float | Mapping[str, float], *, within: Mapping[str, Tensor] | None = None
) -> Masks:
    """The lowest scores of each layer go, exactly round(sparsity * n) of its n weights.

    Args:
        scores: from `labcore.prune.scores`, or any tensors by parameter name.
        sparsity: 0 <= sparsity < 1, one for all or one by parameter name; layers not named keep what they have.
        within: masks of an earlier round. What is gone counts, goes first, and never comes back.

    Raises:
        TypeError, ValueError: a wrong sparsity; an unknown name (near ones are listed); scores that are not finite;
            a sparsity below that of `within`.
    """
    values = _ranked(scores, within)
    wanted = by_layer("sparsity", sparsity, scores)
    masks = {}
    for name, each in values.items():
        gone = int(each.isneginf().sum())
        if name in wanted:
            check_sparsity(wanted[name])
            k = _count(wanted[name], each.numel(), gone, name)
        else:
            k = gone
        masks[name] = drop_lowest(each.flatten(), k).view(each.shape)
    return masks


def masks_global(
    scores: Mapping[str, Tensor], sparsity: float, *, min_keep: float = 0.0,
    within: Mapping[str, Tensor] | None = None,
) -> Masks:  # fmt: skip
    """The lowest scores of all layers together go, exactly round(sparsity * n) of all n weights.

    Args:
        scores: from `labcore.prune.scores`, comparable between layers; equal ones go in the order of the layers.
        sparsity: 0 <= sparsity < 1, for all layers together.
        min_keep: share of each layer that stays whatever its scores, at least one weight unless 0.
        within: masks of an earlier round. What is gone counts, goes first, and never comes back.

    Raises:
        TypeError, ValueError: a wrong sparsity or `min_keep`; scores that are not finite; a sparsity below that of
            `within`, or one that `min_keep` does not leave room for.
    """
    check_sparsity(sparsity)
    check_sparsity(min_keep, "min_keep")
    values = _ranked(scores, within)
    everything = torch.cat([each.flatten() for each in values.values()])
    n, gone = len(everything), int(everything.isneginf().sum())
    k = _count(sparsity, n, gone, "the network")
    protected = torch.cat([_best(each.flatten(), min_keep) for each in values.values()])
    if k > n - int(protected.sum()):
        raise ValueError(
            f"sparsity {sparsity} takes {k:,} of {n:,} weights, but min_keep {min_keep} protects "
            f"{int(protected.sum()):,}; lower one of them"
        )
    kept = drop_lowest(everything.masked_fill(protected, torch.inf), k)
    parts = kept.split([each.numel() for each in values.values()])
    return {name: part.view(each.shape) for (name, each), part in zip(values.items(), parts, strict=True)}


def _best(values: Tensor, share: float) -> Tensor:
    """The best `share` of a layer's scores, at least one unless 0, and no more than are left."""
    floor = min(max(1, round(share * len(values))), len(values)) if share else 0
    return drop_lowest(values, len(values) - floor) & ~values.isneginf()


def _ranked(scores: Mapping[str, Tensor], within: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    """Scores as float64; minus infinity where `within` has let go."""
    check_scores(scores)
    values = {name: each.detach().double() for name, each in scores.items()}
    check_names("within", within or {}, values)
    for name, mask in (within or {}).items():
        check_mask(name, mask, values[name].shape)
        values[name] = values[name].masked_fill(~mask, -torch.inf)
    return values


def _count(sparsity: float, n: int, gone: int, name: str) -> int:
    k = round(sparsity * n)
    if k < gone:
        raise ValueError(
            f"sparsity {sparsity} leaves more of {name} than there is: {gone:,} of {n:,} weights are gone already"
        )
    return k


def masks_n_m(scores: Mapping[str, Tensor], n: int = 2, m: int = 4) -> Masks:
    """Of every m neighbouring inputs of an output, the n with the highest scores stay ("2:4" keeps 2 of 4).

    Neighbours stand along dimension 1: input features of a linear layer; input channels of a convolution, for each
    position of the kernel by itself. (A transposed convolution has its outputs there: leave it out.)

    Raises:
        TypeError, ValueError: not 1 <= n < m; a layer whose inputs m does not divide; scores that are not finite.

    Source: A. Mishra et al., Accelerating sparse deep neural networks, arXiv 2104.08378.
    """
    check_scores(scores)
    if any(isinstance(each, bool) or not isinstance(each, int) for each in (n, m)):
        raise TypeError(f"n and m must be whole numbers, got {n!r} and {m!r}")
    if not 1 <= n < m:
        raise ValueError(f"need 1 <= n < m, got n = {n}, m = {m}; n of every m weights stay")
    for name, values in scores.items():
        if values.dim() < 2 or values.shape[1] % m:
            raise ValueError(
                f"{name!r} of shape {tuple(values.shape)} has no multiple of {m} inputs in dimension 1; leave it out "
                "of the scores"
            )
    return {name: keep_n_of_m(values, n, m) for name, values in scores.items()}


def magnitude_masks(
    model: nn.Module, *, sparsity: float | Mapping[str, float], scope: Literal["layer", "global"] = "layer"
) -> Masks:
    """The smallest weights go, in each layer (`masks_per_layer`) or in all together (`masks_global`, no floor)."""
    choices = {"layer": masks_per_layer, "global": masks_global}
    if scope not in choices:
        raise ValueError(f"unknown scope {scope!r}; choose one of: {', '.join(choices)}")
    return choices[scope](magnitude(model), sparsity)
