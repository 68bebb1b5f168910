"""Values that stay as they are while their gradient becomes another one."""

import torch
from torch import Tensor

__all__ = ["at_least", "nothing", "scale_gradient", "straight_through"]


def nothing(x: Tensor) -> Tensor:
    """Zero that has the gradient 1."""
    return x - x.detach()


def straight_through(x: Tensor, rounded: Tensor) -> Tensor:
    return rounded.detach() + nothing(x)


def scale_gradient(x: Tensor, share: Tensor) -> Tensor:
    return x.detach() + share * nothing(x)


def at_least(x: Tensor, low: Tensor) -> Tensor:
    """The larger one, with the gradient of x either way: from below it finds back."""
    return torch.where(x > low, x, low + nothing(x))
