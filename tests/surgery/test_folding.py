"""Batch norm folded: one layer computes what a layer and its batch norm computed."""

import copy
import io
import pickle
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from labcore import models, runtime
from labcore.surgery import fold_batch_norm, folded_parameters, report_folding
from networks import LAB_SHAPES, make_torchvision
from topologies import SAMPLE, Net, conv, make, relative_error


def lively_(model: nn.Module) -> nn.Module:
    """Batch norms as after some training, with negative and zero scales, one variance of 0; evaluation mode."""
    with runtime.fork_rng(1):
        for norm in model.modules():
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                norm.running_mean.uniform_(-0.5, 0.5)
                norm.running_var.uniform_(0.3, 2.0)
                if norm.affine:
                    norm.weight.data.uniform_(-1.5, 1.5)
                    norm.bias.data.uniform_(-0.5, 0.5)
    return model.eval()


def folds(model: nn.Module, sample: torch.Tensor = SAMPLE) -> nn.Module:
    """The folded model, after a look whether it computes the same."""
    folded = fold_batch_norm(model, sample)
    with torch.no_grad():
        assert relative_error(folded(sample), model(sample)) < 1e-5
    return folded


# --- one layer ------------------------------------------------------------------------------------

ONE = torch.ones(1)


def test_one_number_by_hand():
    weight, bias = folded_parameters(2 * ONE, None, mean=ONE, variance=4 * ONE, gamma=3 * ONE, beta=0.5 * ONE, eps=0.0)
    assert (weight.item(), bias.item()) == (3.0, -1.0)
    weight, bias = folded_parameters(2 * ONE, 5 * ONE, mean=ONE, variance=3 * ONE, eps=1.0)
    assert (weight.item(), bias.item()) == (1.0, 2.0)


LAYERS = {
    "conv1d": (nn.Conv1d, nn.BatchNorm1d, (6, 9), [1, 2, 6]),
    "conv2d": (nn.Conv2d, nn.BatchNorm2d, (6, 7, 8), [1, 2, 6]),
    "conv3d": (nn.Conv3d, nn.BatchNorm3d, (6, 5, 6, 4), [1, 2, 6]),
    "transposed 1d": (nn.ConvTranspose1d, nn.BatchNorm1d, (6, 9), [1, 2, 6]),
    "transposed 2d": (nn.ConvTranspose2d, nn.BatchNorm2d, (6, 7, 8), [1, 2, 3, 6]),
    "transposed 3d": (nn.ConvTranspose3d, nn.BatchNorm3d, (6, 3, 4, 3), [1, 2, 6]),
}


@pytest.mark.case("Q-bnfold-convT-groups")
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("name", "groups"), [(name, g) for name, (*_, groups) in LAYERS.items() for g in groups])
def test_every_kind_of_convolution_folds(name, groups, bias, affine):
    make_layer, make_norm, shape, _ = LAYERS[name]
    with runtime.fork_rng(groups):
        model = lively_(nn.Sequential(make_layer(6, 12, 3, groups=groups, bias=bias), make_norm(12, affine=affine)))
        if affine:
            model[1].weight.data[:3] = torch.tensor([-2.0, 0.0, 1e-3])
        model[1].running_var[4] = 0
        folds(model, torch.randn(2, *shape))


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_folds(bias):
    folds(lively_(nn.Sequential(nn.Linear(6, 5, bias=bias), nn.BatchNorm1d(5))), torch.randn(3, 6))


