import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.ao.pruning import WeightNormSparsifier
from torch.nn.utils import prune as torch_prune

from labcore import prune, runtime
from labcore.data import load_dataset
from labcore.models import load_model, make_model
from labcore.prune import scores
from labcore.training import evaluate


def linear(rows) -> nn.Linear:
    """A layer with these weights."""
    weight = torch.tensor(rows, dtype=torch.float32)
    weight = weight[None] if weight.dim() == 1 else weight
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight = nn.Parameter(weight)
    return layer


def kept(masks, name="weight") -> list:
    return masks[name].int().flatten().tolist()


def two_layers() -> nn.Sequential:
    with runtime.fork_rng(0):
        return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))


# --- by hand ----------------------------------------------------------------------------------------


def test_threshold_keeps_what_is_large_whatever_its_sign():
    model = linear([0.9, -0.2, 0.05, -0.7, 0.3])
    assert kept(prune.masks_by_threshold(model, 0.25)) == [1, 0, 0, 1, 1]
    assert kept(prune.masks_by_threshold(model, 0)) == [1, 1, 1, 1, 1]
    assert kept(prune.masks_by_threshold(model, 1)) == [0, 0, 0, 0, 0]
    assert kept(prune.masks_by_threshold(linear([0.5, -0.5, 0.25, 0.0]), 0.5)) == [1, 1, 0, 0]


@pytest.mark.case("P-threshold-tie")
def test_exactly_k_go_and_of_equal_ones_the_first():
    model = linear([0.1, -0.1, 0.1, 0.1, 0.2, -0.3, 0.4, 0.5, 0.6, 0.7])
    assert kept(prune.magnitude_masks(model, sparsity=0.3)) == [0, 0, 0, 1, 1, 1, 1, 1, 1, 1]
    assert kept(prune.magnitude_masks(model, sparsity=0.0)) == [1] * 10


@pytest.mark.case("P-amount")
@pytest.mark.parametrize(("n", "sparsity", "k"), [(5, 0.5, 2), (7, 0.5, 4), (4, 0.9, 4), (10, 0.04, 0), (3, 0.999, 3)])
def test_k_is_rounded_to_the_even_number_and_may_empty_a_layer(n, sparsity, k):
    model = linear(np.linspace(1, 2, n).tolist())
    for scope in ("layer", "global"):
        assert kept(prune.magnitude_masks(model, sparsity=sparsity, scope=scope)) == [0] * k + [1] * (n - k)


def test_deviation_is_that_of_the_layer_around_its_mean():
    # Deviations from the mean 1: 3, 1, 1, 3; std = sqrt(20 / 4) = 2.236. 0.8 of it is 1.79, 1.8 of it 4.02.
    model = linear([4.0, 2.0, 0.0, -2.0])
    assert kept(prune.masks_by_deviation(model, 0.8)) == [1, 1, 0, 1]
    assert kept(prune.masks_by_deviation(model, 0.9)) == [1, 0, 0, 0]
    assert kept(prune.masks_by_deviation(model, {"weight": 1.8})) == [0, 0, 0, 0]
    assert kept(prune.masks_by_deviation(linear([1.0, -1.0, 1.0, -1.0]), 1)) == [1, 1, 1, 1]


def test_two_of_four_are_kept_along_the_inputs():
    model = linear([[4, 1, -3, 2, 0.1, 0.2, -0.3, 0.4]])
    assert kept(prune.masks_n_m(scores.magnitude(model))) == [1, 0, 1, 0, 0, 0, 1, 1]
    assert kept(prune.masks_n_m(scores.magnitude(model), n=1)) == [1, 0, 0, 0, 0, 0, 0, 1]
    assert kept(prune.masks_n_m(scores.magnitude(linear([[5, 5, 5, 5]])))) == [0, 0, 1, 1]


def test_two_of_four_input_channels_of_a_convolution_for_each_position():
    weight = torch.zeros(1, 4, 1, 2)
    weight[0, :, 0, 0] = torch.tensor([4.0, 1, -3, 2])
    weight[0, :, 0, 1] = torch.tensor([0.1, 0.2, -0.3, 0.4])
    mask = prune.masks_n_m({"conv.weight": weight.abs()})["conv.weight"]
    assert mask[0, :, 0].int().T.tolist() == [[1, 0, 1, 0], [0, 0, 1, 1]]


