"""Ranges that training moves along with the weights: LSQ and PACT; and how a model gets them, or those of DoReFa."""

import warnings
from typing import Literal, get_args

import torch
from torch import Tensor, fx, nn

from labcore.quantize.dorefa import DoReFaWeights, UnitRange
from labcore.quantize.gradients import at_least, nothing, scale_gradient
from labcore.quantize.granularity import split
from labcore.quantize.grids import Grid, fake_quantize, grid_from_range
from labcore.quantize.layers import QuantizedLayer, Quantizer
from labcore.quantize.static import find_quantizer_before
from labcore.runtime import NoEffectWarning
from labcore.surgery import copy_model

__all__ = ["ClippedRange", "LearnedStep", "LearnedWeightStep", "apply_learned_ranges", "range_penalty"]

Method = Literal["lsq", "pact", "dorefa"]

# A step or a range stays above this share of its first value.
_LEAST = 1e-3


class LearnedStep(Quantizer):
    """LSQ: the step s of the grid is a parameter, for activations. s starts from the first batch in training mode.

    x_q = s clip(round(x / s), n, p) has the gradient round(x / s) - x / s by s inside the grid, n or p outside;
    multiplied by 1 / sqrt(N p), with N values a sample, so that steps learn as fast as weights. s starts at
    2 mean |x| / sqrt(p). A value counts as inside when its rounded value has a code, as in `fake_quantize`.

    Args:
        grid: what values lie on until training starts; its zero points stay.

    Source: S. Esser et al., Learned step size quantization, arXiv 1902.08153, equations 1 to 3 and section 2.
    """

    def __init__(self, grid: Grid):
        super().__init__(grid)
        scale = self.scale
        del self.scale
        self.scale = nn.Parameter(scale)
        self.register_buffer("least", _LEAST * scale)
        self.register_buffer("has_started", torch.tensor(False))

    @property
    def grid(self) -> Grid:
        return Grid(
            self.format, at_least(self.scale, self.least).detach(), self.zero_point, self.granularity, self.axis,
            self.groups,
        )  # fmt: skip

    @torch.no_grad()
    def start_(self, x: Tensor) -> None:
        """Set the step from values that pass; where all are 0 it stays."""
        magnitude = split(x, self.granularity, self.axis, self.groups).values.abs()
        mean = magnitude.mean() if self.granularity.kind == "tensor" else magnitude.mean(-1).reshape(self.scale.shape)
        first = 2 * mean / self._highest().sqrt()
        self.scale.copy_(torch.where(first > 0, first, self.scale))
        self.least.copy_(_LEAST * self.scale)
        self.has_started.fill_(True)

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.numel() and not self.has_started:
            self.start_(x)
        blocks = split(x, self.granularity, self.axis, self.groups)
        share = 1 / (self._n_values(x) * self._highest()).sqrt()
        scale = self._column(scale_gradient(at_least(self.scale, self.least), share))
        zero = self._column(self.zero_point)
        steps = blocks.values / scale
        rounded = steps.detach().round()
        kept = torch.minimum(torch.maximum(rounded, self.format.qmin - zero), self.format.qmax - zero)
        return blocks.restore(scale * (kept + (rounded == kept) * nothing(steps)))

    def _column(self, parameter: Tensor) -> Tensor:
        return parameter if self.granularity.kind == "tensor" else parameter.reshape(-1, 1)

    def _highest(self) -> Tensor:
        """The highest step above zero, p; below it where nothing is above."""
        above = self.format.qmax - self.zero_point
        return torch.where(above > 0, above, self.zero_point - self.format.qmin)

    def _n_values(self, x: Tensor) -> int:
        return x.shape[1:].numel()


class LearnedWeightStep(LearnedStep):
    """LSQ for a weight, from which the step starts at once; N is how many weights share it.

    Args:
        grid: for the weight; its zero points stay.
        weight: in float.
    """

    def __init__(self, grid: Grid, weight: Tensor):
        super().__init__(grid)
        self.start_(weight)

    def _n_values(self, x: Tensor) -> int:
        return x.numel() // self.scale.numel()


