"""The sign of a number as one bit, and what stands in for its gradient."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

__all__ = ["Estimator", "binary_sign", "hard_sigmoid", "sign_through", "surrogate_slope"]

Estimator = Literal["window", "identity", "polynomial", "printed"]

_SLOPES: dict[str, Callable[[Tensor], Tensor]] = {
    "window": lambda x: (x.abs() <= 1).to(x.dtype),
    "identity": torch.ones_like,
    "polynomial": lambda x: (2 - 2 * x.abs()).clamp(min=0),
    "printed": lambda x: torch.where(x.abs() <= 1, x, torch.zeros_like(x)),
}


def binary_sign(x: Tensor) -> Tensor:
    """-1 where x < 0, else +1: there are two values, so 0 and -0.0 become +1.

    Args:
        x: any shape; real numbers, or whole numbers that can be negative.

    Returns:
        Same shape and type.

    Raises:
        TypeError: no tensor, or a type without negative numbers.
        ValueError: NaN has no sign.

    >>> binary_sign(torch.tensor([-0.3, 0.0, 0.2]))
    tensor([-1.,  1.,  1.])

    Source: M. Courbariaux, Y. Bengio, J.-P. David, arXiv 1511.00363, section 2.3.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"x must be a tensor, got {type(x).__name__}")
    if x.dtype == torch.bool or x.is_complex() or not x.dtype.is_signed:
        raise TypeError(f"x must hold numbers that can be negative, got {x.dtype}")
    # A model that is exported cannot branch on values.
    if x.is_floating_point() and not torch.compiler.is_exporting() and x.isnan().any():
        raise ValueError("NaN has no sign; look for what made it (a learning rate too high?)")
    return torch.where(x < 0, -torch.ones_like(x), torch.ones_like(x))


def hard_sigmoid(x: Tensor) -> Tensor:
    """clip((x + 1) / 2, 0, 1): the probability of +1 in stochastic BinaryConnect.

    Source: M. Courbariaux, Y. Bengio, J.-P. David, arXiv 1511.00363, equation 3.
    """
    return ((x + 1) / 2).clamp(0, 1)


def surrogate_slope(x: Tensor, estimator: Estimator = "window") -> Tensor:
    """What stands in for the derivative of the sign, which is 0 wherever it exists.

    Args:
        x: any shape.
        estimator: "window": 1 where |x| <= 1, else 0; "identity": 1; "polynomial": max(0, 2 - 2 |x|);
            "printed": x where |x| <= 1, else 0, as one paper prints it. That one is wrong: negative numbers walk away.

    Raises:
        ValueError: an unknown estimator.

    >>> surrogate_slope(torch.tensor([-1.5, -0.2, 0.7, 2.0]))
    tensor([0., 1., 1., 0.])

    Source: I. Hubara et al., arXiv 1602.02830, equation 4 (window); Z. Liu et al., arXiv 1808.00278, equation 7
        (polynomial); M. Rastegari et al., arXiv 1603.05279v4, section 3.1 (printed).
    """
    if estimator not in _SLOPES:
        raise ValueError(f"estimator must be one of {', '.join(_SLOPES)}; got {estimator!r}")
    return _SLOPES[estimator](x)


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, estimator: Estimator) -> Tensor:
        ctx.save_for_backward(x)
        ctx.estimator = estimator
        return binary_sign(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return gradient * surrogate_slope(x, ctx.estimator), None


def sign_through(x: Tensor, estimator: Estimator = "window") -> Tensor:
    """`binary_sign` of real numbers, with a gradient: that of the output times `surrogate_slope`.

    Raises:
        TypeError: whole numbers have no gradient.
        ValueError: see `binary_sign` and `surrogate_slope`.
    """
    if not (isinstance(x, Tensor) and x.is_floating_point()):
        raise TypeError(f"x must be a tensor of real numbers, got {getattr(x, 'dtype', type(x).__name__)}")
    if estimator not in _SLOPES:
        raise ValueError(f"estimator must be one of {', '.join(_SLOPES)}; got {estimator!r}")
    return _Sign.apply(x, estimator)
