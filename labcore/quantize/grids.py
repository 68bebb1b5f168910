"""Grids: the real numbers that a format can hold, and the way there and back. x is about scale * (q - zero_point)."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor, nn

from labcore.quantize.formats import NumberFormat, scale_and_zero_point
from labcore.quantize.granularity import PER_CHANNEL, PER_TENSOR, Blocks, Granularity, channel_axis, split
from labcore.quantize.rounding import Rounding, rounding_rule

__all__ = ["Grid", "decode", "encode", "fake_quantize", "fit_grid", "fit_weight_grid", "grid_from_range"]


@dataclass(frozen=True, eq=False)
class Grid:
    """Scales and zero points that turn a tensor into codes and back.

    Attributes:
        format: of the codes.
        scale: finite and above zero; shape () for one scale, (channels,), (channels, groups of inputs), or for tokens
            the tensor's shape without its last dimension. float64 for float64 data, else float32.
        zero_point: int32, same shape: the code of zero.
        granularity: which values share a scale.
        axis: dimension of the output channels.
        groups: of a transposed convolution, whose weight has shape (in, out / groups, ...); else 1.
    """

    format: NumberFormat
    scale: Tensor
    zero_point: Tensor
    granularity: Granularity = PER_TENSOR
    axis: int = 0
    groups: int = 1


# --- from a range to a grid -------------------------------------------------------------------------


def fit_grid(
    x: Tensor, format: NumberFormat, *, granularity: Granularity = PER_TENSOR, axis: int = 0, groups: int = 1
) -> Grid:
    """Grid from the smallest and the largest value of each block of a tensor.

    Args:
        x: floating point, any shape; no values count as zeros.
        format: of the codes.
        granularity: which values share a scale. Groups are cut from all inputs of an output channel: of a
            convolution, channel by channel and in each the positions of the kernel.
        axis: dimension of the output channels; 1 for a transposed convolution.
        groups: of a transposed convolution.

    Raises:
        TypeError: x does not hold floating-point numbers.
        ValueError: NaN or infinity; a shape that the granularity does not fit.
    """
    _check_values(x)
    values, shape, _ = split(x.detach(), granularity, axis, groups)
    if values.numel():
        low, high = (end.reshape(shape) for end in torch.aminmax(values, dim=-1 if shape else None))
    else:
        low = high = values.new_zeros(shape)
    return grid_from_range(low, high, format, granularity=granularity, axis=axis, groups=groups)


def fit_weight_grid(layer: nn.Module, format: NumberFormat, *, granularity: Granularity = PER_CHANNEL) -> Grid:
    """Grid for the weight of a linear layer or a (transposed, grouped) convolution, by its output channels."""
    axis = channel_axis(layer)
    groups = layer.groups if axis == 1 else 1
    return fit_grid(layer.weight, format, granularity=granularity, axis=axis, groups=groups)


def grid_from_range(
    low: float | Tensor, high: float | Tensor, format: NumberFormat, *,
    granularity: Granularity = PER_TENSOR, axis: int = 0, groups: int = 1,
) -> Grid:  # fmt: skip
    """Grid from known bounds. The range is extended to hold zero, which every grid represents exactly.

    A range of zero width at zero gets the scale 1. A scale below the smallest normal number is raised to it.

    Args:
        low, high: numbers, or tensors of the scale's shape; finite, low <= high.
        format: of the codes; its scheme says how scale and zero point follow (see `NumberFormat`).
        granularity, axis, groups: as for `fit_grid`.

    Raises:
        TypeError: bounds that are no numbers.
        ValueError: bounds that are not finite, in the wrong order, of a wrong shape, or too far apart for float32.
    """
    wide = any(isinstance(end, Tensor) and end.dtype == torch.float64 for end in (low, high))
    low, high = _bound("low", low), _bound("high", high)
    n_dims = {"tensor": 0, "channel": 1, "group": 2}.get(granularity.kind, low.dim())
    if low.shape != high.shape or low.dim() != n_dims:
        raise ValueError(
            f"{granularity.name}, low and high need one shape with {n_dims} dimensions, got {tuple(low.shape)} "
            f"and {tuple(high.shape)}"
        )
    if not (low.isfinite() & high.isfinite()).all():
        raise ValueError("the range must be finite, got NaN or infinity; look for them in the data")
    if (low > high).any():
        raise ValueError("low must not be above high; were they swapped?")
    scale, zero_point = scale_and_zero_point(low, high, format, torch.float64 if wide else torch.float32)
    if not scale.isfinite().all():
        raise ValueError("the range is too wide for a scale in float32; give the bounds as float64 tensors")
    return Grid(format, scale, zero_point, granularity, axis, groups)


def _bound(name: str, value: float | Tensor) -> Tensor:
    if isinstance(value, bool) or not isinstance(value, Real | Tensor):
        raise TypeError(f"{name} must be a number or a tensor, got {value!r}")
    return torch.as_tensor(value, dtype=torch.float64).detach()


# --- there and back ---------------------------------------------------------------------------------


def encode(x: Tensor, grid: Grid, *, rounding: Rounding = "half_even", seed: int = 0) -> Tensor:
    """Codes: q = clamp(round(x / scale) + zero_point, qmin, qmax). Values outside the range take its last code.

    Args:
        x: floating point, of a shape that the grid fits.
        grid: from `fit_grid` or `grid_from_range`.
        rounding: of halves "half_even" (to the even number) or "half_away" (from zero); "stochastic" rounds up with
            the probability of the fraction, which is right on average.
        seed: for "stochastic".

    Returns:
        int8, uint8, int16 or int32: the smallest that holds the format.

    Raises:
        TypeError: x does not hold floating-point numbers.
        ValueError: NaN; a shape that the grid does not fit; an unknown rounding.

    >>> encode(torch.tensor([-9.0, 0.4, 6.6]), grid_from_range(-7.0, 7.0, NumberFormat(bits=4))).tolist()
    [-7, 0, 7]
    """
    _check_values(x)
    if x.isnan().any():
        raise ValueError(f"x holds NaN ({int(x.isnan().sum())} of {x.numel()} values), which has no code")
    blocks = _blocks(x.detach(), grid)
    steps, low, high = _steps(blocks.values, grid, rounding_rule(rounding, seed))
    zero = _column(grid.zero_point, grid).to(steps.dtype)
    codes = torch.minimum(torch.maximum(steps, low), high) + zero
    return blocks.restore(codes.to(_code_type(grid.format)))


def decode(q: Tensor, grid: Grid) -> Tensor:
    """Values scale * (q - zero_point) of codes, in the scale's type; beyond its largest number, that number.

    Raises:
        TypeError: q does not hold whole numbers.
        ValueError: codes outside the format; a shape that the grid does not fit.
    """
    if not isinstance(q, Tensor) or q.is_floating_point() or q.is_complex() or q.dtype == torch.bool:
        raise TypeError(f"codes must be a tensor of whole numbers, got {_kind(q)}")
    if q.numel() and not (grid.format.qmin <= int(q.min()) and int(q.max()) <= grid.format.qmax):
        raise ValueError(
            f"{grid.format.name} has codes from {grid.format.qmin} to {grid.format.qmax}, got {int(q.min())} to "
            f"{int(q.max())}"
        )
    blocks = _blocks(q, grid)
    steps = blocks.values.to(grid.scale.dtype) - _column(grid.zero_point, grid)
    return blocks.restore(_saturate(steps * _column(grid.scale, grid), grid.scale.dtype))


def fake_quantize(x: Tensor, grid: Grid, *, rounding: Rounding = "half_even", seed: int = 0) -> Tensor:
    """`decode(encode(x))` in one step and in the type of x, with a gradient that training can use.

    Rounding has the derivative 0 almost everywhere. The straight-through gradient replaces it: 1 where the rounded
    value has a code, 0 where it was clipped. NaN stays NaN.

    Args:
        x, grid, rounding, seed: as for `encode`.

    Source: Y. Bengio et al., arXiv 1308.3432; B. Jacob et al., arXiv 1712.05877, section 3.
    """
    _check_values(x)
    blocks = _blocks(x, grid)
    return blocks.restore(_StraightThrough.apply(blocks.values, grid, rounding_rule(rounding, seed)))


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, grid: Grid, rounding: Callable[[Tensor], Tensor]) -> Tensor:
        steps, low, high = _steps(x, grid, rounding)
        kept = torch.minimum(torch.maximum(steps, low), high)
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(steps == kept)
        return _saturate(kept.mul_(_column(grid.scale, grid)), x.dtype)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return gradient * inside, None, None


def _steps(values: Tensor, grid: Grid, rounding: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Rounded distances from zero in steps of the grid, and the first and last that have a code."""
    scale, zero = _column(grid.scale, grid), _column(grid.zero_point, grid)
    # Half precision would not hold the codes of 16 bits; a scale without dimensions does not widen it by itself.
    steps = rounding(values.to(torch.promote_types(values.dtype, scale.dtype)) / scale)
    return steps, (grid.format.qmin - zero).to(steps.dtype), (grid.format.qmax - zero).to(steps.dtype)


