"""A model as a graph of operations."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

from labcore.models import make_model
from labcore.surgery import UnsupportedOperation, trace
from topologies import SAMPLE, Net, bn, conv, make


def test_every_operation_has_the_shape_of_what_it_gave():
    traced = trace(make_model("lab_cnn"), torch.rand(3, 1, 14, 14))
    shapes = {node.name: tuple(traced.shape(node)) for node in traced.nodes if node.op == "call_module"}
    assert shapes["conv1"] == (3, 16, 14, 14)
    assert shapes["pool_1"] == (3, 32, 3, 3)
    assert shapes["flatten"] == (3, 288)
    assert traced.nodes[-1].op == "output"


def test_the_model_is_left_as_it_was():
    model = make("residual").train()
    model.stem_bn.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trace(model, SAMPLE)
    assert model.training
    assert not model.stem_bn.training
    assert model.first.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(each.requires_grad and each.grad is None for each in model.parameters())


def test_the_copy_to_read_holds_no_second_set_of_weights():
    model = make("residual")
    twin = trace(model, SAMPLE).model
    assert twin.first.weight.data_ptr() == model.first.weight.data_ptr()
    assert twin.first.weight is not model.first.weight


def test_an_optional_argument_keeps_its_default():
    class Optional(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 2)

        def forward(self, x, mask=None, *more, double: bool = False, **settings):
            if mask is not None:
                x = x * mask
            return self.fc(x) * 2 if double else self.fc(x)

    for _ in range(2):  # a default of None leaves no trace in the process
        traced = trace(Optional(), torch.rand(3, 4))
        assert [node.name for node in traced.nodes] == ["x", "fc", "output"]


def test_a_model_is_traced_as_it_is_evaluated():
    def forward(net, x):
        return net.fc(x.flatten(1)) if not net.training else None

    model = Net(forward, fc=nn.Linear(192, 4)).train()
    assert "fc" in [node.name for node in trace(model, SAMPLE).nodes]


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_a_branch_on_values_is_refused_with_the_name_of_its_module():
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), Branching()))
    with pytest.raises(UnsupportedOperation, match=r"cannot trace Sequential: module '1\.1' does something"):
        trace(model, torch.rand(2, 4))


def test_a_sample_that_does_not_fit_is_named_by_its_shape():
    with pytest.raises(ValueError, match=r"LabCNN cannot take a batch of shape \(2, 3, 14, 14\): .*16, 1, 3, 3"):
        trace(make_model("lab_cnn"), torch.rand(2, 3, 14, 14))


def test_only_modules_and_tensors_are_traced():
    with pytest.raises(TypeError, match="need a module and a tensor, got LabCNN and list"):
        trace(make_model("lab_cnn"), [1.0])
    with pytest.raises(TypeError, match="got function and Tensor"):
        trace(make, SAMPLE)


def test_another_model_may_run_while_one_is_traced():
    # What a second thread would do; tracing patches nn.Module for everybody.
    other, images = make_model("lab_cnn").eval(), torch.rand(1, 1, 14, 14)
    expected, seen = other(images), []

    def forward(net, x):
        seen.append(other(images))
        return net.fc(x.flatten(1))

    trace(Net(forward, fc=nn.Linear(192, 4)), SAMPLE)
    assert torch.equal(seen[0], expected)


@pytest.mark.case("P-deepcopy")
def test_masks_of_torch_are_refused_with_the_way_out():
    model = nn.Sequential(conv(3, 4), bn(4))
    torch_prune.l1_unstructured(model[0], "weight", 0.5)
    with pytest.raises(ValueError, match=r"finish with prune\.remove first"):
        trace(model, SAMPLE)
    torch_prune.remove(model[0], "weight")
    trace(model, SAMPLE)
