import copy
import dataclasses
import functools
import math
import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.ao.pruning import CubicSL

from labcore import prune
from labcore.models import make_model
from labcore.prune import scores
from labcore.training import TrainConfig, evaluate, fit
from toy import bits, network, toy

CONFIG = TrainConfig(epochs=1, learning_rate=0.01)


# --- targets ----------------------------------------------------------------------------------------


def test_rounds_take_the_same_share_of_what_remains():
    assert prune.one_shot(0.9) == (0.9,)
    assert prune.iterative(0.75, levels=2) == (0.5, 0.75)
    assert prune.iterative(0.92, levels=5)[-1] == 0.92
    assert prune.remaining(0.2, levels=3) == pytest.approx((0.2, 0.36, 0.488))
    left = 1 - np.array([0, *prune.iterative(0.92, levels=5)])
    assert left[1:] / left[:-1] == pytest.approx(0.08**0.2)


def test_layers_may_have_their_own_targets():
    first, second = prune.iterative({"a": 0.75, "b": 0.0}, levels=2)
    assert (first, second) == ({"a": 0.5, "b": 0}, {"a": 0.75, "b": 0})


def test_lottery_rounds_leave_what_the_paper_leaves():
    # 20 % a round, 10 % in the last layer; the paper's shares of the weights of LeNet-300-100.
    model = make_model("lenet_300_100")
    share = {"fc1.weight": 0.2, "fc2.weight": 0.2, "fc3.weight": 0.1}
    left = [
        1 - prune.sparsity_of(prune.masks_per_layer(scores.magnitude(model), target))
        for target in prune.remaining(share, levels=15)
    ]
    assert [100 * left[rounds - 1] for rounds in (3, 7, 15)] == pytest.approx([51.3, 21.1, 3.6], abs=0.05)


@pytest.mark.case("P-schedule")
def test_cubic_by_hand():
    assert prune.cubic(5, start=0, end=10, final=0.9) == pytest.approx(0.7875)
    assert prune.cubic(12, start=0, end=10, final=0.9) == 0.9
    assert prune.cubic(-3, start=0, end=10, initial=0.2, final=0.9) == 0.2
    assert prune.cubic(3, start=2, end=4, initial=0.5, final=0.9) == pytest.approx(0.85)


@pytest.mark.case("P-schedule")
def test_cubic_in_a_single_step_is_a_jump():
    assert [prune.cubic(step, start=3, end=3, initial=0.1, final=0.8) for step in (2, 3, 4)] == [0.1, 0.8, 0.8]
    assert [prune.cubic(step, start=3, end=4, initial=0.1, final=0.8) for step in (3, 4)] == [0.1, 0.8]


@pytest.mark.case("P-schedule")
@given(st.integers(-5, 20), st.integers(1, 30), st.floats(0, 0.99), st.floats(0, 0.99))
def test_cubic_meets_its_ends_exactly_and_never_falls(start, length, one, other):
    initial, final = sorted((one, other))
    curve = [
        prune.cubic(step, start=start, end=start + length, initial=initial, final=final)
        for step in range(start - 3, start + length + 4)
    ]
    assert curve[:4] == [initial] * 4
    assert curve[-4:] == [final] * 4
    assert curve == sorted(curve)
    for step, ours in enumerate(curve[3:-3]):
        theirs = CubicSL.sparsity_compute_fn(initial, final, step, 0, 1, length)
        assert ours == pytest.approx(theirs, abs=1e-12)


@pytest.mark.case("P-schedule")
def test_wrong_schedules_say_what_is_right():
    with pytest.raises(ValueError, match=r"final must not be below initial, got 0\.9 to 0\.5"):
        prune.cubic(1, start=0, end=2, initial=0.9, final=0.5)
    with pytest.raises(ValueError, match="start <= end"):
        prune.cubic(1, start=3, end=2, final=0.5)
    with pytest.raises(ValueError, match="finite step"):
        prune.cubic(math.nan, start=0, end=2, final=0.5)
    with pytest.raises(ValueError, match=r"final must be in \[0, 1\), got 90\.0; did you mean 0\.90"):
        prune.cubic(1, start=0, end=2, final=90.0)
    for rounds in (prune.iterative, prune.remaining):
        with pytest.raises(TypeError, match="sparsity must be a float"):
            rounds(1, levels=2)
        with pytest.raises(ValueError, match="levels must be at least 1"):
            rounds(0.5, levels=0)
        with pytest.raises(TypeError, match="levels must be a whole number, got True"):
            rounds(0.5, levels=True)


# --- cut and train ----------------------------------------------------------------------------------


def trained(seed=0) -> nn.Module:
    model = network(seed)
    fit(model, toy(), CONFIG)
    return model


def test_rounds_reach_their_targets_and_nothing_comes_back():
    model = trained()
    before = bits(model)
    rounds = prune.prune_iteratively(
        model, toy(), CONFIG, targets=prune.iterative(0.8, levels=3), evaluation=toy(None, 32)
    )
    assert bits(model) == before
    # 32 weights in each of the two layers: 13, 21 and 26 of them go.
    assert [each.round.sparsity for each in rounds] == [13 / 32, 21 / 32, 26 / 32]
    earlier = None
    for each in rounds:
        assert prune.sparsity_of(each.model) >= each.round.sparsity == prune.sparsity_of(each.masks)
        for name, mask in each.masks.items():
            assert not each.model.get_parameter(name)[~mask].any()
            assert earlier is None or not (mask & ~earlier[name]).any()
        earlier = each.masks
        assert each.round.log.accuracies[-1] == evaluate(each.model, toy(None, 32)).accuracy
    first_cut = prune.apply_masks(model, rounds[0].masks)
    assert rounds[0].round.cut_accuracy == evaluate(first_cut, toy(None, 32)).accuracy


