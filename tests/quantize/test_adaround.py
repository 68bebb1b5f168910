"""AdaRound: its functions by hand, the best rounding found by trying all, and the lab's networks."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labcore.models import load_model
from labcore.quantize import (
    PER_CHANNEL,
    PER_TENSOR,
    UINT8_AFFINE,
    NotCalibrated,
    QuantConfig,
    apply_adaround,
    apply_bias_correction,
    apply_dynamic,
    apply_static,
    apply_weight_only,
    decode,
    encode,
    int_format,
    per_group,
    rectified_sigmoid,
    rounding_penalty,
)
from labcore.quantize.adaround import _beta
from labcore.surgery import fold_batch_norm, tap
from topologies import conv
from toy import bits

COARSE = QuantConfig(weights=int_format(3), activations=int_format(8), granularity=PER_TENSOR)


def images(seed: int = 0, n: int = 60) -> torch.Tensor:
    return torch.rand(n, 1, 14, 14, generator=torch.Generator().manual_seed(seed))


def random_layer(n_in: int, n_out: int, seed: int = 0) -> tuple[nn.Linear, torch.Tensor]:
    """A layer whose inputs go together, so that rounding errors can cancel."""
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(n_in, n_out)
    layer.weight.data = torch.randn(n_out, n_in, generator=generator)
    layer.bias.data = torch.randn(n_out, generator=generator)
    return layer, torch.rand(200, 1, generator=generator) + 0.3 * torch.rand(200, n_in, generator=generator)


# --- by hand ----------------------------------------------------------------------------------------


def test_the_rectified_sigmoid_by_hand():
    v = torch.tensor([0.0, math.log(3), -20.0, 20.0])
    # 0.5 * 1.2 - 0.1, 0.75 * 1.2 - 0.1, and beyond both ends.
    assert rectified_sigmoid(v).tolist() == pytest.approx([0.5, 0.8, 0.0, 1.0])


@pytest.mark.parametrize(("h", "beta", "penalty"), [
    ([0.0, 1.0], 2.0, 0.0), ([0.5, 0.5], 20.0, 1.0), ([0.75, 0.0], 2.0, 0.375), ([0.9, 0.1], 20.0, 1 - 0.8**20),
])  # fmt: skip
def test_the_penalty_by_hand(h, beta, penalty):
    assert rounding_penalty(torch.tensor(h), beta).item() == pytest.approx(penalty, abs=1e-6)


def test_beta_falls_along_a_cosine_from_20_to_2_after_a_fifth():
    assert [_beta(share) for share in (0.2, 0.6, 1.0)] == pytest.approx([20, 11, 2])


def test_two_weights_of_which_one_should_not_go_to_nearest():
    layer = nn.Linear(3, 1, bias=False)
    layer.weight.data = torch.tensor([[7.0, 1.4, 2.4]])
    # Rounded to nearest, 1.4 and 2.4 lose 0.4 each; one of them up leaves an error of 0.2 on inputs that go together.
    x = torch.ones(8, 3)
    rounded = apply_adaround(apply_weight_only(layer, QuantConfig(weights=int_format(4))), layer, [x])
    assert sorted(rounded.model.layer.weight[0, 1:].tolist()) in ([1, 3], [2, 2])
    (report,) = rounded.layers
    assert (report.nearest_error, report.learned_error) == pytest.approx((0.8**2, 0.2**2), rel=1e-4)
    assert report.changed == pytest.approx(1 / 3)


# --- against all roundings ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_the_rounding_comes_near_the_best_of_all(seed):
    layer, x = random_layer(8, 1, seed)
    config = QuantConfig(weights=int_format(3), granularity=PER_TENSOR)
    quantized = apply_weight_only(layer, config)
    grid = quantized.weight_quantizer.grid
    floor = (layer.weight.detach() / grid.scale).floor()
    errors = []
    for up in itertools.product((0.0, 1.0), repeat=8):
        weight = grid.scale * (floor + torch.tensor(up)).clamp(-3, 3)
        errors.append(F.mse_loss(F.linear(x, weight, layer.bias), layer(x)).item())
    rounded = apply_adaround(quantized, layer, [x], iterations=500)
    (report,) = rounded.layers
    assert min(errors) * 0.999 <= report.learned_error <= report.nearest_error
    assert report.learned_error <= sorted(errors)[12]  # among the best 5 % of 256


# --- the lab's networks -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lab_cnn", "lab_mobile"])
def test_every_layer_loses_less_than_rounding_to_nearest(name):
    model, x = fold_batch_norm(load_model(name), images()), images()
    quantized = apply_static(model, [x], COARSE)
    before = bits(quantized), bits(model)
    rounded = apply_adaround(quantized, model, [(x[:30], None), (x[30:], None)], iterations=150)
    assert (bits(quantized), bits(model)) == before
    assert all(each.learned_error < each.nearest_error for each in rounded.layers)
    assert sum(each.learned_error / each.nearest_error for each in rounded.layers) < 0.9 * len(rounded.layers)
    with torch.inference_mode():
        errors = [F.mse_loss(each(x), model(x)) for each in (quantized, rounded.model)]
    assert errors[1] < 0.5 * errors[0]


def test_errors_are_those_of_the_layers_between_rounded_neighbours():
    model, x = fold_batch_norm(load_model("lab_cnn"), images()), images()
    quantized = apply_static(model, [x], COARSE)
    rounded = apply_adaround(quantized, model, [x], iterations=20)
    names = [each.name for each in rounded.layers]
    assert names == ["conv1", "conv2", "conv3", "fc"]
    with tap(model, names) as wanted, tap(rounded.model, names) as got, torch.inference_mode():
        model(x), rounded.model(x)
    for each in rounded.layers:
        error = F.mse_loss(got[each.name].outputs[0], wanted[each.name].outputs[0]).item()
        assert each.learned_error == pytest.approx(error, rel=1e-4)


@pytest.mark.parametrize("granularity", [PER_TENSOR, PER_CHANNEL, per_group(3)], ids=lambda each: each.name)
@pytest.mark.parametrize("format", [int_format(3), UINT8_AFFINE, int_format(3, "affine")], ids=lambda each: each.name)
def test_each_weight_ends_on_one_of_its_two_neighbours_on_the_grid(format, granularity):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer, x = conv(4, 6, groups=2), torch.rand(30, 4, 5, 5)
    quantized = apply_weight_only(layer, QuantConfig(weights=format, granularity=granularity))
    rounded = apply_adaround(quantized, layer, [x], iterations=60)
    grid, weight = quantized.weight_quantizer.grid, rounded.model.layer.weight.detach()
    assert torch.allclose(decode(encode(weight, grid), grid), weight, atol=1e-6)
    assert torch.equal(rounded.model.quantized_weight(), rounded.model.weight_quantizer(weight))
    step = grid.scale.max()
    assert ((weight - layer.weight).abs() <= step * 1.0001).all()
    assert (weight != quantized.quantized_weight()).any()
    changed = (weight - quantized.quantized_weight()).abs() > step.min() * 1e-3
    assert rounded.layers[0].changed == pytest.approx(changed.float().mean().item())


@pytest.mark.parametrize("layer", [
    lambda: nn.ConvTranspose2d(4, 6, 3, groups=2), lambda: nn.Conv2d(4, 6, 3, bias=False),
    lambda: nn.Conv2d(4, 4, 3, groups=4, padding=1, padding_mode="circular"),
], ids=["transposed", "no bias", "circular"])  # fmt: skip
def test_layers_of_every_kind_learn(layer):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer, x = layer(), torch.rand(40, 4, 6, 6)
    (report,) = apply_adaround(apply_weight_only(layer, COARSE), layer, [x], iterations=200).layers
    assert report.learned_error < 0.8 * report.nearest_error


def test_the_dynamic_way_learns_with_rounded_inputs():
    layer, x = random_layer(6, 4)
    quantized = apply_dynamic(layer, QuantConfig(weights=int_format(3), activations=int_format(3, "affine")))
    (report,) = apply_adaround(quantized, layer, [x], iterations=100).layers
    with torch.no_grad():
        assert report.nearest_error == pytest.approx(F.mse_loss(quantized(x), layer(x)).item(), rel=1e-4)
    assert report.learned_error < report.nearest_error


def test_the_size_of_weights_and_inputs_does_not_matter():
    layer, x = random_layer(8, 3)
    outcomes = []
    for factor in (1, 64):
        larger = nn.Linear(8, 3)
        larger.weight.data, larger.bias.data = layer.weight.data * factor, layer.bias.data * factor
        rounded = apply_adaround(apply_weight_only(larger, COARSE), larger, [x], iterations=50)
        outcomes.append(rounded.model.layer.weight / factor)
    assert torch.equal(*outcomes)


def test_the_seed_decides():
    model, x = fold_batch_norm(load_model("lab_cnn"), images()), images()
    quantized, state = apply_static(model, [x], COARSE), torch.get_rng_state()
    first, again, other = (
        bits(apply_adaround(quantized, model, [x], iterations=20, seed=seed).model) for seed in (0, 0, 1)
    )
    assert first == again != other
    assert torch.equal(torch.get_rng_state(), state)


def test_bias_correction_may_follow():
    model, x = fold_batch_norm(load_model("lab_cnn"), images()), images()
    rounded = apply_adaround(apply_static(model, [x], COARSE), model, [x], iterations=20).model
    corrected = apply_bias_correction(rounded, model, [x])
    with torch.inference_mode():
        gaps = [(each(x).mean(0) - model(x).mean(0)).norm() for each in (rounded, corrected)]
    assert gaps[1] < gaps[0]


# --- what there is nothing to do for, and what cannot be ----------------------------------------------------


def test_weights_on_the_grid_already_stay():
    layer = nn.Linear(3, 1)
    layer.weight.data = torch.tensor([[7.0, 1.0, -2.0]])
    quantized = apply_weight_only(layer, QuantConfig(weights=int_format(4)))
    (report,) = apply_adaround(quantized, layer, [torch.ones(4, 3)]).layers
    assert (report.nearest_error, report.learned_error, report.changed) == (0, 0, 0)


def test_a_weight_in_float_is_passed_over():
    model, x = fold_batch_norm(load_model("lab_cnn"), images()), images()
    quantized = apply_static(model, [x], QuantConfig(weights=None, overrides={"fc": int_format(4)}))
    rounded = apply_adaround(quantized, model, [x], iterations=5)
    assert [each.name for each in rounded.layers] == ["fc"]


@pytest.mark.parametrize(("iterations", "error"), [(0, ValueError), (1.5, TypeError), (True, TypeError)])
def test_wrong_iterations_are_refused(iterations, error):
    layer, x = random_layer(3, 2)
    with pytest.raises(error, match="iterations must be"):
        apply_adaround(apply_weight_only(layer, COARSE), layer, [x], iterations=iterations)


def test_a_model_that_is_not_the_one_is_refused():
    layer, x = random_layer(3, 2)
    other, _ = random_layer(3, 2, seed=1)
    with pytest.raises(ValueError, match="was not made from this model: there it is of other weights"):
        apply_adaround(apply_weight_only(layer, COARSE), other, [x])
    with pytest.raises(TypeError, match="need a quantized model"):
        apply_adaround(layer, layer, [x])


def test_no_data_and_wrong_data_are_refused():
    layer, x = random_layer(3, 2)
    quantized = apply_weight_only(layer, COARSE)
    with pytest.raises(NotCalibrated):
        apply_adaround(quantized, layer, [])
    x[0, 0] = math.nan
    with pytest.raises(ValueError, match="what 'the layer' gives is not finite"):
        apply_adaround(quantized, layer, [x])
