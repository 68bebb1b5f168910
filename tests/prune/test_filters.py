"""Scores of channels."""

from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from labcore.models import make_model
from labcore.prune import FilterMethod, filter_scores
from labcore.training import predict
from topologies import SAMPLE, bn, conv, make


def pair(first: list, second: list | None = None) -> nn.Sequential:
    """Two linear layers with given weights."""
    first = torch.tensor(first)
    second = torch.ones(2, len(first)) if second is None else torch.tensor(second)
    model = nn.Sequential(nn.Linear(first.shape[1], len(first)), nn.ReLU(), nn.Linear(len(first), len(second)))
    model[0].weight.data, model[2].weight.data = first, second
    return model


def test_norms_of_three_filters_by_hand():
    # Exercise 1.4 of the chapter: signs must not cancel.
    model, sample = pair([[3.0, -3.0], [1.0, 1.0], [0.5, -2.0]]), torch.rand(2, 2)
    assert filter_scores(model, sample, "l1")["0"].tolist() == [6.0, 2.0, 2.5]
    assert filter_scores(model, sample, "l2")["0"] == pytest.approx(np.sqrt([18, 2, 4.25]))
    assert filter_scores(model, sample, "largest")["0"].tolist() == [0.0, 4.0, 3.5]


def test_batch_norm_scales_count_without_their_sign():
    model = nn.Sequential(conv(3, 3), bn(3), nn.ReLU(), conv(3, 2))
    model[1].weight.data = torch.tensor([0.5, -2.0, 0.0])
    assert filter_scores(model, SAMPLE, "gamma")["0"].tolist() == [0.5, 2.0, 0.0]


def test_activations_are_what_the_next_layer_receives():
    model = pair([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0]])
    model[0].bias.data.zero_()
    batches = [(torch.tensor([[1.0, 1.0], [-3.0, 1.0]]), None), (torch.tensor([[2.0, -1.0]]), None)]
    # After ReLU: (1, 0, 2), (0, 3, 2), (2, 0, 0); a mean over all three samples, not over batches.
    assert filter_scores(model, torch.rand(1, 2), "activation", batches=batches)["0"] == pytest.approx([1, 1, 4 / 3])


def test_activations_are_means_over_samples_and_places():
    model, images = make("concat"), torch.rand(5, 3, 8, 8)
    received = {}
    model.fc.register_forward_pre_hook(lambda _, args: received.update(fc=args[0].detach()))
    for name in ("left", "right"):
        getattr(model, name).register_forward_pre_hook(lambda _, args, n=name: received.update({n: args[0].detach()}))
    predict(model, [(images, torch.zeros(5))])
    by_hand = received["fc"][:, 5:9].abs().mean(0) + 2 * received["left"].abs().mean((0, 2, 3))
    scores = filter_scores(model, SAMPLE, "activation", batches=[(images[:2], None), (images[2:], None)])
    assert scores["stem"] == pytest.approx(by_hand.numpy(), rel=1e-5)


@pytest.mark.case("P-taylor-BN")
@pytest.mark.parametrize("method", get_args(FilterMethod))
@pytest.mark.parametrize("name", ["residual", "concat", "depthwise"])
def test_scores_are_finite_and_never_negative(name, method):
    model = make(name)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.data[::2] *= -1
    scores = filter_scores(model, SAMPLE, method, batches=[(SAMPLE, torch.tensor([0, 1]))])
    assert scores
    for values in scores.values():
        assert values.dtype == np.float64
        assert np.isfinite(values).all()
        assert (values >= 0).all()
        assert values.std() > 0


@pytest.mark.case("P-taylor-BN", "P-residual")
def test_members_of_a_set_add_up():
    model = make("residual")
    one, other = (layer.weight.detach().double().flatten(1).numpy() for layer in (model.stem, model.second))
    expected = np.abs(one).sum(1) + np.abs(other).sum(1)
    assert filter_scores(model, SAMPLE, "l1")["stem"] == pytest.approx(expected)
    expected = np.sqrt((one**2).sum(1)) + np.sqrt((other**2).sum(1))
    assert filter_scores(model, SAMPLE, "l2")["stem"] == pytest.approx(expected)
    model = make("concat")
    assert filter_scores(model, SAMPLE, "gamma")["right"] == pytest.approx(model.norm.weight[9:].detach().numpy())


@pytest.mark.case("P-flatten/concat/convT")
def test_the_filters_of_a_transposed_layer_stand_on_its_second_axis():
    model = make("transposed")
    # Two groups of four: channel i is the i-th of both; three inputs feed each group.
    weight = model.middle.weight.detach().double().abs().reshape(2, 3, 4, 9).sum((0, 1, 3))
    depthwise = model.last.weight.detach().double().abs().reshape(2, 4, 2 * 4).sum((0, 2))
    assert filter_scores(model, SAMPLE, "l1")["middle"] == pytest.approx((weight + depthwise).numpy())


def test_sets_without_batch_norm_have_no_gamma():
    assert list(filter_scores(make("residual"), SAMPLE, "gamma")) == ["stem"]
    with pytest.raises(ValueError, match="'gamma' needs batch norm with weights; channels of first, fc1 pass none"):
        filter_scores(make("flatten"), SAMPLE, "gamma")
    plain = nn.Sequential(conv(3, 4), nn.BatchNorm2d(4, affine=False), conv(4, 2))
    with pytest.raises(ValueError, match="needs batch norm with weights"):
        filter_scores(plain, SAMPLE, "gamma")


def test_random_scores_follow_the_seed_alone():
    model = make("flatten")
    before = torch.get_rng_state()
    first, again, other = (filter_scores(model, SAMPLE, "random", seed=seed)["first"] for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).all()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.case("P-threshold-tie")
@pytest.mark.parametrize("method", ["l1", "gamma", "random"])
def test_weights_that_are_no_numbers_are_refused_by_layer(method):
    for value in (float("nan"), float("inf")):
        model = make("residual")
        model.second.weight.data[0, 0, 0, 0] = value
        with pytest.raises(ValueError, match="layer 'second' holds NaN or infinity in its weight"):
            filter_scores(model, SAMPLE, method)


def test_activations_need_batches_with_numbers():
    model = make("flatten")
    for batches in (None, []):
        with pytest.raises(ValueError, match="'activation' needs batches="):
            filter_scores(model, SAMPLE, "activation", batches=batches)
    with pytest.raises(ValueError, match="layer 'fc1' received NaN or infinity"):
        filter_scores(model, SAMPLE, "activation", batches=[(SAMPLE * float("inf"), None)])


def test_an_unknown_method_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown method 'L1'; choose one of: l1, l2, gamma, activation"):
        filter_scores(make("flatten"), SAMPLE, "L1")


def test_the_model_is_left_as_it_was():
    model = make_model("lab_cnn").train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    images = torch.rand(4, 1, 14, 14)
    for method in ("l1", "activation"):
        filter_scores(model, images, method, batches=[(images, None)])
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
