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
    NetworkOnGrids,
    PairedDifference,
    SeedChoice,
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

NETWORK = NetworkOnGrids(
    ("conv1", "fc"), np.array([12.5, 40.0]), {"float file": 2000, "codes and scales": 500, "file of codes": 800},
    {"computing": 0.05, "reading weights": 0.25}, ("pool",),
)  # fmt: skip
CHOICE = SeedChoice(
    "lab_cnn: four levels", np.array([0.9, 0.88]),
    {"largest value": np.array([0.5, 0.7]), "entropy": np.array([0.8, 0.82])},
)  # fmt: skip


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


def network(report: NetworkOnGrids = NETWORK) -> plots.NetworkBits:
    view = plots.NetworkBits(WHOLE, 0.01, ("conv1", "conv2", "fc"), 2000)
    view.update(report)
    return view


def contest() -> plots.Contest:
    view = plots.Contest(("largest value", "99 %", "entropy"), 0.05, "2026-11-25")
    view.update(CHOICE)
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


# --- the whole network ---


def widths(bars: dict) -> list[float]:
    return [bar.get_width() for bar, _ in bars.values()]


def words(bars: dict) -> list[str]:
    return [label.get_text() for _, label in bars.values()]


def test_the_network_shows_a_bar_with_its_number_for_layers_sizes_and_energy():
    view = network()
    assert widths(view._layers) == [12.5, 0, 40.0]
    assert words(view._layers) == [" 12.5 dB", " in float", " 40.0 dB"]
    assert widths(view._sizes) == [2000, 500, 800]
    assert words(view._sizes) == [" 2.00 kB", " 500 B", " 800 B"]
    assert widths(view._energy) == [0.05, 0.25]
    assert words(view._energy) == [" 5.0 %", " 25.0 %"]
    for bars in (view._layers, view._sizes, view._energy):
        assert all(label.get_position()[0] == bar.get_width() for bar, label in bars.values())


def test_the_network_s_axes_are_named_and_hold_the_longest_bar_with_its_number():
    view = network()
    axes = [next(iter(bars.values()))[0].axes for bars in (view._layers, view._sizes, view._energy)]
    assert [ax.get_title(loc="left") for ax in axes] == ["SQNR of the weights", "Bytes", "Energy (estimate)"]
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["conv1", "conv2", "fc"]
    limits = [ax.get_xlim() for ax in axes]
    assert limits == [(0, 75), (0, 3000), (0, 1.5)]
    view.update(replace(NETWORK, sqnr_db=np.array([45.0, 50.0]), energy={"computing": 1.0, "reading weights": 0.0}))
    assert [ax.get_xlim() for ax in axes] == limits


def test_the_network_shows_the_accuracy_of_the_present_setting_only():
    view = network()
    assert view.readout == "accuracy not measured yet"
    assert view._strip._point.get_xydata().tolist() == []
    view.measured(MEASURED)
    assert view._strip._point.get_xydata().tolist() == [[0.5, 0.35]]
    assert view._strip._span.get_xydata().tolist() == [[0.2, 0.35], [0.8, 0.35]]
    assert view.readout == "measured now: ≈ 50.0 % right (≈ -25.0 points, ≈ 1 of 4 images, ≈ 1 flipped)"
    assert view.text.endswith(f"in floating point: pool\n{view.readout}")
    view.update(NETWORK)
    assert view.readout == "accuracy not measured yet"


def test_a_note_on_the_weights_stands_before_the_accuracy():
    view = network(replace(NETWORK, note="trained on 3 bits", in_float=()))
    assert view.readout == "trained on 3 bits; accuracy not measured yet"
    assert "in floating point: nothing\ntrained on 3 bits; " in view.text
    view.measured(MEASURED)
    assert view.readout.startswith("trained on 3 bits; measured now: ≈ 50.0 % right")


def test_the_network_says_its_numbers():
    assert network().text.startswith(
        "SQNR of the weights: conv1 12.5 dB, fc 40.0 dB\n"
        "bytes: float file 2.00 kB, codes and scales 500 B, file of codes 800 B\n"
        "energy, share of the float network's (estimate, 45 nm): computing 5.0 %, reading weights 25.0 %\n"
    )


# --- the contest of calibrations ---


def test_the_contest_has_a_dot_a_seed_and_the_mean_of_every_contestant():
    rows = contest()._rows._rows
    for place, name in ((0, "largest value"), (2, "entropy")):
        dots, mean, _, label = rows[name]
        assert dots.get_xdata().tolist() == CHOICE.accuracies[name].tolist()
        assert set(dots.get_ydata()) == {place + 0.1} == set(mean.get_ydata())
        assert mean.get_xdata() == pytest.approx([CHOICE.accuracies[name].mean()])
        assert label.get_text() == f"{name}: {100 * CHOICE.accuracies[name].mean():.1f} %"


def test_a_contestant_without_numbers_has_no_row():
    view = contest()
    assert not any(artist.get_visible() for artist in view._rows._rows["99 %"])
    view.update(replace(CHOICE, accuracies={"99 %": np.array([0.6, 0.6])}))
    visible = [name for name, row in view._rows._rows.items() if row[0].get_visible()]
    assert visible == ["99 %"]


def test_the_contest_s_axis_holds_all_dots_the_float_network_and_the_floor():
    view = contest()
    low, high = view._ax.get_xlim()
    assert (low, high) == (pytest.approx(0.5 - 0.06 * 0.39), pytest.approx(0.89 + 0.06 * 0.39))
    assert [line.get_xdata()[0] for line in view._rows._lines] == pytest.approx([0.89, 0.84])
    assert view._ax.get_title(loc="left") == "lab_cnn: four levels"
    assert "blue line: float" in view._ax.get_xlabel()


def test_the_contest_names_the_best_and_says_its_numbers():
    view = contest()
    assert view.readout == "measured 2026-11-25, 2 seeds; best on average: entropy"
    assert view.text.splitlines()[:3] == [
        "lab_cnn: four levels", "float: 89.0 % (88.0 % to 90.0 %, 2 seeds)",
        "largest value: 60.0 % (50.0 % to 70.0 %, 2 seeds)",
    ]  # fmt: skip
    view.update(replace(CHOICE, accuracies=CHOICE.accuracies | {"entropy": np.array([0.3, 0.4])}))
    assert view.readout.endswith("best on average: largest value")


@pytest.mark.parametrize("make", [number_line, steps, clipping, network, contest])
def test_every_view_is_a_picture_with_its_numbers(make):
    bundle = make()._repr_mimebundle_()
    assert bundle["text/plain"]
    assert len(bundle["image/png"]) > 1000
