import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from labcore import prune, runtime
from labcore.models import make_model
from labcore.prune import scores
from labcore.training import TrainConfig, fit
from toy import bits, network, toy


def half(model):
    return prune.magnitude_masks(model, sparsity=0.5)


def regrown(model, masks) -> int:
    return sum(int((model.get_parameter(name)[~mask] != 0).sum()) for name, mask in masks.items())


class Shared(nn.Module):
    """One weight under two names."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x):
        return self.head(self.embed(x))


# --- a plain copy with zeros ------------------------------------------------------------------------


def test_the_copy_has_zeros_where_the_mask_is_false_and_the_model_is_untouched():
    model = nn.Linear(4, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[-1.0, 2.0, torch.nan, 4.0]]))
    before, mask = bits(model), torch.tensor([[False, True, False, True]])
    pruned = prune.apply_masks(model, {"weight": mask})
    assert pruned.weight.tolist() == [[0, 2, 0, 4]]
    # Plus zero: minus zero is a value to a sparse encoding.
    assert not torch.signbit(pruned.weight).any()
    assert bits(model) == before
    assert mask.tolist() == [[False, True, False, True]]
    assert torch.equal(pruned.bias, model.bias)


@pytest.mark.case("P-deepcopy")
@pytest.mark.case("P-state-dict")
def test_a_pruned_model_copies_pickles_exports_and_loads_like_a_dense_one():
    model = make_model("lab_cnn").eval()
    pruned = prune.apply_masks(model, half(model))
    assert type(pruned) is type(model)
    assert list(pruned.state_dict()) == list(model.state_dict())
    for each in (copy.deepcopy(pruned), pickle.loads(pickle.dumps(pruned))):
        assert bits(each) == bits(pruned)
    dense = make_model("lab_cnn", seed=1)
    dense.load_state_dict(pruned.state_dict())
    pruned.load_state_dict(dense.state_dict())
    images = torch.rand(2, 1, 14, 14)
    exported = torch.export.export(pruned, (images,)).module()
    torch.testing.assert_close(exported(images), pruned(images))


@pytest.mark.case("Q-tied")
def test_a_shared_weight_is_masked_under_all_its_names_and_stays_shared():
    mask = torch.ones(5, 3, dtype=torch.bool)
    mask[2] = False
    for masks in ({"head.weight": mask}, {"embed.weight": mask}, {"head.weight": mask, "embed.weight": mask.clone()}):
        pruned = prune.apply_masks(Shared(), masks)
        assert pruned.head.weight is pruned.embed.weight
        assert not pruned.embed.weight[2].any()
    with pytest.raises(ValueError, match=r"'head\.weight' and 'embed\.weight' share one weight"):
        prune.apply_masks(Shared(), {"head.weight": mask, "embed.weight": ~mask})


def test_wrong_masks_say_what_is_right():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    with pytest.raises(ValueError, match="empty dictionary"):
        prune.apply_masks(model, {})
    with pytest.raises(ValueError, match=r"masks names '0\.wieght', which is not there; near it: 0\.weight"):
        prune.apply_masks(model, {"0.wieght": torch.ones(2, 3, dtype=torch.bool)})
    with pytest.raises(ValueError, match=r"'0\.weight' must have shape \(2, 3\), got \(3, 2\)"):
        prune.apply_masks(model, {"0.weight": torch.ones(3, 2, dtype=torch.bool)})
    for wrong in (torch.ones(2, 3), [[True] * 3] * 2):
        with pytest.raises(TypeError, match=r"boolean tensor \(True = stays\), got (torch\.float32|list)"):
            prune.apply_masks(model, {"0.weight": wrong})


# --- masks that hold --------------------------------------------------------------------------------


@pytest.mark.case("P-regrow")
def test_a_step_under_a_mask_by_hand():
    model = nn.Linear(2, 1, bias=False)
    model.weight = nn.Parameter(torch.tensor([[0.5, 0.0]]))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model.weight.grad = torch.tensor([[0.1, 0.4]])
    optimizer.state[model.weight]["momentum_buffer"] = torch.tensor([[0.1, 0.2]])
    optimizer.step()
    assert model.weight[0].tolist() == pytest.approx([0.481, -0.058])
    prune.hold({"weight": torch.tensor([[True, False]])})(model, 1)
    assert model.weight[0].tolist() == [pytest.approx(0.481), 0]


OPTIMIZERS = {
    "sgd": {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.01},
    "adam": {"optimizer": "adam", "learning_rate": 0.05, "weight_decay": 0.01},
    "adamw": {"optimizer": "adamw", "learning_rate": 0.05, "weight_decay": 0.1},
}


@pytest.mark.case("P-regrow")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_nothing_regrows_at_any_step_of_any_optimizer(name):
    model = network()
    fit(model, toy(), TrainConfig(epochs=1, learning_rate=0.05))
    masks = half(model)
    pruned = prune.apply_masks(model, masks)
    before, hook, steps = bits(pruned), prune.hold(masks), []

    def after_step(each, step):
        steps.append(regrown(each, masks))
        hook(each, step)
        assert regrown(each, masks) == 0

    config = TrainConfig(epochs=3, **OPTIMIZERS[name])
    fit(pruned, toy(), config, after_step=after_step)
    assert regrown(pruned, masks) == 0
    # The steps did move masked weights, and the others are trained.
    assert min(steps) > 0
    assert bits(pruned) != before


@pytest.mark.case("P-regrow")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_masking_the_gradient_alone_does_not_hold(name):
    model = network()
    masks = half(model)
    pruned = prune.apply_masks(model, masks)
    optimizer = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    settings = {"momentum": 0.9} if name == "sgd" else {}
    optimizer = optimizer(pruned.parameters(), lr=0.05, **settings)
    hook = prune.hold(masks)
    for step, (inputs, labels) in enumerate(list(toy()) * 2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(pruned(inputs), labels).backward()
        if step >= 4:
            for key, mask in masks.items():
                pruned.get_parameter(key).grad *= mask
        optimizer.step()
        if step < 4:
            hook(pruned, step)
    assert regrown(pruned, masks) > 0


@pytest.mark.case("P-regrow")
@settings(max_examples=15)
@given(st.sampled_from(sorted(OPTIMIZERS)), st.floats(0, 0.95), st.integers(0, 2**16))
def test_sparsity_never_falls_under_hold(name, sparsity, seed):
    model = network()
    masks = prune.masks_global(scores.random(model, seed=seed), sparsity)
    pruned = prune.apply_masks(model, masks)
    hook, seen = prune.hold(masks), []

    def after_step(each, step):
        hook(each, step)
        seen.append(prune.sparsity_of(each))

    fit(pruned, toy(), TrainConfig(epochs=2, **OPTIMIZERS[name]), after_step=after_step)
    assert min(seen) >= prune.sparsity_of(masks)


# --- how sparse -------------------------------------------------------------------------------------


def test_sparsity_counts_prunable_weights_only():
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5))
    masks = {"0.weight": torch.ones(5, 4, dtype=torch.bool)}
    assert prune.sparsity_of(masks) == 0
    masks["0.weight"].view(-1)[:6] = False
    assert prune.sparsity_of(masks) == 0.3
    assert prune.sparsity_of(prune.apply_masks(model, masks)) == 0.3
    assert prune.sparsity_of(prune.apply_masks(model, {"0.weight": torch.zeros(5, 4, dtype=torch.bool)})) == 1
    with pytest.raises(TypeError, match="got float"):
        prune.sparsity_of(0.3)
    for empty in ({}, nn.ReLU()):
        with pytest.raises(ValueError, match=r"no (linear|weight)"):
            prune.sparsity_of(empty)


def test_global_state_is_untouched():
    state = torch.get_rng_state()
    with runtime.fork_rng(0):
        model = network()
    prune.apply_masks(model, half(model))
    assert torch.equal(torch.get_rng_state(), state)