class ClippedRange(Quantizer):
    """PACT: the upper end alpha of the range [0, alpha] is a parameter, for activations that are never negative.

    y = clip(x, 0, alpha), rounded to multiples of alpha / qmax; the gradient by alpha is 1 where x >= alpha, else 0.

    Args:
        grid: of values that cannot be negative; alpha starts at its upper end.

    Source: J. Choi et al., PACT, arXiv 1805.06085, equations 1 to 3.
    """

    n_scales = 1

    def __init__(self, grid: Grid):
        super().__init__(grid)
        del self.scale
        self.alpha = nn.Parameter(grid.scale * (grid.format.qmax - grid.zero_point))
        self.register_buffer("least", _LEAST * self.alpha.detach())

    @property
    def grid(self) -> Grid:
        return grid_from_range(torch.zeros_like(self.alpha), at_least(self.alpha, self.least), self.format)

    def forward(self, x: Tensor) -> Tensor:
        alpha = at_least(self.alpha, self.least)
        return fake_quantize(torch.where(x < alpha, x.clamp(min=0), alpha), self.grid)


def apply_learned_ranges(static: nn.Module, *, method: Method = "lsq") -> nn.Module:
    """A copy of a model from `apply_static` whose ranges `training.fit` moves along with the weights.

    "lsq": the steps of all weights and activations. "pact": the range of every activation that is never negative;
    weights and the other activations keep their ranges. "dorefa": weights and activations that are never negative, in
    the fixed ranges of DoReFa. The range of the model's output stays as it was calibrated. Biases are in float again:
    the step of the sums that they are added to moves.

    Args:
        static: left as it was. Its formats stay.
        method: what learns.

    Raises:
        TypeError: something else than a model from `apply_static`.
        ValueError: an unknown method.
        NoEffectWarning (a warning): "pact" finds no activation that is never negative.
    """
    if method not in get_args(Method):
        raise ValueError(f"unknown method {method!r}; choose one of: {', '.join(get_args(Method))}")
    if not isinstance(static, fx.GraphModule) or not any(isinstance(each, Quantizer) for each in static.modules()):
        raise TypeError(f"need a model from quantize.apply_static, got {type(static).__name__}")
    model = copy_model(static)
    (end,) = (node for node in model.graph.nodes if node.op == "output")
    layers = [each for each in model.modules() if isinstance(each, QuantizedLayer) and each.weight_quantizer]
    others = {*(each.weight_quantizer for each in layers), find_quantizer_before(model, end)}
    on_values = {n: each for n, each in model.named_modules() if isinstance(each, Quantizer) and each not in others}
    learns = False
    for layer in layers:
        old = layer.weight_quantizer
        layer.weight_quantizer = _for_weight(layer, method).train(old.training)
        layer.bias_step = None
        learns |= layer.weight_quantizer is not old
    for name, old in on_values.items():
        new = _for_values(old, method).train(old.training)
        model.set_submodule(name, new)
        learns |= new is not old
    if not learns:
        warnings.warn(
            f"no range of {type(model).__name__} learns by {method!r}; looked for values that are never negative, "
            f"found {', '.join(sorted({each.format.name for each in on_values.values()})) or 'none on a grid'}",
            NoEffectWarning,
            stacklevel=2,
        )
    return model


def range_penalty(model: nn.Module) -> Tensor:
    """Sum of alpha^2 over the ranges of "pact": without it a range that clips nothing has no reason to shrink.

    Add it to the loss: ``lambda logits, y: cross_entropy(logits, y) + 0.05 * range_penalty(model)``.

    Raises:
        ValueError: the model has no such range.

    Source: J. Choi et al., PACT, arXiv 1805.06085, section 3.
    """
    ranges = [each.alpha for each in model.modules() if isinstance(each, ClippedRange)]
    if not ranges:
        raise ValueError(
            f"{type(model).__name__} has no range of PACT; make them with apply_learned_ranges(..., method='pact')"
        )
    return torch.stack(ranges).square().sum()


def _for_weight(layer: QuantizedLayer, method: Method) -> nn.Module:
    old = layer.weight_quantizer
    if method == "lsq":
        return LearnedWeightStep(old.grid, layer.layer.weight)
    return DoReFaWeights(old.format.bits) if method == "dorefa" else old


def _for_values(old: Quantizer, method: Method) -> nn.Module:
    if method == "lsq":
        return LearnedStep(old.grid)
    if bool((old.zero_point > old.format.qmin).any()):
        return old  # it has codes for negative values
    return UnitRange(old.format.bits) if method == "dorefa" else ClippedRange(old.grid)
