"""What K knows: how large the inputs of a convolution were, beside the convolution of their signs."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from labcore.binarize.apply import binary_layers
from labcore.binarize.codes import k_map, relative_error
from labcore.binarize.layers import BinaryLayer
from labcore.binarize.signs import binary_sign
from labcore.results import InputSizes
from labcore.surgery import copy_model, tap
from labcore.training import evaluating

__all__ = ["SizeMaps", "fit_channels", "make_size_maps", "report_sizes"]


@dataclass(frozen=True, eq=False)
class SizeMaps:
    """One binary convolution over several images.

    Attributes:
        layer: its name.
        magnitude: A, shape (N, 1, h, w).
        sizes: K, shape (N, 1, h', w').
        real: I * W with the real numbers, shape (N, filters, h', w').
        signs: (sign(I) * sign(W)) alpha, shape of `real`.
    """

    layer: str
    magnitude: Tensor
    sizes: Tensor
    real: Tensor
    signs: Tensor

    @property
    def scaled(self) -> Tensor:
        """`signs` times K, shape of `real`."""
        return self.signs * self.sizes


def make_size_maps(model: nn.Module, layer: str, images: Tensor) -> SizeMaps:
    """What a binary convolution would give with real numbers, what it gives, and the sizes A and K of its inputs.

    Args:
        model: of `apply_binary`, trained, with one alpha a filter and without K; left as it was.
        layer: name of a binary convolution in two dimensions.
        images: what the model reads, shape (N, C, H, W).

    Raises:
        ValueError: no binary convolution of that name.

    Source: M. Rastegari et al., arXiv 1603.05279v4, section 3.2.
    """
    convolutions = {
        name: each for name, each in binary_layers(model).items()
        if isinstance(each, BinaryLayer) and isinstance(each.layer, nn.Conv2d)
    }  # fmt: skip
    if layer not in convolutions:
        known = ", ".join(convolutions) or "none"
        raise ValueError(f"no binary convolution is named {layer!r}; the model has: {known}")
    with evaluating(copy_model(model)) as twin, tap(twin, [layer]) as taps:
        twin(images)
        conv, x = convolutions[layer].layer, taps[layer].inputs[0]
        codes = convolutions[layer].weight_rule.fixed(conv.weight)
        signs = conv._conv_forward(binary_sign(x), codes.codes, None) * codes.alpha.reshape(-1, 1, 1)
        sizes = k_map(x, conv.kernel_size, stride=conv.stride, padding=conv.padding, dilation=conv.dilation)
        return SizeMaps(layer, x.abs().mean(1, keepdim=True), sizes, conv._conv_forward(x, conv.weight, None), signs)


def fit_channels(real: Tensor, values: Tensor) -> Tensor:
    """`values` with each channel times the factor that brings it nearest to `real`, as a batch norm behind it could.

    Args:
        real, values: shape (N, C, H, W).
    """
    dims = (0, 2, 3)
    squares = values.square().sum(dims, keepdim=True)
    return values * (real * values).sum(dims, keepdim=True) / squares.clamp(min=torch.finfo(values.dtype).tiny)


def report_sizes(maps: SizeMaps, images: Tensor, index: int, channel: int) -> InputSizes:
    """One image and one channel of `make_size_maps`, and how far signs are from the real convolution.

    Args:
        maps: of all images.
        images: the same, shape (N, 1, H, W).
        index, channel: which to show.
    """
    pair = (maps.signs, maps.scaled)
    signs, scaled = (each[index, channel].numpy() for each in pair)
    return InputSizes(
        maps.layer, channel, images[index, 0].numpy(), maps.magnitude[index, 0].numpy(), maps.sizes[index, 0].numpy(),
        maps.real[index, channel].numpy(), signs, scaled,
        tuple(relative_error(maps.real[index], each[index]) for each in pair),
        tuple(relative_error(maps.real, fit_channels(maps.real, each)) for each in pair),
        len(images),
    )  # fmt: skip
