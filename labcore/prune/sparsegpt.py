"""Pruning with repair: what a removed weight did is taken over, as well as can be, by those not yet decided."""

from collections.abc import Callable

import torch
from torch import Tensor

from labcore.prune.checks import check_sparsity
from labcore.prune.masks import drop_lowest, keep_n_of_m
from labcore.prune.wanda import check_layer
from labcore.surgery.hessian import inverse_factor, layer_hessian

__all__ = ["apply_sparsegpt", "apply_sparsegpt_n_m"]


def apply_sparsegpt(
    weight: Tensor, inputs: Tensor, *, sparsity: float, block_size: int = 128, damping: float = 0.01
) -> tuple[Tensor, Tensor]:
    """Prune one linear layer so that its outputs on `inputs` change little.

    Columns are decided from left to right, in blocks. In a block the round(sparsity * size) weights with the lowest
    w² / U_jj² go, from all rows together. Then, column by column, each removed weight's part is spread over the columns
    to its right: W[:, j:] -= (w / U_jj) U[j, j:]. U is the upper Cholesky factor of the inverse damped Hessian of the
    layer's squared error (`surgery.hessian`). A column whose inputs are all zero becomes zero, and goes first.

    Args:
        weight: shape (out, in); not changed.
        inputs: what the layer received, shape (n, in).
        sparsity: 0 <= sparsity < 1, met in each block.
        block_size: columns decided at once.
        damping: added to the Hessian's diagonal, as a share of its mean.

    Returns:
        New weight and mask (True = stays), both of shape (out, in).

    Raises:
        TypeError, ValueError: shapes that do not fit; values that are not finite; a wrong sparsity.

    Source: E. Frantar, D. Alistarh, SparseGPT, arXiv 2301.00774, algorithm 1.
    """
    check_sparsity(sparsity)
    if isinstance(block_size, bool) or not isinstance(block_size, int) or block_size < 1:
        raise ValueError(f"block_size must be a whole number of at least 1, got {block_size!r}")

    def select(scores: Tensor) -> Tensor:
        return drop_lowest(scores.flatten(), round(sparsity * scores.numel())).view(scores.shape)

    return _prune(weight, inputs, select, block_size, damping)


def apply_sparsegpt_n_m(
    weight: Tensor, inputs: Tensor, *, n: int = 2, m: int = 4, damping: float = 0.01
) -> tuple[Tensor, Tensor]:
    """The same with n of every m neighbouring inputs staying, chosen when the columns before have been decided.

    Args, Returns, Source: as `apply_sparsegpt`; m must divide the number of inputs.
    """
    if not 1 <= n < m or weight.shape[-1] % m:
        raise ValueError(f"need 1 <= n < m and a number of inputs that m divides, got {n}, {m}, {tuple(weight.shape)}")
    return _prune(weight, inputs, lambda scores: keep_n_of_m(scores, n, m), m, damping)


def _prune(
    weight: Tensor, inputs: Tensor, select: Callable[[Tensor], Tensor], block_size: int, damping: float
) -> tuple[Tensor, Tensor]:
    check_layer(weight, inputs)
    hessian = layer_hessian([inputs])
    factor = inverse_factor(hessian, damping=damping)
    pruned = weight.detach().double().masked_fill(hessian.diagonal() == 0, 0)
    mask = torch.ones_like(weight, dtype=torch.bool)
    for start in range(0, weight.shape[1], block_size):
        block = slice(start, start + block_size)
        mask[:, block] = select(pruned[:, block].square() / factor.diagonal()[block].square())
        for column in range(start, min(start + block_size, weight.shape[1])):
            error = pruned[:, column].masked_fill(mask[:, column], 0) / factor[column, column]
            pruned[:, column:] -= torch.outer(error, factor[column, column:])
    return pruned.masked_fill(~mask, 0).to(weight.dtype), mask
