"""Static quantization: where quantizers stand, which format they have, and what the whole network then computes."""

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import fx, nn
from torch.nn import functional as F

from labcore.models import load_model, make_model
from labcore.quantize import (
    INT8,
    INT16,
    PER_TENSOR,
    UINT8_AFFINE,
    QuantConfig,
    QuantizedLayer,
    Quantizer,
    apply_static,
    fake_quantize,
    fit_grid,
    fit_weight_grid,
    int_format,
    report_quantization,
)
from labcore.surgery import fold_batch_norm, tap
from labcore.training import TrainConfig, fit, predict
from networks import TORCHVISION, make_torchvision
from topologies import SAMPLE, TOPOLOGIES, Net, conv, make, relative_error
from toy import bits, network, toy

FINE = QuantConfig(weights=INT16, activations=INT16, output=INT16)


def quantizers(model: fx.GraphModule) -> dict[str, Quantizer]:
    """By the node whose value they round, in order of execution."""
    return {
        node.all_input_nodes[0].name: model.get_submodule(node.target)
        for node in model.graph.nodes
        if node.op == "call_module" and isinstance(model.get_submodule(node.target), Quantizer)
    }


def places(forward, **layers) -> list[str]:
    return list(quantizers(apply_static(Net(forward, **layers).eval(), [(SAMPLE,)], QuantConfig())))


def images(seed: int = 0, n: int = 40) -> torch.Tensor:
    return torch.rand(n, 1, 14, 14, generator=torch.Generator().manual_seed(seed))


# --- the whole network ------------------------------------------------------------------------------


def naive_lab_cnn(model: nn.Module, calibration: torch.Tensor, x: torch.Tensor, bits: int) -> torch.Tensor:
    """The network written out, each value rounded to the range that the calibration images had there."""
    unsigned, signed = int_format(bits, signed=False), int_format(bits)
    exact = grid_exact = calibration
    for number in (1, 2, 3):
        layer, norm = getattr(model, f"conv{number}"), getattr(model, f"bn{number}")
        x = fake_quantize(x, fit_grid(grid_exact, unsigned))
        weight = fake_quantize(layer.weight, fit_weight_grid(layer, signed))
        exact = F.relu(norm(F.conv2d(exact, layer.weight, padding=1)))
        x = F.relu(norm(F.conv2d(x, weight, padding=1)))
        grid_exact = exact
        if number < 3:
            x, exact = F.max_pool2d(fake_quantize(x, fit_grid(exact, unsigned)), 2), F.max_pool2d(exact, 2)
    read, weights = fit_grid(grid_exact, unsigned), fit_weight_grid(model.fc, signed)
    logits = F.linear(exact.flatten(1), model.fc.weight, model.fc.bias)
    # Only this layer has a bias of its own, which is rounded to the step of the sums.
    step = read.scale * weights.scale
    bias = (model.fc.bias / step).round() * step
    x = F.linear(fake_quantize(x, read).flatten(1), fake_quantize(model.fc.weight, weights), bias)
    return fake_quantize(x, fit_grid(logits, INT8))


@pytest.mark.parametrize("n_bits", [8, 4, 2])
def test_lab_cnn_is_the_network_written_out_by_hand(n_bits):
    model, calibration, x = load_model("lab_cnn"), images(0), images(1)
    config = QuantConfig(weights=int_format(n_bits), activations=int_format(n_bits))
    static = apply_static(model, [(calibration[:30],), (calibration[30:],)], config)
    with torch.inference_mode():
        assert torch.equal(static(x), naive_lab_cnn(model, calibration, x, n_bits))


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_sixteen_bits_compute_what_the_model_does(name):
    model = make(name)
    static = apply_static(model, [(SAMPLE,)], FINE)
    with torch.inference_mode():
        assert relative_error(static(SAMPLE), model(SAMPLE)) < 2e-4
    assert all(layer.activations is not None for layer in report_quantization(static).layers)


@pytest.mark.slow
@pytest.mark.parametrize("name", TORCHVISION)
def test_sixteen_bits_compute_what_torchvisions_networks_do(name):
    model, x = make_torchvision(name).eval(), torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    static = apply_static(model, [(x,)], FINE)
    with torch.inference_mode():
        assert relative_error(static(x), model(x)) < 1e-3
    report = report_quantization(static)
    assert all(layer.activations is not None for layer in report.layers)
    n_layers = sum(isinstance(each, nn.Linear | nn.Conv2d) for each in model.modules())
    assert len(report.layers) == n_layers
    assert report.n_params == sum(each.numel() for each in model.parameters())


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "vgg11_bn"])
def test_torchvisions_networks_fold_and_quantize(name):
    model, x = make_torchvision(name).eval(), torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    static = apply_static(fold_batch_norm(model, x), [(x,)], QuantConfig())
    with torch.inference_mode():
        assert relative_error(static(x), model(x)) < 0.1
    assert not report_quantization(static).in_float


