"""A model as named parts."""

import pytest
import torch
from torch import nn

from labcore.models import make_model
from labcore.surgery import distinct_parameters, named_layers, tap


def test_layers_come_in_order_of_definition():
    assert list(named_layers(make_model("lab_cnn"))) == [
        "conv1", "bn1", "conv2", "bn2", "conv3", "bn3", "relu", "pool", "flatten", "fc",
    ]  # fmt: skip


def test_a_container_is_a_layer_when_it_holds_parameters_itself():
    layers = named_layers(nn.Sequential(nn.MultiheadAttention(8, 2), nn.Sequential(nn.ReLU())))
    assert list(layers) == ["0", "0.out_proj", "1.0"]


def test_a_shared_layer_stands_once():
    relu = nn.ReLU()
    assert list(named_layers(nn.Sequential(relu, nn.Linear(2, 2), relu))) == ["0", "1"]


def test_a_single_layer_is_its_own_layer():
    layer = nn.Linear(2, 2)
    assert named_layers(layer) == {"": layer}


def test_a_tap_holds_what_the_layer_received_and_gave():
    model, images = make_model("lab_cnn").eval(), torch.rand(3, 1, 14, 14)
    with tap(model, ["conv1", "fc"]) as taps:
        logits = model(images)
    assert torch.equal(taps["conv1"].inputs[0], images)
    assert torch.equal(taps["conv1"].outputs[0], model.conv1(images))
    assert torch.equal(taps["fc"].outputs[0], logits)
    assert not taps["fc"].outputs[0].requires_grad
    model(images)
    assert len(taps["fc"].outputs) == 1, "the taps must be off after the block"


def test_a_tap_has_one_entry_for_each_call():
    model = make_model("lab_cnn")
    with tap(model, ["relu"]) as taps:
        model(torch.rand(2, 1, 14, 14))
    assert [tuple(output.shape) for output in taps["relu"].outputs] == [(2, 16, 14, 14), (2, 32, 7, 7), (2, 32, 3, 3)]


def test_a_later_layer_in_place_does_not_change_what_was_recorded():
    model, x = nn.Sequential(nn.Identity(), nn.Linear(4, 4), nn.ReLU(inplace=True)), torch.randn(5, 4)
    with torch.no_grad(), tap(model, ["1", "2"]) as taps:
        model(x)
    assert torch.equal(taps["1"].outputs[0], model[1](x))
    assert torch.equal(taps["2"].inputs[0], model[1](x))


def test_a_tap_takes_blocks_keywords_and_tuples():
    class Wrapper(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.LSTM(3, 4)

        def forward(self, x):
            return self.rnn(input=x)[0]

    model, x = nn.Sequential(Wrapper()), torch.rand(5, 2, 3)
    with tap(model, ["0", "0.rnn"]) as taps:
        output = model(x)
    for name in ("0", "0.rnn"):
        assert torch.equal(taps[name].inputs[0], x)
        assert torch.equal(taps[name].outputs[0], output)


def test_taps_go_when_the_block_fails():
    model = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(RuntimeError), tap(model, ["0"]):
        model(torch.rand(1, 3))
    assert not model[0]._forward_hooks
    assert not model[0]._forward_pre_hooks


def test_unknown_names_are_listed_with_the_known_ones():
    model = make_model("lab_cnn")
    with pytest.raises(ValueError, match="no layer named 'conv9'; layers are: conv1, bn1"), tap(model, ["conv9"]):
        pass
    with pytest.raises(TypeError, match=r"did you mean \['fc'\]"), tap(model, "fc"):
        pass


def test_distinct_parameters_of_a_plain_model_are_its_parameters():
    model = make_model("lab_cnn")
    values = distinct_parameters(model)
    assert all(torch.equal(values[name], parameter) for name, parameter in model.named_parameters())
    assert values.keys() == dict(model.named_parameters()).keys()


@pytest.mark.case("Q-tied")
def test_values_that_share_memory_stand_once():
    flat = torch.arange(12.0)
    model = nn.Module()
    model.whole = nn.Parameter(flat.view(3, 4))
    model.turned = nn.Parameter(flat.view(3, 4).t())
    model.part = nn.Parameter(flat[2:5])
    assert {name: len(values.flatten()) for name, values in distinct_parameters(model).items()} == {
        "whole": 12, "turned": 0, "part": 0,
    }  # fmt: skip


@pytest.mark.case("Q-tied")
def test_overlapping_and_disjoint_views_count_what_they_cover():
    flat = torch.arange(100.0)
    model = nn.Module()
    model.first = nn.Parameter(flat[:10])
    model.overlap = nn.Parameter(flat[5:20:5])
    model.spread = nn.Parameter(flat[50:51].expand(7))
    model.alone = nn.Parameter(torch.ones(1).expand(9))
    values = distinct_parameters(model)
    assert values["first"].tolist() == list(range(10))
    assert values["overlap"].tolist() == [10, 15]
    assert values["spread"].tolist() == [50]
    assert values["alone"].tolist() == [1]


def test_empty_and_virtual_parameters_are_told_apart():
    model = nn.Module()
    model.empty, model.none = nn.Parameter(torch.rand(0, 4)), nn.Parameter(torch.rand(0))
    model.first, model.second = (nn.Parameter(torch.empty(3, device="meta")) for _ in range(2))
    assert sum(values.numel() for values in distinct_parameters(model).values()) == 6
