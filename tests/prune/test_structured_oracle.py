"""Parity with Torch-Pruning: the same parameters and MACs stay."""

import copy

import pytest
import torch
import torch_pruning
from torch import nn

from labcore.metrics import count_macs, count_params
from labcore.models import make_model
from labcore.prune import apply_channel_plan, channel_plan
from networks import LAB_SHAPES, TORCHVISION, make_torchvision

# Torch-Pruning stops at shufflenet with a division by zero.
NETWORKS = [*LAB_SHAPES, *(name for name in TORCHVISION if not name.startswith("shufflenet")), "resnext50_32x4d"]


def _make(name: str) -> tuple[nn.Module, torch.Tensor]:
    if name in LAB_SHAPES:
        return make_model(name).eval(), torch.rand(1, *LAB_SHAPES[name])
    return make_torchvision(name).eval(), torch.rand(1, 3, 64, 64)


def _prune_with_oracle(model: nn.Module, sample: torch.Tensor) -> nn.Module:
    model = copy.deepcopy(model)
    # It would cut a classifier that is a convolution.
    classifier = [each for each in model.modules() if isinstance(each, nn.Linear | nn.Conv2d)][-1]
    torch_pruning.pruner.MetaPruner(
        model, sample, torch_pruning.importance.MagnitudeImportance(p=1), pruning_ratio=0.5, ignored_layers=[classifier]
    ).step()
    return model


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_half_of_a_network_has_the_size_that_torch_pruning_gives(name):
    model, sample = _make(name)
    ours = apply_channel_plan(model, channel_plan(model, sample, pruning_ratio=0.5))
    theirs = _prune_with_oracle(model, sample)
    assert count_params(ours) == count_params(theirs) < count_params(model)
    assert count_macs(ours, sample) == count_macs(theirs, sample)
