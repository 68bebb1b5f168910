"""Answers agree when they hold the same numbers in the same places; what differs is found and shown."""

import numpy as np
import pytest
import torch

from labcore.lesson.comparison import agrees, describe_difference, first_part, shown

NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("got", "expected", "agree"),
    [
        ([1, 2], torch.tensor([1.0, 2.0]), True),
        ([1, 2.002], [1, 2], False),
        ([1, 2], [1, NAN], True),
        ([2, 2], [1, NAN], False),
        ([1, NAN], [1, 2], False),
        ([1, NAN], [1, NAN], True),
        ([1, 2, 3], [1, NAN], False),
        (3, NAN, True),
        ([1, NAN], [1, INFINITY], True),
        ([1, INFINITY], [1, INFINITY], True),
        ([1, 2], [1, INFINITY], False),
        ([2, NAN], [1, INFINITY], False),
        ([1, INFINITY], [1, 2], False),
        (ValueError("three"), INFINITY, False),
        ("three", NAN, False),
        (ValueError("three"), NAN, False),
        (3, ValueError("three"), False),
        ({"a": 1, "b": [2, 3]}, {"b": (2, 3), "a": torch.tensor(1)}, True),
        ({"a": 1, "b": [2, 4]}, {"a": 1, "b": [2, 3]}, False),
        ({"a": 1, "b": [2, 4]}, {"a": 1, "b": [2, NAN]}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ([1], {"a": 1}, False),
        ({"a": 1}, [1], False),
        ({}, {"a": 1}, False),
    ],
)
def test_the_same_numbers_agree_nan_leaves_a_number_open_and_infinity_takes_nan(got, expected, agree):
    assert agrees(got, expected, 1e-3) is agree


def test_of_two_dicts_the_first_entry_that_differs_is_shown():
    got, expected = {"c": 9, "b": [2, 4], "a": 1}, {"a": 1, "b": [2, 3], "c": 8}
    assert first_part(got, expected, 1e-3) == ("b: ", [2, 4], [2, 3])
    assert first_part({"a": 1}, expected, 1e-3) == ("", {"a": 1}, expected)
    assert first_part([1], [2], 1e-3) == ("", [1], [2])


@pytest.mark.parametrize(
    ("got", "words"),
    [
        (None, "your function returned nothing"),
        ((1, 2), "your function returned a tuple, expected a dict with a, b"),
        ({}, "your function returned a dict with nothing, expected a dict with a, b"),
        ({"a": 1, 7: 2}, "your function returned a dict with a, 7, expected a dict with a, b"),
    ],
)
def test_what_is_no_dict_of_the_right_names_is_described(got, words):
    assert describe_difference(got, {"a": 1, "b": 2}, 1e-3) == words


def test_a_dict_is_shown_on_one_line_and_its_large_tensors_by_their_shape():
    value = {"epochs": 20, "w": torch.ones(3, 3), "b": np.array([1.5, -0.0]), 5: "words"}
    assert shown(value) == "{epochs: 20, w: shape (3, 3), b: [1.5, 0], 5: 'words'}"
    assert shown({}) == "{}"


def test_a_dict_that_holds_itself_is_shown_too():
    value = {}
    value["self"] = value
    assert shown(value) == "{self: {'self': {...}}}"
