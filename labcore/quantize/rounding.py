"""From real to whole numbers: three ways."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Rounding", "rounding_rule"]

Rounding = Literal["half_even", "half_away", "stochastic"]


def rounding_rule(rounding: Rounding, seed: int = 0) -> Callable[[Tensor], Tensor]:
    """Function that rounds a tensor to whole numbers.

    Args:
        rounding: of halves "half_even" (to the even number) or "half_away" (from zero); "stochastic" rounds up with
            the probability of the fraction, which is right on average.
        seed: for "stochastic".

    Raises:
        ValueError: an unknown rounding.
    """

    def half_away(x: Tensor) -> Tensor:
        # Not floor(x + 0.5): the sum rounds, and 0.49999997 would become 1.
        whole = x.trunc()
        return whole + ((x - whole).abs() >= 0.5) * x.sign()

    def stochastic(x: Tensor) -> Tensor:
        generator = torch.Generator(x.device).manual_seed(seed)
        whole = x.floor()
        return whole + (torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype) < x - whole)

    rules = {"half_even": torch.round, "half_away": half_away, "stochastic": stochastic}
    if rounding not in rules:
        raise ValueError(f"rounding must be one of {', '.join(rules)}; got {rounding!r}")
    return rules[rounding]
