"""How many values share a scale: all, those of an output channel, of a group of inputs, or of a token."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

__all__ = ["PER_CHANNEL", "PER_TENSOR", "PER_TOKEN", "Blocks", "Granularity", "channel_axis", "per_group", "split"]

Kind = Literal["tensor", "channel", "group", "token"]

_CHANNELS_FIRST = nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d
_CHANNELS_SECOND = nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d


@dataclass(frozen=True)
class Granularity:
    """Which values share a scale; use `PER_TENSOR`, `PER_CHANNEL`, `per_group(32)` or `PER_TOKEN`.

    Attributes:
        kind: "tensor"; "channel", an output channel of a weight; "group", `size` neighbouring inputs of an output
            channel; "token", the last dimension of an activation.
        size: of a group, else None.
    """

    kind: Kind
    size: int | None = None

    def __post_init__(self):
        if self.kind not in get_args(Kind):
            raise ValueError(f"a granularity is one of {', '.join(get_args(Kind))}; got {self.kind!r}")
        if self.kind != "group":
            if self.size is not None:
                raise ValueError(f"only a group has a size, got {self.size!r} for {self.kind!r}")
        elif isinstance(self.size, bool) or not isinstance(self.size, int):
            raise TypeError(f"the size of a group must be a whole number, got {self.size!r}")
        elif self.size < 1:
            raise ValueError(f"a group holds at least one value, got {self.size}")

    @property
    def name(self) -> str:
        """Such as "per channel" or "per group of 32"."""
        return f"per {self.kind}" + (f" of {self.size}" if self.size else "")


PER_TENSOR, PER_CHANNEL, PER_TOKEN = Granularity("tensor"), Granularity("channel"), Granularity("token")


def per_group(size: int) -> Granularity:
    """One scale for `size` neighbouring inputs of an output channel; `size` must divide their number."""
    return Granularity("group", size)


def channel_axis(layer: nn.Module) -> int:
    """Dimension of the weight that holds the output channels: 0, or 1 for a transposed convolution.

    Raises:
        TypeError: neither a linear layer nor a convolution.
    """
    if isinstance(layer, _CHANNELS_SECOND):
        return 1
    if isinstance(layer, _CHANNELS_FIRST):
        return 0
    raise TypeError(f"expected a linear layer or a (transposed) convolution, got {type(layer).__name__}")


class Blocks(NamedTuple):
    """A tensor cut into blocks that have one scale each.

    values: the tensor itself when there is one scale, else shape (number of scales, values in a block).
    scale_shape: of the scales: (), (channels,), (channels, groups), or the tensor's without its last dimension.
    restore: gives values of that form the tensor's shape again.
    """

    values: Tensor
    scale_shape: torch.Size
    restore: Callable[[Tensor], Tensor]


def split(x: Tensor, granularity: Granularity, axis: int, groups: int) -> Blocks:
    """Cut a tensor into the blocks of a granularity.

    Args:
        x: any shape.
        granularity: which values share a scale.
        axis: dimension of the output channels, for channels and groups of inputs.
        groups: of a transposed convolution, whose weight has shape (in, out / groups, ...).

    Raises:
        ValueError: a shape that cannot be cut so.
    """
    if granularity.kind == "tensor":
        return Blocks(x, torch.Size(), lambda values: values)
    if x.dim() == 0:
        raise ValueError(f"a single number has no channels or tokens to quantize {granularity.name}; use PER_TENSOR")
    if granularity.kind == "token":
        shape = x.shape[:-1]
        return Blocks(x.reshape(math.prod(shape), x.shape[-1]), shape, lambda values: values.reshape(x.shape))
    channels = _channels_first(x, axis, groups)
    shape, n_inputs = channels.shape[:1], channels.shape[1:].numel()
    if granularity.kind == "group":
        shape += (_count_groups(n_inputs, granularity.size),)
    values = channels.reshape(shape.numel(), n_inputs if granularity.kind == "channel" else granularity.size)
    return Blocks(values, shape, lambda values: _channels_back(values.reshape(channels.shape), axis, groups))


def _channels_first(x: Tensor, axis: int, groups: int) -> Tensor:
    if not -x.dim() <= axis < x.dim():
        raise ValueError(f"a tensor of shape {tuple(x.shape)} has no dimension {axis} for its channels")
    if groups == 1:
        return x.movedim(axis, 0)
    if axis != 1 or x.shape[0] % groups:
        raise ValueError(
            f"groups are those of a transposed convolution: its weight has the channels in dimension 1 and a multiple "
            f"of {groups} inputs in dimension 0; got axis {axis} and shape {tuple(x.shape)}"
        )
    return x.unflatten(0, (groups, -1)).movedim(2, 1).flatten(0, 1)


def _channels_back(channels: Tensor, axis: int, groups: int) -> Tensor:
    if groups == 1:
        return channels.movedim(0, axis)
    return channels.unflatten(0, (groups, -1)).movedim(1, 2).flatten(0, 1)


def _count_groups(n_inputs: int, size: int) -> int:
    if n_inputs % size:
        divisors = [n for n in range(1, n_inputs + 1) if n_inputs % n == 0]
        near = sorted(sorted(divisors, key=lambda n: abs(math.log(n / size)))[:3])
        raise ValueError(
            f"a group of {size} does not divide the {n_inputs} inputs of a channel; near sizes that do: "
            f"{', '.join(map(str, near))}"
        )
    return n_inputs // size
