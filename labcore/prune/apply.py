"""Masks at work: a copy with zeros, and a hook that keeps the zeros while training."""

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from labcore.prune.checks import check_mask, check_names
from labcore.prune.scores import prunable_parameters

__all__ = ["apply_masks", "hold", "sparsity_of"]


def apply_masks(model: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
    """A plain copy of the model with zeros where the masks are False; same class, same names, same shapes.

    Raises:
        TypeError, ValueError: see `hold`.
    """
    model = copy.deepcopy(model)
    hold(masks)(model, 0)
    return model


def hold(masks: Mapping[str, Tensor]) -> Callable[[nn.Module, int], None]:
    """A hook for `training.fit(after_step=...)`: sets masked weights back to zero, in place, after every step.

    A mask on the gradient alone does not hold: momentum and weight decay move a weight without any gradient.
    Apply the masks before training too, since the first forward pass comes before the first step.

    Raises:
        TypeError, ValueError: no masks; a mask that is not boolean or has another shape than the parameter; an unknown
            name (near ones are listed); different masks for one shared weight. Raised when the hook is called.
    """
    if not masks:
        raise ValueError("there are no masks to apply: got an empty dictionary")

    def after_step(model: nn.Module, step: int) -> None:
        parameters = dict(model.named_parameters(remove_duplicate=False))
        _check_fit(parameters, masks)
        with torch.no_grad():
            for name, mask in masks.items():
                # Filled, not multiplied: NaN * 0 is NaN, and -1 * 0 is -0, which sparse encodings keep.
                parameters[name].masked_fill_(~mask.to(parameters[name].device), 0)

    return after_step


def _check_fit(parameters: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> None:
    check_names("masks", masks, parameters)
    first: dict[int, str] = {}
    for name, mask in masks.items():
        check_mask(name, mask, parameters[name].shape)
        other = first.setdefault(id(parameters[name]), name)
        if not torch.equal(mask, masks[other]):
            raise ValueError(f"{other!r} and {name!r} share one weight but have different masks; give one of them")


def sparsity_of(model_or_masks: nn.Module | Mapping[str, Tensor]) -> float:
    """Share of zeros, in [0, 1]: among a model's prunable weights, or in masks.

    Raises:
        TypeError, ValueError: neither of the two; nothing to count.
    """
    if isinstance(model_or_masks, nn.Module):
        tensors = [model_or_masks.get_parameter(name) for name in prunable_parameters(model_or_masks)]
    elif isinstance(model_or_masks, Mapping):
        tensors = list(model_or_masks.values())
    else:
        raise TypeError(f"expected a torch.nn.Module or masks, got {type(model_or_masks).__name__}")
    n = sum(tensor.numel() for tensor in tensors)
    if not n:
        raise ValueError("there is no weight to count")
    return (n - sum(int(torch.count_nonzero(tensor)) for tensor in tensors)) / n