@settings(max_examples=20)
@given(
    name=st.sampled_from(sorted(TOPOLOGIES)), n_bits=st.integers(2, 5), calibration=st.sampled_from(["max", "mse"]),
    scheme=st.sampled_from(["symmetric", "full", "affine"]),
)  # fmt: skip
def test_what_a_layer_reads_and_its_weight_take_no_more_values_than_the_format_has(name, n_bits, calibration, scheme):
    format = int_format(n_bits, scheme)
    static = apply_static(
        make(name), [(SAMPLE,)],
        QuantConfig(weights=format, activations=format, granularity=PER_TENSOR, calibration=calibration),
    )  # fmt: skip
    layers = [key for key, each in static.named_modules() if isinstance(each, QuantizedLayer)]
    with tap(static, layers) as taps:
        static(SAMPLE)
    assert layers
    for key in layers:
        assert static.get_submodule(key).quantized_weight().unique().numel() <= format.n_levels
        for values in taps[key].inputs:
            assert values.unique().numel() <= 2**n_bits


# --- where quantizers stand -------------------------------------------------------------------------


def test_a_value_is_rounded_once_behind_its_relu_and_before_what_only_moves_it():
    assert list(quantizers(apply_static(make_model("lab_cnn").eval(), [(images(),)], QuantConfig()))) == [
        "x", "relu", "relu_1", "relu_2", "fc",
    ]  # fmt: skip
    assert list(quantizers(apply_static(make_model("lab_resnet").eval(), [(images(),)], QuantConfig()))) == [
        "x", "relu",
        "stage1_relu", "stage1_second_bn", "stage1_relu_1",
        "stage2_relu", "stage2_second_bn", "stage2_shortcut_bn", "stage2_relu_1",
        "stage3_relu", "stage3_second_bn", "stage3_shortcut_bn", "stage3_relu_1",
        "pool", "fc",
    ]  # fmt: skip


def _pre_activation(net, x):
    x = net.first(x)
    return net.second(F.relu(x)) + x


def _shuffle(net, x):
    left, right = net.first(x).chunk(2, 1)
    x = torch.cat([left, net.second(right)], 1).view(x.size(0), 2, 3, 8, 8).transpose(1, 2).reshape(-1, 6, 8, 8)
    return net.third(F.dropout(x, 0.5, net.training)).mean((2, 3))


def _odd(net, x):
    x = F.hardswish(net.first(x + 0.5))
    return {"logits": (net.second(2 * x.sigmoid()), x.tanh()), "size": x.shape}


def test_a_relu_of_a_value_that_is_on_a_grid_is_not_rounded_again():
    assert places(_pre_activation, first=conv(3, 6), second=conv(6, 6)) == ["x", "first", "second", "add"]


def test_grids_pass_through_what_moves_values():
    layers = {"first": conv(3, 6), "second": conv(3, 3), "third": conv(6, 6)}
    assert places(_shuffle, **layers) == ["x", "first", "second", "cat", "third", "mean"]


def test_what_has_no_rule_reads_floats_and_gives_floats_to_be_rounded():
    # hardswish and sigmoid are read by float operations only; outputs have quantizers of their own.
    assert places(_odd, first=conv(3, 6), second=conv(6, 6)) == ["add", "mul", "second", "tanh"]


def test_one_of_several_results_is_rounded_where_it_is_taken():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.fc = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 2)

        def forward(self, x):
            states, _ = self.lstm(x)
            return self.fc(states[:, -1])

    model, x = Recurrent().eval(), torch.randn(5, 6, 3)
    static = apply_static(model, [x], FINE)
    assert list(quantizers(static)) == ["getitem", "fc"]
    with torch.inference_mode():
        assert relative_error(static(x), model(x)) < 2e-4


