"""The lab's networks, small enough for a laptop, and their shipped weights.

All take images with values in [0, 1] and give logits. `width` scales every hidden layer.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal, get_args

import torch
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from labcore import runtime

__all__ = [
    "BlockLevel", "BlockOrder", "ModelName", "Shortcuts", "load_blocks_", "load_model", "load_weights_", "make_blocks",
    "make_mlp", "make_model", "weight_differences",
]  # fmt: skip

BlockOrder = Literal["B-A-C-P", "C-B-A-P"]
Shortcuts = Literal["none", "real"]
BlockLevel = Literal["float", "weights", "all"]
ModelName = Literal["lab_cnn", "lab_resnet", "lab_mobile", "lenet_300_100", "lenet5"]


def _conv_bn(c_in: int, c_out: int, kernel: int = 3, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
            bn=nn.BatchNorm2d(c_out),
        )
    )


class LabCNN(nn.Module):
    """Three 3x3 convolutions (w, 2w, 2w) with batch norm, two poolings, one linear layer; for 14x14 images."""

    def __init__(self, width: int, in_channels: int, n_classes: int):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(in_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, 2 * width, 3, padding=1, bias=False), nn.BatchNorm2d(2 * width)
        self.conv3, self.bn3 = nn.Conv2d(2 * width, 2 * width, 3, padding=1, bias=False), nn.BatchNorm2d(2 * width)
        self.relu, self.pool, self.flatten = nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
        self.fc = nn.Linear(2 * width * 3 * 3, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.bn1(self.conv1(x))))
        x = self.pool(self.relu(self.bn2(self.conv2(x))))
        x = self.relu(self.bn3(self.conv3(x)))
        return self.fc(self.flatten(x))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (a 1x1 convolution where the shape changes)."""

    def __init__(self, c_in: int, c_out: int, stride: int):
        super().__init__()
        self.first = _conv_bn(c_in, c_out, stride=stride)
        self.second = _conv_bn(c_out, c_out)
        same = c_in == c_out and stride == 1
        self.shortcut = nn.Identity() if same else _conv_bn(c_in, c_out, 1, stride=stride)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.second(self.relu(self.first(x))) + self.shortcut(x))


class LabResNet(nn.Module):
    """A stem and three residual stages (w, 2w, 4w), average pooling, one linear layer."""

    def __init__(self, width: int, in_channels: int, n_classes: int):
        super().__init__()
        self.stem, self.relu = _conv_bn(in_channels, width), nn.ReLU()
        self.stage1 = ResidualBlock(width, width, 1)
        self.stage2 = ResidualBlock(width, 2 * width, 2)
        self.stage3 = ResidualBlock(2 * width, 4 * width, 2)
        self.pool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.fc = nn.Linear(4 * width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage3(self.stage2(self.stage1(self.relu(self.stem(x)))))
        return self.fc(self.flatten(self.pool(x)))


class DepthwiseSeparable(nn.Module):
    """A 3x3 convolution for each channel, then a 1x1 convolution across channels (MobileNet, arXiv 1704.04861)."""

    def __init__(self, c_in: int, c_out: int, stride: int):
        super().__init__()
        self.depthwise = _conv_bn(c_in, c_in, stride=stride, groups=c_in)
        self.pointwise = _conv_bn(c_in, c_out, 1)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.pointwise(self.relu(self.depthwise(x))))


