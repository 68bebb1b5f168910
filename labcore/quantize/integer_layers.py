"""Operations that see whole numbers only: codes in, sums of 32 bits inside, codes out."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labcore.quantize.fixed_point import rescale, shift_half_away, to_fixed_point
from labcore.quantize.grids import Grid, encode
from labcore.quantize.layers import QuantizedLayer

__all__ = [
    "RELU", "RELU6", "IntegerAverage", "IntegerConcat", "IntegerLayer", "IntegerMaxPool", "IntegerReLU", "IntegerSum",
    "Limits",
]  # fmt: skip

# Smallest and largest output as real numbers.
Limits = tuple[float, float]
RELU: Limits = (0.0, math.inf)
RELU6: Limits = (0.0, 6.0)

_LARGEST_SUM = 2**31 - 1


class _IntegerOperation(nn.Module):
    """Something that ends with codes of an output grid of one scale, perhaps behind a rectifier.

    Besides a weight it holds one buffer, `numbers`: in a file every tensor pays for its name.
    """

    def __init__(self, grid: Grid, limits: Limits, **parts: Tensor):
        super().__init__()
        ends = encode(torch.tensor(limits, dtype=torch.float64), grid)
        each = [grid.zero_point.view(1), ends, *parts.values()]
        self._type, self._sizes = ends.dtype, [len(part) for part in each]
        self.register_buffer("numbers", torch.cat([part.int() for part in each]))

    def parts(self) -> tuple[Tensor, ...]:
        """Those given, in their order."""
        return self.numbers.split(self._sizes)[2:]

    def to_codes(self, values: Tensor) -> Tensor:
        """Codes of whole numbers of steps from zero; overwrites them."""
        zero, (lowest, highest) = self.numbers[0], self.numbers[1:3]
        return (values.add_(zero)).clamp_(lowest, highest).to(self._type)


class IntegerLayer(_IntegerOperation):
    """A convolution in two dimensions or a linear layer, with its bias and the rectifier behind it.

    code_y = clamp(round(multiplier / 2**shift * (sum of (code_x - z_x) code_w + code_b)) + z_y)

    Args:
        layer: with a weight of zero point 0, one scale for the tensor or for each output channel.
        input_grid, output_grid: one scale each.
        limits: of a rectifier behind the layer.

    Raises:
        ValueError: a weight that is not so; sums that 32 bits could not hold.

    Source: B. Jacob et al., arXiv 1712.05877, section 2.
    """

    def __init__(self, layer: QuantizedLayer, input_grid: Grid, output_grid: Grid, limits: Limits):
        plain, grid = layer.layer, layer.weight_quantizer.grid
        if grid.zero_point.any() or grid.granularity.kind == "group":
            raise ValueError(
                "sums of whole numbers need weights with the zero point 0, and one scale a channel or a tensor; got "
                f"{grid.format.name}, {grid.granularity.name}"
            )
        weight = encode(plain.weight.detach(), grid)
        step = (input_grid.scale.double() * grid.scale.double()).expand(len(weight))
        bias = torch.zeros_like(step) if plain.bias is None else (plain.bias.detach().double() / step).round()
        _check_sums(weight, bias, input_grid)
        multiplier, shift = to_fixed_point(step / output_grid.scale.double())
        zero = input_grid.zero_point.view(1)
        super().__init__(output_grid, limits, zero=zero, bias=bias, multiplier=multiplier, shift=shift)
        self.is_linear = isinstance(plain, nn.Linear)
        self.window = None if self.is_linear else (plain.kernel_size, plain.stride, plain.padding, plain.dilation)
        self.groups = 1 if self.is_linear else plain.groups
        self.register_buffer("weight", weight)

    def sums(self, codes: Tensor) -> Tensor:
        """The accumulators, bias included: int32, shape (N, out) or (N, H, W, out)."""
        zero, bias, *_ = self.parts()
        x, weight = codes.int() - zero, self.weight.int()
        if self.is_linear:
            return (x @ weight.T).add_(bias)
        windows = _windows(x, *self.window, fill=0)
        n, _, height, width = windows.shape[:4]
        # One matrix product a group: (places, inputs of the group) times (inputs, outputs of the group).
        rows = windows.unflatten(1, (self.groups, -1)).permute(1, 0, 3, 4, 2, 5, 6).flatten(4).flatten(1, 3)
        columns = weight.flatten(1).unflatten(0, (self.groups, -1)).transpose(1, 2)
        sums = torch.bmm(rows, columns).permute(1, 0, 2).reshape(n, height, width, -1)
        return sums.add_(bias)

    def forward(self, codes: Tensor) -> Tensor:
        _, _, multiplier, shift = self.parts()
        outputs = self.to_codes(rescale(self.sums(codes), multiplier, shift))
        return outputs if self.is_linear else outputs.permute(0, 3, 1, 2)


def _check_sums(weight: Tensor, bias: Tensor, grid: Grid) -> None:
    zero = int(grid.zero_point)
    reach = max(grid.format.qmax - zero, zero - grid.format.qmin)
    worst = float((weight.long().abs().flatten(1).sum(1) * reach + bias.abs()).max())
    if not worst <= _LARGEST_SUM:
        raise ValueError(f"its sums may reach {worst:.4g}, more than 32 bits hold ({_LARGEST_SUM:,})")


class IntegerSum(_IntegerOperation):
    """The sum of values on different grids: each is rescaled to the output's, and the total is rounded once.

    Args:
        input_grids: one for each operand.
        output_grid, limits: as for `IntegerLayer`.
    """

    def __init__(self, input_grids: Sequence[Grid], output_grid: Grid, limits: Limits):
        factors = torch.stack([grid.scale for grid in input_grids]).double() / output_grid.scale.double()
        # The shift of the largest factor serves all operands, so that they add up before the rounding.
        shift = to_fixed_point(factors)[1].min().view(1)
        zeros = torch.stack([grid.zero_point for grid in input_grids])
        super().__init__(output_grid, limits, zeros=zeros, multipliers=(factors * 2.0**shift).round(), shift=shift)

    def forward(self, *codes: Tensor) -> Tensor:
        zeros, multipliers, shift = self.parts()
        operands = zip(codes, zeros, multipliers.long(), strict=True)
        total = sum((each.long() - zero) * multiplier for each, zero, multiplier in operands)
        return self.to_codes(shift_half_away(total, shift))


class IntegerConcat(nn.Module):
    """Values on different grids side by side on one grid.

    Args:
        input_grids: one for each operand.
        output_grid, limits: as for `IntegerLayer`.
        dim: along which they stand.
    """

    def __init__(self, input_grids: Sequence[Grid], output_grid: Grid, limits: Limits, dim: int):
        super().__init__()
        self.parts = nn.ModuleList(IntegerSum([grid], output_grid, limits) for grid in input_grids)
        self.dim = dim

    def forward(self, *codes: Tensor) -> Tensor:
        return torch.cat([part(each) for part, each in zip(self.parts, codes, strict=True)], self.dim)


class IntegerAverage(_IntegerOperation):
    """Mean over windows, or over the whole picture where `window` is None.

    Args:
        input_grid, output_grid, limits: as for `IntegerLayer`.
        n: how many values a mean is of.
        window: kernel, stride and padding, each (height, width); padding counts as zeros.
        keep_dims: whether a mean over the whole picture leaves one place.
    """

    def __init__(
        self, input_grid: Grid, output_grid: Grid, limits: Limits, *, n: int, window: tuple | None, keep_dims: bool
    ):
        multiplier, shift = to_fixed_point(input_grid.scale.double().view(1) / output_grid.scale.double() / n)
        zero = input_grid.zero_point.view(1)
        super().__init__(output_grid, limits, zero=zero, multiplier=multiplier, shift=shift)
        self.window, self.keep_dims = window, keep_dims

    def forward(self, codes: Tensor) -> Tensor:
        zero, multiplier, shift = self.parts()
        x = codes.int() - zero
        if self.window is None:
            sums = x.sum((2, 3), keepdim=self.keep_dims)
        else:
            sums = _windows(x, *self.window, dilation=(1, 1), fill=0).sum((4, 5))
        return self.to_codes(rescale(sums, multiplier, shift))


class IntegerMaxPool(nn.Module):
    """Largest code of every window; the order of codes is that of the values.

    Args:
        window: kernel, stride, padding and dilation, each (height, width).
    """

    def __init__(self, window: tuple):
        super().__init__()
        self.window = window

    def forward(self, codes: Tensor) -> Tensor:
        return _windows(codes, *self.window, fill=torch.iinfo(codes.dtype).min).amax((4, 5))


class IntegerReLU(nn.Module):
    """Not below the code of zero, nor above the code of the upper limit; the grid stays."""

    def __init__(self, grid: Grid, limits: Limits):
        super().__init__()
        self.register_buffer("ends", encode(torch.tensor(limits, dtype=torch.float64), grid))

    def forward(self, codes: Tensor) -> Tensor:
        return codes.clamp(*self.ends)


def _windows(
    x: Tensor, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int] | str, dilation: Sequence[int],
    *, fill: int,
) -> Tensor:  # fmt: skip
    """The windows of a picture (N, C, H, W): shape (N, C, out H, out W, kernel H, kernel W)."""
    reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if padding == "same":
        sides = [(math.floor(r / 2), math.ceil(r / 2)) for r in reach]
    else:
        sides = [(0, 0)] * 2 if padding == "valid" else [(p, p) for p in padding]
    (top, bottom), (left, right) = sides
    padded = F.pad(x, (left, right, top, bottom), value=fill)
    windows = padded.unfold(2, reach[0] + 1, stride[0]).unfold(3, reach[1] + 1, stride[1])
    return windows[..., :: dilation[0], :: dilation[1]]
