"""Scores of filters from data: zeros after ReLU, and first-order estimates of the loss."""

import copy

import numpy as np
import pytest
import torch
import torch_pruning
from torch import nn
from torch.nn import functional as F

from labcore.models import load_model, make_model
from labcore.prune import channel_plan, filter_scores, scores
from labcore.surgery import UnsupportedOperation
from topologies import SAMPLE, Net, bn, conv, make

VARIANTS = ("sum_abs", "abs_sum", "sum_square")


def neurons(first: list, second: list) -> nn.Sequential:
    """Two linear layers with given weights and no bias."""
    first, second = torch.tensor(first), torch.tensor(second)
    model = nn.Sequential(
        nn.Linear(first.shape[1], len(first), bias=False), nn.ReLU(), nn.Linear(len(first), len(second), bias=False)
    )
    model[0].weight.data, model[2].weight.data = first, second
    return model


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# --- zeros after ReLU -------------------------------------------------------------------------------


def test_zeros_by_hand():
    model = neurons([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0]], [[1.0, 1.0, 1.0]] * 2)
    batches = [(torch.tensor([[1.0, 1.0], [-3.0, 1.0]]), None), (torch.tensor([[2.0, -1.0]]), None)]
    # After ReLU: (1, 0, 2), (0, 3, 2), (2, 0, 0); a share of all three samples, not a mean over batches.
    scores = filter_scores(model, torch.rand(1, 2), "apoz", batches=batches)["0"]
    assert scores == pytest.approx([2 / 3, 1 / 3, 2 / 3])
    plan = channel_plan(model, torch.rand(1, 2), pruning_ratio=0.34, method="apoz", batches=batches)
    assert plan.removed["0"].tolist() == [1]


def test_zeros_are_counted_after_relu_and_before_pooling():
    model, x = load_model("lab_cnn"), images(6, 1, 14, 14)
    counted = filter_scores(model, x[:1], "apoz", batches=[(x[:4],), (x[4:],)])
    given = {}
    for name in ("bn1", "bn2", "bn3"):
        model.get_submodule(name).register_forward_hook(
            lambda _, args, out, name=name: given.update({name: out.detach()})
        )
    model(x)
    for i in (1, 2, 3):
        active = (given[f"bn{i}"] > 0).double().mean((0, 2, 3))
        assert counted[f"conv{i}"] == pytest.approx(active.numpy())
    pooled = (F.max_pool2d(given["bn1"].relu(), 2) > 0).double().mean((0, 2, 3))
    assert (counted["conv1"] < pooled.numpy()).any()


