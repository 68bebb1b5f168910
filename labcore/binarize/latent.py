"""What is done to latent weights after every step of the optimizer."""

import torch
from torch import Tensor, nn

from labcore.binarize.layers import BinaryLayer

__all__ = ["LatentWeights", "glorot_scale"]


def glorot_scale(weight: Tensor) -> float:
    """1 / sqrt(1.5 / (fan_in + fan_out)): what BinaryConnect multiplies the steps of a weight with.

    Args:
        weight: shape (out, in, ...).

    Source: code of M. Courbariaux, Y. Bengio, J.-P. David, arXiv 1511.00363, section 2.5.
    """
    positions = weight[0, 0].numel()
    return ((weight.shape[0] + weight.shape[1]) * positions / 1.5) ** 0.5


class LatentWeights:
    """Clips latent weights to [-limit, limit]; with `scaled` steps, lengthens the step by `glorot_scale` before.

    Beyond the limit no gradient that the sign lets through could bring a weight back. Give it to
    `training.fit(..., after_step=LatentWeights(model))`.

    Args:
        model: with at least one `BinaryLayer` whose weights are not real.
        steps: "plain", or "scaled" as BinaryConnect does (set the learning rate for that).
        limit: more than 0.

    Raises:
        ValueError: no such layer; an unknown kind of steps; a limit that is not positive.
    """

    def __init__(self, model: nn.Module, *, steps: str = "plain", limit: float = 1.0):
        if steps not in ("plain", "scaled"):
            raise ValueError(f"steps must be 'plain' or 'scaled', got {steps!r}")
        if not limit > 0:
            raise ValueError(f"limit must be more than 0, got {limit!r}")
        layers = [each for each in model.modules() if isinstance(each, BinaryLayer) and each.config.weights != "real"]
        # A weight that two layers share is handled once.
        self._weights = list({id(each.layer.weight): each.layer.weight for each in layers}.values())
        if not self._weights:
            raise ValueError(f"{type(model).__name__} has no latent weights; make them with binarize.apply_binary")
        self._limit = limit
        self._before = [each.detach().clone() for each in self._weights] if steps == "scaled" else None

    @torch.no_grad()
    def __call__(self, model: nn.Module, step: int) -> None:
        for i, weight in enumerate(self._weights):
            if self._before is not None:
                weight.copy_(self._before[i] + glorot_scale(weight) * (weight - self._before[i]))
            weight.clamp_(-self._limit, self._limit)
            if self._before is not None:
                self._before[i].copy_(weight)
