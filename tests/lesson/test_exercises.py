"""Exercises of the chapters: right answers pass, every known wrong answer gets its code and nothing else does."""

import itertools
import math
import re
import statistics

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from labcore.lesson import checks
from labcore.lesson.checks import EXERCISES, check
from labcore.prune import cubic
from labcore.prune.masks import drop_lowest, masks_n_m

# The table of wrong answers: what each gives on the first input of its exercise.
FIRST = {
    "0.1": {
        "cost.groups_ignored": 18_496,
        "cost.bias_forgotten": 4_608,
        "cost.bias_per_input_channel": 4_640,
        "cost.filters_split": 1_216,
        "cost.kernel_not_squared": 1_600,
    },
    "0.2": {
        "cost.input_size": 903_168,
        "cost.flops": 451_584,
        "cost.padding_forgotten": 165_888,
        "cost.bias_counted": 227_360,
    },
    "0.3": {
        "cost.scales_forgotten": 2_304,
        "cost.one_scale": 2_308,
        "cost.scales_on_input_axis": 2_368,
        "cost.not_packed": 4_736,
        "cost.bits_for_bytes": 19_456,
    },
    "0.4": {"interval.no_width": (1, 1)},
    "0.5": {"timing.warmup_counted": 15.4, "timing.mean": 104 / 9},
    "1.1": {"mask.sign_kept": (1, 0, 0, 0, 1), "mask.of_what_goes": (0, 1, 1, 0, 0)},
    "1.2": {
        "mask.ties_all_go": (0, 0, 0, 0, 1, 1, 1, 1, 1, 1),
        "mask.ties_all_stay": (1, 1, 1, 1, 1, 1, 1, 1, 1, 1),
        "mask.ties_go_last_first": (1, 0, 0, 0, 1, 1, 1, 1, 1, 1),
        "mask.last_position_at_zero": (0, 0, 0, 0, 1, 1, 1, 1, 1, 1),
        "mask.sparsity_is_kept": (0, 0, 0, 0, 0, 0, 0, 1, 1, 1),
        "mask.signed_sort": (0, 0, 1, 1, 1, 0, 1, 1, 1, 1),
    },
    "1.3": {"step.grew_back": (0.481, -0.058), "step.momentum_not_masked": (0.481, -0.018)},
    "1.4": {"rank.signs_cancel": (0, 2, -1.5), "rank.wrong_axis": (4.5, 6)},
    "1.5": {
        "surgery.one_column": [[0, *range(2, 16)], [100, *range(102, 116)]],
        "surgery.every_nth_column": [[i + j for j in (0, 2, 3, 4, 6, 7, 8, 10, 11, 12, 14, 15)] for i in (0, 100)],
    },
    "1.6": {"schedule.linear": 0.45, "schedule.upside_down": 0.1125, "schedule.past_the_end": 0.7875},
    "1.7": {
        "groups.ranked_over_all": [[1, 1, 1, 1], [0, 0, 0, 0]],
        "groups.along_outputs": [[1, 1, 1, 1], [0, 0, 0, 0]],
    },
}
RIGHT = {
    "0.1": 4_672, "0.2": 225_792, "0.3": 2_432, "0.4": (0.92865, 1), "0.5": 9,
    "1.1": (1, 0, 0, 1, 1),
    "1.2": (0, 0, 0, 1, 1, 1, 1, 1, 1, 1),
    "1.3": (0.481, 0),
    "1.4": (6, 2, 2.5),
    "1.5": [[0, 1, 2, 3, *range(8, 16)], [100, 101, 102, 103, *range(108, 116)]],
    "1.6": 0.7875,
    "1.7": [[1, 0, 1, 0], [0, 0, 1, 1]],
}  # fmt: skip
LATER = {"schedule.past_the_end"}  # right on the first input, and wrong on two others
MISTAKES = [(id, code) for id, codes in FIRST.items() for code in codes]


# --- other right answers, as learners write them ---


def parameters_by_layer(in_channels, out_channels, kernel, groups, bias):
    layer = nn.Conv2d(in_channels, out_channels, kernel, groups=groups, bias=bias)
    return sum(parameter.numel() for parameter in layer.parameters())


def parameters_in_floats(in_channels, out_channels, kernel, groups, bias):
    return torch.tensor([in_channels / groups * kernel * kernel * out_channels + (out_channels if bias else 0)])


def macs_by_walking(in_channels, out_channels, kernel, stride, padding, size):
    stops = [x for x in range(-padding, size + padding) if (x + padding) % stride == 0 and x + kernel <= size + padding]
    return sum(out_channels * in_channels * kernel * kernel for _ in itertools.product(stops, stops))


def macs_by_counter(in_channels, out_channels, kernel, stride, padding, size):
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding)(torch.empty(1, in_channels, size, size))
    return counter.get_total_flops() / 2


def bytes_rounded_up(shape, bits, scale_bits):
    return math.ceil(np.prod(shape) * bits / 8) + math.ceil(shape[0] * scale_bits / 8)


def bytes_of_rows(shape, bits, scale_bits):
    return sum((math.prod(shape[1:]) * bits + scale_bits) / 8 for _ in range(shape[0]))


