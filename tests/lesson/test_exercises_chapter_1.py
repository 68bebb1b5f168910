"""Exercises of chapters 0 and 1 agree with PyTorch and with the package; their mistakes are shown where they happen."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from labcore.lesson.checks import EXERCISES, check
from learners.chapter_0 import macs_by_walking, parameters_by_layer
from learners.chapter_1 import agp_of_the_package, exactly_k_of_the_package


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LABCORE_HOME", str(tmp_path))


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.integers(1, 4), st.booleans())
def test_parameters_are_those_of_pytorch(per_group_in, per_group_out, kernel, groups, bias):
    arguments = (per_group_in * groups, per_group_out * groups, kernel, groups, bias)
    assert EXERCISES["0.1"].reference(*arguments) == parameters_by_layer(*arguments)


@given(st.integers(1, 5), st.integers(1, 3), st.integers(0, 2), st.integers(5, 12))
def test_macs_are_those_of_the_walk_of_a_kernel(kernel, stride, padding, size):
    arguments = (3, 2, kernel, stride, padding, size)
    assert EXERCISES["0.2"].reference(*arguments) == macs_by_walking(*arguments)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12), st.floats(0, 1))
def test_exactly_k_is_the_mask_of_the_package(weights, sparsity):
    arguments = (torch.tensor(weights, dtype=torch.float32), sparsity)
    expected = exactly_k_of_the_package(*arguments).float().tolist()
    assert EXERCISES["1.2"].reference(*arguments).tolist() == expected


@given(st.integers(0, 60), st.integers(1, 50), st.floats(0, 0.4), st.floats(0.5, 0.95))
def test_agp_is_the_schedule_of_the_package(step, length, initial, final):
    arguments = (10 + step, 10, 10 + length, initial, final)
    assert EXERCISES["1.6"].reference(*arguments) == pytest.approx(agp_of_the_package(*arguments))


def test_a_linear_layer_without_the_columns_of_a_map_gives_what_zeros_in_the_map_give():
    maps, weight = torch.rand(3, 4, 2, 2), torch.rand(5, 16)
    zeroed = maps.clone()
    zeroed[:, 1] = 0
    smaller = EXERCISES["1.5"].reference(weight, 1, 4)
    torch.testing.assert_close(maps[:, [0, 2, 3]].flatten(1) @ smaller.T, zeroed.flatten(1) @ weight.T)


def test_a_threshold_that_cannot_be_read_at_sparsity_0_is_named_and_shown_with_this_input():
    result = check("1.2", lambda weights, sparsity: drop_ties(weights, round(sparsity * len(weights))))
    assert (result.status, result.code) == ("mistake", "mask.raises_at_zero")
    assert "sparsity=0: your function raised RuntimeError: kthvalue()" in result.text


def drop_ties(weights, count):
    return weights.abs() > weights.abs().kthvalue(count).values


@pytest.mark.parametrize("error", [TypeError, KeyError])
def test_another_exception_at_sparsity_0_is_no_known_mistake(error):
    def broken(weights, sparsity):
        if sparsity == 0:
            raise error
        return drop_ties(weights, round(sparsity * len(weights)))

    assert check("1.2", broken).status == "error"


def test_an_exception_at_sparsity_0_of_an_exact_mask_is_no_known_mistake():
    def exact(weights, sparsity):
        if sparsity == 0:
            raise ValueError("nothing to remove")
        return exactly_k_of_the_package(weights, sparsity)

    result = check("1.2", exact)
    assert result.status == "error"
    assert "ValueError: nothing to remove" in result.text


@pytest.mark.parametrize("threshold", [lambda sorted, k: sorted[k - 1], lambda sorted, k: sorted[k]])
def test_ties_are_named_from_whichever_side_of_the_cut_the_threshold_is_read(threshold):
    def ends(weights, sparsity):
        count = round(sparsity * len(weights))
        return weights.abs(), threshold(weights.abs().sort().values, count), count == 0

    def all_go(weights, sparsity):
        magnitudes, at, nothing = ends(weights, sparsity)
        return (magnitudes > at) | nothing

    def all_stay(weights, sparsity):
        magnitudes, at, nothing = ends(weights, sparsity)
        return (magnitudes >= at) | nothing

    assert (check("1.2", all_go).code, check("1.2", all_stay).code) == ("mask.ties_all_go", "mask.ties_all_stay")


def test_a_schedule_that_runs_past_its_end_is_shown_there():
    result = check("1.6", EXERCISES["1.6"].mistakes["schedule.past_the_end"].answer)
    assert "step=12" in result.text
    assert "got 0.9072, expected 0.9" in result.text


def test_a_network_without_a_filter_gives_what_zeros_in_its_map_give():
    torch.manual_seed(0)
    shapes = {"convolution.weight": (4, 1, 2, 2), "linear.weight": (2, 16)}
    names = ("weight", "bias", "running_mean", "running_var")
    tensors = {name: torch.rand(shape) for name, shape in shapes.items()}
    tensors |= {f"batch_norm.{name}": torch.rand(4) + 0.5 for name in names}
    images = torch.rand(5, 1, 3, 3)

    def maps(tensors):
        mean, var, weight, bias = (tensors[f"batch_norm.{name}"] for name in (*names[2:], *names[:2]))
        return functional.batch_norm(functional.conv2d(images, tensors["convolution.weight"]), mean, var, weight, bias)

    whole = maps(tensors)
    whole[:, 1] = 0
    smaller = EXERCISES["1.8"].reference(tensors, 1, 4)
    torch.testing.assert_close(
        maps(smaller).flatten(1) @ smaller["linear.weight"].T, whole.flatten(1) @ tensors["linear.weight"].T
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda smaller: list(smaller.values()), "your function returned a list, expected a dict with convolution"),
        (lambda smaller: {"linear.weight": 0}, "returned a dict with linear.weight, expected a dict with convolution"),
        (lambda smaller: smaller | {"linear.bias": 0}, "linear.weight, linear.bias, expected a dict with"),
        (lambda smaller: smaller | {"linear.weight": smaller["linear.weight"].T}, "the shape is (12, 2), expected"),
        (lambda smaller: smaller | {"batch_norm.bias": None}, "batch_norm.bias: got None, expected [5.25, 5.75, 6]"),
    ],
)
def test_a_dict_that_is_not_the_right_one_is_described_by_what_differs(change, words):
    result = check("1.8", lambda *arguments: change(EXERCISES["1.8"].reference(*arguments)))
    assert result.status == "wrong"
    assert words in result.text


def test_the_names_of_a_dict_may_come_in_any_order():
    reference = EXERCISES["1.8"].reference
    assert check("1.8", lambda *arguments: dict(reversed(reference(*arguments).items()))).passed