def test_constants_that_are_added_lie_on_a_grid_too():
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.shift = nn.Linear(3, 3), nn.Parameter(torch.tensor([1.0, -2.0, 0.3]))

        def forward(self, x):
            return self.fc(x) + self.shift

    static = apply_static(Shifted(), [torch.rand(5, 3)], QuantConfig())
    assert list(quantizers(static)) == ["x", "fc", "shift", "add"]
    assert quantizers(static)["shift"](torch.tensor([-2.0])).item() == -2


# --- formats ----------------------------------------------------------------------------------------


def formats(model: nn.Module, x: torch.Tensor, **settings) -> dict[str, str]:
    static = apply_static(model, [(x,)], QuantConfig(**settings))
    return {name: each.format.name for name, each in quantizers(static).items()}


def test_values_that_cannot_be_negative_get_all_codes_unless_asked_otherwise():
    model, x = make_model("lab_resnet").eval(), images()
    found = formats(model, x, activations=int_format(4))
    signed = {"stage1_second_bn", "stage2_second_bn", "stage2_shortcut_bn", "stage3_second_bn", "stage3_shortcut_bn"}
    assert {name for name, format in found.items() if format == "int4 symmetric"} == signed
    assert {name for name, format in found.items() if format == "uint4 symmetric"} == found.keys() - signed - {"fc"}
    assert found["fc"] == "int8 symmetric"
    assert set(formats(model, x, activations=int_format(4), after_relu="signed").values()) == {
        "int4 symmetric", "int8 symmetric"
    }  # fmt: skip
    # An affine format follows its range by itself.
    assert set(formats(model, x, activations=UINT8_AFFINE, output=None).values()) == {"uint8 affine"}


def test_only_the_data_tell_whether_inputs_can_be_negative():
    model = make_model("lab_cnn").eval()
    assert formats(model, images())["x"] == "uint8 symmetric"
    assert formats(model, images() - 0.5)["x"] == "int8 symmetric"


def _signs(net, x):
    a, b = net.first(x).relu(), F.relu6(net.second(x))
    both = torch.cat([a + b, a.sigmoid()], 1)
    either = torch.cat([a + (-3), torch.add(a, b, alpha=-1), a + x], 1)
    return net.third(both) + net.fourth(either) + F.avg_pool2d(a, 3, 1, 1)[:, :3]


def test_signs_follow_from_the_operations():
    layers = {"first": conv(3, 3), "second": conv(3, 3), "third": conv(6, 3), "fourth": conv(9, 3)}
    found = formats(Net(_signs, **layers), SAMPLE)
    unsigned = {name for name, format in found.items() if format == "uint8 symmetric"}
    assert unsigned == {"x", "relu", "relu6", "add", "sigmoid", "cat", "avg_pool2d"}


def test_the_output_has_a_format_of_its_own():
    model, x = make_model("lab_cnn").eval(), images()
    assert formats(model, x, activations=int_format(2))["fc"] == "int8 symmetric"
    assert formats(model, x, output=int_format(5))["fc"] == "int5 symmetric"
    assert "fc" not in formats(model, x, output=None)
    softmax = nn.Sequential(nn.Linear(4, 3), nn.Softmax(1))
    assert list(formats(softmax, torch.rand(5, 4)).values()) == ["uint8 symmetric"] * 2


@pytest.mark.parametrize(("calibration", "percentile"), [("max", 99.0), ("percentile", 99.0), ("percentile", 100.0)])
def test_ranges_are_those_of_the_calibration(calibration, percentile):
    x = torch.arange(1001.0)[:, None] / 1000 - 0.4
    static = apply_static(
        nn.Sequential(nn.Linear(1, 1)), [(x[:500],), (x[500:],)],
        QuantConfig(calibration=calibration, percentile=percentile, output=None),
    )  # fmt: skip
    # Of the magnitudes, 1 % lie beyond 0.59.
    largest = 0.59 if (calibration, percentile) == ("percentile", 99) else 0.6
    (quantizer,) = quantizers(static).values()
    assert quantizer.scale.item() == pytest.approx(largest / 127, rel=0.003)
    assert quantizer.scale.shape == ()


# --- operations in place ----------------------------------------------------------------------------


class InPlace(nn.Module):
    """Relu of a sum, and the sum before it, in a given way of writing; what reads `x` afterwards reads the relu."""

    def __init__(self, change):
        super().__init__()
        self.first, self.second, self.relu = conv(3, 6), conv(6, 6), nn.ReLU(inplace=True)
        self.change = change

    def forward(self, x):
        x = self.first(x)
        y = self.change(self, x)
        return self.second(y) + x


