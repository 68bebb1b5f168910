"""Modules on a grid: what they compute, and that they are plain modules."""

import copy
import pickle

import pytest
import torch
from torch import nn

from labcore.quantize import (
    INT4,
    INT8,
    PER_CHANNEL,
    PER_TENSOR,
    PER_TOKEN,
    UINT8_AFFINE,
    DynamicQuantizer,
    QuantizedLayer,
    Quantizer,
    fake_quantize,
    fit_grid,
    fit_weight_grid,
    int_format,
    per_group,
)

LAYERS = {
    "linear": (lambda: nn.Linear(6, 4), (2, 6)),
    "linear without bias on tokens": (lambda: nn.Linear(6, 4, bias=False), (2, 5, 6)),
    "conv1d": (lambda: nn.Conv1d(3, 4, 3, padding=1, padding_mode="circular"), (2, 3, 9)),
    "conv2d": (lambda: nn.Conv2d(3, 4, 3, stride=2, dilation=2), (2, 3, 9, 9)),
    "conv2d same": (lambda: nn.Conv2d(3, 4, (3, 5), padding="same", bias=False), (2, 3, 9, 9)),
    "conv2d grouped": (lambda: nn.Conv2d(4, 6, 3, groups=2), (2, 4, 5, 5)),
    "conv2d depthwise": (lambda: nn.Conv2d(4, 8, 3, groups=4), (2, 4, 5, 5)),
    "conv3d": (lambda: nn.Conv3d(2, 4, 2), (2, 2, 4, 4, 4)),
    "transposed 1d": (lambda: nn.ConvTranspose1d(4, 6, 3, stride=2, output_padding=1), (2, 4, 5)),
    "transposed 2d": (lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, dilation=2), (2, 4, 5, 5)),
    "transposed 2d grouped": (lambda: nn.ConvTranspose2d(4, 6, 3, groups=2), (2, 4, 5, 5)),
    "transposed 3d depthwise": (lambda: nn.ConvTranspose3d(4, 8, 2, groups=4, bias=False), (2, 4, 3, 3, 3)),
}