def test_every_cut_is_made_in_the_weights_of_the_round_before():
    model = trained()
    one, two = prune.prune_iteratively(model, toy(), CONFIG, targets=[0.25, 0.5])
    assert all(torch.equal(one.masks[name], mask) for name, mask in prune.magnitude_masks(model, sparsity=0.25).items())
    again = prune.masks_per_layer(scores.magnitude(one.model), 0.5, within=one.masks)
    assert all(torch.equal(two.masks[name], mask) for name, mask in again.items())
    alone = prune.train_masked(one.model, two.masks, toy(), CONFIG)
    assert bits(alone.model) == bits(two.model)


def test_a_lottery_ticket_starts_each_round_from_the_first_weights():
    start, seen = network(), []
    model = trained()
    start_bits = bits(start)

    def look(each):
        seen.append(copy.deepcopy(each))
        return scores.magnitude(each)

    one, two = prune.prune_iteratively(model, toy(), CONFIG, targets=[0.25, 0.5], score=look, rewind_to=start)
    # Scored where trained, trained from where it began, biases and buffers included.
    assert (bits(seen[0]), bits(seen[1])) == (bits(model), bits(one.model))
    assert bits(prune.train_masked(start, two.masks, toy(), CONFIG).model) == bits(two.model)
    assert bits(start) == start_bits


def test_the_controls_of_a_ticket_are_a_random_mask_and_fresh_weights():
    model = trained()
    random = functools.partial(scores.random, seed=5)
    one, two = prune.prune_iteratively(model, toy(), CONFIG, targets=[0.25, 0.5], score=random, rewind_to=network())
    assert [each.round.sparsity for each in (one, two)] == [0.25, 0.5]
    fresh = prune.train_masked(network(seed=9), two.masks, toy(), CONFIG)
    assert fresh.round.sparsity == 0.5
    assert bits(fresh.model) != bits(two.model)


def test_a_global_choice_with_a_floor_is_a_select():
    select = functools.partial(prune.masks_global, min_keep=0.1)
    last = prune.prune_iteratively(trained(), toy(), CONFIG, targets=[0.5, 0.75], select=select)[-1]
    assert last.round.sparsity == 0.75
    assert all(mask.any() for mask in last.masks.values())


def test_gradual_pruning_is_a_target_for_each_epoch():
    targets = [prune.cubic(epoch, start=0, end=4, final=0.75) for epoch in range(1, 5)]
    rounds = prune.prune_iteratively(trained(), toy(), CONFIG, targets=targets)
    assert [each.round.sparsity for each in rounds] == [round(32 * target) / 32 for target in targets]


def test_numbers_travel_frozen_and_without_tensors():
    done = prune.train_masked(trained(), prune.magnitude_masks(trained(), sparsity=0.5), toy(), CONFIG)
    assert math.isnan(done.round.cut_accuracy)
    for each in (done, done.round):
        with pytest.raises(dataclasses.FrozenInstanceError):
            each.sparsity = 0
    assert not any(isinstance(value, torch.Tensor) for value in vars(done.round).values())


def test_progress_runs_over_all_rounds_and_a_stop_ends_them():
    shares, stop = [], threading.Event()
    prune.prune_iteratively(trained(), toy(), CONFIG, targets=[0.25, 0.5], progress=shares.append)
    assert shares == pytest.approx([step / 8 for step in range(1, 9)])

    def stop_in_the_second(share):
        if share > 0.7:
            stop.set()

    rounds = prune.prune_iteratively(
        trained(), toy(), CONFIG, targets=[0.25, 0.5, 0.75], stop=stop, progress=stop_in_the_second
    )
    assert [each.round.log.interrupted for each in rounds] == [False, False, True]
    stop.set()
    (only,) = prune.prune_iteratively(trained(), toy(), CONFIG, targets=[0.25, 0.5], stop=stop)
    assert only.round.log.interrupted


@pytest.mark.case("P-regrow")
def test_an_interrupt_between_a_step_and_its_hook_leaves_no_weight_behind(monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    model = trained()
    masks = prune.magnitude_masks(model, sparsity=0.5)
    monkeypatch.setattr("labcore.prune.schedules.hold", lambda masks: interrupted)
    done = prune.train_masked(model, masks, toy(), CONFIG)
    assert done.round.log.interrupted
    assert prune.sparsity_of(done.model) == 0.5


def test_targets_that_are_no_sequence_are_refused():
    for wrong in (0.5, [], {"0.weight": 0.5}):
        with pytest.raises(ValueError, match="targets must be a sequence of sparsities"):
            prune.prune_iteratively(trained(), toy(), CONFIG, targets=wrong)
    with pytest.raises(ValueError, match="gone already"):
        prune.prune_iteratively(trained(), toy(), CONFIG, targets=[0.5, 0.25])
