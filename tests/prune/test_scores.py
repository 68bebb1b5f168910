import copy
from functools import partial
from typing import get_args

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labcore import prune, runtime
from labcore.models import make_model
from labcore.prune import scores
from labcore.training import TrainConfig, fit
from networks import make_torchvision
from toy import bits, network, toy


class Line(nn.Module):
    """One layer without bias, weight (1, 2)."""

    def __init__(self, *weight):
        super().__init__()
        self.line = nn.Linear(2, 1, bias=False)
        self.line.weight = nn.Parameter(torch.tensor([weight]))

    def forward(self, x):
        return self.line(x)


def total(outputs, *targets):
    return outputs.sum()


# The gradient of `total` is the sum of the inputs: (1, 2), then (-3, 2).
TWO_BATCHES = [(torch.tensor([[1.0, 2.0]]),), (torch.tensor([[-1.0, 1.0], [-2.0, 1.0]]),)]


# --- which parameters -------------------------------------------------------------------------------


def test_weights_of_linear_and_convolution_layers_and_nothing_else():
    assert prune.prunable_parameters(make_model("lab_cnn")) == (
        "conv1.weight", "conv2.weight", "conv3.weight", "fc.weight",
    )  # fmt: skip
    assert prune.prunable_parameters(nn.Linear(2, 2)) == ("weight",)
    every_kind = nn.ModuleList([
        nn.Conv1d(2, 2, 1), nn.Conv3d(2, 2, 1), nn.ConvTranspose2d(2, 2, 1), nn.Embedding(2, 2), nn.BatchNorm2d(2),
        nn.LayerNorm(2), nn.PReLU(), nn.GRU(2, 2),
    ])  # fmt: skip
    assert prune.prunable_parameters(every_kind) == ("0.weight", "1.weight", "2.weight")


def test_torchvision_networks_have_their_layers():
    names = prune.prunable_parameters(make_torchvision("resnet18"))
    assert len(names) == 21
    assert "layer2.0.downsample.0.weight" in names
    assert not any("bn" in name for name in names)


@pytest.mark.case("Q-tied")
def test_a_shared_weight_stands_once():
    model = nn.Sequential(nn.Embedding(3, 2), nn.Linear(2, 3), nn.Linear(2, 3))
    model[0].weight = model[2].weight = model[1].weight
    assert prune.prunable_parameters(model) == ("1.weight",)


def test_a_model_without_such_layers_is_refused():
    with pytest.raises(ValueError, match="BatchNorm1d has no linear or convolution layer"):
        prune.prunable_parameters(nn.BatchNorm1d(2))
    with pytest.raises(TypeError, match=r"torch\.nn\.Module, got dict"):
        scores.magnitude({})


# --- by hand ----------------------------------------------------------------------------------------


def test_magnitude_and_its_reverse_by_hand():
    model = Line(-3.0, 2.0)
    assert scores.magnitude(model)["line.weight"].tolist() == [[3, 2]]
    assert scores.largest(model)["line.weight"].tolist() == [[-3, -2]]


def test_lamp_by_hand():
    model = nn.Sequential(nn.Linear(4, 1, bias=False), nn.Linear(1, 2, bias=False), nn.Linear(1, 2, bias=False))
    model[0].weight.data = torch.tensor([[1.0, -2.0, 3.0, -2.0]])
    model[1].weight.data = torch.tensor([[100.0], [-100.0]])
    model[2].weight.data.zero_()
    values = scores.lamp(model)
    assert values["0.weight"].flatten().tolist() == pytest.approx([1 / 18, 4 / 17, 1, 4 / 17])
    assert values["1.weight"].flatten().tolist() == pytest.approx([1 / 2, 1 / 2])
    assert values["2.weight"].flatten().tolist() == [0, 0]


def test_lamp_agrees_with_its_definition():
    with runtime.fork_rng(0):
        model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Linear(5, 4))
    for name, values in scores.lamp(model).items():
        squares = model.get_parameter(name).detach().double().square().flatten()
        expected = [float(each / squares[squares >= each].sum()) for each in squares]
        assert values.flatten().tolist() == pytest.approx(expected)


@pytest.mark.case("P-taylor-BN")
@pytest.mark.parametrize(
    ("variant", "expected"),
    # w g of the two batches: (3, -8) and (-9, -8).
    [("sum_abs", [12, 16]), ("abs_sum", [6, 16]), ("sum_square", [90, 128])],
)
def test_the_three_taylor_scores_by_hand(variant, expected):
    values = scores.taylor(Line(3.0, -4.0), TWO_BATCHES, variant=variant, loss=total)
    assert values["line.weight"].tolist() == [expected]


def test_snip_by_hand_is_normalised_over_the_network():
    # Gradients add up to (-2, 4): |w g| = 6 and 16.
    values = scores.snip(Line(3.0, -4.0), TWO_BATCHES, loss=total)["line.weight"].tolist()
    assert values == [pytest.approx([6 / 22, 16 / 22])]
    values = scores.snip(make_model("lab_cnn"), [(torch.rand(8, 1, 14, 14), torch.arange(8))])
    assert sum(float(each.sum()) for each in values.values()) == pytest.approx(1)


