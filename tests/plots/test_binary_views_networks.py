"""Views of chapter 4 on whole networks: what was put in is what is drawn and what is said."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from labcore import plots
from labcore.plots import style
from labcore.results import Curve, InputSizes, LadderChoice, PartialBinary
from panel_checks import check_picture

TASKS = ("easy", "four that look alike", "pairs")
X = np.array([1, 2, 3])
LEVELS = {"float": [0.9, 0.8, 0.7], "binary weights": [0.9, 0.79, 0.68], "all binary": [0.905, 0.75, 0.6]}
CURVES = tuple(Curve(level, "accuracy", X, np.add.outer([0.01, -0.01], means), {}) for level, means in LEVELS.items())
LADDER = LadderChoice(CURVES, TASKS, 1, "all binary", np.full((2, 14, 16), 0.5), ("coat", "shirt"))
PARTIAL = PartialBinary(
    ("conv1", "conv2", "fc"), ("conv2",), np.array([0.5, 0.52]), np.array([0.6, 0.62]), np.array([0.5, 0.52]),
    10_000, 80_000, 300, 700,
)  # fmt: skip
ACCURACIES = {"none": PARTIAL.real, "conv2": PARTIAL.accuracies, "fc": np.array([0.4, 0.41])}
GRID = np.arange(4.0).reshape(2, 2)
SIZES = InputSizes(
    "conv2", 3, np.eye(4), GRID + 1, GRID / 2, GRID - 1, (GRID - 1) / 2, np.array([[-4.0, 0], [0, 1]]),
    (0.25, 0.5), (0.2, 0.1), 500,
)  # fmt: skip


def ladder() -> plots.TaskLadder:
    view = plots.TaskLadder(LADDER, floor=0.01, date="2026-01-31")
    view.update(LADDER)
    return view


def partial() -> plots.PartialBits:
    view = plots.PartialBits(PARTIAL, ACCURACIES, task="pairs", floor=0.01, date="2026-01-31")
    view.update(PARTIAL)
    return view


def sizes() -> plots.SizeMapRow:
    view = plots.SizeMapRow(500)
    view.update(SIZES)
    return view


# --- the ladder of tasks ----------------------------------------------------------------------------


def test_the_ladder_draws_the_gaps_of_the_chosen_level_and_marks_the_task():
    view = ladder()
    assert [bar.get_height() for bar in view._bars] == pytest.approx([-0.005, 0.05, 0.1])
    assert [label.get_text() for label in view._labels] == ["-0.5", "5.0", "10.0"]
    assert [label.get_fontweight() for label in view._labels] == ["normal", "bold", "normal"]
    assert [bar.get_linewidth() for bar in view._bars] == [0.8, 2, 0.8]
    assert view._span.get_ydata() == pytest.approx([0.8, 0.75])
    assert view._span.get_xdata() == [2, 2]
    view.update(replace(LADDER, level="binary weights", place=2))
    assert [bar.get_height() for bar in view._bars] == pytest.approx([0, 0.01, 0.02])
    assert view._span.get_ydata() == pytest.approx([0.7, 0.68])
    assert view._name.get_text().startswith("binary weights")


def test_the_floor_of_the_ladder_lies_below_the_real_network_at_every_task():
    view = ladder()
    floor = next(line for line in view.figure.axes[0].lines if line.get_label() == "my floor")
    assert floor.get_ydata() == pytest.approx([0.89, 0.79, 0.69])
    assert any(np.allclose(line.get_ydata(), 0.01) for line in view.figure.axes[1].lines)


def test_limits_hold_all_values_and_stay():
    view = ladder()
    before = [ax.get_ylim() for ax in view.figure.axes]
    low, high = before[1]
    assert low < -0.005
    assert high > 0.1
    assert before[0][0] < 0.59
    view.update(replace(LADDER, level="binary weights", place=0))
    assert [ax.get_ylim() for ax in view.figure.axes] == before


def test_images_of_one_and_of_two_channels_stand_in_the_middle_of_their_cells():
    view = ladder()
    assert np.asarray(view._mosaic.get_array())[:14].sum() == pytest.approx(2 * 14 * 16 * 0.5)
    assert np.flatnonzero(view._mosaic.get_array()[0])[[0, 15, 16, 31]].tolist() == [10, 25, 46, 61]
    pairs = replace(LADDER, images=np.full((2, 14, 32), 0.5), captions=("coat + bag", "bag + bag"))
    view.update(pairs)
    assert np.flatnonzero(view._mosaic.get_array()[0])[[0, 31]].tolist() == [2, 33]
    assert view._captions[0].get_text() == "coat\n+ bag"


def test_the_ladder_says_every_level_with_its_seeds():
    lines = ladder().text.splitlines()
    assert lines[2] == "all binary, four that look alike: 75.0 % (74.0 % to 76.0 %, 2 seeds)"
    assert "points below float, binary weights: easy 0.0, four that look alike 1.0, pairs 2.0" in lines
    assert lines[-1] == (
        "measured 2026-01-31, 2 seeds, four that look alike: float: 80.0 %, all binary: 75.0 % (-5.0 points)"
    )


# --- which layers are binary ------------------------------------------------------------------------


def test_binary_layers_are_hatched_and_named():
    view = partial()
    assert [box.get_hatch() or "" for box in view._boxes] == ["", "////", ""]
    assert [kind.get_text() for kind in view._kinds] == ["real", "binary", "real"]
    view.update(replace(PARTIAL, binary=()))
    assert [kind.get_text() for kind in view._kinds] == ["real"] * 3
    assert not any(box.get_hatch() for box in view._boxes)


def test_the_first_layer_has_binary_weights_only():
    view = partial()
    view.update(replace(PARTIAL, binary=PARTIAL.layers))
    assert [kind.get_text() for kind in view._kinds] == ["binary weights", "binary", "binary"]


def test_bars_are_bytes_and_products():
    view = partial()
    for (bars, labels), numbers, words in (
        (view._file, (10_000, 80_000), [" 10.0 kB", " 80.0 kB"]), (view._macs, (300, 700), [" 300", " 700"]),
    ):  # fmt: skip
        assert [bar.get_width() for bar in bars] == list(numbers)
        assert [label.get_text() for label in labels] == words
    assert view._macs[0][0].axes.get_xlim()[1] > 1000


def test_seeds_stand_beside_the_real_network_the_middle_one_and_the_floor():
    view = partial()
    assert view._dots.get_xdata().tolist() == [0.5, 0.52]
    assert view._mean.get_xdata() == pytest.approx([0.51])
    ax = view._dots.axes
    lines = [line.get_xdata()[0] for line in ax.lines if line not in (view._dots, view._mean)]
    assert lines == pytest.approx([0.61, 0.51, 0.60])
    assert {each.get_text() for each in ax.texts} == {"real", "my floor", "middle layers binary"}
    low, high = ax.get_xlim()
    assert low < 0.4
    assert high > 0.62


def test_partial_says_its_numbers():
    view = partial()
    assert "MACs of a pass: 300 real, 700 binary" in view.text
    assert "this network: 51.0 % (50.0 % to 52.0 %, 2 seeds)" in view.text
    assert view.readout == (
        "measured 2026-01-31, 2 seeds; conv2 binary: 51.0 % (-10.0 points), file 10.0 kB (8.00x smaller)"
    )
    view.update(replace(PARTIAL, binary=(), accuracies=PARTIAL.real))
    assert "no layer binary: 61.0 % (0.0 points)" in view.readout


# --- sizes of inputs --------------------------------------------------------------------------------


def test_three_convolutions_share_one_scale_and_both_sizes_another():
    view = sizes()
    drawn = [np.asarray(picture.get_array()) for picture in view._maps]
    assert drawn[0] == pytest.approx(SIZES.image)
    assert drawn[1] == pytest.approx(SIZES.magnitude / 4)
    assert drawn[2] == pytest.approx(SIZES.sizes / 4)
    for picture, values in zip(drawn[3:], (SIZES.real, SIZES.signs, SIZES.scaled), strict=True):
        assert picture == pytest.approx(values / 4)


def test_negative_outputs_carry_a_dash():
    view = sizes()
    assert [np.asarray(dashes.get_xydata()).tolist() for dashes in view._dashes] == [[], [], [], *[[[0, 0]]] * 3]


def test_errors_are_drawn_and_said():
    view = sizes()
    for (bars, labels), errors in ((view._now, (0.25, 0.5)), (view._fitted, (0.2, 0.1))):
        assert [bar.get_width() for bar in bars] == list(errors)
        assert [label.get_text().split()[0] for label in labels] == [f"{error:.2f}" for error in errors]
    assert view.readout == (
        "computed now, all channels of conv2: error 0.25, with K 0.50; "
        "with the best factor a channel, 500 images: 0.20, with K 0.10"
    )
    assert view.text.startswith("conv2, channel 3: A 1.0 to 4.0; K 0.0 to 1.5; real convolution -1.0 to 2.0")


def test_maps_of_another_size_fill_their_frames():
    view = sizes()
    view.update(replace(SIZES, real=np.zeros((3, 3)), signs=np.ones((3, 3)), scaled=np.ones((3, 3))))
    assert view._maps[3].axes.get_xlim() == (-0.5, 2.5)
    assert view._maps[3].axes.get_ylim() == (2.5, -0.5)


@pytest.mark.parametrize("make", [ladder, partial, sizes])
def test_every_view_is_a_picture_with_its_numbers(make):
    check_picture(make())


def test_the_chosen_task_is_dark_and_labels_stand_over_their_bars():
    view = ladder()
    dark = [bar.get_facecolor() == to_rgba(style.BLUE) for bar in view._bars]
    assert dark == [False, True, False]
    for bar, label in zip(view._bars, view._labels, strict=True):
        assert label.get_position()[1] > max(bar.get_height(), 0)


def test_the_ladder_draws_every_level_over_its_tasks():
    ax = ladder().figure.axes[0]
    drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
    for level, means in LEVELS.items():
        assert drawn[level] == pytest.approx(means)
    words = [label.get_text().replace("\n", " ") for label in ax.get_xticklabels()]
    assert words == list(TASKS)


def test_labels_stand_at_the_ends_of_their_bars():
    view = partial()
    for bars, labels in (view._file, view._macs):
        assert [label.get_position()[0] for label in labels] == [bar.get_width() for bar in bars]
    ax = view._file[0][0].axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["this file", "real file"]
    assert ax.get_xlim()[1] > 80_000


def test_words_of_maps_and_errors_belong_to_what_they_stand_at():
    view = sizes()
    assert [words.get_text() for words in view._ranges] == [
        "0.0 to 1.0", "1.0 to 4.0", "0.0 to 1.5", "-1.0 to 2.0", "-0.5 to 1.0", "-4.0 to 1.0",
    ]  # fmt: skip
    assert [picture.get_clim() for picture in view._maps] == [(0, 1)] * 3 + [(-1, 1)] * 3
    for (_, labels), title in ((view._now, "This image"), (view._fitted, "500 images, best factor a channel")):
        assert [label.get_text().split("  ")[1] for label in labels] == ["signs x alpha", "and x K"]
        assert labels[0].axes.get_title(loc="left") == title
