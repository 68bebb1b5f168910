"""Budgets: by hand, and against every possible allocation."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labcore import prune
from labcore.prune import scores
from labcore.search import allocate_greedy, allocate_uniform, measure_sensitivity, pruning_costs
from toy import network, toy

# Bits by layer: `big` gives much for little, `small` has little to give, `hard` loses at once.
COSTS = {"big": {8: 800, 4: 400, 2: 200}, "small": {8: 80, 4: 40, 2: 20}, "hard": {8: 400, 4: 200, 2: 100}}
LOSSES = {"big": {8: 0, 4: 2, 2: 10}, "small": {8: 0, 4: 1, 2: 2}, "hard": {8: 0, 4: 20, 2: 80}}


def every_allocation(costs, losses, budget):
    """Losses of all allocations within the budget."""
    for levels in itertools.product(*costs.values()):
        chosen = list(zip(costs, levels, strict=True))
        if sum(costs[layer][level] for layer, level in chosen) <= budget:
            yield sum(losses[layer][level] for layer, level in chosen)


@st.composite
def problems(draw):
    """Up to three layers with up to four levels, costs and losses in no order."""
    names = "abc"[: draw(st.integers(1, 3))]
    numbers = st.integers(0, 12)
    levels = {name: range(draw(st.integers(1, 4))) for name in names}
    costs, losses = ({n: {level: draw(numbers) for level in levels[n]} for n in names} for _ in range(2))
    least, most = (sum(pick(each.values()) for each in costs.values()) for pick in (min, max))
    return costs, losses, draw(st.integers(least, most))


@st.composite
def convex_problems(draw):
    """Each step of a layer saves 1 and is dearer than the one before."""
    losses = {}
    for name in "abc":
        steps = sorted(draw(st.lists(st.integers(0, 9), min_size=1, max_size=3)))
        losses[name] = dict(enumerate(itertools.accumulate([0, *steps])))
    costs = {name: {level: len(each) - level for level in each} for name, each in losses.items()}
    return costs, losses, draw(st.integers(len(losses), sum(map(len, losses.values()))))


# --- greedy -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "levels"),
    [
        (1280, {"big": 8, "small": 8, "hard": 8}),
        (1279, {"big": 4, "small": 8, "hard": 8}),  # 2 / 400 a unit; small costs 1 / 40, hard 20 / 200
        (879, {"big": 4, "small": 4, "hard": 8}),
        (839, {"big": 2, "small": 4, "hard": 8}),  # 8 / 200, before small's 1 / 20
        (320, {"big": 2, "small": 2, "hard": 2}),
    ],
)
def test_steps_go_by_loss_for_each_unit_saved(budget, levels):
    allocation = allocate_greedy(COSTS, LOSSES, budget)
    assert allocation.levels == levels
    assert allocation.cost == sum(COSTS[layer][level] for layer, level in levels.items()) <= budget
    assert allocation.loss == sum(LOSSES[layer][level] for layer, level in levels.items())


def test_a_step_may_skip_a_level_that_is_poor_value():
    costs, losses = {"a": {0: 3, 1: 2, 2: 0}}, {"a": {0: 0, 1: 9, 2: 10}}
    assert allocate_greedy(costs, losses, 2).levels == {"a": 2}


def test_a_level_that_is_cheaper_and_better_is_taken_whatever_the_budget():
    costs, losses = {"a": {0: 3, 1: 2}}, {"a": {0: 0.0, 1: -0.01}}
    assert allocate_greedy(costs, losses, 99).levels == {"a": 1}


def test_of_equal_prices_the_first_layer_goes_then_the_first_level():
    costs = {name: {0: 2, 1: 1, 2: 0} for name in "ba"}
    losses = {name: {0: 0, 1: 1, 2: 2} for name in "ba"}
    assert allocate_greedy(costs, losses, 3).levels == {"b": 1, "a": 0}
    reversed_levels = {name: {level: each[level] for level in (2, 1, 0)} for name, each in costs.items()}
    assert allocate_greedy(reversed_levels, losses, 3).levels == {"b": 2, "a": 0}


def test_levels_may_be_pairs_of_bits_and_sparsity():
    costs, losses = {"a": {(8, 0.0): 8, (8, 0.5): 6, (4, 0.5): 3}}, {"a": {(8, 0.0): 0, (8, 0.5): 1, (4, 0.5): 2}}
    assert allocate_greedy(costs, losses, 5).levels == {"a": (4, 0.5)}


@given(problems())
def test_greedy_keeps_the_budget_and_nothing_as_cheap_loses_less(problem):
    costs, losses, budget = problem
    allocation = allocate_greedy(costs, losses, budget)
    assert allocation.cost <= budget
    assert allocation.loss == min(every_allocation(costs, losses, allocation.cost))


@given(convex_problems())
def test_greedy_finds_the_best_when_steps_get_dearer_and_save_the_same(problem):
    assert allocate_greedy(*problem).loss == min(every_allocation(*problem))


# --- the same for all -------------------------------------------------------------------------------


def test_uniform_takes_the_level_with_the_least_loss_within_the_budget():
    assert allocate_uniform(COSTS, LOSSES, 1280).levels == dict.fromkeys(COSTS, 8)
    assert allocate_uniform(COSTS, LOSSES, 1279).levels == dict.fromkeys(COSTS, 4)
    greedy, uniform = (allocate(COSTS, LOSSES, 640) for allocate in (allocate_greedy, allocate_uniform))
    assert (uniform.loss, greedy.loss) == (23, 11)


def test_uniform_knows_only_levels_that_all_layers_have():
    costs, losses = {"a": {0: 5, 1: 1}, "b": {0: 5}}, {"a": {0: 0, 1: 9}, "b": {0: 0}}
    assert allocate_uniform(costs, losses, 10).levels == {"a": 0, "b": 0}
    with pytest.raises(ValueError, match=r"no level for all layers costs at most 6; the least possible is 10"):
        allocate_uniform(costs, losses, 6)


# --- from measurement to a pruned network -----------------------------------------------------------


def test_an_allocation_of_sparsities_is_what_the_masks_keep():
    model, batches = network(), toy(seed=None)
    sensitivity = measure_sensitivity(model, batches, levels=[0.0, 0.3, 0.65, 0.9])
    costs = pruning_costs(sensitivity)
    assert costs["0.weight"] == {0.0: 32, 0.3: 22, 0.65: 11, 0.9: 3}
    allocation = allocate_greedy(costs, sensitivity.losses, 40)
    masks = prune.magnitude_masks(model, sparsity=allocation.levels)
    assert sum(int(mask.sum()) for mask in masks.values()) == allocation.cost <= 40


def test_a_weight_may_cost_differently_in_each_layer():
    sensitivity = measure_sensitivity(network(), toy(seed=None), levels=[0.5])
    assert list(scores.magnitude(network())) == ["0.weight", "4.weight"]
    assert pruning_costs(sensitivity, {"0.weight": 9, "4.weight": 1}) == {"0.weight": {0.5: 144}, "4.weight": {0.5: 16}}


# --- what cannot be -----------------------------------------------------------------------------------


@pytest.mark.parametrize("allocate", [allocate_greedy, allocate_uniform])
def test_a_budget_below_the_least_cost_says_what_the_least_is(allocate):
    with pytest.raises(ValueError, match="budget 319 cannot be met: the cheapest levels still cost 320"):
        allocate(COSTS, LOSSES, 319)


@pytest.mark.parametrize(
    ("costs", "losses", "message"),
    [
        ({}, {}, "at least one layer"),
        ({"a": {}}, {"a": {}}, "at least one level"),
        ({"a": {0: 1}}, {"b": {0: 1}}, "same layers and levels"),
        ({"a": {0: 1}}, {"a": {0: 1, 1: 2}}, "same layers and levels"),
        ({"a": {0: 1}}, {"a": {0: math.nan}}, "the loss of 'a' at level 0 is nan"),
        ({"a": {0: math.inf}}, {"a": {0: 0}}, "the cost of 'a' at level 0 is inf"),
    ],
)
def test_choices_that_do_not_fit_are_refused(costs, losses, message):
    with pytest.raises(ValueError, match=message):
        allocate_greedy(costs, losses, 100)


def test_a_budget_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="budget nan"):
        allocate_greedy(COSTS, LOSSES, math.nan)
