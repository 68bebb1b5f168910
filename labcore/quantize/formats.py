"""Number formats as values: how many bits, which whole numbers, and how a range of real numbers is laid on them."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

__all__ = [
    "INT2", "INT4", "INT8", "INT8_AFFINE", "INT16", "UINT8", "UINT8_AFFINE", "NumberFormat", "Scheme", "int_format",
    "scale_and_zero_point",
]  # fmt: skip

Scheme = Literal["symmetric", "full", "torch", "affine"]


@dataclass(frozen=True)
class NumberFormat:
    """Whole numbers of a few bits: x is about scale * (q - zero_point), qmin <= q <= qmax.

    Attributes:
        bits: 1 to 16.
        scheme: how the scale s and the zero point z follow from the range [lo, hi] of the data:

            - "symmetric": z = 0 and s = max |x| / qmax. The lowest signed code -2^(bits-1) is not used, so that each
              code has its opposite. Unsigned: s = max(hi, 0) / qmax, and negative values become 0.
            - "full": z = 0, all codes; the smallest s that clips nothing: max(lo / qmin, hi / qmax). Unsigned it
              does the same as "symmetric".
            - "torch": all codes and s = max |x| / ((qmax - qmin) / 2), which is max |x| / 127.5 for 8 bits: the
              largest positive value is clipped to 127 s. Unsigned: z = 2^(bits-1).
            - "affine": the range is extended to hold 0, then s = (hi - lo) / (qmax - qmin) and
              z = qmin - round(lo / s).
        signed: whether codes go below zero.

    Raises:
        TypeError, ValueError: bits that are no whole number from 1 to 16, an unknown scheme, or 1 bit in a scheme that
            would turn every positive value into 0.

    Source: B. Jacob et al., arXiv 1712.05877, section 2.1; H. Wu et al., arXiv 2004.09602, section 3.
    """

    bits: int
    scheme: Scheme = "symmetric"
    signed: bool = True

    def __post_init__(self):
        if isinstance(self.bits, bool) or not isinstance(self.bits, int):
            raise TypeError(f"bits must be a whole number from 1 to 16, got {self.bits!r}")
        if not 1 <= self.bits <= 16:
            raise ValueError(f"bits must be from 1 to 16, got {self.bits}")
        if self.scheme not in get_args(Scheme):
            raise ValueError(f"scheme must be one of {', '.join(get_args(Scheme))}; got {self.scheme!r}")
        if not isinstance(self.signed, bool):
            raise TypeError(f"signed must be True or False, got {self.signed!r}")
        if self.bits == 1 and self.scheme != "affine" and (self.signed or self.scheme == "torch"):
            raise ValueError(
                f"1 bit in the scheme {self.scheme!r} holds no positive value; take 2 bits or more, or scheme='affine'"
            )

    @property
    def qmin(self) -> int:
        """Lowest code."""
        if not self.signed:
            return 0
        return -(2 ** (self.bits - 1)) + (self.scheme == "symmetric")

    @property
    def qmax(self) -> int:
        """Highest code."""
        return 2 ** (self.bits - self.signed) - 1

    @property
    def n_levels(self) -> int:
        """How many codes there are."""
        return self.qmax - self.qmin + 1

    @property
    def name(self) -> str:
        """Such as "int4 symmetric" or "uint8 affine"."""
        return f"{'' if self.signed else 'u'}int{self.bits} {self.scheme}"


def int_format(bits: int = 4, scheme: Scheme = "symmetric", signed: bool = True) -> NumberFormat:
    """A format of whole numbers; see `NumberFormat`.

    >>> int_format(bits=4).qmin, int_format(bits=4, scheme="affine", signed=False).qmax
    (-7, 15)
    """
    return NumberFormat(bits, scheme, signed)


INT2, INT4, INT8, INT16 = (NumberFormat(bits) for bits in (2, 4, 8, 16))
INT8_AFFINE = NumberFormat(8, "affine")
UINT8 = NumberFormat(8, signed=False)
UINT8_AFFINE = NumberFormat(8, "affine", signed=False)


def scale_and_zero_point(low: Tensor, high: Tensor, format: NumberFormat, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Scale and zero point (int32) by the format's scheme; see `NumberFormat`.

    Args:
        low, high: float64, same shape, finite, low <= high; extended to hold 0.
        format: names the scheme.
        dtype: of the scale. One below its smallest normal number is raised to that; a range of zero width gets 1.
    """
    low, high = low.clamp(max=0), high.clamp(min=0)
    n_steps = format.qmax - format.qmin
    if format.scheme == "affine":
        scale = high / n_steps - low / n_steps  # divided first: the difference may overflow
    elif format.scheme == "torch":
        scale = torch.maximum(-low, high) / (n_steps / 2)
    elif format.signed:
        scale = torch.maximum(low / format.qmin, high / format.qmax)
    else:
        scale = high / format.qmax
    scale = torch.where(scale == 0, 1, scale.to(dtype).clamp(min=torch.finfo(dtype).tiny))
    zero_point = torch.zeros_like(scale)
    if format.scheme == "affine":
        # From the scale as it is stored, so that codes and zero point round alike.
        zero_point = (format.qmin - (low.to(dtype) / scale).round()).clamp(format.qmin, format.qmax)
    elif format.scheme == "torch" and not format.signed:
        zero_point += 2 ** (format.bits - 1)
    return scale, zero_point.int()