FORMS = {
    "layer": lambda net, x: net.relu(x),
    "layer in place": lambda net, x: net.inplace(x),
    "function": lambda net, x: F.relu(x),
    "function in place": lambda net, x: F.relu(x, inplace=True),
    "torch": lambda net, x: torch.relu(x),
    "method": lambda net, x: x.relu(),
    "method in place": lambda net, x: x.relu_(),
    "capped": lambda net, x: F.relu6(x),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_relu_is_seen(form):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Net(
            lambda net, x: net.fc(FORMS[form](net, net.first(x)).add_(1).mean((2, 3))),
            first=conv(3, 5), fc=nn.Linear(5, 2), relu=nn.ReLU(), inplace=nn.ReLU(inplace=True),
        )  # fmt: skip
    model.train()
    active = (model.first(SAMPLE) > 0).double().mean((0, 2, 3))
    assert filter_scores(model, SAMPLE, "apoz", batches=[(SAMPLE,)])["first"] == pytest.approx(active.numpy())


@pytest.mark.case("P-flatten/concat/convT")
def test_channels_are_found_behind_a_concatenation():
    model, given = make("concat"), {}
    model.left.register_forward_hook(lambda _, args, out: given.update(left=out.detach()))
    model.norm.register_forward_hook(lambda _, args, out: given.update(norm=out.detach()))
    model(SAMPLE)
    # left (5 channels) has a ReLU of its own; left, stem (4) and right (3) pass another one after batch norm.
    left, norm = ((given[name] > 0).double().mean((0, 2, 3)).numpy() for name in ("left", "norm"))
    counted = filter_scores(model, SAMPLE, "apoz", batches=[(SAMPLE,)])
    assert counted["left"] == pytest.approx(left + norm[:5])
    assert counted["stem"] == pytest.approx(norm[5:9])
    assert counted["right"] == pytest.approx(norm[9:])


@pytest.mark.case("P-residual")
def test_both_relus_of_a_residual_block_count():
    model, given = make("residual"), {}
    for name in ("stem_bn", "second"):
        model.get_submodule(name).register_forward_hook(
            lambda _, args, out, name=name: given.update({name: out.detach()})
        )
    model(SAMPLE)
    early = given["stem_bn"].relu()
    expected = sum((each > 0).double().mean((0, 2, 3)) for each in (early, given["second"] + early))
    assert filter_scores(model, SAMPLE, "apoz", batches=[(SAMPLE,)])["stem"] == pytest.approx(expected.numpy())


def test_channels_without_relu_have_no_zeros_to_count():
    assert list(filter_scores(make("squeeze-excite"), SAMPLE, "apoz", batches=[(SAMPLE,)])) == ["down"]
    with pytest.raises(ValueError, match="'apoz' needs ReLU; channels of first, middle, last pass none"):
        filter_scores(make("grouped"), SAMPLE, "apoz", batches=[(SAMPLE,)])


def test_a_dead_layer_scores_zero_and_still_loses_no_more_than_it_is_told():
    model = make("flatten")
    model.first.bias.data.fill_(-1e6)
    assert filter_scores(model, SAMPLE, "apoz", batches=[(SAMPLE,)])["first"].tolist() == [0.0] * 5
    for scope in ("set", "global"):
        plan = channel_plan(model, SAMPLE, pruning_ratio=0.4, method="apoz", batches=[(SAMPLE,)], scope=scope)
        assert plan.removed["first"].tolist() == ([0, 1] if scope == "set" else [0, 1, 2, 3])


# --- first-order estimates --------------------------------------------------------------------------


@pytest.mark.case("P-taylor-BN")
@pytest.mark.parametrize(
    ("variant", "expected"),
    [("sum_abs", [4.5, 3, 1.5]), ("abs_sum", [0.5, 1, 0.5]), ("sum_square", [6.25, 5, 1.25])],
)
def test_the_three_estimates_by_hand(variant, expected):
    # Both classes are equally likely, so that the gradients of the logits are -1/2 and 1/2 (label 0), or reversed.
    # w g of the batches: (-1, .5), (1, 0), (0, -.5); then (2, -1), (-2, 0), (0, 1).
    model = neurons([[2.0, -1.0], [2.0, 0.0], [0.0, 1.0]], [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    batches = [(torch.tensor([[1.0, 1.0]]), torch.tensor([0])), (torch.tensor([[2.0, 2.0]]), torch.tensor([1]))]
    values = filter_scores(model, torch.rand(1, 2), f"taylor_{variant}", batches=batches)["0"]
    assert values == pytest.approx(expected)


def labelled(n: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    return images(n, 1, 14, 14), torch.arange(n) % 10


def test_with_one_batch_the_estimates_are_those_of_torch_pruning():
    model, (x, y) = load_model("lab_cnn"), labelled()
    oracle = copy.deepcopy(model)
    graph = torch_pruning.DependencyGraph().build_dependency(oracle, example_inputs=x[:1])
    oracle.zero_grad()
    F.cross_entropy(oracle(x), y).backward()
    for variant, settings in (("sum_abs", {"multivariable": False}), ("abs_sum", {"multivariable": True})):
        values = filter_scores(model, x[:1], f"taylor_{variant}", batches=[(x, y)])
        # "first" takes the layer that makes the channels alone.
        score = torch_pruning.importance.TaylorImportance(group_reduction="first", normalizer=None, **settings)
        for name, each in values.items():
            layer = oracle.get_submodule(name)
            group = graph.get_pruning_group(layer, torch_pruning.prune_conv_out_channels, list(range(len(each))))
            assert each == pytest.approx(score(group).numpy(), rel=1e-4)


def test_the_sum_over_a_filter_is_the_slope_of_the_loss_in_its_gate():
    model, (x, y) = load_model("lab_cnn"), labelled()
    gate = torch.ones(32, 1, 1, 1, requires_grad=True)
    gated = {"conv2.weight": gate * model.conv2.weight.detach()}
    loss = F.cross_entropy(torch.func.functional_call(model, gated, (x,)), y)
    slopes = torch.autograd.grad(loss, gate)[0].flatten().abs().numpy()
    assert filter_scores(model, x[:1], "taylor_abs_sum", batches=[(x, y)])["conv2"] == pytest.approx(slopes, rel=1e-3)


@pytest.mark.parametrize("variant", ["sum_abs", "sum_square"])
def test_estimates_without_sign_are_those_of_the_weights_added_up(variant):
    model, (x, y) = load_model("lab_cnn"), labelled()
    batches = [(x[:30], y[:30]), (x[30:], y[30:])]
    weights = scores.taylor(model, batches, variant=variant)
    for name, each in filter_scores(model, x[:1], f"taylor_{variant}", batches=batches).items():
        assert each == pytest.approx(weights[f"{name}.weight"].sum((1, 2, 3)).numpy(), rel=1e-4)


@pytest.mark.case("P-residual")
def test_layers_that_make_a_channel_together_do_not_cancel():
    model, y = make("residual"), torch.tensor([0, 3])
    signed = scores.taylor_sums(model, [(SAMPLE, y)], variant="abs_sum")
    stem, second = (signed[f"{name}.weight"].sum((1, 2, 3)).numpy() for name in ("stem", "second"))
    values = filter_scores(model, SAMPLE, "taylor_abs_sum", batches=[(SAMPLE, y)])["stem"]
    assert values == pytest.approx(np.abs(stem) + np.abs(second), rel=1e-4)
    assert (stem * second < 0).any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_dead_filters_score_zero_and_go_first(variant):
    model, (x, y) = load_model("lab_cnn"), labelled()
    model.conv2.weight.data[[3, 7]] = 0
    plan = channel_plan(
        model, x[:1], pruning_ratio={"conv2": 2 / 32}, method=f"taylor_{variant}", batches=[(x, y)]
    )  # fmt: skip
    assert plan.removed["conv2"].tolist() == [3, 7]


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_that_are_all_zero_are_refused(variant):
    # The last layer lets nothing back, and has no weight of its own to multiply.
    model, (x, y) = make_model("lab_cnn"), labelled()
    nn.init.zeros_(model.fc.weight)
    with pytest.raises(ValueError, match="every gradient is zero"):
        filter_scores(model, x[:1], f"taylor_{variant}", batches=[(x, y)])


# --- rules for all ----------------------------------------------------------------------------------

METHODS = ("activation", "apoz", *(f"taylor_{variant}" for variant in VARIANTS))


@pytest.mark.case("B-eval-mutates")
@pytest.mark.parametrize("method", METHODS)
def test_training_mode_changes_neither_the_scores_nor_the_model(method):
    model, (x, y) = load_model("lab_cnn"), labelled()
    quiet = filter_scores(model, x[:1], method, batches=[(x, y)])
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    loud = filter_scores(model, x[:1], method, batches=[(x, y)])
    assert all((quiet[name] == loud[name]).all() for name in quiet)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("method", METHODS)
def test_no_batch_is_refused(method):
    for batches in (None, []):
        with pytest.raises(ValueError, match="at least one"):
            filter_scores(make("flatten"), SAMPLE, method, batches=batches)


@pytest.mark.parametrize("method", METHODS)
def test_images_that_are_no_numbers_are_refused(method):
    for value in (torch.nan, torch.inf):
        batches = [(torch.full_like(SAMPLE, value), torch.tensor([0, 1]))]
        with pytest.raises(ValueError, match=r"NaN or infinity|the loss of batch 1 is"):
            filter_scores(make("flatten"), SAMPLE, method, batches=batches)


def test_what_cannot_be_traced_is_refused_before_any_batch_runs():
    def branching(net, x):
        return net.fc(x.flatten(1)) if x.sum() > 0 else x

    with pytest.raises(UnsupportedOperation):
        filter_scores(Net(branching, fc=nn.Linear(192, 2), norm=bn(3)), SAMPLE, "apoz", batches=[(SAMPLE,)])
