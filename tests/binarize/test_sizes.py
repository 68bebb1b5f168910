"""Sizes of inputs and convolutions of signs: by hand, against plain loops, and as the layers compute them."""

import numpy as np
import pytest
import torch
from torch import nn

from labcore import binarize, models
from labcore.binarize import BinaryConfig, fit_channels, make_size_maps, report_sizes


@pytest.fixture(scope="module")
def network():
    return binarize.apply_binary(models.make_blocks(seed=1), BinaryConfig(activations="binary")).eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(4, 1, 14, 14, generator=torch.Generator().manual_seed(0))


def one_filter(weight: torch.Tensor) -> nn.Module:
    model = nn.Sequential(nn.Conv2d(*weight.shape[1::-1], tuple(weight.shape[2:]), bias=False))
    with torch.no_grad():
        model[0].weight.copy_(weight)
    return binarize.apply_binary(model, BinaryConfig(activations="binary"), layers=["0"])


def test_four_numbers_by_hand():
    model = one_filter(torch.tensor([[[[1.0, -3.0]]]]))
    maps = make_size_maps(model, "0", torch.tensor([[[[2.0, -4.0, 1.0]]]]))
    assert maps.magnitude.flatten().tolist() == [2, 4, 1]
    assert maps.sizes.flatten().tolist() == [3, 2.5]
    assert maps.real.flatten().tolist() == [2 + 12, -4 - 3]
    # alpha is 2; the sums of signs are 1 + 1 and -1 - 1.
    assert maps.signs.flatten().tolist() == [4, -4]
    assert maps.scaled.flatten().tolist() == [12, -10]


def test_k_is_exact_where_all_magnitudes_are_alike():
    weight = torch.tensor([1.0, -1, -1, 1]).reshape(1, 1, 2, 2) * 0.7
    x = torch.where(torch.rand(1, 1, 5, 5, generator=torch.Generator().manual_seed(0)) < 0.5, -3.0, 3.0)
    maps = make_size_maps(one_filter(weight), "0", x)
    assert torch.allclose(maps.scaled, maps.real)
    assert not torch.allclose(maps.signs, maps.real)


@pytest.mark.parametrize(("layer", "at"), [("conv2", (0, 5, 6, 3)), ("conv3", (2, 30, 0, 1))])
def test_maps_are_those_of_a_plain_loop(network, images, layer, at):
    maps = make_size_maps(network, layer, images)
    x = inputs_of(network, layer, images)
    n, channel, row, column = at
    weight = network.get_submodule(layer).layer.weight.detach().numpy()[channel]
    padded = np.pad(x[n], ((0, 0), (1, 1), (1, 1)))
    patch = padded[:, row : row + 3, column : column + 3]
    inside = np.pad(np.ones(x[n].shape), ((0, 0), (1, 1), (1, 1)))[:, row : row + 3, column : column + 3]
    signs = np.where(patch < 0, -1, 1) * inside
    assert maps.real[at] == pytest.approx((patch * weight).sum(), abs=1e-4)
    alpha = np.abs(weight).mean()
    assert maps.signs[at] == pytest.approx(alpha * (signs * np.where(weight < 0, -1, 1)).sum(), abs=1e-4)
    assert maps.sizes[n, 0, row, column] == pytest.approx(np.abs(patch).mean(0).sum() / 9, abs=1e-5)


def inputs_of(model: nn.Module, layer: str, images: torch.Tensor) -> np.ndarray:
    seen = []
    handle = model.get_submodule(layer).register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    model(images)
    handle.remove()
    return seen[0].numpy()


@pytest.mark.parametrize("scale_inputs", ["none", "k_map"])
def test_the_layer_itself_gives_the_same(images, scale_inputs):
    config = BinaryConfig(activations="binary", scale_inputs=scale_inputs)
    model = binarize.apply_binary(models.make_blocks(seed=1), config).eval()
    maps = make_size_maps(model, "conv2", images)
    given = []
    handle = model.conv2.register_forward_hook(lambda _, args, output: given.append(output.detach()))
    model(images)
    handle.remove()
    assert torch.allclose(maps.signs if scale_inputs == "none" else maps.scaled, given[0], atol=1e-5)


def test_the_best_factors_are_those_of_least_squares():
    generator = torch.Generator().manual_seed(0)
    real, values = (torch.randn(3, 2, 4, 4, generator=generator) for _ in range(2))
    fitted = fit_channels(real, values)
    for channel in range(2):
        a, b = (each[:, channel].flatten().numpy() for each in (values, real))
        factor = np.linalg.lstsq(a[:, None], b, rcond=None)[0][0]
        assert fitted[:, channel].flatten().numpy() == pytest.approx(factor * a, abs=1e-5)
    assert fit_channels(real, torch.zeros_like(real)).abs().max() == 0


def test_a_report_holds_one_image_and_one_channel(network, images):
    maps = make_size_maps(network, "conv3", images)
    report = report_sizes(maps, images, 2, 7)
    assert (report.layer, report.channel, report.n_images) == ("conv3", 7, 4)
    assert np.array_equal(report.image, images[2, 0])
    assert np.array_equal(report.real, maps.real[2, 7])
    assert np.array_equal(report.scaled, maps.signs[2, 7] * maps.sizes[2, 0])
    difference = (maps.real[2] - maps.signs[2]).square().sum() / maps.real[2].square().sum()
    assert report.errors[0] == pytest.approx(difference.item(), rel=1e-5)
    assert report.fitted_errors[0] <= min(1, binarize.relative_error(maps.real, maps.signs))


@pytest.mark.case("B-eval-mutates")
def test_the_model_is_left_as_it_was(network, images):
    before = {name: each.clone() for name, each in network.state_dict().items()}
    first = make_size_maps(network, "conv2", images)
    assert torch.equal(first.signs, make_size_maps(network, "conv2", images).signs)
    assert all(torch.equal(before[name], each) for name, each in network.state_dict().items())


@pytest.mark.parametrize("layer", ["conv1", "fc", "conv9"])
def test_a_layer_that_is_no_binary_convolution_is_named(network, images, layer):
    with pytest.raises(ValueError, match=f"no binary convolution is named '{layer}'; the model has: conv2, conv3"):
        make_size_maps(network, layer, images)
    with pytest.raises(ValueError, match="the model has: none"):
        make_size_maps(models.make_blocks(), layer, images)


def test_a_report_holds_both_sizes_and_all_errors(network, images):
    maps = make_size_maps(network, "conv3", images)
    report = report_sizes(maps, images, 2, 7)
    assert np.array_equal(report.magnitude, maps.magnitude[2, 0])
    assert np.array_equal(report.sizes, maps.sizes[2, 0])
    for i, each in enumerate((maps.signs, maps.scaled)):
        assert report.errors[i] == pytest.approx(binarize.relative_error(maps.real[2], each[2]))
        fitted = fit_channels(maps.real, each)
        assert report.fitted_errors[i] == pytest.approx(binarize.relative_error(maps.real, fitted))


@pytest.mark.parametrize("settings", [{"stride": 2}, {"padding": 2, "dilation": 2}], ids=str)
def test_sizes_are_those_of_the_convolution(images, settings):
    model = nn.Sequential(nn.Conv2d(1, 3, 3, **settings, bias=False))
    model = binarize.apply_binary(model, BinaryConfig(activations="binary"), layers=["0"])
    maps = make_size_maps(model, "0", images)
    assert maps.sizes.shape[2:] == maps.signs.shape[2:]
    assert torch.allclose(maps.sizes, binarize.k_map(images, (3, 3), **settings))
