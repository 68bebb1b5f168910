"""Modules that put numbers on a grid: values in passing, and the weights of the layer they wrap."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labcore.quantize.formats import NumberFormat, scale_and_zero_point
from labcore.quantize.granularity import PER_TENSOR, Granularity
from labcore.quantize.grids import Grid, fake_quantize

__all__ = ["DynamicQuantizer", "QuantizedLayer", "Quantizer"]


class Quantizer(nn.Module):
    """Rounds what passes to a fixed grid, with the straight-through gradient; scale and zero point are buffers.

    Args:
        grid: scales and zero points; training does not move them.
    """

    def __init__(self, grid: Grid):
        super().__init__()
        self.format, self.granularity, self.axis, self.groups = grid.format, grid.granularity, grid.axis, grid.groups
        self.register_buffer("scale", grid.scale.clone())
        self.register_buffer("zero_point", grid.zero_point.clone())

    @property
    def grid(self) -> Grid:
        """The grid as it stands in the buffers."""
        return Grid(self.format, self.scale, self.zero_point, self.granularity, self.axis, self.groups)

    @property
    def n_scales(self) -> int:
        return self.scale.numel()

    def forward(self, x: Tensor) -> Tensor:
        return fake_quantize(x, self.grid)

    def extra_repr(self) -> str:
        return f"{self.format.name}, {self.granularity.name}"


class DynamicQuantizer(nn.Module):
    """Rounds what passes to a grid over its own smallest and largest value: no range is kept, no data needed before.

    Args:
        format: of the codes.
        granularity: one scale for the batch (`PER_TENSOR`), or for the last dimension (`PER_TOKEN`).
    """

    def __init__(self, format: NumberFormat, granularity: Granularity = PER_TENSOR):
        super().__init__()
        if granularity.kind not in ("tensor", "token"):
            raise ValueError(f"activations are quantized per tensor or per token, got {granularity.name}")
        self.format, self.granularity = format, granularity

    def forward(self, x: Tensor) -> Tensor:
        if not x.numel():
            return x
        values = x.detach()
        if self.granularity == PER_TENSOR:
            low, high = values.min(), values.max()  # what ONNX knows of; it has no aminmax over all dimensions
        else:
            low, high = torch.aminmax(values, dim=-1)
        dtype = torch.promote_types(x.dtype, torch.float32)
        scale, zero_point = scale_and_zero_point(low.double(), high.double(), self.format, dtype)
        return fake_quantize(x, Grid(self.format, scale, zero_point, self.granularity))

    def extra_repr(self) -> str:
        return f"{self.format.name}, {self.granularity.name}, range of each batch"


class QuantizedLayer(nn.Module):
    """A linear layer or a convolution that computes with weights on a grid, perhaps with inputs on one.

    The float weight stays underneath: training moves it, and every forward pass rounds it anew.

    Args:
        layer: a linear layer or a (transposed) convolution; used as it is, so hand over a copy.
        weight_quantizer: None leaves the weight in float.
        input_quantizer: None takes inputs as they come.

    Attributes:
        bias_step: the bias is rounded to multiples of it, as a sum of whole numbers needs: scale of the inputs times
            scales of the weight. None leaves it in float.
    """

    def __init__(self, layer: nn.Module, weight_quantizer: Quantizer | None, input_quantizer: nn.Module | None = None):
        super().__init__()
        self.layer = layer
        self.weight_quantizer, self.input_quantizer = weight_quantizer, input_quantizer
        self.register_buffer("bias_step", None)

    def quantized_weight(self) -> Tensor:
        """The weight that the layer computes with, of the same shape."""
        return self.layer.weight if self.weight_quantizer is None else self.weight_quantizer(self.layer.weight)

    def quantized_bias(self) -> Tensor | None:
        """The bias that the layer computes with; its gradient passes straight through."""
        bias, step = self.layer.bias, self.bias_step
        return bias if bias is None or step is None else bias + ((bias / step).round() * step - bias).detach()

    def forward(self, x: Tensor) -> Tensor:
        if self.input_quantizer is not None:
            x = self.input_quantizer(x)
        return _compute(self.layer, x, self.quantized_weight(), self.quantized_bias())


_TRANSPOSED: dict[int, Callable[..., Tensor]] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def _compute(layer: nn.Module, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """What the layer does, with other parameters. Swapping them for a moment would not be safe with threads."""
    if isinstance(layer, nn.Linear):
        return F.linear(x, weight, bias)
    if not layer.transposed:
        return layer._conv_forward(x, weight, bias)
    function = _TRANSPOSED[len(layer.kernel_size)]
    return function(
        x, weight, bias, layer.stride, layer.padding, layer.output_padding, layer.groups, layer.dilation
    )  # fmt: skip
