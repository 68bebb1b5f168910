"""How far values moved when they were put on a grid."""

import torch
from torch import Tensor

from labcore.results import Quality

__all__ = ["measure_quality"]


def measure_quality(x: Tensor, approximated: Tensor) -> Quality:
    """Compare values with what stands for them, in double precision.

    SQNR = 20 log10(|x| / |x - approximated|), with Euclidean norms over all values.

    Args:
        x: the exact values, any shape, not empty.
        approximated: the same shape.

    Returns:
        SQNR in decibels: infinite without error, minus infinity where x is zero and the other is not. Cosine: 1
        without error, 0 where one of the two is zero. Errors in units of x.

    Raises:
        TypeError: something else than tensors.
        ValueError: different shapes, no values, NaN or infinity.
    """
    for name, values in (("x", x), ("approximated", approximated)):
        if not isinstance(values, Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(values).__name__}")
        if not values.isfinite().all():
            raise ValueError(f"{name} holds NaN or infinity, which no error can be measured against")
    if x.shape != approximated.shape or not x.numel():
        raise ValueError(
            f"need two tensors of one shape with values in them, got {tuple(x.shape)} and {tuple(approximated.shape)}"
        )
    x, approximated = x.detach().double(), approximated.detach().double()
    # In units of the largest value, squares neither overflow nor vanish.
    unit = torch.maximum(x.abs().max(), approximated.abs().max()).clamp(min=torch.finfo(x.dtype).tiny)
    x, approximated = x / unit, approximated / unit
    error = x - approximated
    size, moved = x.norm(), error.norm()
    if not moved:
        return Quality(float("inf"), 0.0, 1.0, 0.0)
    lengths = size * approximated.norm()
    cosine = (x * approximated).sum() / lengths if lengths else lengths
    mse, max_error = error.square().mean() * unit * unit, error.abs().max() * unit
    return Quality(float(20 * torch.log10(size / moved)), float(mse), float(cosine), float(max_error))
