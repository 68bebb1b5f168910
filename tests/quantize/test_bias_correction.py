"""Bias correction: by hand, and the mean of every channel of every layer against the float model."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labcore.models import load_model
from labcore.quantize import (
    INT8,
    PER_TENSOR,
    NotCalibrated,
    QuantConfig,
    apply_bias_correction,
    apply_dynamic,
    apply_static,
    apply_weight_only,
    fake_quantize,
    fit_weight_grid,
    int_format,
)
from labcore.surgery import fold_batch_norm, tap
from topologies import Net, conv
from toy import bits

COARSE = QuantConfig(weights=int_format(3), activations=int_format(4), granularity=PER_TENSOR)
WAYS = {
    "weights": lambda model, x: apply_weight_only(model, COARSE),
    "dynamic": lambda model, x: apply_dynamic(model, COARSE),
    "static": lambda model, x: apply_static(model, x, COARSE),
}


def images(seed: int = 0, n: int = 60) -> torch.Tensor:
    return torch.rand(n, 1, 14, 14, generator=torch.Generator().manual_seed(seed))


def folded(name: str) -> nn.Module:
    return fold_batch_norm(load_model(name), images())


def channel_means(model: nn.Module, names: list[str], x: torch.Tensor) -> dict[str, torch.Tensor]:
    with tap(model, names) as taps, torch.inference_mode():
        model(x)
    return {
        name: output.double().mean([d for d in range(output.dim()) if d != 1])
        for name, output in ((name, taps[name].outputs[0]) for name in names)
    }


def test_four_numbers_by_hand():
    layer = nn.Linear(2, 1)
    layer.weight.data, layer.bias.data = torch.tensor([[7.0, 1.4]]), torch.tensor([0.5])
    quantized = apply_weight_only(layer, QuantConfig(weights=int_format(4)))
    # 1.4 became 1; inputs are 2 on average there, so what is given fell by 0.8.
    corrected = apply_bias_correction(quantized, layer, [torch.tensor([[0.0, 1.0], [5.0, 3.0]])])
    assert corrected.layer.bias.item() == pytest.approx(0.5 + 0.8)
    assert quantized.layer.bias.item() == 0.5


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["lab_cnn", "lab_mobile"])
def test_every_channel_gives_its_mean_again(name, way):
    model, x = folded(name), images()
    quantized = WAYS[way](model, [x[:25], x[25:]])
    before = bits(quantized)
    names = [each for each, layer in model.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    # The dynamic way rounds to the range of the batch, so here that has to be the same one below.
    batches = [(x, None)] if way == "dynamic" else [(x[:25], None), (x[25:], None)]
    corrected = apply_bias_correction(quantized, model, batches)
    wanted = channel_means(model, names, x)
    off, right = (channel_means(each, names, x) for each in (quantized, corrected))
    for each in names:
        # In the static way biases lie on steps.
        tolerance = 1e-5 + (0.5 * quantized.get_submodule(each).bias_step.double() if way == "static" else 0)
        assert ((right[each] - wanted[each]).abs() <= tolerance).all()
        assert (right[each] - wanted[each]).norm() < 0.7 * (off[each] - wanted[each]).norm()
    assert bits(quantized) == before


def test_weights_and_grids_stay():
    model, x = folded("lab_cnn"), images()
    quantized = apply_static(model, [x], COARSE)
    corrected = apply_bias_correction(quantized, model, [x])
    changed = {name for name, each in bits(corrected).items() if each != bits(quantized)[name]}
    assert changed == {f"{layer}.layer.bias" for layer in ("conv1", "conv2", "conv3", "fc")}


def test_a_later_layer_is_corrected_for_what_the_corrected_ones_before_it_give():
    first, second = nn.Linear(3, 3), nn.Linear(3, 2)
    generator = torch.Generator().manual_seed(0)
    for layer in (first, second):
        layer.weight.data = torch.randn(layer.weight.shape, generator=generator)
        layer.bias.data.fill_(0.1)
    # Defined in the other order than they are used in.
    model = Net(lambda net, x: net.second(net.first(x).relu()), second=second, first=first)
    x = torch.randn(50, 3, generator=generator)
    grids = [fit_weight_grid(each, int_format(2), granularity=PER_TENSOR) for each in (first, second)]
    rounded = [fake_quantize(each.weight, grid) for each, grid in zip((first, second), grids, strict=True)]
    y = F.linear(x, rounded[0], first.bias)
    y = (y - (y - first(x)).mean(0)).relu()
    bias = second.bias - (F.linear(y, rounded[1], second.bias) - second(first(x).relu())).mean(0)
    quantized = apply_weight_only(model, QuantConfig(weights=int_format(2), granularity=PER_TENSOR))
    corrected = apply_bias_correction(quantized, model, [x])
    assert corrected.second.layer.bias.tolist() == pytest.approx(bias.tolist(), abs=1e-6)


@pytest.mark.parametrize(
    ("layer", "shape", "axis"),
    [
        (lambda: conv(4, 6, groups=2, bias=False), (8, 4, 5, 5), 1),
        (lambda: nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False), (8, 4, 5, 5), 1),
        (lambda: nn.Conv1d(4, 6, 3, bias=False), (8, 4, 9), 1),
        (lambda: nn.Linear(4, 6, bias=False), (8, 5, 4), 2),
    ],
    ids=["grouped", "transposed", "1d", "tokens"],
)
def test_a_layer_without_bias_gets_one_for_each_output_channel(layer, shape, axis):
    layer, x = layer().eval(), torch.rand(shape, generator=torch.Generator().manual_seed(0))
    quantized = apply_weight_only(layer, QuantConfig(weights=int_format(2), granularity=PER_TENSOR))
    corrected = apply_bias_correction(quantized, layer, [x])
    means = [each(x).mean([d for d in range(x.dim()) if d != axis]) for each in (layer, quantized, corrected)]
    assert means[2].tolist() == pytest.approx(means[0].tolist(), abs=1e-6)
    assert (means[1] - means[0]).abs().max() > 0.01
    assert quantized.layer.bias is None
    assert corrected.layer.bias.requires_grad


def test_a_layer_that_is_used_twice_is_right_on_average_over_both():
    model = Net(lambda net, x: net.layer(net.layer(x).relu()), layer=nn.Linear(3, 3)).eval()
    x = torch.rand(20, 3, generator=torch.Generator().manual_seed(0))
    quantized = apply_weight_only(model, QuantConfig(weights=int_format(2), granularity=PER_TENSOR))
    with tap(model, ["layer"]) as wanted, tap(quantized, ["layer"]) as got, torch.inference_mode():
        model(x), quantized(x)
    shift = (torch.cat(got["layer"].outputs) - torch.cat(wanted["layer"].outputs)).mean(0)
    corrected = apply_bias_correction(quantized, model, [x])
    assert corrected.layer.layer.bias.tolist() == pytest.approx((model.layer.bias - shift).tolist(), abs=1e-6)


def test_the_mode_of_every_module_stays():
    model, x = folded("lab_cnn").train(), images()
    quantized = apply_static(model, [x], COARSE)
    corrected = apply_bias_correction(quantized, model, [x])
    assert all(each.training for each in (*model.modules(), *quantized.modules(), *corrected.modules()))


# --- what cannot be -----------------------------------------------------------------------------------


def test_a_model_that_was_folded_after_it_was_quantized_is_refused():
    model, x = load_model("lab_cnn"), images()
    with pytest.raises(ValueError, match=r"'conv1' was not made from this model: .*batch norm folded in only one"):
        apply_bias_correction(apply_static(fold_batch_norm(model, x), [x], COARSE), model, [x])


def test_a_model_without_the_layer_is_refused():
    x = images()
    quantized = apply_static(load_model("lab_cnn"), [x], COARSE)
    with pytest.raises(ValueError, match="'conv1' was not made from this model: there it is missing"):
        apply_bias_correction(quantized, load_model("lab_mobile"), [x])


def test_a_model_in_float_is_refused():
    with pytest.raises(TypeError, match=r"need a quantized model .* got LabCNN in float"):
        apply_bias_correction(load_model("lab_cnn"), load_model("lab_cnn"), [images()])


def test_no_batch_is_refused():
    model = folded("lab_cnn")
    with pytest.raises(NotCalibrated):
        apply_bias_correction(apply_weight_only(model, COARSE), model, [])


@pytest.mark.case("Q-nonfinite-calib")
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_data_that_are_not_finite_name_the_layer(value):
    model, x = folded("lab_cnn"), images()
    quantized = apply_weight_only(model, QuantConfig(weights=INT8))
    x[3, 0, 2, 2] = value
    with pytest.raises(ValueError, match="what 'conv1' gives is not finite"):
        apply_bias_correction(quantized, model, [x])
