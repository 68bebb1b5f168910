"""Whole channels: how many go, which ones, and what is refused."""

import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from labcore.metrics import count_params
from labcore.models import load_model, make_model
from labcore.prune import apply_channel_plan, channel_plan, filter_scores
from labcore.runtime import NoEffectWarning
from topologies import SAMPLE, make, without_reading

IMAGES = torch.rand(2, 1, 14, 14, generator=torch.Generator().manual_seed(0))


def lines(*scores: float) -> nn.Sequential:
    """Neurons whose L1 scores are given."""
    model = nn.Sequential(nn.Linear(2, len(scores)), nn.Linear(len(scores), 2))
    model[0].weight.data = torch.tensor([[each, 0.0] for each in scores])
    return model


def removed(model: nn.Module, ratio: float, **settings) -> list[int]:
    return channel_plan(model, torch.rand(1, 2), pruning_ratio=ratio, **settings).removed["0"].tolist()


def test_the_lowest_scores_go():
    assert removed(lines(0.9, -0.2, 0.05, -0.7, 0.3), 0.4) == [1, 2]
    assert removed(lines(0.9, -0.2, 0.05, -0.7, 0.3), 0.4, method="largest") == [0, 3]


@pytest.mark.case("P-threshold-tie")
def test_of_equal_channels_the_lower_index_goes_first():
    assert removed(lines(1.0, 1.0, 1.0, 1.0), 0.5) == [0, 1]
    assert removed(lines(2.0, 1.0, 0.0, 1.0, 0.0), 0.6) == [1, 2, 4]
    assert removed(lines(0.0, 0.0, 0.0, 0.0), 0.25) == [0]


@pytest.mark.case("P-amount", "P-collapse")
@given(n=st.integers(2, 40), ratio=st.floats(0, 1, exclude_max=True), round_to=st.integers(1, 9))
def test_exactly_the_share_goes_and_never_the_last(n, ratio, round_to):
    model = lines(*torch.rand(n, generator=torch.Generator().manual_seed(n)).tolist())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoEffectWarning)
        plain = channel_plan(model, torch.rand(1, 2), pruning_ratio=ratio)
        rounded = channel_plan(model, torch.rand(1, 2), pruning_ratio=ratio, round_to=round_to)
    k = round(ratio * n)
    assert plain.n_removed == min(k, n - 1)
    assert plain.spared == (("0",) if k == n else ())
    stay, _ = rounded.summary["0"]
    assert stay == n or ((stay % round_to == 0 and stay - round_to < n - k <= stay) or stay == round_to)
    assert apply_channel_plan(model, rounded)[0].out_features == stay >= 1


@pytest.mark.case("P-collapse")
def test_the_last_channel_stays_and_the_plan_says_so():
    plan = channel_plan(make_model("lab_cnn"), IMAGES, pruning_ratio=0.99)
    assert plan.summary == {"conv1": (1, 16), "conv2": (1, 32), "conv3": (1, 32)}
    assert plan.spared == ("conv1", "conv2", "conv3")
    smaller = apply_channel_plan(make_model("lab_cnn"), plan)
    assert smaller.eval()(IMAGES).shape == (2, 10)
    with pytest.warns(NoEffectWarning, match="found none"):
        again = channel_plan(smaller, IMAGES, pruning_ratio=0.5)
    assert again.summary == {}


@pytest.mark.case("P-amount")
@pytest.mark.parametrize(
    ("ratio", "error", "message"),
    [
        (1.0, ValueError, r"pruning_ratio must be in \[0, 1\), got 1.0"),
        (1.5, ValueError, "got 1.5"),
        (-0.1, ValueError, "got -0.1"),
        (float("nan"), ValueError, "got nan"),
        (80.0, ValueError, r"did you mean 0\.80\?"),
        (80, TypeError, r"pruning_ratio must be a float in \[0, 1\), got 80; did you mean 0\.80\?"),
        (1, TypeError, "must be a float"),
        (True, TypeError, "must be a float"),
        ("0.5", TypeError, "must be a float"),
        (None, TypeError, "must be a float"),
        ({"conv1": 2.0}, ValueError, "got 2.0"),
        ({"conv9": 0.5}, ValueError, "pruning_ratio names 'conv9', which is not there; near it: conv"),
    ],
)
def test_a_ratio_that_is_none_is_refused(ratio, error, message):
    with pytest.raises(error, match=message):
        channel_plan(make_model("lab_cnn"), IMAGES, pruning_ratio=ratio)