def test_snip_is_the_slope_of_the_loss_in_the_mask():
    model = network()
    model[1].eval()
    batch = next(iter(toy()))
    values = scores.snip(model, [batch])
    slopes = {}
    for name in values:
        masks = {each: torch.ones_like(values[each], requires_grad=True) for each in values}
        masked = {each: mask * model.get_parameter(each) for each, mask in masks.items()}
        trained = copy.deepcopy(model).train()
        loss = F.cross_entropy(torch.func.functional_call(trained, masked, (batch[0],)), batch[1])
        slopes[name] = torch.autograd.grad(loss, masks[name])[0].abs()
    size = sum(slope.sum() for slope in slopes.values())
    for name, slope in slopes.items():
        torch.testing.assert_close(values[name], slope / size)


# --- rules for all ----------------------------------------------------------------------------------

ALL = {
    "magnitude": scores.magnitude,
    "largest": scores.largest,
    "random": lambda model: scores.random(model, seed=0),
    "lamp": scores.lamp,
    "snip": lambda model: scores.snip(model, toy()),
    **{
        variant: lambda model, variant=variant: scores.taylor(model, toy(), variant=variant)
        for variant in ("sum_abs", "abs_sum", "sum_square")
    },
}


@pytest.mark.parametrize("name", ALL)
def test_scores_have_the_weights_shapes_and_leave_everything_as_it_was(name):
    model = network(dropout=0.5)
    fit(model, toy(), TrainConfig(epochs=1, learning_rate=0.01))
    model[0].weight.requires_grad_(False)
    gradient = model[4].weight.grad.clone()
    model[1].eval()
    before, modes = bits(model), [module.training for module in model.modules()]
    state = torch.get_rng_state()
    first, second = ALL[name](model), ALL[name](model)
    for key in ("0.weight", "4.weight"):
        assert first[key].shape == model.get_parameter(key).shape
        assert not first[key].requires_grad
        assert torch.equal(first[key], second[key])
    assert first.keys() == {"0.weight", "4.weight"}
    assert (bits(model), [module.training for module in model.modules()]) == (before, modes)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(model[4].weight.grad, gradient)
    assert not model[0].weight.requires_grad


@pytest.mark.case("P-taylor-BN")
@pytest.mark.parametrize("name", [name for name in ALL if name != "largest"])
def test_scores_are_never_negative_and_every_layer_has_some(name):
    model = network()
    fit(model, toy(), TrainConfig(epochs=1, learning_rate=0.01))
    for values in ALL[name](model).values():
        assert (values >= 0).all()
        assert (values > 0).any()


def test_random_scores_differ_by_seed_and_do_not_repeat_the_initial_weights():
    model = make_model("lenet_300_100", seed=0)
    first, second = scores.random(model, seed=0), scores.random(model, seed=1)
    for name, values in first.items():
        assert not torch.equal(values, second[name])
        # torch's generator with the seed of the weights gives 1 here.
        both = torch.stack([values.flatten(), model.get_parameter(name).detach().double().flatten()])
        assert abs(torch.corrcoef(both)[0, 1]) < 0.15


def test_a_layer_that_is_not_used_scores_zero():
    model = Line(3.0, -4.0)
    model.unused = nn.Linear(2, 2)
    assert not scores.taylor(model, TWO_BATCHES, variant="sum_abs", loss=total)["unused.weight"].any()


def test_wrong_arguments_say_what_is_right():
    model = network()
    with pytest.raises(ValueError, match="unknown variant 'taylor'; choose one of: sum_abs, abs_sum, sum_square"):
        scores.taylor(model, toy(), variant="taylor")
    for function in (scores.snip, lambda *args: scores.taylor(*args, variant="sum_abs")):
        with pytest.raises(ValueError, match="no batch"):
            function(model, [])
        nans = [(torch.full((2, 2), torch.nan), torch.tensor([0, 1]))]
        with pytest.raises(ValueError, match="the loss of batch 1 is nan"):
            function(model, nans)
    zeros = copy.deepcopy(model)
    with torch.no_grad():
        zeros[0].weight.zero_()
        zeros[4].weight.zero_()
    for function in (scores.snip, *(partial(scores.taylor, variant=each) for each in get_args(scores.TaylorVariant))):
        with pytest.raises(ValueError, match="every gradient is zero"):
            function(zeros, toy())


def test_gradients_that_are_no_numbers_are_refused():
    # The root of zero has an infinite slope, though the loss is a number.
    for function in (scores.snip, partial(scores.taylor, variant="abs_sum")):
        with pytest.raises(ValueError, match="the gradients of batch 2 hold NaN or infinity"):
            function(Line(3.0, -4.0), [*TWO_BATCHES[:1], (torch.zeros(1, 2),)], loss=lambda x: x.abs().sqrt().sum())


@pytest.mark.parametrize("mode", [True, False])
def test_estimates_of_a_trained_network_use_its_stored_statistics(mode):
    model, batch = network(), next(iter(toy()))
    fit(model, toy(), TrainConfig(epochs=1, learning_rate=0.01))
    still = copy.deepcopy(model).eval()
    F.cross_entropy(still(batch[0]), batch[1]).backward()
    values = scores.taylor(model.train(mode), [batch], variant="sum_abs")
    for name, each in values.items():
        weight = still.get_parameter(name)
        torch.testing.assert_close(each, (weight * weight.grad).abs().detach())
