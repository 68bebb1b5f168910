"""Real factors as whole numbers: a multiplier and a shift, with one rounding.

Integer layers scale their sums by factors such as scale_x * scale_w / scale_y without a floating-point number.
"""

import torch
from torch import Tensor

__all__ = ["rescale", "shift_half_away", "to_fixed_point"]

_MULTIPLIER_BITS = 31
# Sums of 32 bits times 31 bits still fit 64 bits, and so does the half that rounding adds.
_MOST_SHIFT = 62


def to_fixed_point(factor: Tensor) -> tuple[Tensor, Tensor]:
    """Multiplier and shift of positive factors: factor is about multiplier / 2**shift.

    The multiplier has 31 significant bits, so the relative error is at most 2**-31.

    Args:
        factor: positive and finite, any shape, below 2**30.

    Returns:
        multiplier: int64, in [2**30, 2**31); 0 where the factor is too small for any sum of 32 bits to count.
        shift: int64, from 1 to 62.

    Raises:
        ValueError: a factor that is not positive and finite, or too large.

    Source: B. Jacob et al., arXiv 1712.05877, section 2.2.
    """
    factor = factor.double()
    if not (factor.isfinite() & (factor > 0)).all():
        raise ValueError("a factor must be positive and finite; a scale is zero, negative or no number")
    fraction, exponent = torch.frexp(factor)
    multiplier = (fraction * 2**_MULTIPLIER_BITS).round().long()
    full = multiplier == 2**_MULTIPLIER_BITS
    multiplier, exponent = torch.where(full, multiplier // 2, multiplier), exponent + full
    shift = _MULTIPLIER_BITS - exponent.long()
    if (shift < 1).any():
        raise ValueError(f"a factor must be below 2**{_MULTIPLIER_BITS - 1}, got {float(factor.max()):g}")
    return torch.where(shift > _MOST_SHIFT, 0, multiplier), shift.clamp(max=_MOST_SHIFT)


def rescale(sums: Tensor, multiplier: Tensor, shift: Tensor) -> Tensor:
    """sums * multiplier / 2**shift in whole numbers, rounded half away from zero.

    Args:
        sums: whole numbers of up to 32 bits.
        multiplier, shift: from `to_fixed_point`, of a shape that broadcasts.

    Returns:
        int64.
    """
    return shift_half_away(sums.long() * multiplier, shift)


def shift_half_away(products: Tensor, shift: Tensor) -> Tensor:
    """products / 2**shift, rounded half away from zero; overwrites and gives `products`, int64."""
    # Shifting right rounds down: half a unit more rounds to the nearest, one less than that for negative numbers.
    half = torch.ones_like(shift, dtype=torch.int64) << (shift - 1)
    return products.add_(products >> 63).add_(half).bitwise_right_shift_(shift)