def test_nothing_asked_nothing_done():
    model = load_model("lab_cnn")
    plan = channel_plan(model, IMAGES, pruning_ratio=0.0)
    assert plan.n_removed == 0
    same = apply_channel_plan(model, plan)
    assert same is not model
    assert torch.equal(same(IMAGES), model(IMAGES))


def test_a_plan_without_effect_warns():
    with pytest.warns(NoEffectWarning, match="0.01 with round_to 1 lets no channel go: conv1 has 16, conv2 has 32"):
        channel_plan(make_model("lab_cnn"), IMAGES, pruning_ratio=0.01)
    with pytest.warns(NoEffectWarning, match="round_to 64"):
        plan = channel_plan(make_model("lab_cnn"), IMAGES, pruning_ratio=0.5, round_to=64)
    assert plan.spared == ("conv1", "conv2", "conv3")
    with pytest.warns(NoEffectWarning, match="neither inputs nor outputs, found none"):
        channel_plan(nn.Sequential(nn.Linear(2, 2)), torch.rand(1, 2), pruning_ratio=0.5)


def test_neurons_are_channels():
    model = load_model("lenet_300_100")
    images = torch.rand(3, 1, 28, 28)
    plan = channel_plan(model, images, pruning_ratio=0.5)
    assert plan.summary == {"fc1": (150, 300), "fc2": (50, 100)}
    smaller = apply_channel_plan(model, plan)
    assert count_params(smaller) == 784 * 150 + 150 + 150 * 50 + 50 + 50 * 10 + 10
    expected = without_reading(model, plan.couplings, plan.removed)(images)
    assert torch.allclose(smaller(images), expected, rtol=1e-5, atol=1e-5)


def test_what_stays_is_a_multiple():
    plan = channel_plan(make_model("lab_resnet"), IMAGES, pruning_ratio=0.7, round_to=8)
    assert {stay for stay, _ in plan.summary.values()} == {8, 16, 24}
    assert plan.summary["stem.conv"] == (8, 16), "5 would stay, 8 must"


def test_one_ratio_for_each_set():
    plan = channel_plan(make_model("lab_cnn"), IMAGES, pruning_ratio={"conv3": 0.5, "conv1": 0.25})
    assert plan.summary == {"conv1": (12, 16), "conv2": (32, 32), "conv3": (16, 32)}
    with pytest.raises(TypeError, match="with scope 'global' pruning_ratio is one number"):
        channel_plan(make_model("lab_cnn"), IMAGES, pruning_ratio={"conv3": 0.5}, scope="global")


# --- all channels ranked together -------------------------------------------------------------------


def gammas(first: list[float], second: list[float]) -> nn.Module:
    model = make_model("lab_cnn", width=4)
    model.bn1.weight.data, model.bn2.weight.data = torch.tensor(first), torch.tensor(second)
    model.bn3.weight.data.fill_(100.0)
    return model


def test_scales_are_compared_as_they_are():
    model = gammas([0.1, 9, 0.2, 9], [0.3, 0.15, 9, 9, 9, 9, 9, 9])
    plan = channel_plan(model, IMAGES, pruning_ratio=0.15, scope="global", method="gamma")
    assert {name: gone.tolist() for name, gone in plan.removed.items()} == {"conv1": [0, 2], "conv2": [1], "conv3": []}


def test_other_scores_are_compared_after_division_by_their_mean():
    model = make_model("lab_cnn")
    model.conv1.weight.data *= 1000
    scaled = channel_plan(model, IMAGES, pruning_ratio=0.4, scope="global")
    plain = channel_plan(make_model("lab_cnn"), IMAGES, pruning_ratio=0.4, scope="global")
    assert scaled.summary == plain.summary
    assert plain.n_removed == round(0.4 * 80)
    scores = filter_scores(model, IMAGES, "l1")
    shares = {name: values / values.mean() for name, values in scores.items()}
    gone = max(shares[name][rows].max(initial=0) for name, rows in plain.removed.items())
    assert all((shares[name] < gone).sum() <= len(rows) for name, rows in plain.removed.items())


