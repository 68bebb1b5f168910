"""AdaRound: whether a weight is rounded up or down is learned, one layer at a time, from what the layer gives."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from labcore.quantize.granularity import split
from labcore.quantize.layers import QuantizedLayer
from labcore.quantize.layerwise import check_finite, collect_inputs, pair_layers, record
from labcore.results import LearnedRounding
from labcore.surgery import copy_model

__all__ = ["RoundedModel", "apply_adaround", "rectified_sigmoid", "rounding_penalty"]

_ZETA, _GAMMA = 1.1, -0.1
_BETAS, _WARM_START = (20.0, 2.0), 0.2
_LEARNING_RATE, _BATCH = 0.05, 32
# Against an error that is 1 for rounding to nearest.
_LAMBDA = 1.0


@dataclass(frozen=True, eq=False)
class RoundedModel:
    """A quantized model with learned rounding.

    Attributes:
        model: its float weights are values of the grid.
        layers: what was learned, in order of execution.
    """

    model: nn.Module
    layers: tuple[LearnedRounding, ...]


def rectified_sigmoid(v: Tensor) -> Tensor:
    """h(v) = clip(sigmoid(v) (zeta - gamma) + gamma, 0, 1) with zeta = 1.1, gamma = -0.1: reaches 0 and 1."""
    return (v.sigmoid() * (_ZETA - _GAMMA) + _GAMMA).clamp(0, 1)


def rounding_penalty(h: Tensor, beta: float) -> Tensor:
    """Mean of 1 - |2h - 1|^beta: 0 where every weight is rounded down (0) or up (1), 1 where each is in the middle."""
    return (1 - (2 * h - 1).abs() ** beta).mean()


def apply_adaround(
    quantized: nn.Module, model: nn.Module, batches: Iterable[tuple[Tensor, ...]], *,
    iterations: int = 300, seed: int = 0,
) -> RoundedModel:  # fmt: skip
    """A copy of a quantized model whose weights are rounded up or down so that each layer gives what it gave in float.

    For each layer, V minimizes E|W x - W_q x_q|^2 + lambda * mean(1 - |2 h(V) - 1|^beta), where
    W_q = s clip(floor(W / s) + h(V), qmin, qmax), x is what the layer receives in float, and x_q what it receives
    behind quantized layers. beta falls from 20 to 2 after the first fifth, which drives each h to 0 or 1; at the
    end h >= 1/2 rounds up. Here the error counts in units of that of rounding to nearest, and lambda is 1.

    Args:
        quantized: from `apply_weight_only`, `apply_dynamic` or `apply_static`; left as it was. Grids stay.
        model: the one that it was made from.
        batches: calibration data: inputs, or tuples that start with them; a few hundred samples.
        iterations: steps of Adam for each layer.
        seed: of the choice of samples.

    Raises:
        NotCalibrated: no batch.
        TypeError: a model that is not quantized.
        ValueError: it was made from another model; iterations below 1; outputs that are not finite.

    Source: M. Nagel et al., Up or down?, arXiv 2004.10568, equations 21 to 25.
    """
    if isinstance(iterations, bool) or not isinstance(iterations, int):
        raise TypeError(f"iterations must be a whole number, got {iterations!r}")
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, got {iterations}")
    inputs = collect_inputs(batches)
    rounded = copy_model(quantized)
    names = pair_layers(rounded, model, inputs[0])
    wanted = record(model, names, inputs)
    reports = []
    for name in names:
        wrapped = rounded.get_submodule(name)
        if wrapped.weight_quantizer is None:
            continue
        learner = _Learner(wrapped, record(rounded, [name], inputs)[name].inputs, wanted[name].outputs)
        before = learner.error(learner.nearest)
        check_finite(name, torch.tensor(before))
        up = learner.learn(iterations, unit=before, generator=torch.Generator().manual_seed(seed))
        weight = learner.weight(up)
        changed = (weight != learner.weight(learner.nearest)).double().mean()
        reports.append(LearnedRounding(name, before, learner.error(up), float(changed)))
        wrapped.layer.weight.data.copy_(weight)
    return RoundedModel(rounded, tuple(reports))


class _Learner:
    """The rounding of one layer.

    Args:
        wrapped: the layer; its weight is the one in float.
        received, wanted: what it receives in the quantized model and gives in the float one, call by call.
    """

    def __init__(self, wrapped: QuantizedLayer, received: Sequence[Tensor], wanted: Sequence[Tensor]):
        self._layer, grid = wrapped.layer, wrapped.weight_quantizer.grid
        bias = wrapped.quantized_bias()
        self._bias = {} if bias is None else {"bias": bias.detach()}
        on_input = wrapped.input_quantizer or nn.Identity()
        with torch.no_grad():
            # Copies, as tensors of inference mode take no part in training.
            self._samples = [(on_input(x.clone()), y.clone()) for x, y in zip(received, wanted, strict=True)]
            self._blocks = split(self._layer.weight.detach(), grid.granularity, grid.axis, grid.groups)
        shape = grid.scale.shape if grid.granularity.kind == "tensor" else (-1, 1)
        self._scale, zero = grid.scale.reshape(shape), grid.zero_point.reshape(shape)
        self._low, self._high = grid.format.qmin - zero, grid.format.qmax - zero
        steps = self._blocks.values / self._scale
        self._floor = steps.floor()
        self._share = steps - self._floor
        self.nearest = steps.round() - self._floor

    def weight(self, h: Tensor) -> Tensor:
        """The layer's weight on the grid, h of a step above the code below."""
        steps = torch.minimum(torch.maximum(self._floor + h, self._low), self._high)
        return self._blocks.restore(steps * self._scale).to(self._layer.weight.dtype)

    @torch.no_grad()
    def error(self, h: Tensor) -> float:
        """Mean squared error of the layer's outputs over all samples."""
        weight = self.weight(h)
        errors = [F.mse_loss(self._output(x, weight), y, reduction="sum") for x, y in self._samples]
        return float(sum(errors)) / sum(y.numel() for _, y in self._samples)

    def _output(self, x: Tensor, weight: Tensor) -> Tensor:
        return functional_call(self._layer, {"weight": weight, **self._bias}, (x,))

    def learn(self, iterations: int, *, unit: float, generator: torch.Generator) -> Tensor:
        """1 where a weight is rounded up, 0 where down; the error counts in units of `unit`."""
        if unit == 0:
            return self.nearest
        v = ((self._share - _GAMMA) / (_ZETA - _GAMMA)).logit().requires_grad_()  # there h(v) is the share of a step
        optimizer = torch.optim.Adam([v], lr=_LEARNING_RATE)
        for i in range(iterations):
            x, y = self._draw(generator)
            h = rectified_sigmoid(v)
            loss = F.mse_loss(self._output(x, self.weight(h)), y) / unit
            if i >= _WARM_START * iterations:
                loss = loss + _LAMBDA * rounding_penalty(h, _beta(i / iterations))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return (rectified_sigmoid(v.detach()) >= 0.5).to(v.dtype)

    def _draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """A few samples of one call."""
        x, y = self._samples[int(torch.randint(len(self._samples), (), generator=generator))]
        rows = torch.randperm(len(x), generator=generator)[:_BATCH]
        return x[rows], y[rows]


def _beta(progress: float) -> float:
    """Falls along half a cosine, from 20 after the warm start to 2 at the end."""
    high, low = _BETAS
    share = (progress - _WARM_START) / (1 - _WARM_START)
    return low + 0.5 * (high - low) * (1 + math.cos(math.pi * share))
