"""Views of chapter 3: what was put in is what is drawn and what is said."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from labcore import plots
from labcore.results import (
    ClassBias,
    Curve,
    CurveChoice,
    Evaluation,
    Interval,
    LossChoice,
    LossTerms,
    SeedGain,
    SoftTargets,
    StudentChoice,
    StudentGrid,
    UnseenClass,
)
from panel_checks import check_picture

NAMES = ("bag", "boot", "coat")
SOFT = SoftTargets("a bag", np.linspace(0, 1, 4).reshape(2, 2), 0, 4, np.array([0.7, 0.25, 0.05]), 1.08)
TERMS = LossTerms(
    2, 0.8, np.array([[0.5, 0.3, 0.2]]), np.array([[0.2, 0.2, 0.6]]), 1.5, 0.25, np.array([[0.3, 0, 0.4]]),
    np.array([[0.1, 0, 0]]),
)  # fmt: skip
BASELINE = np.array([0.89, 0.90, 0.91])
ACCURACIES = BASELINE + np.array([[[0.01, -0.01, 0.0]], [[0.02, 0.02, 0.02]]])
GRID = StudentGrid(
    np.array([0.5, 0.9]), np.array([4.0]), ACCURACIES, BASELINE, 0.95, np.array([[-0.02], [0.02]]),
    np.array([[0.02], [0.02]]),
)  # fmt: skip
RECALL, OTHERS = (
    Curve("T = 4", label, np.array([0.0, 4.0]), np.array([values, values]), {"missing": 1})
    for label, values in (("the missing class", [0.2, 0.8]), ("all others", [0.9, 0.7]))
)
UNSEEN = UnseenClass("T = 4", ClassBias(1, 2.5, 0.7, 0.6, 0.75), np.array([1, 0, 1, 1, 2]), RECALL, OTHERS)
WAYS = ("labels only", "and the teacher")
LABELS = CurveChoice(
    tuple(Curve(way, "student", np.array([50, 1000]), np.array([[0.6, 0.9], [0.7, 0.9]]) + i / 100, {})
          for i, way in enumerate(WAYS)),
    WAYS, 0,
)  # fmt: skip


GAINS = (
    SeedGain("five against one", np.array([0.005, 0.007]), Interval(0.002, 0.006, 0.01)),
    SeedGain("an assistant", np.array([-0.004, 0.006]), Interval(-0.009, 0.001, 0.011)),
    SeedGain("a bad teacher", np.array([-0.02, -0.03]), Interval(-0.03, -0.025, -0.02)),
)


def soft_targets() -> plots.SoftTargetBars:
    view = plots.SoftTargetBars(NAMES)
    view.update(SOFT)
    return view


def loss_bars() -> plots.LossBars:
    view = plots.LossBars(NAMES, 2.0, 1.0)
    view.update(LossChoice(TERMS, True))
    return view


def students() -> plots.StudentMap:
    view = plots.StudentMap(GRID, 0.01, "2026-01-31")
    view.update(StudentChoice(1, 0))
    return view


def unseen() -> plots.UnseenClassGallery:
    view = plots.UnseenClassGallery(NAMES, np.zeros((5, 4, 4)), last_bias=6, date="2026-01-31")
    view.update(UNSEEN)
    return view


def labels() -> plots.LabelCurves:
    view = plots.LabelCurves(LABELS, np.array([0.95, 0.97]), labels_of_teacher=1000, floor=0.01, date="2026-01-31")
    view.update(LABELS)
    return view


def seed_gains() -> plots.SeedGains:
    view = plots.SeedGains("2026-01-31")
    view.update(GAINS)
    return view


def test_soft_targets_draw_a_bar_a_class_and_mark_the_label_by_more_than_colour():
    view = soft_targets()
    assert [bar.get_width() for bar in view._bars] == [0.7, 0.25, 0.05]
    assert [bar.get_hatch() for bar in view._bars] == ["///", "", ""]
    assert [share.get_text() for share in view._shares] == ["70.00 %  (the label)", "25.00 %", "5.00 %"]
    view.update(replace(SOFT, label=2))
    assert [bar.get_hatch() for bar in view._bars] == ["", "", "///"]


def test_the_longest_words_of_soft_targets_fit_into_the_picture():
    view = plots.SoftTargetBars(("trouser", "ankle boot"))
    view.update(replace(SOFT, probabilities=np.array([1.0, 0.0])))
    view.png()
    assert max(share.get_window_extent().x1 for share in view._shares) < 900


def test_soft_targets_say_the_entropy_and_the_first_three():
    view = soft_targets()
    assert "entropy ≈ 1.08 of 1.58 bits" in view.text
    assert "bag ≈ 70.00 %, boot ≈ 25.00 %, coat ≈ 5.00 %" in view.readout
    assert view._entropy.get_text() == "T = 4\nentropy 1.08 of 1.58 bits"
    assert np.asarray(view._image.get_array()) == pytest.approx(SOFT.image)


def test_the_loss_is_the_sum_of_its_bars():
    view = loss_bars()
    widths = [bar.get_width() for _, bar, _ in view._terms]
    assert widths == pytest.approx([0.2 * 1.5, 0.8 * 4 * 0.25])
    assert sum(widths) == pytest.approx(TERMS.loss)
    assert [bar.get_width() for _, bar, _ in view._norms] == pytest.approx([0.2 * 0.5, 0.8 * 4 * 0.1])
    assert "loss 1.1000; length of the gradient: teacher 0.3200, labels 0.1000" in view.readout


def test_without_the_factor_the_teacher_pulls_less_by_its_square():
    view = loss_bars()
    view.update(LossChoice(TERMS, False))
    assert [bar.get_width() for _, bar, _ in view._norms] == pytest.approx([0.1, 0.08])
    assert "teacher: 0.8 x 1 x 0.2500 = 0.2000" in view.text
    assert sum(bar.get_width() for _, bar, _ in view._terms) == pytest.approx(TERMS.loss_without_factor)


def test_softened_shares_are_those_of_teacher_and_student():
    view = loss_bars()
    heights = {who: [bar.get_height() for bar in bars] for who, bars in view._softened.items()}
    assert heights == {"teacher": [0.5, 0.3, 0.2], "student": [0.2, 0.2, 0.6]}
    assert "teacher at T = 2: bag 50.0 %" in view.text


def test_only_settings_without_a_clear_difference_are_hatched():
    view = students()
    hatched = [each for each in view.figure.axes[0].patches if isinstance(each, Rectangle) and each.get_hatch()]
    assert [each.get_xy() for each in hatched] == [(-0.5, -0.5)]
    assert "alpha 0.5: T 4 0.0 (?)" in view.text
    assert "alpha 0.9: T 4 +2.0\n" in view.text


def test_the_chosen_setting_is_framed_beside_its_seeds():
    view = students()
    assert {frame.get_xy() for frame in view._frames} == {(-0.5, 0.5)}
    drawn = {name: row[0].get_xdata() for name, row in view._rows._rows.items() if row[0].get_visible()}
    assert drawn == {"labels only": pytest.approx(BASELINE), "taught": pytest.approx(BASELINE + 0.02)}
    assert "gain +2.0 points (95 % interval +2.0 to +2.0): a clear difference" in view.readout
    view.update(StudentChoice(0, 0))
    assert "not to be told from labels only" in view.readout


def test_a_student_trained_now_stays_until_another_setting_is_chosen():
    view = students()
    assert "trained now" not in view.readout
    view.measured(Evaluation(np.zeros(8, int), np.array([0] * 7 + [1]), 2))
    assert view._rows._rows["trained now"][0].get_xdata().tolist() == [0.875]
    assert "trained now: ≈ 87.5 %" in view.readout
    view.update(StudentChoice(0, 0))
    assert not view._rows._rows["trained now"][0].get_visible()
    assert "trained now" not in view.readout


def test_known_and_unknown_images_differ_in_their_mark():
    view = unseen()
    assert [mark.get_text() for mark in view._marks] == ["✓", "✗ bag", "✓", "✓", "✗ coat"]
    assert view._title.get_text().startswith("3 of these 5")
    assert "boot right, taken for bag" in view.text


def test_a_bias_moves_the_points_and_another_student_brings_its_curves():
    view = unseen()
    assert [point.get_xydata().tolist() for point in view._points] == [[[2.5, 0.6]], [[2.5, 0.75]]]
    curves = view._ax.lines[:2]
    view.update(replace(UNSEEN, now=ClassBias(1, 4.0, 0.7, 0.8, 0.7)))
    assert view._ax.lines[:2] == curves
    assert view._here.get_xdata() == [4.0, 4.0]
    control = replace(RECALL, family="labels only", values=np.zeros((2, 2)))
    view.update(replace(UNSEEN, taught="labels only", recall=control))
    assert view._ax.lines[0].get_ydata().tolist() == [0, 0]
    assert view._ax.get_title(loc="left").startswith("labels only")
    assert "recall of boot 60.0 %, of all others 75.0 %; all images 70.0 %" in view.readout


def test_label_curves_move_the_dotted_line_and_the_seeds():
    view = labels()
    assert view._here.get_xdata() == [50, 50]
    view.update(replace(LABELS, place=1))
    assert view._here.get_xdata() == [1000, 1000]
    assert view._rows._rows["and the teacher"][0].get_xdata() == pytest.approx([0.91, 0.91])
    assert "labels only: 90.0 % (90.0 % to 90.0 %, 2 seeds)" in view.text


def test_label_curves_say_how_many_labels_the_teacher_saw():
    view = labels()
    assert "the teacher saw 1,000 labels: 96.0 % (95.0 % to 97.0 %, 2 seeds)" in view.text
    assert any("saw 1,000 labels" in each.get_text() for each in view.figure.axes[0].texts)


def test_a_gain_that_may_be_nothing_is_hollow_and_said_so():
    view = seed_gains()
    means = [line for line in view._ax.lines if line.get_marker() == "D"]
    assert [line.get_xdata()[0] for line in means] == [0.006, 0.001, -0.025]
    assert [line.get_markerfacecolor() == "white" for line in means] == [False, True, False]
    assert view.text.splitlines() == [
        "five against one: +0.6 (+0.2 to +1.0): a clear gain",
        "an assistant: +0.1 (-0.9 to +1.1): no clear gain or loss",
        "a bad teacher: -2.5 (-3.0 to -2.0): a clear loss",
    ]


def test_gains_draw_every_seed_beside_the_interval_and_nothing_stays_of_before():
    view = seed_gains()
    dots = [line.get_xdata() for line in view._ax.lines if line.get_marker() == "o"]
    assert [each.tolist() for each in dots] == [gain.gains.tolist() for gain in GAINS]
    view.update(GAINS[:1])
    bars = [line.get_xdata().tolist() for line in view._ax.lines if line.get_linewidth() == 2.5]
    assert bars == [[0.002, 0.01]]
    assert [label.get_text() for label in view._ax.get_yticklabels()] == ["five against one"]
    assert len(view._words.texts) == 1
    assert "2 seeds" in view._ax.get_xlabel()


@pytest.mark.parametrize("make", [soft_targets, loss_bars, students, unseen, labels, seed_gains])
def test_every_view_is_a_picture_with_its_numbers(make):
    check_picture(make())