@pytest.mark.case("P-collapse")
@pytest.mark.parametrize("round_to", [1, 2])
def test_what_a_set_cannot_give_is_taken_from_the_next(round_to):
    model = gammas([0.1] * 4, [5.0, 1, 2, 3, 4, 6, 7, 8])
    plan = channel_plan(model, IMAGES, pruning_ratio=0.3, scope="global", method="gamma", round_to=round_to)
    assert plan.n_removed == round(0.3 * 20) == 6
    assert plan.summary["conv1"] == (round_to, 4)
    assert plan.removed["conv2"].tolist() == {1: [1, 2, 3], 2: [1, 2, 3, 4]}[round_to]
    assert plan.spared == ("conv1",)


@pytest.mark.case("P-collapse")
def test_no_set_is_emptied_by_a_rank_over_all():
    for method in ("l1", "gamma"):
        plan = channel_plan(load_model("lab_resnet"), IMAGES, pruning_ratio=0.97, scope="global", method=method)
        assert all(stay >= 1 for stay, _ in plan.summary.values())
        assert apply_channel_plan(load_model("lab_resnet"), plan)(IMAGES).shape == (2, 10)


def test_a_set_of_zeros_goes_first():
    model = make_model("lab_cnn")
    model.conv2.weight.data.zero_()
    plan = channel_plan(model, IMAGES, pruning_ratio=0.3, scope="global")
    assert plan.removed["conv2"].tolist() == list(range(24))
    assert plan.n_removed == 24


# --- which layers -----------------------------------------------------------------------------------


def test_named_layers_alone_are_cut():
    model = make("residual")
    assert list(channel_plan(model, SAMPLE, pruning_ratio=0.5, layers=["first"]).removed) == ["first"]
    assert list(channel_plan(model, SAMPLE, pruning_ratio=0.5, layers=["second"]).removed) == ["stem"]
    assert list(channel_plan(model, SAMPLE, pruning_ratio=0.5, ignored=["second"]).removed) == ["first"]
    assert list(channel_plan(model, SAMPLE, pruning_ratio=0.5, ignored=["fc"]).removed) == ["stem", "first"]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"layers": ["frist"]}, ValueError, "layers names 'frist', which is not there; near it: first"),
        ({"ignored": ["clasifier"]}, ValueError, "ignored names 'clasifier', which is not there"),
        ({"layers": ["fc"]}, ValueError, "no channel of 'fc' can go; layers whose channels can: first, second, stem"),
        ({"layers": "first"}, TypeError, r"layers must be a list of names, got the string 'first'; did you mean \['f"),
        ({"ignored": "first"}, TypeError, "ignored must be a list of names"),
        ({"scope": "layer"}, ValueError, "unknown scope 'layer'; choose one of: set, global"),
        ({"method": "l3"}, ValueError, "unknown method 'l3'"),
        ({"round_to": 0}, ValueError, "round_to must be at least 1 channel, got 0"),
        ({"round_to": 2.0}, TypeError, "round_to must be a whole number of channels, got 2.0"),
        ({"round_to": True}, TypeError, "round_to must be a whole number"),
    ],
)
def test_wrong_settings_are_explained(settings, error, message):
    with pytest.raises(error, match=message):
        channel_plan(make("residual"), SAMPLE, pruning_ratio=0.5, **settings)


# --- what is left as it was -------------------------------------------------------------------------


def test_planning_and_cutting_leave_the_model_alone():
    model = make("residual").train()
    model.stem_bn.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    smaller = apply_channel_plan(model, channel_plan(model, SAMPLE, pruning_ratio=0.5))
    assert [model.training, model.stem_bn.training] == [True, False]
    assert [smaller.training, smaller.stem_bn.training] == [True, False]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_plan_for_another_shape_is_refused():
    model = make("residual")
    plan = channel_plan(model, SAMPLE, pruning_ratio=0.5)
    with pytest.raises(ValueError, match="another model"):
        apply_channel_plan(apply_channel_plan(model, plan), plan)


@pytest.mark.case("P-bias/BN")
def test_a_cut_network_is_the_masked_network():
    for name in ("lab_cnn", "lab_resnet", "lab_mobile"):
        model = load_model(name)
        plan = channel_plan(model, IMAGES, pruning_ratio=0.5, method="gamma")
        got, full = apply_channel_plan(model, plan)(IMAGES), model(IMAGES)
        assert torch.allclose(got, without_reading(model, plan.couplings, plan.removed)(IMAGES), rtol=1e-4, atol=1e-4)
        assert not torch.allclose(got, full, rtol=1e-2, atol=1e-2)