class LabMobile(nn.Module):
    """A stem and three depthwise separable blocks (2w, 4w, 4w), average pooling, one linear layer."""

    def __init__(self, width: int, in_channels: int, n_classes: int):
        super().__init__()
        self.stem, self.relu = _conv_bn(in_channels, width), nn.ReLU()
        self.block1 = DepthwiseSeparable(width, 2 * width, 2)
        self.block2 = DepthwiseSeparable(2 * width, 4 * width, 2)
        self.block3 = DepthwiseSeparable(4 * width, 4 * width, 1)
        self.pool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.fc = nn.Linear(4 * width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block3(self.block2(self.block1(self.relu(self.stem(x)))))
        return self.fc(self.flatten(self.pool(x)))


class LabBlocks(nn.Module):
    """Three 3x3 convolutions (w, 2w, 2w), each with its own activation, and one linear layer; for 14x14 images.

    Made for binary activations: between two convolutions stand a batch norm, an activation and a maximum pooling, and
    the order of the pooling is what papers argue about.

    Attributes:
        order: "B-A-C-P" pools the outputs of a convolution, before batch norm and activation; "C-B-A-P" pools after.
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


def _lenet_300_100(width: int, in_channels: int, n_classes: int) -> nn.Sequential:
    """784-300-100-10 with ReLU (LeCun et al. 1998); `width` is that of the first hidden layer."""
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            fc1=nn.Linear(in_channels * 28 * 28, width), relu1=nn.ReLU(),
            fc2=nn.Linear(width, width // 3), relu2=nn.ReLU(),
            fc3=nn.Linear(width // 3, n_classes),
        )
    )  # fmt: skip


def _lenet5(width: int, in_channels: int, n_classes: int) -> nn.Sequential:
    """Two 5x5 convolutions (20, 50) and two linear layers (500, 10): 431,080 parameters, as pruning papers count it."""
    hidden = width * 5 // 2
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, width, 5), pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(width, hidden, 5), pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(hidden * 4 * 4, hidden * 10), relu=nn.ReLU(),
            fc2=nn.Linear(hidden * 10, n_classes),
        )
    )  # fmt: skip


# Constructor and default width.
_NETWORKS = {
    "lab_cnn": (LabCNN, 16),
    "lab_resnet": (LabResNet, 16),
    "lab_mobile": (LabMobile, 16),
    "lenet_300_100": (_lenet_300_100, 300),
    "lenet5": (_lenet5, 20),
}


def make_model(
    name: ModelName, *, width: int | None = None, in_channels: int = 1, n_classes: int = 10, seed: int = 0
) -> nn.Module:
    """A network with fresh weights, in training mode.

    Args:
        name: `lab_cnn`, `lab_resnet`, `lab_mobile` (any size from 14x14), `lenet_300_100`, `lenet5` (28x28).
        width: channels or units of the first hidden layer; later layers follow in proportion. At least 4.
        seed: of the initial weights.

    Raises:
        ValueError, TypeError: unknown name; a width that is not a whole number of at least 4.
    """
    _check_name(name)
    build, default_width = _NETWORKS[name]
    width = default_width if width is None else width
    if not isinstance(width, int) or isinstance(width, bool):
        raise TypeError(f"width must be a whole number of channels, got {width!r}")
    if width < 4:
        raise ValueError(f"width must be at least 4 channels, got {width}")
    with runtime.fork_rng(seed):
        return build(width, in_channels, n_classes).to(runtime.device())


def make_mlp(width: int, *, dropout: float = 0.0, n_classes: int = 10, seed: int = 0) -> nn.Module:
    """A network of two equal hidden layers with ReLU for 28x28 images, in training mode: 784-w-w-classes.

    Args:
        width: units of each hidden layer, at least 1.
        dropout: share of hidden units that training leaves out, in [0, 1).
        seed: of the initial weights.

    Raises:
        ValueError: a width or a dropout out of range.
    """
    if not (width >= 1 and 0 <= dropout < 1):
        raise ValueError(f"need a width of at least 1 and a dropout in [0, 1), got {width} and {dropout}")
    with runtime.fork_rng(seed):
        layers = OrderedDict(
            flatten=nn.Flatten(),
            fc1=nn.Linear(28 * 28, width), relu1=nn.ReLU(), drop1=nn.Dropout(dropout),
            fc2=nn.Linear(width, width), relu2=nn.ReLU(), drop2=nn.Dropout(dropout),
            fc3=nn.Linear(width, n_classes),
        )  # fmt: skip
        return nn.Sequential(layers).to(runtime.device())


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
        ValueError: an unknown order or kind of shortcuts, both in an order that does not fit, a width below 1.
    """
    for name, value, valid in (("order", order, BlockOrder), ("shortcuts", shortcuts, Shortcuts)):
        if value not in get_args(valid):
            raise ValueError(f"{name} must be one of {', '.join(get_args(valid))}; got {value!r}")
    if shortcuts == "real" and order != "B-A-C-P":
        raise ValueError(f"shortcuts are for the order B-A-C-P, got {order}")
    if width < 1:
        raise ValueError(f"width must be at least 1 channel, got {width}")
    with runtime.fork_rng(seed):
        return LabBlocks(width, in_channels, n_classes, order, shortcuts).to(runtime.device())


def load_model(name: ModelName, *, width: int | None = None) -> nn.Module:
    """A network with its shipped weights (hash and shapes checked), in evaluation mode.

    `lab_*` were trained on `fashion14`, `lenet_*` on `mnist5k`; `runtime.read_manifest` holds recipe and accuracy.

    Args:
        width: default the network's own; `lab_cnn` is shipped in other widths too.

    Raises:
        FileNotFoundError: no weights are shipped at that width (the message lists what is shipped).
    """
    model = make_model(name, width=width)
    plain = width is None or width == _NETWORKS[name][1]
    shipped = f"{name}.safetensors" if plain else f"{name}-w{width}.safetensors"
    load_weights_(model, load_tensors(runtime.read_shipped(shipped)))
    return model.eval()


def load_blocks_(model: nn.Module, level: BlockLevel) -> nn.Module:
    """Fill a network of `make_blocks` with shipped weights, trained on `fashion14`; gives it in evaluation mode.

    Args:
        model: for "float" the network itself; for "weights" and "all" that of `binarize.apply_binary` with binary
            weights, or with binary activations too.
        level: which weights.

    Raises:
        ValueError: an unknown level, or a model that they do not fit (all differences are named).
    """
    if level not in get_args(BlockLevel):
        raise ValueError(f"level must be one of {', '.join(get_args(BlockLevel))}; got {level!r}")
    load_weights_(model, load_tensors(runtime.read_shipped(f"lab_blocks-{level}.safetensors")))
    return model.eval()


def weight_differences(model: nn.Module, weights: Mapping[str, Tensor]) -> list[str]:
    """What keeps weights from fitting a model, in words: names, shapes, types. Empty when they fit."""
    own = model.state_dict()
    wrong = [f"missing {name}" for name in own.keys() - weights.keys()]
    wrong += [f"unexpected {name}" for name in weights.keys() - own.keys()]
    for name in own.keys() & weights.keys():
        for what in ("shape", "dtype"):
            expected, got = getattr(own[name], what), getattr(weights[name], what)
            if expected != got:
                wrong.append(f"{name}: expected {what} {_as_text(expected)}, got {_as_text(got)}")
    return sorted(wrong)


def _as_text(value: torch.Size | torch.dtype) -> str:
    return str(tuple(value)) if isinstance(value, torch.Size) else str(value).removeprefix("torch.")


def load_weights_(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights into a model after checking that they fit; says every difference, changes nothing on error."""
    wrong = weight_differences(model, weights)
    if wrong:
        raise ValueError(f"these weights do not fit {type(model).__name__}: {'; '.join(wrong)}")
    model.load_state_dict(weights)


def _check_name(name: str) -> None:
    if name not in _NETWORKS:
        raise ValueError(f"unknown model {name!r}; choose one of: {', '.join(get_args(ModelName))}")
