"""The lab's networks with fresh weights. `width` scales every hidden layer."""

from collections import OrderedDict
from typing import Literal, get_args

from torch import Tensor, nn

from labcore import runtime

__all__ = ["NETWORKS", "DepthwiseSeparable", "ModelName", "check_width", "make_mlp", "make_model"]

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
NETWORKS = {
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
    check_name(name)
    build, default_width = NETWORKS[name]
    width = default_width if width is None else width
    check_width(width, 4)
    with runtime.fork_rng(seed):
        return build(width, in_channels, n_classes).to(runtime.device())


def check_width(width: int, least: int) -> None:
    """Raise unless a width is a whole number of at least `least`."""
    if not isinstance(width, int) or isinstance(width, bool):
        raise TypeError(f"width must be a whole number of channels, got {width!r}")
    if width < least:
        raise ValueError(f"width must be at least {least} channel{'s' if least > 1 else ''}, got {width}")


def check_name(name: str) -> None:
    if name not in NETWORKS:
        raise ValueError(f"unknown model {name!r}; choose one of: {', '.join(get_args(ModelName))}")


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
