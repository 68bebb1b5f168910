"""What every measurement checks before it calls a model, and how a failing call is explained."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

__all__ = ["call", "check_batch", "check_model"]


def check_model(model: object) -> None:
    """Raise TypeError for anything but a module."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")


def check_batch(batch: object) -> None:
    """Raise TypeError for anything but a tensor, ValueError for one without samples."""
    if not isinstance(batch, Tensor):
        raise TypeError(f"expected a batch as one tensor of shape (N, ...), got {type(batch).__name__}")
    if batch.dim() == 0 or len(batch) == 0:
        raise ValueError(f"expected a batch of at least one sample, got shape {tuple(batch.shape)}")


def call(model: Callable[[Tensor], Any], batch: Tensor) -> Any:
    """The model's answer; a batch that a module cannot take becomes a ValueError that names model and shape."""
    try:
        return model(batch)
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        if not isinstance(model, nn.Module):
            raise
        raise ValueError(
            f"{type(model).__name__} cannot take a batch of shape {tuple(batch.shape)} and {batch.dtype}: {error}"
        ) from error
