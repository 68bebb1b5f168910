"""The layer Hessian: how the squared error of one layer's outputs reacts to its weights."""

from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ["inverse_factor", "layer_hessian"]


def layer_hessian(inputs: Iterable[Tensor]) -> Tensor:
    """Hessian of a linear layer's mean squared output error, the same for every output: H = 2/N * sum of x xᵀ.

    Args:
        inputs: batches of what the layer received, each of shape (n, in); N is their sum.

    Returns:
        Shape (in, in), float64.

    Raises:
        ValueError: no sample; batches that are not (n, in); values that are not finite.
    """
    total, n = None, 0
    for batch in inputs:
        if batch.dim() != 2 or (total is not None and batch.shape[1] != len(total)):
            raise ValueError(f"inputs must be batches of shape (n, in) with one in, got {tuple(batch.shape)}")
        batch = batch.detach().double()
        total = batch.T @ batch if total is None else total + batch.T @ batch
        n += len(batch)
    if not n:
        raise ValueError("there are no inputs to make a Hessian of")
    if not total.isfinite().all():
        raise ValueError("the inputs must be finite, got NaN or infinity")
    return 2 / n * total


def inverse_factor(hessian: Tensor, *, damping: float = 0.01) -> Tensor:
    """Upper Cholesky factor U of the inverse of the damped Hessian: Uᵀ U = (H + damping * mean(diag H) * I)⁻¹.

    U_jj² is the first diagonal element of the inverse of H[j:, j:], and U[j, j:] / U_jj its first row, scaled: what is
    needed to decide columns from left to right. An input that is always zero has a zero row and column in H: it gets a
    one on the diagonal, and counts for no mean. When H + damping cannot be inverted, damping grows tenfold, twice.

    Args:
        hessian: shape (in, in), symmetric and positive semidefinite.
        damping: share of the mean diagonal, at least 0.

    Raises:
        ValueError: it cannot be inverted even so.

    Source: E. Frantar et al., GPTQ, arXiv 2210.17323, section 3.3.
    """
    diagonal = hessian.diagonal()
    dead = diagonal == 0
    mean = float(diagonal[~dead].mean()) if not dead.all() else 1.0
    alive = hessian.double() + torch.diag(dead.double())
    for factor in (1, 10, 100):
        damped = alive + factor * damping * mean * torch.eye(len(hessian), dtype=torch.float64, device=hessian.device)
        lower, failed = torch.linalg.cholesky_ex(damped)
        if failed:
            continue
        upper, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower), upper=True)
        if not failed:
            return upper
    raise ValueError(f"the Hessian cannot be inverted with damping {damping:g} to {100 * damping:g}; give a larger one")
