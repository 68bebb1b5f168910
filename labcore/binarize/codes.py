"""Weights as alpha times -1, 0 and +1, fitted to weights that have been trained."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from labcore.binarize.signs import binary_sign

__all__ = ["FACTOR", "Codes", "Share", "fit_binary", "fit_ternary", "k_map", "relative_error", "ternary_threshold"]

Share = Literal["filter", "layer"]
# Times the mean magnitude: near the best threshold for normal weights.
FACTOR = 0.7


@dataclass(frozen=True, eq=False)
class Codes:
    """alpha * codes stands for a weight.

    Attributes:
        codes: -1 and +1, with 0 where weights are ternary; shape and type of the weight.
        alpha: one for each filter, shape (filters, 1, ...), or for the layer, shape (1, ...).
    """

    codes: Tensor
    alpha: Tensor

    @property
    def values(self) -> Tensor:
        return self.alpha * self.codes


def fit_binary(weight: Tensor, *, share: Share = "filter") -> Codes:
    """The nearest alpha * B with B in {-1, +1}: B = sign(W), alpha = mean |W|.

    Args:
        weight: shape (filters, ...).
        share: one alpha for each filter, or for the layer.

    Raises:
        TypeError, ValueError: no real numbers, NaN, no weights, an unknown share.

    >>> fit_binary(torch.tensor([[0.5, -1.5, 0.2, -0.2]])).alpha
    tensor([[0.6000]])

    Source: M. Rastegari et al., arXiv 1603.05279v4, equation 6.
    """
    dims = _dims(weight, share)
    return Codes(binary_sign(weight), _mean_magnitude(weight, dims))


def ternary_threshold(weight: Tensor, *, factor: float = FACTOR, share: Share = "filter") -> Tensor:
    """Delta = factor * mean |W|: magnitudes up to it become 0.

    Args:
        weight: shape (filters, ...).
        factor: at least 0.
        share: one Delta for each filter, or for the layer.

    Source: F. Li, B. Zhang, B. Liu, arXiv 1605.04711, equation 6.
    """
    if not (isinstance(factor, int | float) and factor >= 0):
        raise ValueError(f"factor must be at least 0, got {factor!r}")
    dims = _dims(weight, share)
    return factor * _mean_magnitude(weight, dims)


def fit_ternary(weight: Tensor, *, delta: Tensor | float | None = None, share: Share = "filter") -> Codes:
    """alpha * T with T = sign(W) where |W| > Delta, else 0; alpha = mean of the magnitudes above Delta.

    Args:
        weight: shape (filters, ...).
        delta: at least 0, one number or the shape of `ternary_threshold`, which None takes. A weight exactly on it
            becomes 0.
        share: one alpha (and Delta) for each filter, or for the layer. Where nothing is above Delta, alpha is 0.

    Raises:
        TypeError, ValueError: see `fit_binary`; a negative or NaN delta, or one of another shape.

    Source: F. Li, B. Zhang, B. Liu, arXiv 1605.04711, equations 3 to 6.
    """
    dims, signs = _dims(weight, share), binary_sign(weight)
    delta = ternary_threshold(weight, share=share) if delta is None else torch.as_tensor(delta, dtype=weight.dtype)
    if delta.dim() and delta.shape != (len(weight), *[1] * (weight.dim() - 1)) and delta.numel() != 1:
        raise ValueError(f"delta must be one number or one for each filter, shape (filters, 1, ...), got {delta.shape}")
    if not (delta >= 0).all():
        raise ValueError(f"delta must be at least 0, got {delta.min().item():g}")
    kept = (weight.abs() > delta).to(_exact(weight.dtype))
    sums = (weight.abs() * kept).sum(dims, keepdim=True)
    alpha = sums / kept.sum(dims, keepdim=True).clamp(min=1)
    return Codes(signs * kept.to(weight.dtype), alpha.to(weight.dtype))


def relative_error(weight: Tensor, values: Tensor) -> float:
    """||W - values||^2 / ||W||^2: 0 is exact, 1 is as bad as zeros. Of a weight of zeros only: 0 or infinity."""
    weight, values = weight.detach().double(), values.detach().double()
    error, size = (weight - values).square().sum().item(), weight.square().sum().item()
    if size == 0:
        return 0.0 if error == 0 else float("inf")
    return error / size


def k_map(x: Tensor, kernel_size: tuple[int, int], *, stride=1, padding=0, dilation=1) -> Tensor:
    """K = (mean over channels of |x|) * k with k = 1 / (height * width): the size of what each output reads.

    Args:
        x: inputs of a convolution, shape (N, C, H, W).
        kernel_size, stride, padding, dilation: of the convolution.

    Returns:
        Shape (N, 1, H', W'): one number for each position of the output, shared by all filters.

    Raises:
        ValueError: other than four dimensions.

    Source: M. Rastegari et al., arXiv 1603.05279v4, section 3.2.
    """
    if x.dim() != 4:
        raise ValueError(f"x must have shape (N, C, H, W), got {tuple(x.shape)}")
    kernel = x.new_full((1, 1, *kernel_size), 1 / (kernel_size[0] * kernel_size[1]))
    magnitude = x.abs().mean(1, keepdim=True)
    return torch.nn.functional.conv2d(magnitude, kernel, stride=stride, padding=padding, dilation=dilation)


def _exact(dtype: torch.dtype) -> torch.dtype:
    """For sums: those of half precision overflow."""
    return torch.promote_types(dtype, torch.float32)


def _mean_magnitude(weight: Tensor, dims: tuple[int, ...]) -> Tensor:
    return weight.abs().to(_exact(weight.dtype)).mean(dims, keepdim=True).to(weight.dtype)


def _dims(weight: Tensor, share: Share) -> tuple[int, ...]:
    """Dimensions over which one alpha is shared."""
    if not (isinstance(weight, Tensor) and weight.is_floating_point()):
        got = getattr(weight, "dtype", type(weight).__name__)
        raise TypeError(f"weight must be a tensor of real numbers, got {got}")
    if weight.dim() < 2 or not weight.numel():
        raise ValueError(f"weight must have shape (filters, ...) and hold weights, got shape {tuple(weight.shape)}")
    if share not in ("filter", "layer"):
        raise ValueError(f"share must be 'filter' or 'layer', got {share!r}")
    return tuple(range(1 if share == "filter" else 0, weight.dim()))