WAYS = {
    "module": lambda net, x: net.relu(x),
    "keyword": lambda net, x: F.relu(x, inplace=True),
    "position": lambda net, x: F.relu(x, True),
    "function": lambda net, x: torch.relu_(x),
    "method": lambda net, x: x.mul_(2).relu_(),
    "result not used": lambda net, x: [F.relu(x, inplace=True), x][1],
}


@pytest.mark.parametrize("way", WAYS)
def test_operations_in_place_keep_their_meaning(way):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = InPlace(WAYS[way]).eval()
    static = apply_static(model, [(SAMPLE,)], FINE)
    with torch.inference_mode():
        assert relative_error(static(SAMPLE), model(SAMPLE)) < 2e-4
        assert torch.equal(static(SAMPLE), static(SAMPLE))
    static(SAMPLE).sum().backward()
    model(SAMPLE).sum().backward()
    # The largest values are clipped by half a step, and hand no gradient on.
    assert relative_error(static.first.layer.weight.grad, model.first.weight.grad) < 0.02


# --- a module like others ---------------------------------------------------------------------------


@pytest.mark.case("P-deepcopy", "P-state-dict")
def test_copies_pickles_and_state_dicts_compute_the_same_bits():
    model, x = load_model("lab_cnn"), images(1)
    static = apply_static(model, [(images(),)], QuantConfig())
    again = apply_static(model, [(images() / 3,)], QuantConfig())
    assert not torch.equal(again(x), static(x))
    again.load_state_dict(static.state_dict())
    for other in (copy.deepcopy(static), pickle.loads(pickle.dumps(static)), again):
        assert torch.equal(other(x), static(x))
        assert report_quantization(other).size_bits == report_quantization(static).size_bits
    assert "LabCNN" in repr(static)


@pytest.mark.case("Q-qat-mode")
def test_evaluation_and_training_mode_leave_every_range():
    model = apply_static(load_model("lab_resnet"), [(images(),)], QuantConfig())
    before = bits(model)
    model.eval()(100 * images(1))
    assert bits(model) == before
    model.train()(100 * images(1))
    changed = {name for name, each in bits(model).items() if each != before[name]}
    assert changed
    assert all(".bn." in name for name in changed)


@pytest.mark.case("Q-qat-mode", "C-state")
def test_the_model_is_calibrated_in_evaluation_mode_and_keeps_its_own():
    model = network(dropout=0.9).train()
    model[1].eval()
    before, state = bits(model), torch.get_rng_state()
    statics = [apply_static(each, toy(None), QuantConfig()) for each in (model, copy.deepcopy(model).eval())]
    assert [bits(each) for each in statics] == [bits(statics[0])] * 2
    assert bits(model) == before
    assert [each.training for each in model] == [True, False, True, True, True]
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.is_inference_mode_enabled()
    modes = {name: each.training for name, each in statics[0].named_modules()}
    assert not modes.pop("1")
    assert all(modes.values())
    assert not any(each.training for each in statics[1].modules())
    assert all(each.requires_grad for each in statics[0].parameters())


# --- training with rounding -------------------------------------------------------------------------


@pytest.mark.case("Q-qat-mode")
def test_training_goes_on_with_rounding_and_fixed_ranges():
    model = network()
    fit(model, toy(), TrainConfig(20, 0.02))
    coarse = QuantConfig(weights=int_format(2), activations=int_format(4), granularity=PER_TENSOR)
    static = apply_static(model.eval(), toy(None), coarse)
    trained = copy.deepcopy(static)
    fit(trained, toy(), TrainConfig(20, 0.02))
    losses = [F.cross_entropy(*predict(each, toy(None))).item() for each in (model, static, trained)]
    assert losses[0] < losses[2] < 0.8 * losses[1]
    changed = {name for name, each in bits(trained).items() if each != bits(static)[name]}
    assert {"0.layer.weight", "4.layer.weight", "1.running_mean"} <= changed
    assert not any("quantizer" in name for name in changed)
    assert trained.get_submodule("0").quantized_weight().unique().numel() <= 3


def test_a_value_beyond_its_range_hands_no_gradient_on():
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1))
    for layer in (model[0], model[2]):
        layer.weight.data.fill_(1)
        layer.bias.data.fill_(0)
    static = apply_static(model, [torch.tensor([[1.0], [0.0]])], QuantConfig())
    x = torch.tensor([[-0.5], [0.5], [2.0]], requires_grad=True)
    static(x).sum().backward()
    assert x.grad.tolist() == [[0], [1], [0]]
