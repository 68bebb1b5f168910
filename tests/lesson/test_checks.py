"""A check survives whatever a learner's function does, and says what it saw."""

import dataclasses

import numpy as np
import pytest
import torch

from labcore.lesson import checks
from labcore.lesson.checks import check, hint
from labcore.lesson.exercises import Exercise, Mistake
from labcore.lesson.progress import load_progress


@pytest.fixture(autouse=True)
def exercise(tmp_path, monkeypatch):
    """An exercise of our own: double a vector."""
    monkeypatch.setenv("LABCORE_HOME", str(tmp_path))
    own = Exercise(
        "9.1", "the double", ("vector",),
        ((np.array([1.0, 2.0, 4.0]),), (np.array([3.0, 0.5]),), (np.array([0.0, -1.0]),)),
        lambda vector: 2 * vector,
        {"double.square": Mistake(lambda vector: vector**2, "You squared.", "What is the double of 4?")},
        ("one", "two", "three"),
        tolerance=1e-3,
    )  # fmt: skip
    monkeypatch.setitem(checks.EXERCISES, "9.1", own)
    return own


@pytest.mark.parametrize(
    "answer",
    [
        lambda vector: [2 * float(x) for x in vector],
        lambda vector: tuple(x + x for x in vector),
        lambda vector: torch.tensor(vector, requires_grad=True) * 2,
        lambda vector: [torch.tensor(2 * x) for x in vector],
        lambda vector: 2 * vector + 5e-4,
    ],
    ids=["list", "tuple", "tensor", "list-of-tensors", "within-tolerance"],
)
def test_any_container_of_the_right_numbers_passes(answer):
    assert check("9.1", answer).passed


def test_a_stub_is_not_attempted_yet_and_costs_no_attempt():
    def stub(vector):
        raise NotImplementedError("Exercise 9.1: double the vector")

    result = check("9.1", stub)
    assert (result.text, result.status, result.attempt) == ("Exercise 9.1: not attempted yet", "not attempted", 0)
    assert load_progress()["attempts"] == {}


def test_a_stub_behind_a_condition_is_not_attempted_either():
    def half_done(vector):
        if vector[0] == 0:
            raise NotImplementedError
        return 2 * vector

    assert check("9.1", half_done).status == "not attempted"


def test_an_exception_is_shown_with_its_type_and_input():
    result = check("9.1", lambda vector: vector[7])
    assert result.status == "error"
    assert result.text == (
        "Exercise 9.1: not yet\nwith vector=[1, 2, 4]: your function raised IndexError: "
        "index 7 is out of bounds for axis 0 with size 3"
    )


def raise_at_zero(vector):
    if (vector == 0).any():
        raise IndexError("nothing there")
    return 3 * vector


@pytest.fixture
def raising(exercise, monkeypatch):
    """A second mistake, which multiplies by 3 and raises where the vector holds a 0."""
    mistake = Mistake(raise_at_zero, "You raised.", "Where?", raises=(IndexError, ValueError))
    own = dataclasses.replace(exercise, mistakes=exercise.mistakes | {"double.raises": mistake})
    monkeypatch.setitem(checks.EXERCISES, "9.1", own)


@pytest.mark.usefixtures("raising")
@pytest.mark.parametrize("error", [IndexError, ValueError, UnicodeError])
def test_a_mistake_that_raises_is_named_and_shown_on_the_input_where_it_raises(error):
    def same_mistake(vector):
        if vector[0] == 0:
            raise error("gone")
        return 3 * vector

    result = check("9.1", same_mistake)
    assert (result.status, result.code) == ("mistake", "double.raises")
    assert result.text.splitlines()[1:] == [
        "You raised.",
        f"with vector=[0, -1]: your function raised {error.__name__}: gone",
        "Where?",
    ]


def other_numbers(vector):
    return raise_at_zero(vector) + 1


def other_type(vector):
    return vector.missing if vector[0] == 0 else 3 * vector


def raises_elsewhere(vector):
    return vector[2] and 3 * vector


@pytest.mark.usefixtures("raising")
@pytest.mark.parametrize("answer", [other_numbers, other_type, raises_elsewhere, lambda vector: vector[9]])
def test_an_exception_alone_does_not_name_a_mistake(answer):
    assert (check("9.1", answer).status, check("9.1", answer).code) == ("error", None)


@pytest.mark.usefixtures("raising")
def test_a_value_where_a_mistake_raises_is_not_that_mistake():
    assert check("9.1", lambda vector: 3 * vector).status == "wrong"


def test_an_exception_goes_before_a_wrong_number_on_an_earlier_input():
    result = check("9.1", raise_at_zero)
    assert (result.status, result.code) == ("error", None)
    assert "with vector=[0, -1]: your function raised IndexError: nothing there" in result.text


