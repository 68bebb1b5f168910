"""Exercises of the chapters: right answers pass, every known wrong answer gets its code and nothing else does."""

import itertools
import math
import re

import numpy as np
import pytest

from labcore.lesson.checks import EXERCISES, check
from labcore.lesson.comparison import agrees
from learners import chapter_0, chapter_1, chapter_2, chapter_3, chapter_4

CHAPTERS = (chapter_0, chapter_1, chapter_2, chapter_3, chapter_4)


def table(name: str) -> dict:
    """One table of all chapters."""
    return {id: value for chapter in CHAPTERS for id, value in getattr(chapter, name, {}).items()}


RIGHT, WRONG, VARIANTS, NATURAL, UNKNOWN = map(table, ("RIGHT", "WRONG", "VARIANTS", "NATURAL", "UNKNOWN"))
# Right on the first input, and wrong on two others.
LATER = {
    "schedule.past_the_end", "quantize.zero_not_in_range", "quantize.range_of_width_zero",
    "binarize.complement_is_negative", "binarize.sign_bit", "binarize.clipped_at_the_end",
    "binarize.mean_of_no_weights", "binarize.division_by_no_weights",
}  # fmt: skip
MISTAKES = [(id, code) for id, codes in WRONG.items() for code in codes]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LABCORE_HOME", str(tmp_path))


def outcome(function, fixture):
    """What a function gives, or the exception that it raises."""
    try:
        return function(*fixture)
    except (RuntimeError, ZeroDivisionError) as error:
        return error


def assert_numbers(answer, expected, digits):
    if isinstance(expected, dict):
        assert answer.keys() == expected.keys()
        for name in expected:
            assert_numbers(answer[name], expected[name], digits)
    else:
        numbers = np.asarray(answer, dtype=float)
        assert numbers == pytest.approx(np.array(expected, dtype=float), rel=1e-6, abs=digits, nan_ok=True)


# --- right answers ---


@pytest.mark.parametrize("id", EXERCISES)
def test_the_reference_gives_the_number_of_the_table_and_passes(id):
    exercise = EXERCISES[id]
    assert_numbers(exercise.reference(*exercise.fixtures[0]), RIGHT[id], 1e-4)
    assert check(id, exercise.reference).passed


@pytest.mark.parametrize("id", EXERCISES)
def test_no_right_answer_leaves_a_number_open(id):
    # A NaN would agree with every number.
    exercise = EXERCISES[id]
    answers = [exercise.reference(*fixture) for fixture in exercise.fixtures]
    parts = [part for each in answers for part in (each.values() if isinstance(each, dict) else [each])]
    assert all(np.isfinite(np.asarray(part, dtype=float)).all() for part in parts)


@pytest.mark.parametrize(
    ("id", "variant"), [pytest.param(id, f, id=f.__name__) for id, functions in VARIANTS.items() for f in functions]
)
@pytest.mark.filterwarnings("ignore:.*FlopCounterMode.*")
def test_other_right_answers_pass(id, variant):
    assert check(id, variant).text == f"Exercise {id}: passed"


# --- wrong answers ---


def test_the_table_of_wrong_answers_is_complete():
    assert {id: set(exercise.mistakes) for id, exercise in EXERCISES.items()} == {
        id: set(codes) for id, codes in WRONG.items()
    }


@pytest.mark.case("C-weak-check")
@pytest.mark.case("C-wrong-formula")
@pytest.mark.parametrize(("id", "code"), MISTAKES)
def test_each_wrong_answer_gives_its_number_and_its_code(id, code):
    exercise = EXERCISES[id]
    mistake = exercise.mistakes[code]
    # Tensors of the inputs are float32.
    assert_numbers(mistake.answer(*exercise.fixtures[0]), WRONG[id][code], 1e-7 if id[0] in "01" else 1e-4)
    result = check(id, mistake.answer)
    assert (result.status, result.code, result.passed) == ("mistake", code, False)


@pytest.mark.case("C-weak-check")
@pytest.mark.parametrize(
    ("id", "code", "answer"),
    [pytest.param(id, *pair, id=f"{pair[0]}-{pair[1].__name__}") for id, pairs in NATURAL.items() for pair in pairs],
)
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
def test_each_wrong_answer_is_named_as_learners_write_it(id, code, answer):
    assert check(id, answer).code == code


def gap(one, other) -> float:
    """How far two answers are apart: infinitely if their shapes differ or one is an exception; NaN leaves it open."""
    if isinstance(one, dict):
        return max(gap(one[name], other[name]) for name in one)
    if isinstance(one, Exception) or isinstance(other, Exception):
        return 0 if type(one) is type(other) else math.inf
    one, other = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    return np.nan_to_num(np.abs(one - other)).max() if one.shape == other.shape else math.inf


@pytest.mark.case("C-weak-check")
@pytest.mark.parametrize("id", EXERCISES)
def test_inputs_keep_every_pair_of_answers_apart(id):
    exercise = EXERCISES[id]
    named = {"right": exercise.reference} | {code: mistake.answer for code, mistake in exercise.mistakes.items()}
    for (first, f), (second, g) in itertools.combinations(named.items(), 2):
        gaps = [gap(outcome(f, fixture), outcome(g, fixture)) for fixture in exercise.fixtures]
        # An answer near one of the two is farther than the tolerance from the other.
        assert max(gaps) > 2 * exercise.tolerance, (first, second)


@pytest.mark.parametrize(("id", "code"), MISTAKES)
def test_a_mistake_shows_on_the_input_of_the_chapter_and_on_another(id, code):
    exercise = EXERCISES[id]
    wrong = [
        not agrees(outcome(exercise.mistakes[code].answer, fixture), exercise.reference(*fixture), exercise.tolerance)
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
        answer, shift = outcome(exercise.mistakes[code].answer, arguments), 0.25 * (next(inputs) > 0)
        if isinstance(answer, dict):
            return {name: tensor + shift for name, tensor in answer.items()}
        return 0 if isinstance(answer, Exception) else np.asarray(answer, dtype=float) + shift

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
