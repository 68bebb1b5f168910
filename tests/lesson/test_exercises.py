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
}
RIGHT = {"0.1": 4_672, "0.2": 225_792, "0.3": 2_432, "0.4": (0.92865, 1), "0.5": 9}
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


VARIANTS = {
    "0.1": (parameters_by_layer, parameters_in_floats),
    "0.2": (macs_by_walking, macs_by_counter),
    "0.3": (bytes_rounded_up, bytes_of_rows),
    "0.4": (interval_of_scipy, interval_by_roots, interval_in_three_digits),
    "0.5": (time_sorted_in_place, time_of_statistics),
}

UNKNOWN = {
    "0.1": lambda i, o, k, g, bias: o * (i // g) * k**2 + 1,
    "0.2": lambda i, o, k, s, p, size: 2 * EXERCISES["0.2"].reference(i, o, k, s, 0, size),
    "0.3": lambda shape, bits, scale_bits: math.prod(shape) * 4 + shape[0] * 4,
    "0.4": lambda n_correct, n_images: (n_correct / n_images - 0.1, 1),
    "0.5": np.median,  # the warm-up counted, yet right on the first input
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LABCORE_HOME", str(tmp_path))


# --- right answers ---


@pytest.mark.parametrize("id", EXERCISES)
def test_the_reference_gives_the_number_of_the_table_and_passes(id):
    exercise = EXERCISES[id]
    assert exercise.reference(*exercise.fixtures[0]) == pytest.approx(RIGHT[id], abs=1e-4)
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
    assert mistake.answer(*exercise.fixtures[0]) == pytest.approx(FIRST[id][code], abs=1e-9)
    result = check(id, mistake.answer)
    assert (result.status, result.code, result.passed) == ("mistake", code, False)


@pytest.mark.case("C-weak-check")
@pytest.mark.parametrize("id", EXERCISES)
def test_inputs_keep_every_pair_of_answers_apart(id):
    exercise = EXERCISES[id]
    named = {"right": exercise.reference} | {code: mistake.answer for code, mistake in exercise.mistakes.items()}
    for (first, f), (second, g) in itertools.combinations(named.items(), 2):
        gaps = [np.max(np.abs(np.subtract(f(*fixture), g(*fixture)))) for fixture in exercise.fixtures]
        # An answer near one of the two is farther than the tolerance from the other.
        assert max(gaps) > 2 * exercise.tolerance, (first, second)


@pytest.mark.parametrize(("id", "code"), MISTAKES)
def test_a_mistake_shows_on_the_input_of_the_chapter_and_on_another(id, code):
    exercise = EXERCISES[id]
    wrong = [
        not checks._same(exercise.mistakes[code].answer(*fixture), exercise.reference(*fixture), exercise.tolerance)
        for fixture in exercise.fixtures
    ]
    assert wrong[0]
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
        answer = np.array(exercise.mistakes[code].answer(*arguments), dtype=float)
        return answer + 0.25 * (next(inputs) > 0)

    assert check(id, first_only).status == "wrong"


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
