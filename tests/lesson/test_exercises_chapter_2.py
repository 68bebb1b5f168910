"""Exercises of chapter 2: the numbers that come back are those of the table and of PyTorch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labcore.lesson.checks import EXERCISES, check
from learners import chapter_2


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LABCORE_HOME", str(tmp_path))


def came_back(value: float, scale, zero_point) -> float:
    """A value after it was stored as a code from 0 to 255."""
    scale, zero_point = float(scale), float(zero_point)
    with np.errstate(divide="ignore", invalid="ignore"):
        code = np.clip(np.rint(np.divide(value, scale) + zero_point), 0, 255)
        return float(scale * (code - zero_point))


@pytest.mark.parametrize(
    ("grid", "values", "value", "expected"),
    [
        (EXERCISES["2.1"].reference, [-1, 0.5, 3], 3, 3),
        (EXERCISES["2.1"].reference, [1, 6], 6, 6),
        (EXERCISES["2.1"].reference, [2, 2, 2], 2, 2),
        (chapter_2.grid_of_256_steps, [-1, 0.5, 3], 3, 2.984),
        (chapter_2.grid_with_the_other_sign_in_uint8, [-1, 0.5, 3], -1, 0),
        (chapter_2.grid_in_floats, [-1, 0.5, 3], 0, 0.0039),
        (chapter_2.grid_of_the_data_in_uint8, [1, 6], 6, 5),
        (chapter_2.grid_of_the_data_in_uint8, [2, 2, 2], 2, 0),
        (chapter_2.grid_of_the_data, [2, 2, 2], 2, np.nan),
        (chapter_2.grid_of_width_0, [0, 0], 0, np.nan),
    ],
)
def test_what_comes_back_from_a_code_is_the_number_of_the_table(grid, values, value, expected):
    # A right value may lie between two codes; the wrong ones have the digits of the table.
    tolerance = 0.5 * 4 / 255 if grid is EXERCISES["2.1"].reference else 5e-4
    found = came_back(value, *grid(torch.tensor(values, dtype=torch.float32)))
    assert found == pytest.approx(expected, abs=tolerance, nan_ok=True)


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=8))
def test_every_grid_of_the_reference_holds_0_and_its_values(values):
    scale, zero_point = EXERCISES["2.1"].reference(torch.tensor(values, dtype=torch.float32))
    assert scale > 0
    assert zero_point == round(zero_point)
    assert 0 <= zero_point <= 255
    assert came_back(0, scale, zero_point) == 0
    assert [came_back(value, scale, zero_point) for value in values] == pytest.approx(values, abs=0.5001 * scale)


def test_a_division_by_a_width_of_0_is_shown_with_its_input():
    def in_python(values):
        low, high = min(values.tolist()), max(values.tolist())
        return (high - low) / 255, round(-low * 255 / (high - low))

    assert "with values=[2, 2, 2]: your function raised ZeroDivisionError" in check("2.1", in_python).text


@pytest.mark.parametrize(("bits", "clip", "db"), [(4, 2.5, 18.8), (8, 3.9, 40.4), (4, 4.7, 14.2), (8, 2.58, 27.0)])
def test_clips_of_the_gaussian_sample_have_the_quality_of_the_table(bits, clip, db):
    values, last = EXERCISES["2.4"].fixtures[0][0], 2 ** (bits - 1) - 1
    back = torch.fake_quantize_per_tensor_affine(values, clip / last, 0, -last, last)
    # The table is of another sample. Clipped tails are rare events, so their error differs most between samples.
    assert 10 * float(torch.log10(values.var() / (values - back).var())) == pytest.approx(db, abs=1)


@pytest.mark.parametrize("fixture", EXERCISES["2.4"].fixtures, ids=["4-bits", "8-bits", "6-bits"])
def test_candidates_lie_farther_apart_than_the_tolerance_and_one_of_them_wins_clearly(fixture):
    values, bits, candidates = fixture
    last = 2 ** (bits - 1) - 1
    errors = torch.stack([
        (values - torch.fake_quantize_per_tensor_affine(values, clip / last, 0, -last, last)).square().sum()
        for clip in candidates.tolist()
    ])
    best, second = errors.sort().values[:2]
    assert second > 1.01 * best
    assert candidates.diff().min() > 9 * EXERCISES["2.4"].tolerance
    assert candidates[-2] < values.abs().max() < candidates[-1]


def test_an_integer_layer_gives_what_the_real_numbers_give():
    for x, zero_point, w, (scale_x, scale_w) in EXERCISES["2.6"].fixtures:
        total, value = EXERCISES["2.6"].reference(x, zero_point, w, (scale_x, scale_w))
        assert total == int(total)
        assert float(value) == pytest.approx(float((scale_x * (x.double() - zero_point)) @ (scale_w * w.double())))


@given(*[st.floats(-5, 5)] * 4, st.floats(0.01, 10), st.floats(-5, 5))
def test_a_folded_line_is_the_batch_norm(weight, gamma, beta, mean, variance, x):
    slope, offset = EXERCISES["2.7"].reference(weight, gamma, beta, mean, variance)
    expected = gamma * (weight * x - mean) / np.sqrt(variance) + beta
    assert slope * x + offset == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_an_operation_that_a_type_lacks_is_an_error_not_a_stub():
    result = check("2.6", lambda x, zero_point, w, scales: torch.softmax(x, 0))
    assert result.status == "error"
    assert "not implemented for 'Byte'" in result.text
