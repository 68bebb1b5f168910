"""A model as named parts: its layers, what passes through them, and the values it really holds."""

import contextlib
import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

__all__ = ["Tap", "copy_model", "distinct_parameters", "named_layers", "tap"]


def copy_model(model: nn.Module, memo: dict[int, object] | None = None) -> nn.Module:
    """A copy with parameters of its own, except for what `memo` says (as for `copy.deepcopy`).

    Raises:
        ValueError: PyTorch cannot copy it.
    """
    try:
        return copy.deepcopy(model, memo)
    except RuntimeError as error:
        raise ValueError(
            f"{type(model).__name__} cannot be copied, as a tensor in it was computed from its parameters; "
            "if torch.nn.utils.prune made masks, finish with prune.remove first"
        ) from error


def named_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Layers by name, in order of definition: modules without children, and those with parameters of their own.

    A module that is used in several places stands once, under its first name.
    """
    return {
        name: module
        for name, module in model.named_modules()
        if next(module.children(), None) is None or next(module.parameters(recurse=False), None) is not None
    }


@dataclass(frozen=True, eq=False)
class Tap:
    """What one layer received and gave: one entry for each call, as copies without gradient.

    Where a layer takes or gives several tensors, the first one is kept.
    """

    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)


@contextlib.contextmanager
def tap(model: nn.Module, names: Iterable[str]) -> Iterator[dict[str, Tap]]:
    """Record inputs and outputs of named layers while the block runs; afterwards the model is as it was.

    Args:
        model: any module.
        names: names of layers or of any other part, as in `model.named_modules()`.

    Raises:
        TypeError: `names` is a single string.
        ValueError: the model has no part of that name (the message lists its layers).
    """
    if isinstance(names, str):
        raise TypeError(f"names must be a list of names, got the string {names!r}; did you mean [{names!r}]?")
    modules, taps = dict(model.named_modules(remove_duplicate=False)), {name: Tap() for name in names}
    if unknown := [name for name in taps if name not in modules]:
        known = ", ".join(named_layers(model))
        raise ValueError(f"no layer named {', '.join(map(repr, unknown))}; layers are: {known}")
    handles = []
    try:
        for name, record in taps.items():
            # Copies: a later layer that works in place would overwrite what was recorded.
            handles += [
                modules[name].register_forward_pre_hook(
                    lambda _, args, kwargs, record=record: record.inputs.append(_first_copy((args, kwargs))),
                    with_kwargs=True,
                ),
                modules[name].register_forward_hook(
                    lambda _, args, output, record=record: record.outputs.append(_first_copy(output))
                ),
            ]
        yield taps
    finally:
        for handle in handles:
            handle.remove()


def _first_copy(structure: object) -> Tensor:
    tensors = [leaf for leaf in tree_leaves(structure) if isinstance(leaf, Tensor)]
    if not tensors:
        raise ValueError(f"a tapped layer must take and give tensors, got {type(structure).__name__} without one")
    return tensors[0].detach().clone()


def distinct_parameters(model: nn.Module) -> dict[str, Tensor]:
    """Values of the parameters by name; a value that several parameters share stands under one name only.

    Sharing is a matter of memory: one parameter under two names, two parameters over one storage, views of either.
    """
    groups: dict[tuple, list[tuple[str, Tensor]]] = {}
    for name, parameter in model.named_parameters():
        key = (parameter.device, parameter.dtype, parameter.untyped_storage().data_ptr() or name)
        groups.setdefault(key, []).append((name, parameter.detach()))
    values = {}
    for group in groups.values():
        if len(group) == 1 and 0 not in group[0][1].stride():
            values.update(group)
        else:
            values.update(_without_repeats(group))
    return values


def _without_repeats(group: list[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """For tensors over one storage: each name with those values that no earlier tensor holds."""
    first = group[0][1]
    n_stored = first.untyped_storage().nbytes() // first.element_size()
    places = torch.arange(n_stored, device=first.device)
    seen = torch.zeros(n_stored, dtype=torch.bool, device=first.device)
    for name, tensor in group:
        mine = torch.zeros_like(seen)
        mine[places.as_strided(tensor.size(), tensor.stride(), tensor.storage_offset()).flatten()] = True
        yield name, tensor.as_strided((n_stored,), (1,), 0)[mine & ~seen]
        seen |= mine