def interval_of_scipy(n_correct, n_images):
    interval = binomtest(n_correct, n_images).proportion_ci(0.95, "wilson")
    return [interval.low, interval.high]


def interval_by_roots(n_correct, n_images):
    p, z2 = n_correct / n_images, 1.96**2 / n_images
    return np.sort(np.roots([1 + z2, -(2 * p + z2), p * p]))


def interval_in_three_digits(n_correct, n_images):
    return tuple(round(end, 3) for end in interval_of_scipy(n_correct, n_images))


def time_sorted_in_place(samples_ms):
    rest = samples_ms[1:]
    rest.sort()
    return (rest[(len(rest) - 1) // 2] + rest[len(rest) // 2]) / 2


def time_of_statistics(samples_ms):
    return statistics.median(list(samples_ms)[1:])


def mask_in_a_loop(weights, threshold):
    return [1 if abs(float(weight)) > threshold else 0 for weight in weights]


def mask_in_place(weights, threshold):
    weights[weights.abs() < threshold] = 0
    return weights != 0


def exactly_k_by_sorted(weights, sparsity):
    gone = sorted(range(len(weights)), key=lambda i: abs(weights[i]))[: int(len(weights) * sparsity + 0.5)]
    return [float(i not in gone) for i in range(len(weights))]


def exactly_k_of_the_package(weights, sparsity):
    return drop_lowest(weights.abs(), round(sparsity * len(weights)))


def step_of_pytorch(weights, velocity, gradient, mask, momentum, learning_rate):
    parameter = nn.Parameter(weights)
    optimizer = torch.optim.SGD([parameter], learning_rate, momentum=momentum)
    optimizer.state[parameter]["momentum_buffer"] = velocity
    parameter.grad = gradient
    optimizer.step()
    return mask * parameter


def step_with_everything_masked(weights, velocity, gradient, mask, momentum, learning_rate):
    velocity.mul_(momentum).add_(gradient).mul_(mask)
    return (weights - learning_rate * velocity).tolist()


def scores_by_norm(filters):
    return torch.linalg.vector_norm(filters, ord=1, dim=1)


def scores_in_a_loop(filters):
    return [sum(abs(weight) for weight in row) for row in filters.tolist()]


def smaller_linear_by_blocks(weight, map_index, map_size):
    blocks = list(weight.split(map_size, dim=1))
    del blocks[map_index]
    return torch.cat(blocks, dim=1)


def smaller_linear_by_numpy(weight, map_index, map_size):
    return np.delete(weight.numpy(), np.arange(map_size) + map_index * map_size, axis=1)


def agp_of_the_package(step, start, end, initial, final):
    return cubic(step, start=start, end=end, initial=initial, final=final)


def agp_by_what_is_left(step, start, end, initial, final):
    left = max(end - step, 0) / (end - start)
    return initial * left**3 + final * (1 - left**3)


def two_of_four_in_loops(weights):
    mask = torch.ones_like(weights)
    for row, begin in itertools.product(range(weights.shape[0]), range(0, weights.shape[1], 4)):
        for i in sorted(range(begin, begin + 4), key=lambda i: weights[row, i].abs())[:2]:
            mask[row, i] = 0
    return mask


def two_of_four_of_the_package(weights):
    return masks_n_m({"weight": weights.abs()})["weight"]


VARIANTS = {
    "0.1": (parameters_by_layer, parameters_in_floats),
    "0.2": (macs_by_walking, macs_by_counter),
    "0.3": (bytes_rounded_up, bytes_of_rows),
    "0.4": (interval_of_scipy, interval_by_roots, interval_in_three_digits),
    "0.5": (time_sorted_in_place, time_of_statistics),
    "1.1": (mask_in_a_loop, mask_in_place),
    "1.2": (exactly_k_by_sorted, exactly_k_of_the_package),
    "1.3": (step_of_pytorch, step_with_everything_masked),
    "1.4": (scores_by_norm, scores_in_a_loop),
    "1.5": (smaller_linear_by_blocks, smaller_linear_by_numpy),
    "1.6": (agp_of_the_package, agp_by_what_is_left),
    "1.7": (two_of_four_in_loops, two_of_four_of_the_package),
}

UNKNOWN = {
    "0.1": lambda i, o, k, g, bias: o * (i // g) * k**2 + 1,
    "0.2": lambda i, o, k, s, p, size: 2 * EXERCISES["0.2"].reference(i, o, k, s, 0, size),
    "0.3": lambda shape, bits, scale_bits: math.prod(shape) * 4 + shape[0] * 4,
    "0.4": lambda n_correct, n_images: (n_correct / n_images - 0.1, 1),
    "0.5": np.median,  # the warm-up counted, yet right on the first input
    "1.1": lambda weights, threshold: weights * (weights.abs() >= threshold),
    "1.2": lambda weights, sparsity: drop_lowest(-weights.abs(), round(sparsity * len(weights))),
    "1.3": lambda w, v, g, mask, momentum, lr: mask * (w - lr * g),
    "1.4": lambda filters: filters.norm(dim=1),
    "1.5": lambda weight, map_index, map_size: weight[:, map_size:],
    "1.6": lambda step, start, end, initial, final: final + (initial - final) * (1 - min(step / end, 1)) ** 2,
    "1.7": lambda weights: 1 - EXERCISES["1.7"].reference(weights),
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LABCORE_HOME", str(tmp_path))


# --- right answers ---


@pytest.mark.parametrize("id", EXERCISES)
def test_the_reference_gives_the_number_of_the_table_and_passes(id):
    exercise = EXERCISES[id]
    assert np.asarray(exercise.reference(*exercise.fixtures[0])) == pytest.approx(np.array(RIGHT[id]), abs=1e-4)
    assert check(id, exercise.reference).passed


@pytest.mark.parametrize(
    ("id", "variant"), [pytest.param(id, f, id=f.__name__) for id, functions in VARIANTS.items() for f in functions]
)
@pytest.mark.filterwarnings("ignore:.*FlopCounterMode.*")
def test_other_right_answers_pass(id, variant):
    assert check(id, variant).text == f"Exercise {id}: passed"


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


# --- wrong answers ---


def test_the_table_of_wrong_answers_is_complete():
    assert {id: set(exercise.mistakes) for id, exercise in EXERCISES.items()} == {
        id: set(codes) for id, codes in FIRST.items()
    }


@pytest.mark.case("C-weak-check")
@pytest.mark.case("C-wrong-formula")
@pytest.mark.parametrize(("id", "code"), MISTAKES)
def test_each_wrong_answer_gives_its_number_and_its_code(id, code):
    exercise = EXERCISES[id]
    mistake = exercise.mistakes[code]
    # Tensors of the inputs are float32.
    assert np.asarray(mistake.answer(*exercise.fixtures[0])) == pytest.approx(np.array(FIRST[id][code]), abs=1e-7)
    result = check(id, mistake.answer)
    assert (result.status, result.code, result.passed) == ("mistake", code, False)


def gap(one, other) -> float:
    """How far two answers are apart: infinitely if their shapes differ."""
    one, other = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    return np.abs(one - other).max() if one.shape == other.shape else math.inf


@pytest.mark.case("C-weak-check")
@pytest.mark.parametrize("id", EXERCISES)
def test_inputs_keep_every_pair_of_answers_apart(id):
    exercise = EXERCISES[id]
    named = {"right": exercise.reference} | {code: mistake.answer for code, mistake in exercise.mistakes.items()}
    for (first, f), (second, g) in itertools.combinations(named.items(), 2):
        gaps = [gap(f(*fixture), g(*fixture)) for fixture in exercise.fixtures]
        # An answer near one of the two is farther than the tolerance from the other.
        assert max(gaps) > 2 * exercise.tolerance, (first, second)


@pytest.mark.parametrize(("id", "code"), MISTAKES)
def test_a_mistake_shows_on_the_input_of_the_chapter_and_on_another(id, code):
    exercise = EXERCISES[id]
    wrong = [
        not checks._same(exercise.mistakes[code].answer(*fixture), exercise.reference(*fixture), exercise.tolerance)
        for fixture in exercise.fixtures
    ]
    assert wrong[0] == (code not in LATER)
    assert sum(wrong) >= 2


@pytest.mark.parametrize("id", EXERCISES)
def test_an_unknown_wrong_answer_gets_no_diagnosis(id):
    result = check(id, UNKNOWN[id])
    assert (result.status, result.code) == ("wrong", None)
    spoken = [words for mistake in EXERCISES[id].mistakes.values() for words in (mistake.diagnosis, mistake.question)]
    assert not any(words in result.text for words in spoken)
    assert re.search(r"with .*: got .*, expected .*\nsmallest difference: \d", result.text)


@pytest.mark.parametrize(("id", "code"), MISTAKES)
def test_an_answer_that_agrees_with_a_mistake_on_the_first_input_only_is_not_named(id, code):
    exercise = EXERCISES[id]
    inputs = iter(range(len(exercise.fixtures)))

    def first_only(*arguments):
        answer = np.asarray(exercise.mistakes[code].answer(*arguments), dtype=float)
        return answer + 0.25 * (next(inputs) > 0)

    assert check(id, first_only).status == "wrong"


def test_a_threshold_that_cannot_be_read_at_sparsity_0_is_shown_with_this_input():
    result = check("1.2", lambda weights, sparsity: drop_ties(weights, round(sparsity * len(weights))))
    assert result.status == "error"
    assert "sparsity=0: your function raised" in result.text


def drop_ties(weights, count):
    return weights.abs() > weights.abs().kthvalue(count).values


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


# --- words ---


def test_codes_are_stable_names_and_unique():
    codes = [code for exercise in EXERCISES.values() for code in exercise.mistakes]
    assert all(re.fullmatch(r"[a-z]+\.[a-z_]+", code) for code in codes)
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_a_diagnosis_ends_in_one_question_and_there_are_three_hints(exercise):
    for mistake in exercise.mistakes.values():
        assert mistake.question.endswith("?")
        assert mistake.diagnosis.startswith("You ")
    assert len(set(exercise.hints)) == 3
    assert len(exercise.fixtures) >= 3