def test_an_operation_that_pytorch_lacks_for_a_type_is_an_error_not_a_stub():
    result = check("9.1", lambda vector: torch.softmax(torch.tensor(vector).long(), 0))
    assert result.status == "error"
    assert "NotImplementedError" in result.text


def test_a_function_with_other_arguments_is_an_exception_to_show():
    assert "TypeError" in check("9.1", lambda: 3).text


def test_an_interrupt_is_not_held_back():
    def slow(vector):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check("9.1", slow)


def test_a_value_in_place_of_the_function_is_explained():
    result = check("9.1", np.array([2.0, 4.0, 8.0]))
    assert result.status == "error"
    assert "expected a function, got [2, 4, 8]: pass the function without calling it" in result.text


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda vector: None, "returned nothing"),
        (lambda vector: "2, 4, 8", "returned a str that does not hold numbers only"),
        (lambda vector: ["2", "4", "8"], "returned a list"),
        (lambda vector: [2, None, 8], "returned a list"),
        (lambda vector: [[2], [4, 8]], "returned a list"),
        (lambda vector: {"a": 2}, "returned a dict"),
        (lambda vector: 1j * vector, "returned a ndarray"),
        (lambda vector: (2 * vector)[:, None], "the shape is (3, 1), expected (3,)"),
        (lambda vector: 2 * vector[:-1], "the shape is (2,), expected (3,)"),
        (lambda vector: [], "the shape is (0,), expected (3,)"),
        (lambda vector: vector * np.nan, "not a number (NaN)"),
        (lambda vector: vector * np.inf, "smallest difference: inf"),
        (lambda vector: 2 * vector + [0, 0.5, 0.25][: len(vector)], "smallest difference: 0.25"),
    ],
)
@pytest.mark.filterwarnings("ignore:Casting complex values")
@pytest.mark.filterwarnings("ignore:invalid value")
def test_whatever_comes_is_compared_and_described(answer, words):
    result = check("9.1", answer)
    assert result.status == "wrong"
    assert words in result.text
    assert "expected [2, 4, 8]" in result.text


def test_a_wrong_answer_is_shown_on_the_first_input_it_fails():
    result = check("9.1", lambda vector: 2 * abs(vector))
    assert "with vector=[0, -1]: got [0, 2], expected [0, -2]" in result.text
    assert result.text.endswith("smallest difference: 4")


def test_a_known_mistake_says_what_how_it_shows_and_asks():
    assert check("9.1", lambda vector: vector * vector).text.splitlines() == [
        "Exercise 9.1: not yet",
        "You squared.",
        "with vector=[1, 2, 4]: got [1, 4, 16], expected [2, 4, 8]",
        "What is the double of 4?",
    ]


def test_numbers_stand_on_one_line_with_one_space_between_them_and_0_has_no_sign():
    got = [-0.0, *(-0.123 for _ in range(37))]
    words = check("9.1", lambda vector: [got]).text.split("got ")[1].split(", expected")[0]
    assert words == f"[[0, {', '.join(['-0.123'] * 37)}]]"


def test_an_answer_cannot_spoil_the_inputs(exercise):
    def spoil(vector):
        vector *= 2
        return vector

    assert check("9.1", spoil).passed
    assert exercise.fixtures[0][0].tolist() == [1, 2, 4]
    assert check("9.1", spoil).passed


def test_attempts_are_recorded_with_their_outcome_but_never_shown():
    outcomes = [
        check("9.1", answer)
        for answer in (lambda v: v**2, lambda v: v, lambda v: v[9], lambda v: 2 * v, lambda v: 2 * v)
    ]
    assert [result.attempt for result in outcomes] == [1, 2, 3, 4, 5]
    assert load_progress()["attempts"]["9.1"] == ["double.square", "wrong", "error", "passed", "passed"]
    assert outcomes[3]._repr_mimebundle_() == outcomes[4]._repr_mimebundle_()


def test_html_holds_the_words_and_no_markup_of_the_learner():
    bundle = check("9.1", lambda vector: "<script>alert(1)</script>")._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert "&lt;script&gt;" in bundle["text/html"]
    assert "<script>" not in bundle["text/html"]


def test_an_unknown_exercise_lists_the_known_ones():
    for call in (lambda: check("7.7", abs), lambda: hint("7.7", 1)):
        with pytest.raises(ValueError, match=r"unknown exercise '7.7'; choose one of: 0.1, 0.2"):
            call()


def test_hints_come_one_after_the_other_and_stay_folded():
    assert [hint("9.1", step).text for step in (1, 2, 3)] == [
        f"Exercise 9.1, hint {step} of 3: {words}" for step, words in ((1, "one"), (2, "two"), (3, "three"))
    ]
    assert hint("9.1", 1).html.startswith("<details")
    with pytest.raises(ValueError, match="step must be from 1 to 3, got 4"):
        hint("9.1", 4)
