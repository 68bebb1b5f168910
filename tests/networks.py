"""Networks that tests of several modules measure."""

import torch
from torch import nn
from torchvision import models as tv

# One image of the size each network of the lab is made for.
LAB_SHAPES = {
    "lab_cnn": (1, 14, 14),
    "lab_resnet": (1, 14, 14),
    "lab_mobile": (1, 14, 14),
    "lenet_300_100": (1, 28, 28),
    "lenet5": (1, 28, 28),
}

_TORCHVISION_SETTINGS = {
    "vgg11_bn": {"init_weights": False},
    "googlenet": {"aux_logits": False, "init_weights": False},
}
TORCHVISION = (
    "resnet18", "resnet50", "mobilenet_v2", "mobilenet_v3_small", "vgg11_bn", "densenet121", "squeezenet1_1",
    "efficientnet_b0", "googlenet", "shufflenet_v2_x1_0",
)  # fmt: skip


def make_torchvision(name: str) -> nn.Module:
    """One of torchvision's networks with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return tv.get_model(name, weights=None, **_TORCHVISION_SETTINGS.get(name, {}))
