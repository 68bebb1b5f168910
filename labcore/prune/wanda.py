"""Pruning by weight and activation: a small weight on a loud input matters. No training, no gradients."""

import torch
from torch import Tensor

from labcore.prune.checks import check_sparsity
from labcore.prune.masks import drop_lowest

__all__ = ["check_layer", "wanda_mask", "wanda_scores"]


def wanda_scores(weight: Tensor, inputs: Tensor) -> Tensor:
    """Each weight's magnitude times the norm of its input: S_ij = |W_ij| * ||X_j||_2.

    Scores are compared within one row (`wanda_mask`), or within groups of a row (`masks.keep_n_of_m`).

    Args:
        weight: shape (out, in).
        inputs: what the layer received, shape (n, in).

    Returns:
        Shape (out, in), float64.

    Raises:
        ValueError: shapes that do not fit; values that are not finite.

    Source: M. Sun et al., A simple and effective pruning approach for large language models, arXiv 2306.11695.
    """
    check_layer(weight, inputs)
    return weight.abs().double() * torch.linalg.vector_norm(inputs.double(), dim=0)


def wanda_mask(weight: Tensor, inputs: Tensor, *, sparsity: float) -> Tensor:
    """Mask (True = stays) without the round(sparsity * in) lowest scores of each row.

    Args:
        weight: shape (out, in).
        inputs: shape (n, in).
        sparsity: 0 <= sparsity < 1, the same in every row.
    """
    check_sparsity(sparsity)
    return drop_lowest(wanda_scores(weight, inputs), round(sparsity * weight.shape[1]))


def check_layer(weight: Tensor, inputs: Tensor) -> None:
    """Raise ValueError unless the weight is (out, in), the inputs (n, in) with n > 0, and all values finite."""
    if weight.dim() != 2 or inputs.dim() != 2 or inputs.shape[1] != weight.shape[1] or not len(inputs):
        raise ValueError(
            f"need a weight of shape (out, in) and inputs of shape (n, in), got {tuple(weight.shape)} and "
            f"{tuple(inputs.shape)}"
        )
    for name, values in (("weight", weight), ("inputs", inputs)):
        if not values.isfinite().all():
            raise ValueError(f"the {name} must be finite, got NaN or infinity")