def test_global_compares_layers_and_layer_does_not():
    model = nn.Sequential(linear([1.0, 2.0, 3.0, 4.0]), linear([[10.0], [20.0], [30.0], [40.0]]))
    assert kept(prune.magnitude_masks(model, sparsity=0.5, scope="layer"), "0.weight") == [0, 0, 1, 1]
    masks = prune.magnitude_masks(model, sparsity=0.5, scope="global")
    assert (kept(masks, "0.weight"), kept(masks, "1.weight")) == ([0, 0, 0, 0], [1, 1, 1, 1])
    masks = prune.masks_global(scores.magnitude(model), 0.5, min_keep=0.25)
    assert (kept(masks, "0.weight"), kept(masks, "1.weight")) == ([0, 0, 0, 1], [0, 1, 1, 1])
    # A share too small for one weight still keeps one.
    masks = prune.masks_global(scores.magnitude(model), 0.5, min_keep=0.01)
    assert kept(masks, "0.weight") == [0, 0, 0, 1]
    assert masks["1.weight"].shape == (4, 1)


def test_a_layer_has_its_own_sparsity_and_others_keep_everything():
    model = two_layers()
    masks = prune.magnitude_masks(model, sparsity={"2.weight": 0.25})
    assert masks["0.weight"].all()
    assert int((~masks["2.weight"]).sum()) == 5


# --- rounds -----------------------------------------------------------------------------------------


@pytest.mark.case("P-mask-from-masked")
def test_what_is_gone_counts_goes_first_and_never_comes_back():
    first = {"weight": torch.tensor([[True, False, True, True]])}
    high_where_gone = {"weight": torch.tensor([[1.0, 9.0, 2.0, 3.0]])}
    for select in (prune.masks_per_layer, prune.masks_global):
        assert kept(select(high_where_gone, 0.25, within=first)) == [1, 0, 1, 1]
        assert kept(select(high_where_gone, 0.5, within=first)) == [0, 0, 1, 1]
        with pytest.raises(ValueError, match="1 of 4 weights are gone already"):
            select(high_where_gone, 0.0, within=first)
    assert kept(prune.masks_per_layer(high_where_gone, {}, within=first)) == [1, 0, 1, 1]


@pytest.mark.case("P-mask-from-masked")
def test_a_floor_protects_what_is_left_and_brings_nothing_back():
    values = {"a": torch.tensor([4.0, 3.0, 2.0, 1.0]), "b": torch.tensor([5.0, 6.0, 7.0, 8.0])}
    within = {"a": torch.tensor([False, False, False, True])}
    masks = prune.masks_global(values, 0.75, min_keep=0.25, within=within)
    assert (kept(masks, "a"), kept(masks, "b")) == ([0, 0, 0, 1], [0, 0, 0, 1])
    masks = prune.masks_global(values, 0.5, min_keep=0.5, within=within)
    assert (kept(masks, "a"), kept(masks, "b")) == ([0, 0, 0, 1], [0, 1, 1, 1])


@pytest.mark.case("P-mask-from-masked")
def test_zeros_of_a_pruned_model_go_first_at_every_later_cut():
    model = prune.apply_masks(two := two_layers(), prune.magnitude_masks(two, sparsity=0.4))
    again = prune.magnitude_masks(model, sparsity=0.4)
    assert all(torch.equal(again[name], model.get_parameter(name) != 0) for name in again)
    more = prune.magnitude_masks(model, sparsity=0.7)
    assert all((model.get_parameter(name)[mask] != 0).all() for name, mask in more.items())


# --- against references -----------------------------------------------------------------------------


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.5, 0.77, 0.99])
def test_the_same_weights_go_as_with_torch(sparsity):
    ours = prune.magnitude_masks(model := make_model("lab_cnn"), sparsity=sparsity)
    for layer in ("conv1", "conv2", "conv3", "fc"):
        module = make_model("lab_cnn").get_submodule(layer)
        torch_prune.l1_unstructured(module, "weight", sparsity)
        assert torch.equal(ours[f"{layer}.weight"], module.weight_mask.bool())
    ours = prune.magnitude_masks(model, sparsity=sparsity, scope="global")
    layers = [model.conv1, model.conv2, model.conv3, model.fc]
    pairs = [(layer, "weight") for layer in layers]
    torch_prune.global_unstructured(pairs, torch_prune.L1Unstructured, amount=sparsity)
    for name, layer in zip(ours, layers, strict=True):
        assert torch.equal(ours[name], layer.weight_mask.bool())


