"""Modules that turn a layer's real weight into a few values, anew at every pass."""

from typing import Any

import torch
from torch import Tensor, nn

from labcore.binarize.codes import FACTOR, Codes, fit_binary, fit_ternary, ternary_threshold
from labcore.binarize.config import BinaryConfig
from labcore.binarize.signs import hard_sigmoid, sign_through

__all__ = ["BinaryWeight", "RealWeight", "StochasticWeight", "TernaryWeight", "TrainedTernary", "make_weight_rule"]


# Of the largest magnitude: what TTQ takes for residual networks.
_LARGEST_FACTOR = 0.05


class BinaryWeight(nn.Module):
    """sign(W), and alpha as the settings say. The gradient of alpha = mean |W| is the exact one.

    Together: dL/dW_i = alpha g_i [|W_i| <= 1] + sign(W_i) / n * sum_j g_j sign(W_j), where g is the gradient at
    alpha * sign(W).

    Args:
        weight: of the layer; gives a learned alpha its start.
        config: `alpha` and `share` count here.

    Source: M. Rastegari et al., arXiv 1603.05279v4, equation 6 and section 3.1 (there the sum is missing).
    """

    def __init__(self, weight: Tensor, config: BinaryConfig):
        super().__init__()
        self.rule, self.share = config.alpha, config.share
        fitted = self._fit(weight.detach())
        self.alpha = nn.Parameter(fitted.alpha) if self.rule == "learned" else None

    def _fit(self, weight: Tensor) -> Codes:
        return fit_binary(weight, share=self.share)

    def forward(self, weight: Tensor) -> Codes:
        """Codes that pass their gradient to the weight, and the alpha that belongs to them."""
        fitted = self._fit(weight)
        through = sign_through(weight)
        codes = fitted.codes + (through - through.detach())
        if self.rule == "none":
            return Codes(codes, torch.ones_like(fitted.alpha))
        return Codes(codes, fitted.alpha if self.alpha is None else self.alpha)

    def fixed(self, weight: Tensor) -> Codes:
        """What the layer computes with once it has been trained."""
        return self(weight.detach())

    def extra_repr(self) -> str:
        return f"alpha {self.rule}, for each {self.share}"


class TernaryWeight(BinaryWeight):
    """sign(W) where |W| > Delta, else 0; the gradient of the codes passes to every weight, the small ones too.

    Source: F. Li, B. Zhang, B. Liu, arXiv 1605.04711.
    """

    def __init__(self, weight: Tensor, config: BinaryConfig):
        self.factor = FACTOR if config.factor is None else config.factor
        super().__init__(weight, config)

    def _fit(self, weight: Tensor) -> Codes:
        delta = ternary_threshold(weight.detach(), factor=self.factor, share=self.share)
        return fit_ternary(weight, delta=delta, share=self.share)


class StochasticWeight(BinaryWeight):
    """-1 or +1 by chance while training, +1 with the probability `hard_sigmoid`(W); the real weight in evaluation.

    Source: M. Courbariaux, Y. Bengio, J.-P. David, arXiv 1511.00363, sections 2.3 and 2.6.
    """

    def forward(self, weight: Tensor) -> Codes:
        fitted = super().forward(weight)
        if not self.training:
            return Codes(weight, torch.ones_like(fitted.alpha))
        drawn = 2 * torch.bernoulli(hard_sigmoid(weight.detach())) - 1
        return Codes(weight + (drawn - weight).detach(), fitted.alpha)

    def fixed(self, weight: Tensor) -> Codes:
        return super().forward(weight.detach())


class _TwoSizes(torch.autograd.Function):
    """{+Wp, 0, -Wn}, with the gradients of the paper."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, positive: Tensor, negative: Tensor, delta: Tensor) -> Tensor:
        above, below = (weight > delta).to(weight.dtype), (weight < -delta).to(weight.dtype)
        ctx.save_for_backward(above, below, positive, negative)
        return positive * above - negative * below

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        above, below, positive, negative = ctx.saved_tensors
        to_weight = gradient * (positive * above + negative * below + (1 - above - below))
        return to_weight, (gradient * above).sum().reshape(1), -(gradient * below).sum().reshape(1), None


class TrainedTernary(nn.Module):
    """{-Wn, 0, +Wp}: Delta = factor * max |W| for the layer; Wp and Wn are trained. A weight on Delta becomes 0.

    The latent weight gets the gradient times Wp above Delta, times Wn below -Delta, times 1 between.

    Source: C. Zhu et al., arXiv 1612.01064, equations 6 to 8 (there the gradient at Wn has no minus).
    """

    def __init__(self, weight: Tensor, config: BinaryConfig):
        super().__init__()
        self.factor = _LARGEST_FACTOR if config.factor is None else config.factor
        size = fit_ternary(weight.detach(), delta=self._delta(weight), share="layer").alpha.reshape(1)
        self.positive, self.negative = nn.Parameter(size.clone()), nn.Parameter(size.clone())

    def _delta(self, weight: Tensor) -> Tensor:
        return self.factor * weight.detach().abs().max()

    def forward(self, weight: Tensor) -> Codes:
        values = _TwoSizes.apply(weight, self.positive, self.negative, self._delta(weight))
        return Codes(values, weight.new_ones((1,) * weight.dim()))

    def fixed(self, weight: Tensor) -> Codes:
        return self(weight.detach())


class RealWeight(nn.Module):
    """The weight as it is: for layers whose inputs alone are binary."""

    def forward(self, weight: Tensor) -> Codes:
        return Codes(weight, weight.new_ones((1,) * weight.dim()))

    def fixed(self, weight: Tensor) -> Codes:
        return self(weight.detach())


def make_weight_rule(weight: Tensor, config: BinaryConfig) -> nn.Module:
    """The module for the setting `config.weights`."""
    rules = {
        "binary": BinaryWeight, "ternary": TernaryWeight, "stochastic": StochasticWeight,
        "trained_ternary": TrainedTernary,
    }  # fmt: skip
    return RealWeight() if config.weights == "real" else rules[config.weights](weight, config)
