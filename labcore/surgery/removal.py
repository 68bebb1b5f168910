"""Channels taken out of a model for good: a copy with smaller tensors."""

import copy
import difflib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from labcore.surgery.coupling import CouplingSet, Role

__all__ = ["remove_channels"]


def remove_channels(
    model: nn.Module, couplings: Iterable[CouplingSet], removed: Mapping[str, Sequence[int]]
) -> nn.Module:
    """A copy of the model without some channels: same class, same layers, smaller tensors; the original stays as it is.

    Args:
        model: the one that the sets were found in, or one of the same shapes.
        couplings: from `find_couplings`.
        removed: by name of the set, which of its channels go. At least one of each set must stay.

    Raises:
        ValueError: an unknown set (near names are listed); channels that are not there, or all of them; a model with
            other shapes.
        TypeError: channels that are not whole numbers.
    """
    sets = {each.name: each for each in couplings}
    gone: dict[tuple[str, Role], list[np.ndarray]] = defaultdict(list)
    for name, channels in removed.items():
        if name not in sets:
            near = difflib.get_close_matches(name, sets, cutoff=0.4) or list(sets)
            raise ValueError(f"no set of coupled channels is named {name!r}; near it: {', '.join(near)}")
        chosen = _check_channels(sets[name], channels)
        for member in sets[name].members:
            _check_size(model, member.layer, member.role, member.size)
            gone[member.layer, member.role].append(member.indices[chosen].ravel())
    model = copy.deepcopy(model)
    # What a layer makes is cut first: then its groups still tell whether it is depthwise.
    for (layer, role), indices in sorted(gone.items(), key=lambda item: item[0][1] == "in"):
        _cut_(model.get_submodule(layer), role, np.concatenate(indices))
    return model


def _check_channels(coupling: CouplingSet, channels: Sequence[int]) -> np.ndarray:
    chosen = np.asarray(channels)
    if chosen.size == 0:
        return chosen.astype(int)
    if chosen.dtype.kind not in "iu":
        raise TypeError(f"channels of {coupling.name!r} must be whole numbers, got {chosen.dtype}")
    n = coupling.n_channels
    if chosen.min() < 0 or chosen.max() >= n:
        raise ValueError(f"channels of {coupling.name!r} are 0 to {n - 1}, got {chosen.tolist()}")
    chosen = np.unique(chosen)
    if len(chosen) == n:
        raise ValueError(f"all {n} channels of {coupling.name!r} would go; at least one must stay")
    return chosen


# Attributes that hold the number of channels in a role.
_SIZES = {
    nn.Linear: {"out": "out_features", "in": "in_features"},
    nn.modules.conv._ConvNd: {"out": "out_channels", "in": "in_channels"},
    nn.modules.batchnorm._NormBase: {"norm": "num_features"},
    nn.PReLU: {"norm": "num_parameters"},
}


def _size_name(module: nn.Module | None, role: Role) -> str | None:
    return next((names.get(role) for kind, names in _SIZES.items() if isinstance(module, kind)), None)


def _check_size(model: nn.Module, layer: str, role: Role, size: int) -> None:
    module = dict(model.named_modules()).get(layer)
    name = _size_name(module, role)
    own = getattr(module, name) if name else "no"
    if own != size:
        raise ValueError(
            f"the sets were found in another model: {layer!r} has {own} channels ({role}), expected {size}; "
            "find them again in this model"
        )


def _cut_(module: nn.Module, role: Role, gone: np.ndarray) -> None:
    """Take positions out of one layer."""
    name = _size_name(module, role)
    keep = np.delete(np.arange(getattr(module, name)), gone)
    if isinstance(module, nn.modules.conv._ConvNd):
        _cut_weight_of_convolution_(module, role, keep)
    elif isinstance(module, nn.Linear):
        _select_(module, "weight", 0 if role == "out" else 1, keep)
    else:
        for each in ("weight", "running_mean", "running_var"):
            _select_(module, each, 0, keep)
    if role != "in":
        _select_(module, "bias", 0, keep)
    setattr(module, name, len(keep))


def _cut_weight_of_convolution_(module: nn.Module, role: Role, keep: np.ndarray) -> None:
    # One axis of the weight counts channels over all groups, the other those of one group.
    first = "in" if module.transposed else "out"
    if 1 < module.groups == module.in_channels:
        kept_groups = np.unique(keep // (module.out_channels // module.groups))
        _select_(module, "weight", 0, kept_groups if module.transposed else keep)
        module.in_channels = module.groups = len(kept_groups)
    elif role == first:
        _select_(module, "weight", 0, keep)
    else:
        size = getattr(module, _size_name(module, role)) // module.groups
        _select_(module, "weight", 1, keep[keep < size])


def _select_(module: nn.Module, name: str, axis: int, keep: np.ndarray) -> None:
    tensor = getattr(module, name, None)
    if tensor is None:
        return
    smaller = tensor.detach().index_select(axis, torch.from_numpy(keep).to(tensor.device))
    is_parameter = isinstance(tensor, nn.Parameter)
    setattr(module, name, nn.Parameter(smaller, tensor.requires_grad) if is_parameter else smaller)
