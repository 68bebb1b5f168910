"""A layer that computes with a few weight values, perhaps with the signs of what it reads."""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labcore.binarize.codes import k_map
from labcore.binarize.config import BinaryConfig
from labcore.binarize.signs import Estimator, sign_through
from labcore.binarize.weights import make_weight_rule

__all__ = ["KINDS", "BinaryLayer", "FixedLayer", "ShiftedPReLU", "SignActivation"]

# Layers whose first dimension of the weight counts the filters.
KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class SignActivation(nn.Module):
    """The sign of what passes; see `sign_through`."""

    def __init__(self, estimator: Estimator = "window"):
        super().__init__()
        self.estimator = estimator

    def forward(self, x: Tensor) -> Tensor:
        return sign_through(x, self.estimator)

    def extra_repr(self) -> str:
        return f"gradient {self.estimator}"


class ShiftedPReLU(nn.Module):
    """PReLU between two shifts, all three trained for each channel (RPReLU of ReActNet).

    f(x) = x - a + b where x > a, else slope (x - a) + b. It starts as PReLU with the slope 0.25.

    Args:
        n_channels: of the inputs, whose second dimension counts them.

    Source: Z. Liu et al., arXiv 2003.03488, equation 6.
    """

    def __init__(self, n_channels: int):
        super().__init__()
        self.before, self.after = (nn.Parameter(torch.zeros(n_channels)) for _ in range(2))
        self.prelu = nn.PReLU(n_channels)

    def forward(self, x: Tensor) -> Tensor:
        shape = -1, *[1] * (x.dim() - 2)
        return self.prelu(x - self.before.view(shape)) + self.after.view(shape)


class _CodedLayer(nn.Module):
    """outputs = alpha * (codes applied to inputs, or to their signs) [* K] + bias.

    Alpha comes last: sums of products of -1, 0 and +1 are whole numbers, and exact.
    """

    def __init__(self, layer: nn.Module, config: BinaryConfig):
        super().__init__()
        self.layer, self.config = layer, config

    def _compute(self, x: Tensor, codes: Tensor, alpha: Tensor) -> Tensor:
        config, layer = self.config, self.layer
        read = x if config.activations == "real" else sign_through(self.shifted(x), config.estimator)
        sums = F.linear(read, codes) if isinstance(layer, nn.Linear) else layer._conv_forward(read, codes, None)
        return self.finish(sums, alpha, x)

    def finish(self, sums: Tensor, alpha: Tensor, x: Tensor) -> Tensor:
        """Outputs from sums: alpha, the size of the inputs where asked for, the bias."""
        outputs = sums * self._along_channels(alpha)
        if self.config.scale_inputs == "k_map":
            outputs = outputs * self._input_size(x)
        return outputs if self.layer.bias is None else outputs + self._along_channels(self.layer.bias)

    def shifted(self, x: Tensor) -> Tensor:
        """What the sign is taken of."""
        return x if self.shift is None else x - self.shift

    def _along_channels(self, values: Tensor) -> Tensor:
        """One value for each filter, or one for all, in the shape that outputs are multiplied with."""
        dims = 0 if isinstance(self.layer, nn.Linear) else len(self.layer.kernel_size)
        return values.reshape(-1, *[1] * dims)

    def _input_size(self, x: Tensor) -> Tensor:
        layer = self.layer
        if isinstance(layer, nn.Linear):
            return x.abs().mean(-1, keepdim=True)
        return k_map(
            x, layer.kernel_size, stride=layer.stride, padding=layer.padding, dilation=layer.dilation
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"weights {self.config.weights}, activations {self.config.activations}"


class BinaryLayer(_CodedLayer):
    """A linear layer or a convolution in training.

    The real ("latent") weight stays underneath: training moves it, evaluation never does.

    Args:
        layer: a linear layer or a convolution (not transposed); used as it is, so hand over a copy.
        config: see `BinaryConfig`.

    Raises:
        ValueError: K maps for other layers than linear ones and plain convolutions in two dimensions.
    """

    def __init__(self, layer: nn.Module, config: BinaryConfig):
        super().__init__(layer, config)
        if config.scale_inputs == "k_map":
            _check_k_map(layer)
        self.weight_rule = make_weight_rule(layer.weight, config)
        self.shift = nn.Parameter(_no_shift(layer)) if config.activations == "shifted" else None

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight_rule(self.layer.weight)
        return self._compute(x, weight.codes, weight.alpha)


class FixedLayer(_CodedLayer):
    """A trained `BinaryLayer` without its latent weight: `codes` (int8: -1, 0, +1), `alpha`, and the layer's bias.

    Args:
        trained: left as it was.

    Raises:
        ValueError: its weights are not one alpha for each filter times -1, 0 and +1.
    """

    def __init__(self, trained: BinaryLayer):
        super().__init__(_without_weight(trained.layer), trained.config)
        with torch.no_grad():
            weight = trained.weight_rule.fixed(trained.layer.weight)
        if trained.config.weights in ("real", "trained_ternary"):
            raise ValueError(f"weights {trained.config.weights!r} are not one alpha times -1, 0 and +1")
        self.register_buffer("codes", weight.codes.detach().to(torch.int8))
        self.register_buffer("alpha", weight.alpha.detach().clone())
        self.register_buffer("shift", None if trained.shift is None else trained.shift.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return self._compute(x, self.codes.to(x.dtype), self.alpha)


def _check_k_map(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv1d | nn.Conv3d):
        raise ValueError(f"K maps are for Conv2d and Linear, got {type(layer).__name__}")
    if isinstance(layer, nn.Conv2d) and (layer.groups != 1 or layer.padding_mode != "zeros"):
        raise ValueError(
            f"K maps are for convolutions with one group and zero padding, got {layer.groups} groups and "
            f"{layer.padding_mode!r}"
        )


def _no_shift(layer: nn.Module) -> Tensor:
    if isinstance(layer, nn.Linear):
        return layer.weight.new_zeros(layer.in_features)
    return layer.weight.new_zeros(layer.in_channels, *[1] * len(layer.kernel_size))


def _without_weight(layer: nn.Module) -> nn.Module:
    """The layer's settings and bias."""
    bare = copy.deepcopy(layer)
    bare.weight = None
    return bare.requires_grad_(False)
