"""Channels taken out for good: the smaller model computes what the large one does without them."""

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from labcore import runtime
from labcore.surgery import find_couplings, remove_channels, trace
from topologies import SAMPLE, TOPOLOGIES, bn, conv, make, relative_error, some_of_each, with_dead, without_reading


def sets_of(model: nn.Module, sample: torch.Tensor = SAMPLE):
    return find_couplings(trace(model, sample))


@pytest.mark.case("P-flatten/concat/convT", "P-residual", "P-bias/BN")
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_a_cut_model_equals_the_masked_one(name):
    model = make(name)
    couplings = sets_of(model)
    for seed in range(3):
        gone = some_of_each(couplings, seed)
        with torch.no_grad():
            got, full = remove_channels(model, couplings, gone)(SAMPLE), model(SAMPLE)
            assert relative_error(got, without_reading(model, couplings, gone)(SAMPLE)) < 1e-6
            assert relative_error(got, with_dead(model, couplings, gone)(SAMPLE)) < 1e-6
        assert relative_error(got, full) > 1e-3, "the channels that went must matter, or the test sees nothing"


@pytest.mark.case("P-flatten/concat/convT")
def test_twelve_columns_stay_when_one_of_four_2x2_maps_goes():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 3))
    images = torch.rand(2, 1, 4, 4)
    smaller = remove_channels(model, sets_of(model, images), {"0": [1]})
    assert smaller[0].weight.shape == (3, 1, 3, 3)
    assert smaller[2].in_features == 12
    columns = [0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15]
    assert torch.equal(smaller[2].weight, model[2].weight[:, columns])
    by_hand = F.linear(model[0](images)[:, [0, 2, 3]].flatten(1), model[2].weight[:, columns], model[2].bias)
    assert torch.allclose(smaller(images), by_hand, atol=1e-6)


def test_every_tensor_of_a_layer_is_cut():
    model = make("residual")
    smaller = remove_channels(model, sets_of(model), {"stem": [0, 2, 5], "first": [4]})
    kept = [1, 3, 4]
    assert torch.equal(smaller.stem.weight, model.stem.weight[kept])
    assert torch.equal(smaller.stem.bias, model.stem.bias[kept])
    for name in ("weight", "bias", "running_mean", "running_var"):
        assert torch.equal(getattr(smaller.stem_bn, name), getattr(model.stem_bn, name)[kept])
    assert torch.equal(smaller.second.weight, model.second.weight[kept][:, :4])
    assert (smaller.stem.out_channels, smaller.stem_bn.num_features, smaller.first.in_channels) == (3, 3, 3)
    assert (smaller.second.in_channels, smaller.second.out_channels, smaller.fc.in_features) == (4, 3, 3)


@pytest.mark.parametrize(("transposed", "shape"), [(False, (4, 1, 3, 3)), (True, (2, 2, 3, 3))])
def test_a_depthwise_layer_loses_groups(transposed, shape):
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    model = nn.Sequential(nn.Conv2d(3, 4, 1), kind(4, 8, 3, groups=4), nn.Conv2d(8, 2, 1))
    smaller = remove_channels(model, sets_of(model), {"0": [0, 3]})
    assert smaller[1].weight.shape == shape
    assert (smaller[1].in_channels, smaller[1].groups, smaller[1].out_channels) == (2, 2, 4)
    assert torch.equal(smaller[1].bias, model[1].bias[2:6])


def test_a_grouped_layer_may_end_with_one_channel_a_group():
    # Then it looks depthwise, and what it makes must still be cut as in any grouped layer.
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ConvTranspose2d(4, 6, 3, groups=2), nn.Conv2d(6, 2, 1)).eval()
    couplings = sets_of(model)
    gone = {"0": np.array([1]), "1": np.array([0, 2])}
    smaller = remove_channels(model, couplings, gone)
    assert smaller[1].weight.shape == (2, 1, 3, 3)
    assert torch.allclose(smaller(SAMPLE), without_reading(model, couplings, gone)(SAMPLE))


@pytest.mark.case("P-deepcopy")
def test_the_smaller_model_is_a_plain_model_and_the_original_stays():
    model = make("residual").train()
    model.first.weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    smaller = remove_channels(model, sets_of(model), {"stem": [0]})
    assert type(smaller) is type(model)
    assert smaller.training
    assert not smaller.first.weight.requires_grad
    assert smaller.second.weight.requires_grad
    assert smaller.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    smaller(SAMPLE).sum().backward()
    assert smaller.stem.weight.grad.shape == (5, 3, 3, 3)
    assert model.stem.weight.grad is None
    buffer = io.BytesIO()
    torch.save(smaller.state_dict(), buffer)
    buffer.seek(0)
    assert torch.equal(torch.load(buffer)["stem.weight"], smaller.stem.weight)
    plain = nn.Sequential(conv(3, 4), conv(4, 2))
    plain = remove_channels(plain, sets_of(plain), {"0": [1]})
    for twin in (copy.deepcopy(plain), pickle.loads(pickle.dumps(plain))):
        assert torch.equal(twin(SAMPLE), plain(SAMPLE))


