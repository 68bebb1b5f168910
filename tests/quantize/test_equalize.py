"""Cross-layer equalization: four numbers by hand, a network that computes the same, ranges that meet in the middle."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from labcore.models import load_model
from labcore.quantize import PER_TENSOR, QuantConfig, apply_equalization, apply_static, find_chains, int_format
from labcore.runtime import NoEffectWarning
from labcore.surgery import fold_batch_norm
from networks import make_torchvision
from topologies import Net, conv, relative_error
from toy import bits

SAMPLE = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def uneven(net: nn.Module, seed: int = 0) -> nn.Module:
    """Weights whose output channels have ranges up to a thousand times apart, and biases."""
    generator = torch.Generator().manual_seed(seed)
    for layer in net.modules():
        if isinstance(getattr(layer, "weight", None), torch.Tensor):
            shape = [len(layer.weight)] + [1] * (layer.weight.dim() - 1)
            factors = 10 ** (3 * torch.rand(shape, generator=generator) - 2)
            layer.weight.data = torch.randn(layer.weight.shape, generator=generator) * factors
            if layer.bias is not None:
                layer.bias.data = torch.randn(layer.bias.shape, generator=generator)
    return net.eval()


def out_ranges(layer: nn.Module) -> torch.Tensor:
    weight = layer.weight.detach()
    if isinstance(layer, nn.ConvTranspose2d):
        per_group = [part.abs().amax((0, 2, 3)) for part in weight.chunk(layer.groups)]
        return torch.cat(per_group)
    return weight.abs().flatten(1).amax(1)


def in_ranges(layer: nn.Module) -> torch.Tensor:
    """Channel by channel with a loop over groups."""
    weight = layer.weight.detach()
    if isinstance(layer, nn.ConvTranspose2d):
        return weight.abs().flatten(1).amax(1)
    if isinstance(layer, nn.Linear):
        return weight.abs().amax(0)
    parts = weight.chunk(layer.groups)
    return torch.cat([part.abs().amax((0, 2, 3)) for part in parts])


# --- by hand ----------------------------------------------------------------------------------------


def pair(w1, b1, w2) -> nn.Sequential:
    net = nn.Sequential(nn.Linear(1, len(w1)), nn.ReLU(), nn.Linear(len(w1), 1, bias=False))
    net[0].weight.data, net[0].bias.data = torch.tensor(w1)[:, None], torch.tensor(b1)
    net[2].weight.data = torch.tensor([w2])
    return net


def test_four_numbers_by_hand():
    # r1 = 8 and 0.5, r2 = 2 and 0.125: both layers get sqrt(16) = 4 and sqrt(1/16) = 0.25.
    equal = apply_equalization(pair([8.0, -0.5], [6.0, 1.0], [2.0, -0.125]), torch.ones(1, 1))
    assert equal[0].weight.flatten().tolist() == pytest.approx([4, -0.25])
    assert equal[0].bias.tolist() == pytest.approx([3, 0.5])
    assert equal[2].weight.flatten().tolist() == pytest.approx([4, -0.25])


def test_a_depthwise_triple_gets_cube_roots():
    net = nn.Sequential(conv(1, 2, 1), nn.ReLU(), conv(2, 2, 1, groups=2), nn.ReLU(), conv(2, 1, 1, bias=False))
    weights = [8.0, 1.0], [0.5, 1.0], [2.0, 27.0]
    for layer, values in zip(net[::2], weights, strict=True):
        layer.weight.data = torch.tensor(values).reshape(layer.weight.shape)
        if layer.bias is not None:
            layer.bias.data = torch.tensor([4.0, 9.0])
    assert find_chains(net, SAMPLE[:, :1]) == (("0", "2", "4"),)
    equal = apply_equalization(net, SAMPLE[:, :1])
    # (8 * 0.5 * 2)^(1/3) = 2 and (1 * 1 * 27)^(1/3) = 3; behind layer 2 the factors of layers 0 and 2 have acted.
    for layer in equal[::2]:
        assert layer.weight.flatten().tolist() == pytest.approx([2, 3])
    assert equal[0].bias.tolist() == pytest.approx([4 * 2 / 8, 9 * 3])
    assert equal[2].bias.tolist() == pytest.approx([4 * (2 / 8) * (2 / 0.5), 9 * 3 * 3])


@pytest.mark.parametrize(("w1", "w2"), [([0.0, 3.0], [5.0, 3.0]), ([5.0, 3.0], [0.0, 3.0]), ([0.0, 3.0], [0.0, 3.0])])
def test_a_channel_without_range_stays_as_it_is(w1, w2):
    equal = apply_equalization(pair(w1, [1.0, 1.0], w2), torch.ones(1, 1))
    assert equal[0].weight.flatten().tolist() == pytest.approx(w1)
    assert equal[0].bias.tolist() == pytest.approx([1, 1])
    assert equal[2].weight.flatten().tolist() == pytest.approx(w2)


# --- chains -----------------------------------------------------------------------------------------


def _flattened(net, x):
    x = F.max_pool2d(net.first(x).relu_(), 2)
    return net.second(x.view(x.size(0), -1))


CHAINS = {
    "plain": (
        lambda: nn.Sequential(conv(3, 4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(), conv(4, 5)), (("0", "4"),)
    ),
    "three in a row": (
        lambda: nn.Sequential(conv(3, 4), nn.ReLU(), conv(4, 5), nn.Identity(), conv(5, 2)), (("0", "2"), ("2", "4"))
    ),
    "grouped": (lambda: nn.Sequential(conv(3, 4), nn.ReLU(), conv(4, 6, groups=2)), (("0", "2"),)),
    "multiplied": (lambda: nn.Sequential(conv(3, 4), nn.ReLU(), conv(4, 8, groups=4)), (("0", "2"),)),
    "depthwise first": (lambda: nn.Sequential(conv(3, 3, groups=3), nn.ReLU(), conv(3, 2, 1)), (("0", "2"),)),
    "two depthwise": (
        lambda: nn.Sequential(
            conv(3, 4), nn.ReLU(), conv(4, 4, groups=4), conv(4, 4, groups=4), nn.AvgPool2d(2), conv(4, 5)
        ),
        (("0", "2", "3", "5"),),
    ),
    "transposed": (
        lambda: nn.Sequential(
            nn.ConvTranspose2d(3, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 6, 3, groups=2), nn.ReLU(), conv(6, 2)
        ),
        (("0", "2"), ("2", "4")),
    ),
    "flattened": (lambda: Net(_flattened, first=conv(3, 4), second=nn.Linear(64, 5)), (("first", "second"),)),
    "without bias": (lambda: nn.Sequential(conv(3, 4, bias=False), nn.ReLU(), conv(4, 5, bias=False)), (("0", "2"),)),
}  # fmt: skip


@pytest.mark.case("Q-convT-axis")
@pytest.mark.parametrize("kind", CHAINS)
def test_ranges_meet_and_the_network_computes_the_same(kind):
    make, chains = CHAINS[kind]
    net = uneven(make())
    before = bits(net)
    assert find_chains(net, SAMPLE) == chains
    equal = apply_equalization(net, SAMPLE)
    with torch.inference_mode():
        assert relative_error(equal(SAMPLE), net(SAMPLE)) < 1e-5
    assert bits(net) == before
    for *_, last_but_one, last in chains:
        made, read = out_ranges(equal.get_submodule(last_but_one)), in_ranges(equal.get_submodule(last))
        assert read.reshape(len(made), -1).amax(1) == pytest.approx(made, rel=0.03)
    spreads = []
    for each in (net, equal):
        ranges = out_ranges(each.get_submodule(chains[0][0]))
        spreads.append(ranges.max() / ranges.min())
    assert spreads[1] < spreads[0]


def _branch(net, x):
    x = net.first(x).relu()
    return net.second(x) + x


def _twice(net, x):
    return net.second(net.second(net.first(x)).relu())


def _reads_the_weight(net, x):
    return net.second(net.first(x).relu()) * net.first.weight.sum()


def _tied(net, x):
    return net.second(net.first(x).relu())


def tied() -> nn.Module:
    net = Net(_tied, first=conv(3, 3), second=conv(3, 3))
    net.second.weight = net.first.weight
    return net


NO_CHAINS = {
    "relu6": lambda: nn.Sequential(conv(3, 4), nn.ReLU6(), conv(4, 5)),
    "hardtanh": lambda: nn.Sequential(conv(3, 4), nn.Hardtanh(), conv(4, 5)),
    "sigmoid": lambda: nn.Sequential(conv(3, 4), nn.Sigmoid(), conv(4, 5)),
    "batch norm": lambda: nn.Sequential(conv(3, 4), nn.BatchNorm2d(4), nn.ReLU(), conv(4, 5)),
    "branch": lambda: Net(_branch, first=conv(3, 4), second=conv(4, 4)),
    "twice": lambda: Net(_twice, first=conv(3, 4), second=conv(4, 4)),
    "weight read": lambda: Net(_reads_the_weight, first=conv(3, 4), second=conv(4, 4)),
    "tied": tied,
    "other axis": lambda: nn.Sequential(conv(3, 8), nn.ReLU(), nn.Linear(8, 8)),
    "flattened in part": lambda: nn.Sequential(conv(3, 64), nn.ReLU(), nn.Flatten(2), nn.Linear(64, 2)),
    "one layer": lambda: nn.Sequential(conv(3, 4), nn.ReLU()),
}


@pytest.mark.case("Q-tied")
@pytest.mark.case("Q-noop")
@pytest.mark.parametrize("kind", NO_CHAINS)
def test_what_cannot_pass_a_factor_on_is_left_alone_with_a_warning(kind):
    net = uneven(NO_CHAINS[kind]())
    assert find_chains(net, SAMPLE) == ()
    with pytest.warns(NoEffectWarning, match="nothing but ReLU, pooling"):
        equal = apply_equalization(net, SAMPLE)
    assert bits(equal) == bits(net)


def test_the_warning_names_what_stands_in_the_way():
    with pytest.warns(NoEffectWarning, match="found behind '0': 'ReLU6'"):
        apply_equalization(NO_CHAINS["relu6"](), SAMPLE)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.lists(st.integers(1, 5), min_size=2, max_size=4))
def test_any_chain_computes_the_same(seed, widths):
    pairs = zip([3, *widths], widths, strict=False)
    layers = [each for c_in, c_out in pairs for each in (conv(c_in, c_out), nn.ReLU())]
    net = uneven(nn.Sequential(*layers[:-1]), seed)
    with torch.inference_mode():
        assert relative_error(apply_equalization(net, SAMPLE)(SAMPLE), net(SAMPLE)) < 1e-5


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_a_pair_keeps_the_product_of_each_channels_ranges(seed, width):
    net = uneven(nn.Sequential(conv(3, width), nn.ReLU(), conv(width, 2)), seed)
    before, after = (
        out_ranges(each[0]).double() * in_ranges(each[2]) for each in (net, apply_equalization(net, SAMPLE))
    )
    assert after.tolist() == pytest.approx(before.tolist(), rel=1e-4)


# --- the lab's networks, and torchvision's ----------------------------------------------------------


@pytest.mark.parametrize(("name", "length"), [("lab_cnn", 3), ("lab_mobile", 4), ("lab_resnet", 3)])
def test_the_labs_networks_are_equalized_from_end_to_end(name, length):
    x = torch.rand(20, 1, 14, 14, generator=torch.Generator().manual_seed(0))
    folded = fold_batch_norm(load_model(name), x)
    equal = apply_equalization(folded, x)
    assert len(find_chains(folded, x)) == length
    with torch.inference_mode():
        assert relative_error(equal(x), folded(x)) < 1e-5
        assert torch.equal(equal(x).argmax(1), folded(x).argmax(1))


def test_four_bits_for_a_tensor_lose_less_after_equalization():
    x = torch.rand(20, 1, 14, 14, generator=torch.Generator().manual_seed(0))
    folded = fold_batch_norm(load_model("lab_mobile"), x)
    config = QuantConfig(weights=int_format(4), granularity=PER_TENSOR)
    errors = []
    for model in (folded, apply_equalization(folded, x)):
        with torch.inference_mode():
            errors.append(relative_error(apply_static(model, [x], config)(x), folded(x)))
    assert errors[1] < 0.8 * errors[0]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "n_chains"), [("resnet18", 8), ("densenet121", 58), ("shufflenet_v2_x1_0", 19)])
def test_torchvisions_networks_compute_the_same(name, n_chains):
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    folded = fold_batch_norm(make_torchvision(name).eval(), x)
    assert len(find_chains(folded, x)) == n_chains
    with torch.inference_mode():
        assert relative_error(apply_equalization(folded, x)(x), folded(x)) < 1e-5


def test_relu6_leaves_of_mobilenet_only_pairs_without_it():
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    folded = fold_batch_norm(make_torchvision("mobilenet_v2").eval(), x)
    # Where a block's last convolution meets the next block's first one, and no shortcut reads it too.
    assert find_chains(folded, x) == (
        ("features.1.conv.1", "features.2.conv.0.0"), ("features.17.conv.2", "features.18.0"),
    )  # fmt: skip


def test_a_quantized_model_is_refused():
    net = uneven(CHAINS["plain"][0]())
    with pytest.raises(ValueError, match="quantized already"):
        apply_equalization(apply_static(net, [SAMPLE], QuantConfig()), SAMPLE)
