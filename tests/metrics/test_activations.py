"""Peak activation memory, worked out on paper. All networks compute in fp32: 4 bytes a value."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from labcore import metrics
from labcore.models import make_model


class Calls(nn.Module):
    """A network that is one function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def peak_values(model, sample):
    return metrics.measure_costs(model, sample).peak_activation_bytes / 4


def rows(model, sample):
    return {row.name: row for row in metrics.measure_costs(model, sample).layers}


def test_lab_cnn_has_its_peak_at_the_first_pool():
    # conv1: input 196, output 16 * 196 = 3,136; batch norm and ReLU overwrite it.
    # pool: 3,136 in, 16 * 49 = 784 out, together 3,920. conv2: 784 in, 32 * 49 = 1,568 out. Later layers are smaller.
    costs = metrics.measure_costs(make_model("lab_cnn"), torch.rand(1, 1, 14, 14))
    by_name = {row.name: row for row in costs.layers}
    assert costs.peak_activation_bytes == 15_680 == (16 * 14 * 14 + 16 * 7 * 7) * 4
    assert by_name["conv1"].activation_bytes == 3_136 * 4
    assert {name: by_name[name].peak_bytes // 4 for name in ("conv1", "bn1", "relu", "pool", "conv2", "fc")} == {
        "conv1": 196 + 3_136,
        "bn1": 3_136,
        "relu": 3_136,
        "pool": 3_136 + 784,
        "conv2": 784 + 1_568,
        "fc": 288 + 10,
    }


def test_lenet_300_100_has_its_peak_at_the_first_layer():
    by_name = rows(make_model("lenet_300_100"), torch.rand(1, 1, 28, 28))
    assert {name: row.peak_bytes // 4 for name, row in by_name.items()} == {
        "fc1": 784 + 300,
        "relu1": 300,
        "fc2": 300 + 100,
        "relu2": 100,
        "fc3": 100 + 10,
    }


def test_a_residual_block_keeps_its_input_for_the_addition():
    # stage1 of lab_resnet: 16 maps of 14x14 = 3,136 values. While the second convolution runs there are three such
    # sets: the block's input, kept for the shortcut, and the convolution's own input and output. The addition
    # overwrites one of its operands, so two are enough for it.
    by_name = rows(make_model("lab_resnet"), torch.rand(1, 1, 14, 14))
    assert by_name["stage1.first.conv"].peak_bytes == 2 * 3_136 * 4
    assert by_name["stage1.second.conv"].peak_bytes == 3 * 3_136 * 4
    assert by_name["stage1"].peak_bytes == 2 * 3_136 * 4
    # stage2 halves the maps and doubles the channels: 1,568 values behind each convolution, input 3,136.
    assert by_name["stage2.second.conv"].peak_bytes == (3_136 + 2 * 1_568) * 4
    assert by_name["stage2.shortcut.conv"].peak_bytes == (3_136 + 2 * 1_568) * 4
    assert by_name["stage2.shortcut.bn"].peak_bytes == by_name["stage2"].peak_bytes == 2 * 1_568 * 4


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=6), st.integers(1, 3))
def test_a_chain_needs_the_largest_pair_of_neighbours(widths, n):
    pairs = list(pairwise(widths))
    layers = [part for pair in pairs for part in (nn.Linear(*pair), nn.ReLU())]
    assert peak_values(nn.Sequential(*layers), torch.rand(n, widths[0])) == max(map(sum, pairs))


def test_same_parameters_may_need_twice_the_memory():
    def make(*order):
        parts = {"conv": nn.Conv2d(8, 8, 3, padding=1), "pool": nn.MaxPool2d(2), "last": nn.Conv2d(8, 8, 3, padding=1)}
        return nn.Sequential(*(parts[name] for name in order))

    early, late = make("pool", "conv", "last"), make("conv", "last", "pool")
    image = torch.rand(1, 8, 16, 16)
    assert metrics.count_params(early) == metrics.count_params(late)
    assert peak_values(late, image) == 2 * 8 * 256
    assert peak_values(early, image) == 8 * 256 + 8 * 64
    assert peak_values(late, image) >= 1.5 * peak_values(early, image)


@pytest.mark.parametrize(
    ("function", "values"),
    [
        (lambda x: x, 100),
        (lambda x: x.relu().add(1).mul(2).clamp(0, 6), 100),
        (lambda x: F.hardtanh(F.silu(F.hardswish(F.gelu(F.prelu(x, torch.ones(1)))))), 100),
        (lambda x: F.relu_(x), 100),
        (lambda x: F.dropout(x.relu(), training=False), 100),
        (lambda x: x.relu() + x, 200),  # the input is read again
        (lambda x: x + x, 100),
        (lambda x: x.reshape(2, 50).t().flip(0), 200),  # the view is free, the reversal moves every value
        (lambda x: x.reshape(1, 10, 10) + x.reshape(1, 10, 10).mT, 200),  # reads what it would overwrite
        (lambda x: torch.cat([x, x.relu()], 1), 400),
        (lambda x: x.t().relu().sum(0), 101),
        (lambda x: x.mean(1, keepdim=True) * x, 101),
        (lambda x: (x.softmax(1), x)[1], 100),  # nobody reads the softmax
        (lambda x: (x.softmax(1), x.sum(1)), 201),  # everything that is returned lives to the end
        (lambda x: x * torch.ones(100), 100),  # a constant is no activation
        (lambda x: torch.zeros(1, 100).copy_(x).sum(1), 200),  # a constant that is filled becomes one
        (lambda x: x.double().sum(1), 300),
        (lambda x: (x > 0).any(1), 125),
    ],
)
def test_small_functions_by_hand(function, values):
    assert peak_values(Calls(function), torch.rand(1, 100)) == values


def test_weights_made_on_the_way_are_no_activations():
    weight = torch.rand(10, 100)
    assert peak_values(Calls(lambda x: F.linear(x, (weight * 7).round() / 7)), torch.rand(1, 100)) == 110


def test_parameters_and_buffers_are_no_activations():
    class Caching(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("cache", torch.zeros(1, 50))
            self.large = nn.Linear(50, 1)

        def forward(self, x):
            self.cache.copy_(x)
            return self.large(self.cache)

    row = rows(Caching(), torch.rand(1, 50))["large"]
    assert (row.peak_bytes, row.activation_bytes) == (4, 4)  # it reads the buffer and its weights, and gives one value


def test_a_sample_cut_from_a_large_tensor_costs_what_it_holds():
    assert peak_values(nn.ReLU(), torch.rand(1000, 100)[3:5]) == 100


def test_the_layout_of_the_sample_does_not_matter():
    model = make_model("lab_cnn")
    image = torch.rand(2, 3, 14, 14)[:, :1]
    channels_last = torch.rand(2, 1, 14, 14).contiguous(memory_format=torch.channels_last)
    assert peak_values(model, image) == peak_values(model, channels_last) == 3_920


def test_the_width_of_a_value_counts():
    model = nn.Linear(8, 8).to(torch.bfloat16)
    assert metrics.measure_costs(model, torch.rand(1, 8, dtype=torch.bfloat16)).peak_activation_bytes == 32


def test_a_layer_used_twice_shows_its_larger_use():
    by_name = rows(make_model("lab_cnn"), torch.rand(1, 1, 14, 14))
    assert by_name["relu"].activation_bytes == 3_136 * 4
    assert by_name["pool"].activation_bytes == 784 * 4
