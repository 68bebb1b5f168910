"""A network for binary layers, whose blocks come in two orders."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from labcore import runtime
from labcore.models.networks import check_width

__all__ = ["BlockOrder", "LabBlocks", "Shortcuts", "make_blocks"]

BlockOrder = Literal["B-A-C-P", "C-B-A-P"]
Shortcuts = Literal["none", "real"]


class LabBlocks(nn.Module):
    """Three 3x3 convolutions (w, 2w, 2w), each with its own activation, and one linear layer; for 14x14 images.

    Made for binary activations: between two convolutions stand a batch norm, an activation and a maximum pooling, and
    the order of the pooling is what papers argue about.

    Attributes:
        order: "B-A-C-P" pools the outputs of a convolution, before batch norm and activation; "C-B-A-P" pools after.
        shortcuts: "real" or "none".
        after2, after3: what the sums at the ends of shortcuts pass; they do nothing.
    """

    def __init__(
        self, width: int, in_channels: int, n_classes: int, order: BlockOrder = "B-A-C-P",
        shortcuts: Shortcuts = "none",
    ):  # fmt: skip
        super().__init__()
        self.order, self.shortcuts = order, shortcuts
        self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.bn1, self.act1 = nn.BatchNorm2d(width), nn.ReLU()
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1, bias=False)
        self.bn2, self.act2 = nn.BatchNorm2d(2 * width), nn.ReLU()
        self.conv3 = nn.Conv2d(2 * width, 2 * width, 3, padding=1, bias=False)
        self.bn3, self.act3 = nn.BatchNorm2d(2 * width), nn.ReLU()
        self.pool, self.flatten = nn.MaxPool2d(2), nn.Flatten()
        self.after2, self.after3, self.average = nn.Identity(), nn.Identity(), nn.AvgPool2d(2)
        self.fc = nn.Linear(2 * width * 3 * 3, n_classes)

    def _between(self, x: Tensor, bn: nn.Module, act: nn.Module) -> Tensor:
        return act(bn(self.pool(x))) if self.order == "B-A-C-P" else self.pool(act(bn(x)))

    def _with_shortcuts(self, x: Tensor) -> Tensor:
        """Real numbers pass around the second and the third convolution; channels are doubled by a copy."""
        x = self.bn1(self.pool(self.conv1(x)))
        around = self.average(torch.cat([x, x], 1))
        x = self.after2(self.bn2(self.pool(self.conv2(self.act1(x)))) + around)
        return self.act3(self.after3(self.bn3(self.conv3(self.act2(x))) + x))

    def forward(self, x: Tensor) -> Tensor:
        if self.shortcuts == "real":
            return self.fc(self.flatten(self._with_shortcuts(x)))
        x = self._between(self.conv1(x), self.bn1, self.act1)
        x = self._between(self.conv2(x), self.bn2, self.act2)
        x = self.act3(self.bn3(self.conv3(x)))
        return self.fc(self.flatten(x))


def make_blocks(
    order: BlockOrder = "B-A-C-P",
    *,
    shortcuts: Shortcuts = "none",
    width: int = 16,
    in_channels: int = 1,
    n_classes: int = 10,
    seed: int = 0,
) -> nn.Module:
    """A network for binary layers (see `LabBlocks`) with fresh weights, in training mode, for 14x14 images.

    Args:
        order: where the poolings stand.
        shortcuts: "real" lets numbers pass around the second and the third convolution (Bi-Real), in the order B-A-C-P.
        width: channels of the first convolution, at least 1; later ones have twice as many.
        seed: of the initial weights.

    Raises:
        ValueError, TypeError: an unknown order or kind of shortcuts, shortcuts in an order that does not fit, a width
            that is not a whole number of at least 1.
    """
    for name, value, valid in (("order", order, BlockOrder), ("shortcuts", shortcuts, Shortcuts)):
        if value not in get_args(valid):
            raise ValueError(f"{name} must be one of {', '.join(get_args(valid))}; got {value!r}")
    if shortcuts == "real" and order != "B-A-C-P":
        raise ValueError(f"shortcuts are for the order B-A-C-P, got {order}")
    check_width(width, 1)
    with runtime.fork_rng(seed):
        return LabBlocks(width, in_channels, n_classes, order, shortcuts).to(runtime.device())
