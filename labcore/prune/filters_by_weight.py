"""Scores of channels that the weights give."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.spatial.distance import pdist, squareform
from torch import Tensor, nn

from labcore.surgery import CouplingSet, Member

__all__ = ["channel_rows", "distances", "from_filters", "gammas", "l1_norms", "l2_norms"]


def channel_rows(module: nn.Module, values: Tensor, member: Member) -> np.ndarray:
    """Values that belong to a layer's weights, one row for each channel that it makes or normalises.

    Args:
        module: the layer.
        values: shaped like its weight.
        member: where the channels stand in it.

    Returns:
        In double precision, shape (channels, values of each).
    """
    if getattr(module, "transposed", False):
        # (in, out / groups, ...): the channels that are made stand on axis 1, counted within their group.
        values = values.unflatten(0, (module.groups, -1)).transpose(1, 2).flatten(0, 1)
    rows = values.detach().reshape(len(values), -1).double().cpu().numpy()
    return rows[member.indices].reshape(len(member.indices), -1)


def from_filters(
    model: nn.Module, couplings: Sequence[CouplingSet], measure: Callable[[np.ndarray], np.ndarray]
) -> dict[str, np.ndarray]:
    """``measure(filters, one a row)``, added over the layers that make the channels of each set."""
    scores = {each.name: np.zeros(each.n_channels) for each in couplings}
    for each in couplings:
        for member in each.members:
            if member.role == "out":
                module = model.get_submodule(member.layer)
                scores[each.name] += measure(channel_rows(module, module.weight, member))
    return scores


def l1_norms(filters: np.ndarray) -> np.ndarray:
    return np.abs(filters).sum(1)


def l2_norms(filters: np.ndarray) -> np.ndarray:
    return np.linalg.norm(filters, axis=1)


def distances(filters: np.ndarray) -> np.ndarray:
    """Sum of Euclidean distances to all filters, least for the one that is nearest to their geometric median."""
    return squareform(pdist(filters)).sum(1)


def gammas(model: nn.Module, couplings: Sequence[CouplingSet]) -> dict[str, np.ndarray]:
    """|weight| of batch norm, summed; sets without it are left out."""
    scores = {}
    for each in couplings:
        for member in each.members:
            module = model.get_submodule(member.layer)
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.weight is not None:
                scores[each.name] = scores.get(each.name, 0) + l1_norms(channel_rows(module, module.weight, member))
    if couplings and not scores:
        names = ", ".join(each.name for each in couplings)
        raise ValueError(f"method 'gamma' needs batch norm with weights; channels of {names} pass none; try 'l1'")
    return scores
