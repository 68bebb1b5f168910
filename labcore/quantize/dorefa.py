"""DoReFa: values squeezed into a range that is always the same, then rounded."""

import torch
from torch import Tensor, nn

from labcore.quantize.formats import int_format
from labcore.quantize.gradients import straight_through
from labcore.quantize.granularity import PER_TENSOR
from labcore.quantize.grids import Grid, grid_from_range
from labcore.quantize.layers import Quantizer

__all__ = ["DoReFaWeights", "UnitRange"]


class UnitRange(Quantizer):
    """DoReFa for activations that are never negative: clip(x, 0, 1), rounded to multiples of 1 / (2^k - 1).

    Args:
        bits: k.

    Source: S. Zhou et al., DoReFa-Net, arXiv 1606.06160, equation 11.
    """

    def __init__(self, bits: int):
        super().__init__(grid_from_range(0.0, 1.0, int_format(bits, signed=False)))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.clamp(0, 1))


class DoReFaWeights(nn.Module):
    """DoReFa for weights: 2 q_k(tanh(w) / (2 max |tanh(w)|) + 1/2) - 1, where q_k rounds to multiples of 1 / (2^k - 1).

    Of the 2^k levels from -1 to 1 none is 0. With one bit: sign(w) E|w|, and the sign of 0 is +. The weights have
    another size than in float, so a trained network forgets: it has to be trained on, with batch norm behind layers.

    Args:
        bits: k.

    Source: S. Zhou et al., DoReFa-Net, arXiv 1606.06160, equations 5, 7 and 9.
    """

    granularity, n_scales = PER_TENSOR, 1

    def __init__(self, bits: int):
        super().__init__()
        self.format = int_format(bits, "affine")

    @property
    def grid(self) -> Grid:
        raise ValueError("DoReFa rounds the tanh of a weight, so its codes are not those of the weight on a grid")

    def forward(self, w: Tensor) -> Tensor:
        if self.format.bits == 1:
            return straight_through(w, torch.where(w < 0, -1.0, 1.0) * w.abs().mean())
        squeezed = w.tanh()
        unit = squeezed / (2 * squeezed.abs().max().clamp(min=torch.finfo(w.dtype).tiny)) + 0.5
        n_steps = 2**self.format.bits - 1
        return 2 * straight_through(unit, (unit * n_steps).round() / n_steps) - 1

    def extra_repr(self) -> str:
        return f"{self.format.bits} bits"