@pytest.mark.parametrize("zeros", [1, 2, 3])
def test_two_of_four_as_with_torch_ao(zeros):
    with runtime.fork_rng(0):
        model = nn.Sequential(nn.Linear(24, 10), nn.Linear(12, 6))
    ours = prune.masks_n_m(scores.magnitude(model), n=4 - zeros)
    sparsifier = WeightNormSparsifier(sparsity_level=1.0, sparse_block_shape=(1, 4), zeros_per_block=zeros)
    sparsifier.prepare(model, [{"tensor_fqn": name} for name in ours])
    sparsifier.step()
    for index, name in enumerate(ours):
        assert torch.equal(ours[name], model[index].parametrizations.weight[0].mask.bool())


@st.composite
def score_tensors(draw) -> dict[str, torch.Tensor]:
    """One to three layers with many equal scores."""
    layers = draw(st.lists(st.lists(st.integers(0, 2), max_size=30), min_size=1, max_size=3))
    return {f"{i}.weight": torch.tensor(layer, dtype=torch.float32) for i, layer in enumerate(layers)}


def by_plain_sort(values: list[float], k: int) -> list[int]:
    gone = set(sorted(range(len(values)), key=lambda i: (values[i], i))[:k])
    return [int(i not in gone) for i in range(len(values))]


@pytest.mark.case("P-threshold-tie")
@given(score_tensors(), st.floats(0, 0.9999))
def test_exactly_k_go_in_a_fixed_order_for_any_scores(values, sparsity):
    masks = prune.masks_per_layer(values, sparsity)
    for name, layer in values.items():
        assert kept(masks, name) == by_plain_sort(layer.tolist(), round(sparsity * len(layer)))
    together = torch.cat(list(values.values())).tolist()
    masks = prune.masks_global(values, sparsity)
    flat = torch.cat([masks[name] for name in values]).int().tolist()
    assert flat == by_plain_sort(together, round(sparsity * len(together)))


@given(score_tensors(), st.floats(0, 0.9999), st.floats(0.01, 0.9999))
def test_the_floor_holds_in_every_layer_or_is_refused(values, sparsity, min_keep):
    n = sum(map(len, values.values()))
    floors = {name: min(len(layer), max(1, round(min_keep * len(layer)))) for name, layer in values.items()}
    if round(sparsity * n) > n - sum(floors.values()):
        with pytest.raises(ValueError, match="min_keep"):
            prune.masks_global(values, sparsity, min_keep=min_keep)
        return
    masks = prune.masks_global(values, sparsity, min_keep=min_keep)
    assert sum(int((~mask).sum()) for mask in masks.values()) == round(sparsity * n)
    for name, mask in masks.items():
        assert int(mask.sum()) >= floors[name]


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 3), st.integers(0, 2**16))
def test_n_of_every_m_stay_and_no_group_loses_score(n, groups, out, seed):
    m = n + 2
    with runtime.fork_rng(seed):
        values = torch.randint(0, 3, (out, groups * m, 3, 2)).float()
    mask = prune.masks_n_m({"w": values}, n=n, m=m)["w"]
    for start in range(0, groups * m, m):
        group, chosen = values[:, start : start + m], mask[:, start : start + m]
        assert (chosen.sum(1) == n).all()
        assert torch.equal((group * chosen).sum(1), group.topk(n, dim=1).values.sum(1))


# --- refusals ---------------------------------------------------------------------------------------


@pytest.mark.case("P-amount")
@pytest.mark.parametrize("wrong", [0, 1, 80, True, None, "0.5", torch.tensor(0.5)])
def test_a_sparsity_that_is_no_float_is_refused(wrong):
    for scope in ("layer", "global"):
        with pytest.raises(TypeError, match="sparsity must be a float"):
            prune.magnitude_masks(two_layers(), sparsity=wrong, scope=scope)