def make(kind: str) -> tuple[nn.Module, torch.Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        build, shape = LAYERS[kind]
        return build(), torch.randn(shape)


def wrapped(layer: nn.Module, granularity=PER_CHANNEL, on_input: nn.Module | None = None) -> QuantizedLayer:
    return QuantizedLayer(layer, Quantizer(fit_weight_grid(layer, INT4, granularity=granularity)), on_input)


def test_four_numbers_by_hand():
    layer = nn.Linear(4, 1)
    layer.weight.data = torch.tensor([[0.7, -0.26, 0.14, 0.06]])
    layer.bias.data = torch.tensor([1.0])
    # int4: scale 0.1, codes 7, -3, 1, 1.
    assert wrapped(layer)(torch.tensor([[1.0, 1.0, 10.0, 100.0]])).item() == pytest.approx(1 + 0.7 - 0.3 + 1 + 10)
    # Inputs on int8 codes of scale 100 / 127: 1, 1, 13, 127.
    dynamic = wrapped(layer, on_input=DynamicQuantizer(INT8))
    expected = 1 + (0.7 - 0.3 + 0.1 * 13 + 0.1 * 127) * 100 / 127
    assert dynamic(torch.tensor([[1.0, 1.0, 10.0, 100.0]])).item() == pytest.approx(expected)


@pytest.mark.case("Q-convT-axis")
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("granularity", [PER_TENSOR, PER_CHANNEL, per_group(2)], ids=lambda g: g.name)
def test_a_wrapped_layer_does_what_the_layer_does_with_the_rounded_weight(kind, granularity):
    layer, x = make(kind)
    if granularity.kind == "group" and layer.weight[0].numel() % 2:
        granularity = per_group(3)
    quantized = wrapped(layer, granularity)
    plain = copy.deepcopy(layer)
    grid = fit_weight_grid(layer, INT4, granularity=granularity)
    plain.weight.data = fake_quantize(layer.weight.data, grid)
    assert torch.equal(quantized(x), plain(x))
    assert torch.equal(quantized.quantized_weight(), plain.weight)
    assert not torch.equal(plain.weight, layer.weight)
    n_outputs = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    if granularity == PER_CHANNEL:
        assert quantized.weight_quantizer.scale.shape == (n_outputs,)


@pytest.mark.parametrize("kind", LAYERS)
def test_without_quantizers_it_is_the_layer(kind):
    layer, x = make(kind)
    assert torch.equal(QuantizedLayer(layer, None)(x), layer(x))


def test_the_float_weight_learns_where_its_code_is_inside_the_format():
    layer = nn.Linear(3, 1, bias=False)
    layer.weight.data = torch.tensor([[0.7, 0.2, -0.7]])
    quantized = wrapped(layer)
    layer.weight.data = torch.tensor([[0.9, 0.2, -0.7]])  # moved out of the range by training
    quantized(torch.tensor([[2.0, 3.0, 5.0]])).sum().backward()
    assert layer.weight.grad.tolist() == [[0, 3, 5]]
    assert quantized.quantized_weight().tolist() == [[pytest.approx(0.7), pytest.approx(0.2), pytest.approx(-0.7)]]


# --- ranges of each batch ---------------------------------------------------------------------------


@pytest.mark.parametrize("format", [INT8, int_format(3), UINT8_AFFINE, int_format(4, "full")], ids=lambda f: f.name)
@pytest.mark.parametrize("granularity", [PER_TENSOR, PER_TOKEN], ids=lambda g: g.name)
def test_a_dynamic_range_is_that_of_the_batch_at_hand(format, granularity):
    quantizer = DynamicQuantizer(format, granularity)
    for size in (0.01, 1.0, 300.0):
        x = size * torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
        assert torch.equal(quantizer(x), fake_quantize(x, fit_grid(x, format, granularity=granularity)))
    assert not quantizer.state_dict()


@pytest.mark.case("Q-const", "Q-empty")
def test_degenerate_batches_pass():
    for granularity in (PER_TENSOR, PER_TOKEN):
        quantizer = DynamicQuantizer(INT8, granularity)
        assert quantizer(torch.zeros(2, 3)).tolist() == [[0, 0, 0]] * 2
        assert quantizer(torch.full((2, 3), -5.0)).tolist() == [[pytest.approx(-5)] * 3] * 2
        assert quantizer(torch.zeros(0, 3)).shape == (0, 3)
        assert quantizer(torch.zeros(2, 0)).shape == (2, 0)
        assert quantizer(torch.tensor([[1.0, float("nan")]])).isnan().any()
    fixed = Quantizer(fit_grid(torch.tensor([0.0, 1.0]), INT8))
    assert fixed(torch.zeros(0, 3)).shape == (0, 3)


def test_activations_have_no_channels():
    for granularity in (PER_CHANNEL, per_group(4)):
        with pytest.raises(ValueError, match=f"per tensor or per token, got {granularity.name}"):
            DynamicQuantizer(INT8, granularity)


# --- plain modules ----------------------------------------------------------------------------------


@pytest.mark.case("P-deepcopy", "P-state-dict")
@pytest.mark.parametrize("kind", ["linear", "conv2d grouped", "transposed 2d grouped"])
def test_copies_pickles_and_state_dicts_compute_the_same_bits(kind):
    layer, x = make(kind)
    model = wrapped(layer, on_input=Quantizer(fit_grid(x, UINT8_AFFINE)))
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(again(x), model(x))
        assert again.weight_quantizer.grid.groups == model.weight_quantizer.grid.groups
    other = wrapped(make(kind)[0], on_input=Quantizer(fit_grid(7 * x, UINT8_AFFINE)))
    assert not torch.equal(other(x), model(x))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(x), model(x))
    assert {name for name, _ in model.named_parameters()} == {"layer.weight", "layer.bias"}
    assert "uint8 affine, per tensor" in repr(model)
