"""Which channels hang together."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from labcore.models import make_model
from labcore.surgery import UnsupportedOperation, find_couplings, find_places, trace
from topologies import SAMPLE, TOPOLOGIES, Net, bn, conv, make


def found(model: nn.Module, sample: torch.Tensor = SAMPLE) -> dict[str, str]:
    """Sets by name: number of channels, then each layer with its role and positions for each channel."""
    return {
        each.name: f"{each.n_channels}: "
        + ", ".join(f"{member.layer} {member.role} {member.indices.shape[1]}" for member in each.members)
        for each in find_couplings(trace(model, sample))
    }


# By hand, from the forward functions in topologies.py.
EXPECTED = {
    "residual": {
        "stem": "6: stem out 1, stem_bn norm 1, first in 1, second out 1, fc in 1",
        "first": "5: first out 1, second in 1",
    },
    "concat": {
        "stem": "4: stem out 1, left in 1, right in 1, norm norm 1, fc in 1",
        "left": "5: left out 1, norm norm 1, fc in 1",
        "right": "3: right out 1, norm norm 1, fc in 1",
    },
    "concat in space": {"left": "6: left out 1, right out 1, fc in 1"},
    "flatten": {"first": "5: first out 1, fc1 in 16", "fc1": "6: fc1 out 1, fc2 in 1"},
    "depthwise": {
        "stem": "6: stem out 1, depthwise out 1, norm norm 1, pointwise in 1",
        "pointwise": "4: pointwise out 1, multiplied out 2, fc in 2",
    },
    "grouped": {
        "first": "3: first out 4, middle in 4",
        "middle": "2: middle out 4, last in 4",
        "last": "3: last out 2, fc in 2",
    },
    "transposed": {"first": "3: first out 2, middle in 2", "middle": "4: middle out 2, last out 4, fc in 4"},
    "squeeze-excite": {"stem": "6: stem out 1, down in 1, up out 1, fc in 1", "down": "3: down out 1, up in 1"},
    "squeeze-excite with linear layers": {
        "stem": "6: stem out 1, down in 1, up out 1, fc in 1",
        "down": "3: down out 1, up in 1",
    },
    "convolutional classifier": {"first": "6: first out 1, norm norm 1, classifier in 1"},
    "tokens": {"up": "9: up out 1, down in 1"},
    "a layer used twice": {"stem": "6: stem out 1, shared in 1, shared out 1, fc in 1"},
    "neurons": {"fc1": "6: fc1 out 1, norm norm 1, fc2 in 1", "fc2": "5: fc2 out 1, fc3 in 1"},
}


@pytest.mark.case("P-residual", "P-flatten/concat/convT")
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_sets_are_those_read_from_the_code_by_hand(name):
    assert found(make(name)) == EXPECTED[name]


def test_positions_of_a_channel_are_those_counted_by_hand():
    def indices(name, set_name, layer, role):
        sets = {each.name: each for each in find_couplings(trace(make(name), SAMPLE))}
        return next(m.indices for m in sets[set_name].members if (m.layer, m.role) == (layer, role)).tolist()

    assert indices("flatten", "first", "fc1", "in")[1] == list(range(16, 32)), "a map is a block of columns"
    assert indices("concat", "left", "fc", "in") == [[0], [1], [2], [3], [4]]
    assert indices("concat", "stem", "fc", "in") == [[5], [6], [7], [8]], "behind what stands left of it"
    assert indices("grouped", "first", "middle", "in")[1] == [1, 4, 7, 10], "the second of each group of three"
    assert indices("depthwise", "pointwise", "multiplied", "out")[1] == [2, 3], "two filters for each input"


def test_inputs_and_outputs_stay_whole():
    assert "fc" not in found(make_model("lab_cnn"), torch.rand(1, 1, 14, 14))
    assert found(nn.Sequential(nn.Linear(192, 4)), torch.rand(2, 192)) == {}
    assert found(Net(lambda net, x: net.depthwise(x), depthwise=conv(3, 6, groups=3))) == {}
    assert found(Net(lambda net, x: net.last(x + net.first(x)), first=conv(3, 3), last=conv(3, 4))) == {}
    assert found(Net(lambda net, x: {"a": [net.first(x)], "b": x}, first=conv(3, 6))) == {}


def test_a_single_channel_is_in_no_set():
    assert found(Net(lambda net, x: net.b(net.a(x)), a=conv(3, 1), b=conv(1, 4))) == {}
    # Groups of one channel each: all of them would have to go together.
    net = Net(lambda net, x: net.c(net.b(net.a(x))), a=conv(3, 4), b=conv(4, 2, groups=2), c=conv(2, 4))
    assert found(net) == {"a": "2: a out 2, b in 2"}


def test_a_channel_that_scales_all_others_is_not_coupled_with_them():
    def forward(net, x):
        x = net.stem(x)
        return net.fc((x * net.attention(x).sigmoid()).mean((2, 3)))

    net = Net(forward, stem=conv(3, 6), attention=conv(6, 1), fc=nn.Linear(6, 4))
    assert found(net) == {"stem": "6: stem out 1, attention in 1, fc in 1"}


def between(middle, **layers) -> nn.Module:
    """A network with `middle` between two convolutions of 6 channels."""
    return Net(lambda net, x: net.last(middle(net, net.first(x))), first=conv(3, 6), last=conv(6, 4), **layers)


def _scaled() -> nn.Module:
    net = between(lambda net, x: x * net.scale)
    net.scale = nn.Parameter(torch.ones(6, 1, 1))
    return net


KEPT = {
    "softmax": between(lambda net, x: x.softmax(1)),
    "normalize": between(lambda net, x: F.normalize(x)),
    "group norm": between(lambda net, x: net.norm(x), norm=nn.GroupNorm(2, 6)),
    "a parameter of its own": _scaled(),
    "the number is written in the code": between(lambda net, x: x.view(x.size(0), 6, -1, 8)),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_cannot_lose_a_channel_keeps_them_all(name):
    assert found(KEPT[name]) == {}
    assert found(between(lambda net, x: x)) == {"first": "6: first out 1, last in 1"}, "the rest of that network"


def test_a_layer_that_only_renames_another_is_followed():
    class Mine(nn.Conv2d):
        pass

    net = Net(lambda net, x: net.b(net.a(x)), a=Mine(3, 6, 3), b=Mine(6, 4, 3))
    assert found(net) == {"a": "6: a out 1, b in 1"}


# --- what is refused --------------------------------------------------------------------------------


def to_linear(middle) -> nn.Module:
    return Net(lambda net, x: net.fc(middle(net.first(x))), first=conv(3, 6), fc=nn.Linear(384, 4))


def _shuffle(net, x):
    b, c, h, w = x.shape
    return x.view(b, 2, c // 2, h, w).transpose(1, 2).flatten(1, 2)


REFUSED = {
    "'chunk'.*cannot follow": between(lambda net, x: torch.cat(x.chunk(2, 1), 1)),
    "'split'.*cannot follow": between(lambda net, x: torch.cat(torch.split(x, 3, dim=1), 1)),
    r"'view' \(node 'view' in 'Net'\): it takes channels apart": between(_shuffle),
    "'getitem'.*takes channels apart": between(lambda net, x: torch.cat([x[:, :3], x[:, 3:]], 1)),
    "'getitem'.*apart": between(lambda net, x: x[:, [5, 4, 3, 2, 1, 0]]),
    "'PixelShuffle'": Net(
        lambda net, x: net.last(net.up(net.first(x))), first=conv(3, 8), up=nn.PixelShuffle(2), last=conv(2, 4)
    ),
    "'view'.*number 384 is written.*flatten": to_linear(lambda x: x.view(-1, 6 * 8 * 8)),
    "'reshape'.*number 384 is written": to_linear(lambda x: torch.reshape(x, (x.size(0), 384))),
    "'mean'.*reduces over channels": between(lambda net, x: x * x.mean(1, keepdim=True)),
    "'sum'.*reduces over channels": between(lambda net, x: x * x.sum()),
    "'truediv'.*size of a tensor": between(lambda net, x: x / x.size(1)),
    "'pad'.*changes the channel axis": Net(
        lambda net, x: net.last(F.pad(net.first(x), (0, 0, 0, 0, 0, 2))), first=conv(3, 6), last=conv(8, 4)
    ),
    "'matmul'": Net(lambda net, x: net.first(x) @ net.last(x), first=conv(3, 6), last=conv(3, 6)),
    "'conv2d'": between(lambda net, x: F.conv2d(x, torch.ones(6, 6, 1, 1))),
    "'Linear'.*needs channels on axis 3, they stand on axis 1": Net(
        lambda net, x: net.fc(net.first(x)), first=conv(3, 6), fc=nn.Linear(8, 4)
    ),
    r"'add'.*different axes: \[1, 2\]": Net(
        lambda net, x: net.last(net.a(x) + net.b(x).transpose(1, 2)),
        a=nn.Conv2d(3, 8, 1), b=nn.Conv2d(3, 8, 1), last=conv(8, 4),
    ),
    "'LSTM'": Net(
        lambda net, x: net.rnn(net.first(x).mean(3).transpose(1, 2))[0], first=conv(3, 6), rnn=nn.LSTM(6, 4)
    ),
    "'ParametrizedConv2d'": between(lambda net, x: net.extra(x), extra=parametrizations.weight_norm(conv(6, 6))),
    "more than a plain layer does: weight_orig, weight_u": between(
        lambda net, x: net.extra(x), extra=nn.utils.spectral_norm(conv(6, 6))
    ),
    "'unused.weight' takes no part in evaluation mode": between(lambda net, x: x, unused=conv(6, 6)),
    "'first.weight' is used by its layer and on its own": between(lambda net, x: x * net.first.weight.mean()),
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_followed_is_refused_by_name(message):
    model = REFUSED[message].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(UnsupportedOperation, match=message):
        find_couplings(trace(model, SAMPLE))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_weights_that_two_layers_share_are_refused():
    net = between(lambda net, x: net.extra(x), extra=conv(6, 6))
    net.other = conv(6, 6)
    net.other.weight = net.extra.weight
    model = Net(lambda outer, x: outer.net.last(outer.net.other(outer.net.extra(outer.net.first(x)))), net=net)
    with pytest.raises(UnsupportedOperation, match=r"'net\.extra\.weight' and 'net\.other\.weight' share one memory"):
        find_couplings(trace(model, SAMPLE))


def test_what_has_nothing_to_cut_may_do_anything():
    def forward(net, x):
        x = torch.cat(x.flip(1).chunk(3, 1), 1).cumsum(1)
        return net.last(net.norm(net.first(x)))

    net = Net(forward, first=conv(3, 6), norm=bn(6), last=conv(6, 4))
    assert found(net) == {"first": "6: first out 1, norm norm 1, last in 1"}


@pytest.mark.case("P-flatten/concat/convT")
def test_places_of_channels_in_what_operations_give():
    traced = trace(make("concat"), SAMPLE)
    # left 5, stem 4, right 3 channels, in this order behind the concatenation.
    relus = find_places(traced, find_couplings(traced), ("relu",))
    assert {name: [(p.node.name, p.indices.ravel().tolist()) for p in each] for name, each in relus.items()} == {
        "stem": [("relu_1", [5, 6, 7, 8])],
        "left": [("relu", [0, 1, 2, 3, 4]), ("relu_1", [0, 1, 2, 3, 4])],
        "right": [("relu_1", [9, 10, 11])],
    }
    assert {p.axis for each in relus.values() for p in each} == {1}
    traced = trace(make_model("lab_cnn"), torch.rand(1, 1, 14, 14))
    flat = find_places(traced, find_couplings(traced), ("flatten",))
    # A map of 3x3 values becomes nine neighbours.
    assert [len(each) for each in flat.values()] == [0, 0, 1]
    assert flat["conv3"][0].indices[2].tolist() == list(range(18, 27))
