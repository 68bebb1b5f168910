"""Exercises of chapter 3 agree with what their formulas promise."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from labcore.lesson.checks import EXERCISES

LOGITS = st.lists(st.lists(st.floats(-6, 6, width=32), min_size=3, max_size=3), min_size=2, max_size=2)


@given(LOGITS, st.floats(0.5, 20))
def test_shares_sum_to_1_and_keep_their_order_at_any_temperature(logits, temperature):
    logits = torch.tensor(logits)
    shares = EXERCISES["3.1"].reference(logits, temperature)
    assert shares.sum(1).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert (shares.gather(1, logits.argsort(1)).diff(dim=1) >= -1e-6).all()


@pytest.mark.case("C-wrong-formula")
def test_the_first_row_of_the_softmax_that_is_none_sums_to_0_80():
    exercise = EXERCISES["3.1"]
    sums = exercise.mistakes["distill.softmax_over_images"].answer(*exercise.fixtures[0]).sum(1)
    assert float(sums[0]) == pytest.approx(0.80, abs=0.005)


@given(LOGITS, LOGITS, st.floats(1, 8), st.floats(0, 1))
def test_the_loss_is_that_of_the_labels_plus_a_soft_term_that_is_never_negative(student, teacher, temperature, alpha):
    student, teacher, labels = torch.tensor(student), torch.tensor(teacher), torch.tensor([0, 2])
    loss = EXERCISES["3.2"].reference(student, teacher, labels, temperature, alpha)
    hard = (1 - alpha) * functional.cross_entropy(student, labels).item()
    assert loss >= hard - 1e-4
    with_its_own_shares = EXERCISES["3.2"].reference(student, student + 1, labels, temperature, alpha)
    assert with_its_own_shares.item() == pytest.approx(hard, abs=1e-4)


@pytest.mark.parametrize("fixture", EXERCISES["3.4"].fixtures, ids=["last", "first", "middle"])
def test_one_bias_wins_on_the_validation_images_and_another_on_the_test_images(fixture):
    validation, test, missing, candidates = fixture
    rights = []
    for images in (validation, test):
        added = np.zeros((len(candidates), 1, 3))
        added[:, 0, missing] = candidates
        rights.append(((images["logits"].numpy() + added).argmax(2) == images["labels"].numpy()).mean(1))
    winners = [np.flatnonzero(right == right.max()) for right in rights]
    assert len(winners[0]) == len(winners[1]) == 1
    assert winners[0] != winners[1]
    assert 2 <= candidates[winners[0].item()] <= 4


def test_at_the_largest_bias_the_missing_class_is_found_and_a_third_of_the_others_is_lost():
    _, test, missing, candidates = EXERCISES["3.4"].fixtures[0]
    moved = test["logits"] + candidates[-1] * functional.one_hot(torch.tensor(missing), 3)
    right = moved.argmax(1) == test["labels"]
    of_missing = test["labels"] == missing
    assert right[of_missing].all()
    assert right[~of_missing].float().mean() == pytest.approx(2 / 3)


def test_an_attention_map_does_not_depend_on_signs_nor_on_the_other_images():
    features = torch.rand(3, 4, 2, 5) - 0.5
    maps = EXERCISES["3.6"].reference(features)
    assert maps.norm(dim=1).tolist() == pytest.approx([1, 1, 1], abs=1e-5)
    torch.testing.assert_close(maps, EXERCISES["3.6"].reference(features.abs()))
    torch.testing.assert_close(maps[1:2], EXERCISES["3.6"].reference(features[1:2]))
