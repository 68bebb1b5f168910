"""Which layers can be replaced, and why not the others; quantize and binarize test it on whole models."""

import pytest
import torch
from torch import nn

from labcore.surgery import copy_model, find_refusals, find_sharing, replace_layer_

KINDS = (nn.Linear, nn.Conv2d)


class Wrapped(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer


def test_every_part_with_parameters_has_a_reason_or_none():
    model = nn.Sequential(
        nn.Linear(3, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.TransformerEncoderLayer(4, 2), nn.Linear(3, 3)
    )
    model[4].register_forward_hook(lambda *_: None)
    reasons = find_refusals(model, KINDS, Wrapped)
    assert reasons["0"] == ""
    assert reasons["1"] == "no rule for BatchNorm1d"
    assert reasons["3.linear1"] == "it stands in TransformerEncoderLayer, whose code reads the weight by itself"
    assert reasons["4"] == "it has hooks"
    assert "2" not in reasons


def test_what_was_replaced_is_left_out():
    model = nn.Sequential(Wrapped(nn.Linear(3, 3)), nn.Linear(3, 3))
    assert find_refusals(model, KINDS, Wrapped) == {"1": ""}


def test_a_weight_of_a_layer_that_stays_keeps_its_partner():
    model = nn.Sequential(nn.Embedding(3, 3), nn.Linear(3, 3, bias=False))
    model[1].weight = model[0].weight
    assert find_refusals(model, KINDS, Wrapped)["1"] == "its weight is also that of '0', which stays in float"
    assert find_sharing(model, iter(["0", "1"])) == {"0": ["1"], "1": ["0"]}


def test_parameters_without_memory_share_nothing():
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3))
    assert find_refusals(model, KINDS, Wrapped) == {"0": "", "1": "no rule for BatchNorm1d", "2": ""}


def test_a_layer_is_replaced_wherever_it_stands():
    layer = nn.Linear(3, 3)
    model = nn.Sequential(layer, nn.Sequential(layer))
    wrapped = Wrapped(layer)
    assert replace_layer_(model, layer, wrapped) is model
    assert model[0] is model[1][0] is wrapped
    assert replace_layer_(layer, layer, wrapped) is wrapped


def test_a_model_that_cannot_be_copied_is_named():
    model = nn.Linear(2, 2)
    model.extra = model.weight * 2
    with pytest.raises(ValueError, match="Linear cannot be copied"):
        copy_model(model)
