"""What hangs together: coupled channels of torchvision's networks."""

import copy
import functools

import ipywidgets as widgets
import torch
from torch import Tensor
from torchvision.models import get_model

from labcore import surgery
from labcore.plots import CouplingMap
from labcore.widgets.panel import Panel, Scene

__all__ = ["couplings"]

_NETWORKS = ("vgg11_bn", "resnet18", "mobilenet_v2", "densenet121", "squeezenet1_1")


def couplings(sample: Tensor) -> Panel:
    """Panel: network, set of coupled channels -> the layers it touches, and what goes with one channel.

    Args:
        sample: one small batch of images, shape (N, 3, H, W); only its shape matters.
    """

    @functools.cache
    def find(network):
        with torch.device("meta"):
            model = get_model(network, weights=None)
        # Only shapes matter: memory that nobody filled takes the place of weights.
        traced = surgery.trace(copy.deepcopy(model).to_empty(device="cpu"), sample)
        sets = {each.name: each for each in surgery.find_couplings(traced)}
        return model, surgery.executed_layers(traced), sets

    def compute(network, name):
        model, layers, sets = find(network)
        return surgery.report_coupling(model, sets[name], layers, network=network)

    def options(network):
        return [(f"{name} ({each.n_channels} channels)", name) for name, each in find(network)[2].items()]

    networks = widgets.Dropdown(description="network", options=_NETWORKS, value="resnet18")
    names = widgets.Dropdown(description="set", options=options("resnet18"))
    # First of all observers, so that the panel never asks for a set of another network.
    networks.observe(lambda change: setattr(names, "options", options(change["new"])), names="value")
    return Panel(
        "What hangs together?",
        {"network": networks, "name": names},
        compute,
        CouplingMap(),
        scenes=(
            Scene("a chain", {"network": "vgg11_bn", "name": "features.4"}, "one layer makes them, one reads them"),
            Scene(
                "flattened maps", {"network": "vgg11_bn", "name": "features.25"},
                "a map becomes 49 columns: one channel takes 200,000 parameters",
            ),
            Scene("additions", {"network": "resnet18", "name": "conv1"}, "additions tie what three layers make"),
            Scene(
                "depthwise", {"network": "mobilenet_v2", "name": "features.2.conv.0.0"},
                "the depthwise layer keeps channels apart: what the layer before makes, it makes again",
            ),
            Scene(
                "everybody reads", {"network": "densenet121", "name": "features.conv0"},
                "one layer makes them, and every layer of the block reads them",
            ),
        ),
    )  # fmt: skip