def _blocks(x: Tensor, grid: Grid) -> Blocks:
    blocks = split(x, grid.granularity, grid.axis, grid.groups)
    if blocks.scale_shape != grid.scale.shape:
        raise ValueError(
            f"{grid.granularity.name}, a tensor of shape {tuple(x.shape)} needs scales of shape "
            f"{tuple(blocks.scale_shape)}, but the grid has {tuple(grid.scale.shape)}; fit a grid to this tensor"
        )
    return blocks


def _column(parameter: Tensor, grid: Grid) -> Tensor:
    """Scales or zero points in the form in which they meet the blocks."""
    return parameter if grid.granularity.kind == "tensor" else parameter.reshape(-1, 1)


def _saturate(values: Tensor, dtype: torch.dtype) -> Tensor:
    """In that type; half a step beyond its largest number would become infinite."""
    largest = torch.finfo(dtype).max
    return values.clamp_(-largest, largest).to(dtype)


def _code_type(format: NumberFormat) -> torch.dtype:
    if format.qmax > torch.iinfo(torch.int16).max:
        return torch.int32
    if format.bits > 8:
        return torch.int16
    return torch.int8 if format.signed else torch.uint8


def _check_values(x: Tensor) -> None:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise TypeError(f"expected a tensor of floating-point numbers, got {_kind(x)}")


def _kind(x: object) -> object:
    return x.dtype if isinstance(x, Tensor) else type(x).__name__