@pytest.mark.case("P-amount")
@pytest.mark.parametrize("wrong", [1.0, 1.1, -0.1, 80.0, math.nan, math.inf])
def test_a_sparsity_outside_its_range_is_refused(wrong):
    for scope in ("layer", "global"):
        with pytest.raises(ValueError, match=r"sparsity must be in \[0, 1\), got"):
            prune.magnitude_masks(two_layers(), sparsity=wrong, scope=scope)


@pytest.mark.case("P-amount")
@pytest.mark.parametrize(("wrong", "error"), [(80, TypeError), (80.0, ValueError)])
def test_a_percentage_gets_a_hint(wrong, error):
    with pytest.raises(error, match=r"got 80(\.0)?; did you mean 0\.80\?$"):
        prune.magnitude_masks(two_layers(), sparsity=wrong)


@pytest.mark.case("P-threshold-tie")
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_weight_that_is_not_finite_is_refused_with_its_layer(wrong):
    model = two_layers()
    with torch.no_grad():
        model[2].weight[1, 2] = wrong
    for attempt in (
        lambda: prune.magnitude_masks(model, sparsity=0.5),
        lambda: prune.magnitude_masks(model, sparsity=0.5, scope="global"),
        lambda: prune.masks_by_threshold(model, 0.1),
        lambda: prune.masks_by_deviation(model, 0.1),
        lambda: prune.masks_per_layer(scores.lamp(model), 0.5),
        lambda: prune.masks_n_m(scores.magnitude(model), n=1, m=5),
    ):
        with pytest.raises(ValueError, match=r"'2\.weight' hold NaN or infinity"):
            attempt()


def test_an_unknown_layer_names_near_ones():
    values = scores.magnitude(make_model("lab_cnn"))
    with pytest.raises(ValueError, match=r"sparsity names 'conv2', which is not there; near it: conv2\.weight"):
        prune.masks_per_layer(values, {"conv2": 0.5})
    with pytest.raises(ValueError, match=r"sensitivity names 'fc\.bias'.*fc\.weight"):
        prune.masks_by_deviation(make_model("lab_cnn"), {"fc.bias": 0.5})
    with pytest.raises(ValueError, match=r"within names 'x'"):
        prune.masks_global(values, 0.5, within={"x": torch.ones(1, dtype=torch.bool)})


def test_wrong_arguments_say_what_is_right():
    model, values = two_layers(), scores.magnitude(two_layers())
    for select in (prune.masks_per_layer, prune.masks_global):
        with pytest.raises(ValueError, match="empty dictionary"):
            select({}, 0.5)
    with pytest.raises(ValueError, match="choose one of: layer, global"):
        prune.magnitude_masks(model, sparsity=0.5, scope="local")
    with pytest.raises(ValueError, match=r"'0\.weight' of shape \(5, 6\) has no multiple of 4 inputs"):
        prune.masks_n_m(values)
    with pytest.raises(ValueError, match="1 <= n < m"):
        prune.masks_n_m(values, n=4, m=4)
    with pytest.raises(TypeError, match="whole numbers"):
        prune.masks_n_m(values, n=2.0)
    for wrong in (-1, math.nan, math.inf):
        with pytest.raises(ValueError, match="threshold must be a finite number"):
            prune.masks_by_threshold(model, wrong)
    with pytest.raises(TypeError, match="sensitivity must be a number, got True"):
        prune.masks_by_deviation(model, True)
    with pytest.raises(ValueError, match=r"mask of '0\.weight' must have shape \(5, 6\)"):
        prune.masks_global(values, 0.5, within={"0.weight": torch.ones(6, 5, dtype=torch.bool)})


# --- what the masks are for -------------------------------------------------------------------------


def test_the_smallest_weights_matter_least_and_the_largest_most():
    model, test = load_model("lenet_300_100"), load_dataset("mnist5k").batches()
    dense = evaluate(model, test).accuracy

    def cost(values, sparsity):
        return dense - evaluate(prune.apply_masks(model, prune.masks_global(values, sparsity)), test).accuracy

    smallest_seventy = cost(scores.magnitude(model), 0.7)
    assert smallest_seventy <= 0.02
    assert cost(scores.largest(model), 0.01) >= 0.08
    assert np.mean([cost(scores.random(model, seed=seed), 0.3) for seed in range(5)]) > 3 * smallest_seventy
    assert np.mean([cost(scores.random(model, seed=seed), 0.5) for seed in range(5)]) >= 0.08