@given(
    n_groups=st.integers(1, 3), n_in=st.integers(1, 3), n_out=st.integers(1, 3), transposed=st.booleans(),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_parameters_equal_one_channel_after_another(n_groups, n_in, n_out, transposed, seed):
    channels = n_groups * n_out
    with runtime.fork_rng(seed):
        kind = nn.ConvTranspose2d if transposed else nn.Conv2d
        layer = kind(n_groups * n_in, channels, 2, groups=n_groups)
        mean, gamma, beta, variance = *torch.randn(3, channels), torch.rand(channels)
    weight, bias = folded_parameters(
        layer.weight, layer.bias, mean=mean, variance=variance, gamma=gamma, beta=beta, axis=int(transposed),
        groups=n_groups,
    )  # fmt: skip
    for channel in range(channels):
        group, within = divmod(channel, n_out)
        factor = gamma[channel] / (variance[channel] + 1e-5) ** 0.5
        rows = slice(group * n_in, (group + 1) * n_in)
        place = (rows, within) if transposed else channel
        torch.testing.assert_close(weight[place], layer.weight[place] * factor)
        torch.testing.assert_close(bias[channel], (layer.bias[channel] - mean[channel]) * factor + beta[channel])


@pytest.mark.parametrize("name", ["conv1d", "conv2d", "conv3d", "transposed 2d"])
def test_parameters_equal_those_of_pytorch(name):
    make_layer, make_norm, *_ = LAYERS[name]
    transposed = name.startswith("transposed")
    # PyTorch's own function fails for transposed convolutions with groups.
    layer, norm = make_layer(6, 12, 3, groups=1 if transposed else 3).eval(), lively_(make_norm(12))
    theirs = fuse_conv_bn_eval(layer, norm, transposed)
    ours = fold_batch_norm(nn.Sequential(layer, norm).eval(), torch.randn(2, 6, *[5] * (layer.weight.dim() - 2)))[0]
    torch.testing.assert_close(ours.weight, theirs.weight)
    torch.testing.assert_close(ours.bias, theirs.bias)


def test_a_linear_layer_equals_that_of_pytorch():
    layer, norm = nn.Linear(6, 5).eval(), lively_(nn.BatchNorm1d(5))
    theirs = fuse_linear_bn_eval(layer, norm)
    ours = fold_batch_norm(nn.Sequential(layer, norm).eval(), torch.randn(2, 6))[0]
    torch.testing.assert_close((ours.weight, ours.bias), (theirs.weight, theirs.bias))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_types_stay_and_each_value_is_rounded_once(dtype):
    weight, bias = torch.linspace(-3, 3, 12).view(4, 3).to(dtype), torch.ones(4, dtype=dtype)
    new_weight, new_bias = folded_parameters(weight, bias, mean=torch.randn(4), variance=torch.zeros(4))
    assert new_weight.dtype == new_bias.dtype == dtype
    assert torch.equal(new_weight, (weight.double() / 1e-5**0.5).to(dtype))


@pytest.mark.parametrize("what", ["bias", "mean", "variance", "gamma", "beta"])
def test_every_channel_needs_its_value(what):
    given_ = {"bias": torch.ones(4), "mean": torch.ones(4), "variance": torch.ones(4), what: torch.ones(2)}
    with pytest.raises(ValueError, match=rf"{what} must have shape \(4,\), one value a channel, got \(2,\)"):
        folded_parameters(torch.ones(6, 2, 3, 3), axis=1, groups=2, **given_)


def test_what_is_not_finite_is_refused_by_name():
    model = lively_(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2, eps=0.0)))
    model[1].running_var.zero_()
    with pytest.raises(ValueError, match=r"'1' does not fold into '0'.*variance is 0, eps is 0"):
        fold_batch_norm(model, torch.ones(2, 3))
    model[1].running_var.fill_(1)
    model[0].weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match="not finite: look for NaN"):
        fold_batch_norm(model, torch.ones(2, 3))


# --- whole models ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "n_folded", "n_stayed"), [
    ("resnet18", 20, 0), ("mobilenet_v2", 52, 0), ("densenet121", 59, 62),
])  # fmt: skip
def test_networks_of_torchvision_compute_the_same(name, n_folded, n_stayed):
    model, images = lively_(make_torchvision(name)), torch.rand(2, 3, 64, 64)
    report, folded = report_folding(model, images), fold_batch_norm(model, images)
    assert (len(report.folded), len(report.stayed)) == (n_folded, n_stayed)
    with torch.no_grad():
        assert relative_error(folded(images), model(images)) < 1e-4
    left = [name for name, each in folded.named_modules() if isinstance(each, nn.BatchNorm2d)]
    assert sorted(left) == sorted(report.stayed)


def test_a_batch_norm_before_its_convolution_stays():
    reasons = report_folding(make_torchvision("densenet121").eval(), torch.rand(1, 3, 32, 32)).stayed
    assert "it follows 'cat'" in reasons["features.denseblock1.denselayer1.norm1"]
    assert "is no linear layer or convolution" in reasons["features.norm5"]


@pytest.mark.parametrize("name", ["lab_cnn", "lab_resnet", "lab_mobile"])
def test_networks_of_the_lab_fold_whole(name):
    model = models.load_model(name)
    folded = folds(model, torch.rand(5, *LAB_SHAPES[name]))
    assert not any(isinstance(each, nn.BatchNorm2d) for each in folded.modules())