def test_a_cut_model_can_be_cut_again():
    model = make("grouped")
    once = remove_channels(model, sets_of(model), {"first": [0]})
    couplings = sets_of(once)
    assert {each.name: each.n_channels for each in couplings} == {"first": 2, "middle": 2, "last": 3}
    twice = remove_channels(once, couplings, {"first": [1]})
    assert torch.allclose(twice(SAMPLE), remove_channels(model, sets_of(model), {"first": [0, 2]})(SAMPLE))


def test_order_and_repetition_do_not_matter():
    model = make("flatten")
    couplings = sets_of(model)
    one = remove_channels(model, couplings, {"first": [3, 0, 3, 3, 0], "fc1": []})
    other = remove_channels(model, couplings, {"first": np.array([0, 3])})
    assert torch.equal(one(SAMPLE), other(SAMPLE))
    assert one.first.out_channels == 3


@pytest.mark.case("P-collapse")
@pytest.mark.parametrize(
    ("removed", "message"),
    [
        ({"first": [0, 1, 2, 3, 4]}, "all 5 channels of 'first' would go; at least one must stay"),
        ({"first": [5]}, r"channels of 'first' are 0 to 4, got \[5\]"),
        ({"first": [-1]}, "are 0 to 4"),
        ({"frist": [0]}, "no set of coupled channels is named 'frist'; near it: first"),
    ],
)
def test_impossible_cuts_are_refused(removed, message):
    model = make("residual")
    with pytest.raises(ValueError, match=message):
        remove_channels(model, sets_of(model), removed)


def test_channels_are_whole_numbers():
    model = make("residual")
    for channels in ([0.0], [True, False, False, False, False]):
        with pytest.raises(TypeError, match="channels of 'first' must be whole numbers"):
            remove_channels(model, sets_of(model), {"first": channels})


def test_sets_of_another_model_are_refused():
    model = make("residual")
    couplings = sets_of(model)
    smaller = remove_channels(model, couplings, {"first": [0]})
    with pytest.raises(ValueError, match=r"another model: 'first' has 4 channels \(out\), expected 5"):
        remove_channels(smaller, couplings, {"first": [0]})
    for other in (make("flatten"), nn.Sequential()):
        with pytest.raises(ValueError, match=r"another model: '(first|second)' has (no|5) channels"):
            remove_channels(other, couplings, {"first": [0]})


# --- any topology -----------------------------------------------------------------------------------


class Block(nn.Module):
    """One randomly chosen piece of a network: keeps the size of maps, changes the number of channels."""

    def __init__(self, kind: str, n: int):
        super().__init__()
        self.kind = kind
        self.n_out = {"concat": 2 * n + 3, "conv": 5, "grouped": 6}.get(kind, n)
        self.a = nn.ModuleList()
        match kind:
            case "conv":
                self.a.append(conv(n, 5))
            case "grouped":
                self.a.append(conv(n, 6, groups=2 if n % 2 == 0 else 1))
            case "depthwise":
                self.a.append(nn.ConvTranspose2d(n, n, 3, padding=1, groups=n))
            case "residual" | "concat":
                self.a.extend([conv(n, 4, 1), conv(4, n if kind == "residual" else n + 3)])
            case "norm":
                self.a.append(bn(n))
            case "excite":
                self.a.extend([conv(n, 2, 1), conv(2, n, 1)])

    def forward(self, x):
        if self.kind == "excite":
            return x * self.a[1](F.relu(self.a[0](x.mean((2, 3), keepdim=True)))).sigmoid()
        y = x
        for layer in self.a:
            y = F.relu(layer(y))
        return {"residual": lambda: x + y, "concat": lambda: torch.cat([y, x], 1)}.get(self.kind, lambda: y)()


KINDS = st.sampled_from(["conv", "grouped", "depthwise", "residual", "concat", "norm", "excite"])


@given(kinds=st.lists(KINDS, min_size=1, max_size=6), seed=st.integers(0, 1000), flat=st.booleans())
def test_any_network_of_such_pieces_can_be_cut(kinds, seed, flat):
    with runtime.fork_rng(seed):
        blocks, n = [conv(3, 4)], 4
        for kind in kinds:
            blocks.append(Block(kind, n))
            n = blocks[-1].n_out
        ending = [nn.Flatten(), nn.Linear(16 * n, 3)] if flat else [conv(n, 3, 1)]
        model = nn.Sequential(*blocks, *ending).eval()
    images = SAMPLE[..., :4, :4]
    couplings = sets_of(model, images)
    gone = some_of_each(couplings, seed)
    smaller = remove_channels(model, couplings, gone)
    with torch.no_grad():
        assert relative_error(smaller(images), without_reading(model, couplings, gone)(images)) < 1e-4
        assert relative_error(smaller(images), with_dead(model, couplings, gone)(images)) < 1e-4
    assert all(min(parameter.shape) > 0 for parameter in smaller.parameters())
