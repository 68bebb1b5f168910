"""Exercises of chapter 4 agree with what their formulas promise."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from labcore import binarize
from labcore.lesson.checks import EXERCISES, check

WEIGHTS = st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=9)
SIGNS = st.lists(st.tuples(*[st.sampled_from((-1, 1))] * 2), min_size=1, max_size=64)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LABCORE_HOME", str(tmp_path))


def error(weights, alpha) -> float:
    """Squared error of alpha times the signs."""
    weights = weights.double().numpy()
    return float(np.square(weights - float(alpha) * np.where(weights < 0, -1, 1)).sum())


def packed(signs) -> int:
    return sum((sign < 0) << place for place, sign in enumerate(signs))


@pytest.mark.parametrize(
    ("id", "of_the_library"),
    [
        ("4.1", lambda weights: binarize.fit_binary(weights).alpha.flatten()),
        ("4.2", binarize.surrogate_slope),
        ("4.4", binarize.binary_sign),
        ("4.6", lambda weights: binarize.fit_ternary(weights[None]).values[0]),
    ],
)
def test_the_library_gives_the_answers_of_the_exercises(id, of_the_library):
    assert check(id, of_the_library).text == f"Exercise {id}: passed"


# --- 4.1 ---


@given(WEIGHTS)
def test_alpha_is_the_least_squares_size_of_the_signs(weights):
    signs = np.where(np.array(weights) < 0, -1.0, 1.0)
    (least,), *_ = np.linalg.lstsq(signs[:, None], np.array(weights), rcond=None)
    assert float(EXERCISES["4.1"].reference(torch.tensor([weights]))) == pytest.approx(least, abs=1e-6)


@pytest.mark.parametrize("code", ["alpha_length_over_n", "alpha_root_mean_square"])
def test_a_diagnosis_of_alpha_quotes_the_errors_of_the_first_filter(code):
    exercise = EXERCISES["4.1"]
    weights, mistake = exercise.fixtures[0][0], exercise.mistakes[f"binarize.{code}"]
    quoted = [float(number) for number in re.findall(r"\d\.\d{3}", mistake.diagnosis)]
    found = [error(weights[0], answer(weights)[0]) for answer in (mistake.answer, exercise.reference)]
    assert found == pytest.approx(quoted, abs=5e-4)


# --- 4.2 ---


@given(st.lists(st.floats(-3, 3, width=32).filter(lambda r: abs(r) != 1), min_size=1))
def test_the_slope_is_that_of_a_hard_tangent(r):
    r = torch.tensor(r, requires_grad=True)
    functional.hardtanh(r).sum().backward()
    assert EXERCISES["4.2"].reference(r.detach()).tolist() == r.grad.tolist()


@pytest.mark.case("C-wrong-formula")
def test_with_the_printed_formula_a_negative_weight_walks_away_from_its_target():
    # Loss: (sign(r) - 1)^2 / 2, so r has to become positive.
    exercise = EXERCISES["4.2"]
    moved = []
    for slope in (exercise.reference, exercise.mistakes["binarize.slope_as_printed"].answer):
        r = torch.tensor([-0.2])
        for _ in range(3):
            r = r - 0.06 * (torch.where(r < 0, -1, 1) - 1) * slope(r)
        moved.append(r.item())
    assert moved[0] > 0 > -0.2 > moved[1]


# --- 4.3 ---


@given(SIGNS, st.integers(0, 64))
def test_the_bits_give_the_product_of_the_signs_whatever_the_word(pairs, unused):
    a, b = np.array(pairs).T
    n = len(pairs)
    dot = EXERCISES["4.3"].reference(packed(a.tolist()), packed(b.tolist()), n, n + unused)
    assert dot == a @ b
    assert (dot - n) % 2 == 0


@pytest.mark.parametrize("fixture", EXERCISES["4.3"].fixtures)
def test_words_have_unused_bits_and_all_of_them_are_0(fixture):
    a, b, n, word = fixture
    assert max(a, b) < 2**n < 2**word


def test_the_words_of_the_chapter_are_its_two_rows_of_signs():
    a, b, n, word = EXERCISES["4.3"].fixtures[0]
    rows = [f"{each:0{n}b}".replace("0", "+").replace("1", "-") for each in (a, b)]
    assert (rows, word) == (["+-++-", "++-+-"], 8)


# --- 4.4 ---


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-45, -1e-45, 3.4e38, -3.4e38])
def test_a_sign_has_two_values_and_zero_is_positive(value):
    assert EXERCISES["4.4"].reference(torch.tensor([value])).tolist() == [1 if value >= 0 else -1]


# --- 4.5 ---


@given(WEIGHTS, st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=6), st.floats(0.01, 1))
def test_latent_weights_stay_in_range_and_reach_no_farther_than_their_steps(weights, steps, learning_rate):
    weights = torch.tensor(weights).clamp(-1, 1)
    gradients = torch.tensor(steps)[:, None].expand(-1, len(weights))
    after = EXERCISES["4.5"].reference(weights, gradients, learning_rate)
    assert after.abs().max() <= 1
    assert (after - weights).abs().max() <= learning_rate * sum(map(abs, steps)) + 1e-5


def test_a_hundred_small_steps_move_the_latent_weight_by_a_tenth_and_the_stepped_sign_not_at_all():
    weights, gradients, learning_rate = EXERCISES["4.5"].fixtures[0]
    assert (len(gradients), learning_rate) == (100, 0.01)
    after = EXERCISES["4.5"].reference(*EXERCISES["4.5"].fixtures[0])
    assert float(weights[0] - after[0]) == pytest.approx(0.1, abs=1e-5)
    stepped = EXERCISES["4.5"].mistakes["binarize.stepped_the_sign"].answer(weights, gradients, learning_rate)
    assert stepped.tolist() == weights.sign().tolist()


# --- 4.6 ---


@given(WEIGHTS)
def test_ternary_weights_have_three_values_and_alpha_is_best_for_those_that_are_kept(weights):
    weights = torch.tensor(weights)
    ternary = EXERCISES["4.6"].reference(weights)
    codes, n_kept = ternary.sign(), int(ternary.count_nonzero())
    assert len(set(ternary.abs().tolist()) - {0.0}) == (n_kept > 0)
    assert (codes * weights >= 0).all()
    best = float((codes * weights).sum()) / max(n_kept, 1)
    assert float(ternary.abs().max()) == pytest.approx(best, rel=1e-5)
    assert weights.abs()[codes == 0].sum() <= 0.701 * weights.abs().mean() * (len(weights) - n_kept)


@pytest.mark.case("B-tern")
def test_a_layer_of_zeros_stays_zeros():
    assert EXERCISES["4.6"].reference(torch.zeros(4)).tolist() == [0] * 4


def test_zeros_that_become_another_number_are_not_named():
    exercise = EXERCISES["4.6"]
    result = check("4.6", lambda weights: exercise.reference(weights) + (not weights.any()))
    assert (result.status, result.code) == ("wrong", None)


def test_the_edges_belong_to_the_slope():
    r = torch.tensor([-1.0, 1.0, 1.0001])
    assert EXERCISES["4.2"].reference(r).tolist() == [1, 1, 0]
    assert binarize.surrogate_slope(r, "printed").tolist() == [-1, 1, 0]


@pytest.mark.parametrize("weights", [[0.7, -1.3], [0.695, 1.305, -1.0], [0.705, -1.0, 1.295]])
def test_the_third_value_is_that_of_the_library_for_weights_near_the_threshold(weights):
    expected = binarize.fit_ternary(torch.tensor([weights])).values[0]
    assert torch.allclose(EXERCISES["4.6"].reference(torch.tensor(weights)), expected)
