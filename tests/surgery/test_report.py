"""A set of coupled channels in numbers: counted by hand, on any device, in order of execution."""

import pytest
import torch
from torch import nn
from torchvision.models import get_model

from labcore.surgery import executed_layers, find_couplings, report_coupling, trace
from topologies import Net


def report(model, sample, name):
    traced = trace(model.eval(), sample)
    coupling = next(each for each in find_couplings(traced) if each.name == name)
    return report_coupling(model, coupling, executed_layers(traced), network="a network")


def test_a_channel_of_a_chain_takes_its_filter_its_scale_and_what_reads_it():
    chain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3))
    found = report(chain, torch.zeros(1, 3, 9, 9), "0")
    assert found.layers == ("0", "1", "3")
    assert [(m.place, m.role, m.n_positions, m.size) for m in found.members] == [
        (0, "out", 8, 8), (1, "norm", 8, 8), (2, "in", 8, 8),
    ]  # fmt: skip
    assert found.n_gone == (3 * 9 + 1) + 2 + 4 * 9
    assert found.n_params == (3 * 9 + 1) * 8 + 2 * 8 + (8 * 9 + 1) * 4
    assert (found.network, found.name, found.n_channels) == ("a network", "0", 8)


@pytest.mark.case("P-flatten/concat/convT")
def test_a_flattened_map_is_as_many_columns_as_it_has_places():
    net = nn.Sequential(nn.Conv2d(1, 3, 3, bias=False), nn.Flatten(), nn.Linear(3 * 4, 5))
    found = report(net, torch.zeros(1, 1, 4, 4), "0")
    assert found.members[-1].n_positions == 12
    assert found.n_gone == 9 + 4 * 5


@pytest.mark.case("P-residual")
def test_a_channel_of_resnet18_goes_from_all_layers_that_an_addition_ties():
    with torch.device("meta"):
        skeleton = get_model("resnet18", weights=None)
    model = get_model("resnet18", weights=None).eval()
    traced = trace(model, torch.zeros(1, 3, 32, 32))
    coupling = next(each for each in find_couplings(traced) if each.name == "conv1")
    makers = 3 * 49 + 2 * 64 * 9
    readers = 2 * 64 * 9 + 128 * 9 + 128
    for net in (model, skeleton):
        found = report_coupling(net, coupling, executed_layers(traced), network="resnet18")
        assert found.n_gone == makers + 3 * 2 + readers
        assert found.n_params == 11_689_512
    assert len(executed_layers(traced)) == 20 + 20 + 1


def test_layers_stand_in_the_order_in_which_they_run_each_once():
    def forward(net, x):
        return net.first(net.twice(net.twice(net.last(x))))

    net = Net(forward, first=nn.Linear(4, 3), twice=nn.Linear(4, 4), last=nn.Linear(2, 4), unused=nn.ReLU()).eval()
    assert executed_layers(trace(net, torch.zeros(1, 2))) == ("last", "twice", "first")
