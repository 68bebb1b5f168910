"""How much each weight matters: one score a weight; the lowest go first.

Every function gives a dictionary from parameter name to a tensor of scores, shaped like the parameter, and leaves the
model as it was. What the scores are good for is chosen in `labcore.prune.masks`.
"""

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labcore import runtime

__all__ = [
    "Scores", "TaylorVariant", "lamp", "largest", "magnitude", "prunable_parameters", "random", "snip", "taylor",
    "taylor_sums",
]  # fmt: skip

Scores = dict[str, Tensor]
Loss = Callable[..., Tensor]
TaylorVariant = Literal["sum_abs", "abs_sum", "sum_square"]
_TAYLOR_TERMS = {"sum_abs": torch.abs, "abs_sum": torch.positive, "sum_square": torch.square}

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def prunable_parameters(model: nn.Module) -> tuple[str, ...]:
    """Names of the weights of linear and convolution layers, in order; never biases, never normalization.

    A weight that several layers share stands once, under the name of the first of these layers.

    Raises:
        TypeError: no module.
        ValueError: there is no such layer.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    names: dict[int, str] = {}
    for layer, module in model.named_modules():
        if isinstance(module, _LAYERS) and isinstance(module._parameters.get("weight"), nn.Parameter):
            names.setdefault(id(module.weight), f"{layer}.weight".lstrip("."))
    if not names:
        raise ValueError(f"{type(model).__name__} has no linear or convolution layer with a weight to prune")
    return tuple(names.values())


def _weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name in prunable_parameters(model):
        yield name, model.get_parameter(name).detach()


def magnitude(model: nn.Module) -> Scores:
    """The absolute value of each weight."""
    return {name: weight.abs() for name, weight in _weights(model)}


def largest(model: nn.Module) -> Scores:
    """A control: magnitude reversed, so that the largest weights go first."""
    return {name: -weight.abs() for name, weight in _weights(model)}


def random(model: nn.Module, *, seed: int) -> Scores:
    """A control: uniform random numbers, the same on every device."""
    # Not torch's generator: with the seed of the initial weights, the scores would repeat these very weights.
    generator = np.random.default_rng(seed)
    return {name: torch.from_numpy(generator.random(w.shape)).to(w.device) for name, w in _weights(model)}


def lamp(model: nn.Module) -> Scores:
    """Magnitude made comparable between layers: w² / (sum of u² over all u in the layer with u² >= w²), in [0, 1].

    The largest weight of a layer scores 1, so that global pruning empties no layer before it comes to these.

    Source: J. Lee et al., Layer-adaptive sparsity for the magnitude-based pruning, arXiv 2010.07611, equation 2;
        equal weights score alike here, where the paper takes them in order.
    """
    return {name: _lamp(weight) for name, weight in _weights(model)}


def _lamp(weight: Tensor) -> Tensor:
    ascending, order = weight.double().square().flatten().sort()
    sums = ascending.flip(0).cumsum(0).flip(0)
    # Equal weights take the sum that begins with the first of them.
    is_first = ascending.diff(prepend=ascending.new_tensor([-1.0])) > 0
    first = torch.where(is_first, torch.arange(len(order), device=order.device), 0).cummax(0).values
    ranked = ascending / sums[first].clamp(min=torch.finfo(torch.float64).tiny)
    return torch.empty_like(ranked).scatter(0, order, ranked).view(weight.shape)


def taylor(
    model: nn.Module, batches: Iterable[tuple[Tensor, ...]], *, variant: TaylorVariant, loss: Loss = F.cross_entropy
) -> Scores:
    """First-order estimate of how the loss changes without a weight, from w times its gradient g.

    With g_b the gradient of the loss of batch b, one name is used for three different sums:
    `sum_abs` is sum_b |w g_b|, `abs_sum` is |sum_b w g_b|, `sum_square` is sum_b (w g_b)².
    In evaluation mode: batch norm uses its stored statistics, dropout is off.

    Args:
        model: trained; with the training loss at its minimum, `abs_sum` over all data is mostly noise.
        batches: (inputs, *targets); each counts alike.
        variant: which of the three.
        loss: ``loss(outputs, *targets) -> scalar``.

    Raises:
        ValueError: unknown variant; no batch; a loss or gradients that are not finite; gradients that are all zero.

    Source: P. Molchanov et al., Importance estimation for neural network pruning, arXiv 1906.10771 (`sum_square`).
    """
    return {name: total.abs() for name, total in taylor_sums(model, batches, variant=variant, loss=loss).items()}


def taylor_sums(
    model: nn.Module, batches: Iterable[tuple[Tensor, ...]], *, variant: TaylorVariant, loss: Loss = F.cross_entropy
) -> Scores:
    """What `taylor` sums, with its sign: sum_b w g_b for `abs_sum`. Arguments and errors as there."""
    if variant not in get_args(TaylorVariant):
        raise ValueError(f"unknown variant {variant!r}; choose one of: {', '.join(get_args(TaylorVariant))}")
    model = copy.deepcopy(model).eval()
    weights = dict(_weights(model))
    sums = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for gradients in _gradients(model, batches, loss):
        for name, gradient in gradients.items():
            sums[name] += _TAYLOR_TERMS[variant](weights[name] * gradient)
    _refuse_zeros(sums)
    return sums


def snip(model: nn.Module, batches: Iterable[tuple[Tensor, ...]], *, loss: Loss = F.cross_entropy) -> Scores:
    """Connection sensitivity, for a network that is not trained yet: |w g| / (sum of |w g| over the whole network).

    g is the gradient summed over the batches. In training mode: an untrained network has no statistics of batch norm
    but those of the batch.

    Args:
        model: freshly made.
        batches: (inputs, *targets); one batch is what the paper takes.
        loss: ``loss(outputs, *targets) -> scalar``.

    Raises:
        ValueError: no batch; a loss or gradients that are not finite; gradients that are all zero.

    Source: N. Lee et al., SNIP, arXiv 1810.02340, equations 5 and 6.
    """
    model = copy.deepcopy(model).train()
    sums = {name: torch.zeros_like(weight) for name, weight in _weights(model)}
    with runtime.fork_rng(0):
        for gradients in _gradients(model, batches, loss):
            for name, gradient in gradients.items():
                sums[name] += gradient
    sensitivity = {name: (weight * sums[name]).abs() for name, weight in _weights(model)}
    _refuse_zeros(sensitivity)
    total = sum(values.sum() for values in sensitivity.values())
    return {name: values / total for name, values in sensitivity.items()}


def _refuse_zeros(products: Scores) -> None:
    if not any(values.any() for values in products.values()):
        raise ValueError("every gradient is zero, so nothing tells the weights apart; look for a layer of zeros")


def _gradients(model: nn.Module, batches: Iterable[tuple[Tensor, ...]], loss: Loss) -> Iterator[Scores]:
    """Gradients of the prunable weights, batch by batch; `model` is a copy of our own."""
    names = prunable_parameters(model)
    weights = [model.get_parameter(name).requires_grad_(True) for name in names]
    number = 0
    with torch.enable_grad():
        for number, (inputs, *targets) in zip(itertools.count(1), batches, strict=False):
            value = loss(model(inputs), *targets)
            if not torch.isfinite(value):
                raise ValueError(f"the loss of batch {number} is {value.item()}; look for NaN in weights and data")
            gradients = torch.autograd.grad(value, weights, materialize_grads=True)
            if not all(gradient.isfinite().all() for gradient in gradients):
                raise ValueError(f"the gradients of batch {number} hold NaN or infinity; look at weights and data")
            yield dict(zip(names, gradients, strict=True))
    if not number:
        raise ValueError("there is no batch to take gradients from: give at least one (inputs, *targets)")