def test_the_result_is_a_plain_model_with_the_same_names():
    model = lively_(make("residual"))
    model.stem.weight.requires_grad_(False)
    folded = folds(model)
    assert type(folded) is type(model)
    assert isinstance(folded.stem_bn, nn.Identity)
    assert [name for name, _ in folded.named_modules()] == [name for name, _ in model.named_modules()]
    norm = {f"stem_bn.{each}" for each in model.stem_bn.state_dict()}
    assert folded.state_dict().keys() == model.state_dict().keys() - norm
    assert not folded.stem.weight.requires_grad
    assert folded.first.weight.requires_grad
    buffer = io.BytesIO()
    torch.save(folded.state_dict(), buffer)
    buffer.seek(0)
    twin = copy.deepcopy(folded)
    twin.load_state_dict(torch.load(buffer))
    assert torch.equal(twin(SAMPLE), folded(SAMPLE))
    plain = fold_batch_norm(lively_(nn.Sequential(conv(3, 4), nn.BatchNorm2d(4))), SAMPLE)
    assert torch.equal(pickle.loads(pickle.dumps(plain))(SAMPLE), plain(SAMPLE))


def test_a_bias_appears_where_there_was_none():
    model = models.load_model("lab_cnn")
    folded = fold_batch_norm(model, torch.rand(2, 1, 14, 14))
    assert model.conv1.bias is None
    assert folded.conv1.bias.shape == (16,)
    assert "conv1.bias" in folded.state_dict()
    folded(torch.rand(2, 1, 14, 14)).sum().backward()
    assert folded.conv1.bias.grad is not None


@pytest.mark.parametrize("training", [True, False])
def test_the_original_stays_and_modes_too(training):
    model = lively_(make("residual")).train(training)
    model.first.train(not training)
    before = copy.deepcopy(model.state_dict())
    folded = fold_batch_norm(model, SAMPLE)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [each.training for each in folded.modules()] == [each.training for each in model.modules()]
    with torch.no_grad():
        assert relative_error(folded.eval()(SAMPLE), model.eval()(SAMPLE)) < 1e-5


def test_the_layout_in_memory_stays():
    model = lively_(nn.Sequential(conv(3, 4), nn.BatchNorm2d(4))).to(memory_format=torch.channels_last)
    assert folds(model)[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_folding_twice_finds_nothing_more():
    once = fold_batch_norm(lively_(make("residual")), SAMPLE)
    with pytest.warns(runtime.NoEffectWarning, match="no batch norm of Net was folded.*found no batch norm"):
        twice = fold_batch_norm(once, SAMPLE)
    assert torch.equal(once(SAMPLE), twice(SAMPLE))


# --- what stays -----------------------------------------------------------------------------------


def read_twice(net, x):
    x = net.layer(x)
    return net.norm(x) + x


def used_twice(net, x):
    return net.norm(net.layer(net.layer(x)))


def norm_used_twice(net, x):
    return net.norm(F.relu(net.norm(net.layer(x))))


def weight_read(net, x):
    return net.norm(net.layer(x)) * net.layer.weight.mean()


def scale_read(net, x):
    return net.norm(net.layer(x)) * net.norm.weight.mean()


def two_outputs(net, x):
    x = net.layer(x)
    return net.norm(x), x


STAYING = {
    "the layer is read elsewhere": (read_twice, "other uses than this pair"),
    "the layer is an output": (two_outputs, "other uses than this pair"),
    "the layer is used twice": (used_twice, "other uses than this pair"),
    "the batch norm is used twice": (norm_used_twice, "other uses than this pair"),
    "the weight is read": (weight_read, "is read on its own"),
    "the scale is read": (scale_read, "is read on its own"),
    "an activation between": (lambda net, x: net.norm(net.layer(x).relu()), "it follows 'relu'"),
    "nothing before": (lambda net, x: net.layer(net.norm(x)), "it follows 'x'"),
}


@pytest.mark.parametrize("name", STAYING)
def test_what_would_change_the_function_stays(name):
    forward, reason = STAYING[name]
    model = lively_(Net(forward, layer=conv(3, 3), norm=nn.BatchNorm2d(3)))
    assert reason in report_folding(model, SAMPLE).stayed["norm"]
    with pytest.warns(runtime.NoEffectWarning, match="'norm': .*" + reason):
        folded = fold_batch_norm(model, SAMPLE)
    assert str(folded(SAMPLE)) == str(model(SAMPLE))


@pytest.mark.parametrize(("model", "sample"), [
    (nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5)), torch.randn(2, 5, 6)),
    (nn.Sequential(nn.Conv1d(6, 5, 1), nn.BatchNorm1d(5)), torch.randn(6, 5)),
], ids=["linear", "convolution without batch axis"])  # fmt: skip
def test_a_batch_norm_over_another_axis_stays(model, sample):
    # Batch norm counts axis 1, the layer's channels stand on another; here both have five entries.
    with pytest.warns(runtime.NoEffectWarning, match="its channels are not those of '0'"):
        folded = fold_batch_norm(lively_(model), sample)
    assert torch.equal(folded(sample), model(sample))


