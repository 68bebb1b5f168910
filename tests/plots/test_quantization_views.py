"""Views of chapter 2: what was put in is what is drawn and what is said."""

from dataclasses import replace

import numpy as np
import pytest

from labcore import plots
from labcore.results import (
    ClippingCurve,
    ClippingReport,
    ComparedAccuracy,
    Evaluation,
    GridReport,
    IntegerWalk,
    Interval,
    PairedDifference,
)

VALUES = np.array([0.9, -0.3, 0.1, -0.5, 2.0])
GRID = GridReport(
    "int3 symmetric", 0.3, 0, 0.3 * np.arange(-3, 4), VALUES, np.array([3, -1, 0, -2, 3]),
    np.array([0.9, -0.3, 0, -0.6, 0.9]), -0.9, 0.9, 4.1, 1, 3,
)  # fmt: skip
WALK = IntegerWalk(
    6, np.array([0.5, 1.0]), np.array([0.4, -0.2]), 0.1, 0.1, 0.01, 0, 0.004, np.array([50, 100]), np.array([100, -50]),
    np.array([5000, 0]), 32, 2500, 1_717_986_918, 37, 0.0032, 0, 31,
)  # fmt: skip
CURVE = ClippingCurve(
    "int3 symmetric", np.array([1.0, 2.0, 4.0]), np.array([0.3, 0.01, 0]), np.array([0.01, 0.02, 0.08])
)
CLIPPING = ClippingReport(
    "relu", np.linspace(0, 4, 5), np.array([90, 6, 3, 1]), 2.0, np.array([0, 0.67, 1.33, 2.0]), 0.04, CURVE
)
WHOLE = Evaluation(np.array([0, 1, 1, 0]), np.array([0, 1, 1, 1]), 2)
MEASURED = ComparedAccuracy(Interval(0.2, 0.5, 0.8), PairedDifference(Interval(-0.5, -0.25, 0), 1, 0, np.array([2])), 4)


def number_line() -> plots.NumberLine:
    view = plots.NumberLine("four weights")
    view.update(GRID)
    return view


def steps(walk: IntegerWalk = WALK) -> plots.IntegerSteps:
    view = plots.IntegerSteps("one output", 2)
    view.update(walk)
    return view


def clipping() -> plots.ClipOrRound:
    view = plots.ClipOrRound(WHOLE, 0.01)
    view.update(CLIPPING)
    return view


def test_the_number_line_shows_levels_errors_and_what_is_clipped():
    view = number_line()
    assert view._levels.get_xdata() == pytest.approx(GRID.levels)
    assert view._errors.get_ydata() == pytest.approx(GRID.decoded - GRID.values)
    left, right = view._outside
    assert (left.get_x() + left.get_width(), right.get_x()) == (pytest.approx(-0.9), pytest.approx(0.9))
    assert view._error.get_xydata().tolist() == [[-0.5, pytest.approx(-0.1)]]
    assert view._words["code"].get_text() == "-2"
    assert "value -0.5000 = 0.3 x (-2 - 0) = -0.6000, error -0.1000" in view.text
    assert "SQNR 4.1 dB, clipped 1 of 5" in view.text


def test_axes_of_the_number_line_stay_while_only_the_grid_changes():
    view = number_line()
    limits = view._axes.get_xlim(), view._error_axes.get_ylim()
    view.update(replace(GRID, levels=0.1 * np.arange(-3, 4), decoded=GRID.decoded / 3, low=-0.3, high=0.3))
    assert (view._axes.get_xlim(), view._error_axes.get_ylim()) == limits
    view.update(replace(GRID, values=10 * VALUES))
    assert view._axes.get_xlim() != limits[0]


@pytest.mark.parametrize(("step", "known"), [(1, 2), (2, 3), (3, 4), (4, 6), (5, 6), (6, 6)])
def test_a_walk_shows_only_what_is_known_so_far(step, known):
    view = steps(replace(WALK, step=step))
    shown = [any(cell.get_text() for cell in row) for row in view._cells]
    assert shown == [True] * known + [False] * (6 - known)


def test_a_walk_says_its_numbers():
    assert "2500 x 1717986918 / 2^37, rounded, + 0, not below 0: code 31" in steps().text
    assert "product: 5000 -5000" in steps().text
    assert "0 + 2500 = 2500" in steps(replace(WALK, step=5)).text


def test_the_wrong_turn_is_said_and_shown():
    view = steps(replace(WALK, step=4, accumulator_bits=8, sums=np.array([-120, 0])))
    assert "int8: sums beyond 127 wrap around" in view.text
    assert {cell.get_color() for cell in view._cells[-1]} == {plots.style.RED}
    assert {cell.get_color() for cell in steps(replace(WALK, step=4))._cells[-1]} == {plots.style.INK}


def test_clip_or_round_draws_the_threshold_on_both_pictures():
    view = clipping()
    assert (view._gone.get_x(), view._gone.get_x() + view._gone.get_width()) == (2.0, 4.0)
    assert view._chosen.get_xydata().tolist() == [[2.0, pytest.approx(0.03)]]
    assert view._total.get_ydata() == pytest.approx(CURVE.total)
    assert "clipping ≈ 1.00 %, rounding ≈ 2.00 %" in view.text
    assert "least error at ≈ 2.000" in view.text


def test_clip_or_round_shows_the_accuracy_of_the_present_setting_only():
    view = clipping()
    assert "accuracy not measured yet" in view.text
    view.measured(MEASURED)
    assert view._strip._point.get_xydata().tolist() == [[0.5, 0.35]]
    assert "≈ 50.0 % right (≈ -25.0 points, ≈ 1 of 4 images, ≈ 1 flipped)" in view.readout
    view.update(CLIPPING)
    assert "accuracy not measured yet" in view.text


@pytest.mark.parametrize("make", [number_line, steps, clipping])
def test_every_view_is_a_picture_with_its_numbers(make):
    bundle = make()._repr_mimebundle_()
    assert bundle["text/plain"]
    assert len(bundle["image/png"]) > 1000