@pytest.mark.case("Q-tied")
def test_a_layer_that_shares_its_weight_stays():
    model = lively_(nn.Sequential(conv(3, 3), nn.BatchNorm2d(3), conv(3, 3), nn.BatchNorm2d(3), conv(3, 3)))
    model[4].weight = model[2].weight
    report = report_folding(model, SAMPLE)
    assert report.folded == {"1": "0"}
    assert "'2' shares its parameters" in report.stayed["3"]
    folded = folds(model)
    assert folded[4].weight is folded[2].weight


def test_a_pair_that_is_used_twice_folds_as_one():
    block = nn.Sequential(conv(3, 3), nn.BatchNorm2d(3))
    model = lively_(nn.Sequential(block, nn.ReLU(), block))
    folded = folds(model)
    assert folded[0] is folded[2]
    assert isinstance(folded[2][1], nn.Identity)


def test_a_batch_norm_under_two_names_goes_from_both():
    norm = nn.BatchNorm2d(3)
    model = lively_(Net(lambda net, x: net.again(net.layer(x)), layer=conv(3, 3), norm=norm, again=norm))
    folded = folds(model)
    assert isinstance(folded.again, nn.Identity)
    assert not any(isinstance(each, nn.BatchNorm2d) for each in folded.modules())


def test_layers_with_more_than_parameters_stay():
    model = lively_(nn.Sequential(parametrizations.weight_norm(conv(3, 3)), nn.BatchNorm2d(3)))
    with pytest.warns(runtime.NoEffectWarning, match="it follows 'ParametrizedConv2d'"):
        fold_batch_norm(model, SAMPLE)
    for layer in (0, 1):
        model = lively_(nn.Sequential(conv(3, 3), nn.BatchNorm2d(3)))
        model[layer].register_forward_hook(lambda _, args, output: 2 * output)
        with pytest.warns(runtime.NoEffectWarning, match=f"'{layer}' has hooks"):
            folded = fold_batch_norm(model, SAMPLE)
        assert torch.equal(folded(SAMPLE), model(SAMPLE))
    model = lively_(nn.Sequential(conv(3, 3), nn.BatchNorm2d(3)))
    model[0].register_buffer("mask", torch.ones(1))
    with pytest.warns(runtime.NoEffectWarning, match="'0' holds more than a plain layer does: mask"):
        fold_batch_norm(model, SAMPLE)


class Named(nn.BatchNorm2d):
    """A class of its own that computes the same."""


def test_classes_that_compute_the_same_fold():
    folds(lively_(nn.Sequential(conv(3, 3), Named(3))))
    assert report_folding(lively_(nn.Sequential(conv(3, 3), nn.SyncBatchNorm(3))), SAMPLE).folded == {"1": "0"}


def test_a_batch_norm_outside_the_graph_is_reported():
    model = Net(
        lambda net, x: net.norm(net.layer(x)) if not net.training else net.spare(net.layer(x)),
        layer=conv(3, 3), norm=nn.BatchNorm2d(3), spare=nn.BatchNorm2d(3),
    )  # fmt: skip
    assert report_folding(model, SAMPLE).stayed == {"spare": "it takes no part in evaluation mode"}


def test_a_batch_norm_called_as_a_function_is_reported():
    model = Net(lambda net, x: F.batch_norm(net.layer(x), torch.zeros(3), torch.ones(3)), layer=conv(3, 3))
    assert report_folding(model, SAMPLE).stayed == {"batch_norm": "it is called as a function"}


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.case("Q-bnfold-convT-groups")
def test_a_batch_norm_without_running_statistics_is_an_error():
    model = nn.Sequential(conv(3, 4), nn.BatchNorm2d(4, track_running_stats=False))
    with pytest.raises(ValueError, match=r"batch norm '1' keeps no running statistics.*track_running_stats=True"):
        fold_batch_norm(model, SAMPLE)


@pytest.mark.parametrize(("arguments", "error"), [
    ((nn.Linear(2, 2), [1.0]), TypeError), (("model", SAMPLE), TypeError),
    ((nn.Sequential(conv(4, 4), nn.BatchNorm2d(4)), SAMPLE), ValueError),
])  # fmt: skip
def test_bad_input_is_refused(arguments, error):
    with pytest.raises(error):
        fold_batch_norm(*arguments)


def test_an_effect_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fold_batch_norm(nn.Sequential(conv(3, 4), nn.BatchNorm2d(4)), SAMPLE)
