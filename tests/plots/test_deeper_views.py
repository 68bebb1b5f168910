"""Views of the deeper pruning chapter: what was put in is what is drawn and what is said."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from labcore import plots
from labcore.metrics import accuracy_interval, compare_paired
from labcore.results import (
    CoupledLayer,
    CouplingReport,
    Crossing,
    Curve,
    CurveChoice,
    Evaluation,
    FormatSweep,
    PatternReport,
    PrunedAccuracy,
    SlimmingReport,
)

FAMILIES = ("ticket", "control", "chance")
X = np.array([0.05, 0.2, 0.2, 1.0])
CURVES = tuple(
    Curve(family, "after 100 updates", X, np.array([[0.9, 0.8, 0.7, 0.6], [0.9, 0.9, 0.8, 0.7]]) - 0.1 * i, {})
    for i, family in enumerate(FAMILIES)
)
CHOICE = CurveChoice(CURVES, FAMILIES, 1)
ROWS = ("whole", "cut")
SLIMMING = SlimmingReport(
    "penalty 0.01", np.array([0.01, 0.1, 1.0]), np.array([[0.2, 0.5, 1.0], [0.3, 0.5, 1.0]]), 1,
    {"whole": np.array([0.8, 0.9]), "cut": np.array([0.4, 0.5])},
)  # fmt: skip
RULES = ("2 of 4", "any half")
PATTERN = PatternReport(
    "2 of 4", 4, "fc.weight", np.array([[4.0, 1, -3, 2, 0.1, 0.2, -0.3, 0.4]]),
    np.array([[True, False, True, False, False, False, True, True]]), {"2 of 4": 0.7, "any half": 0.9},
    ("fc.weight", "last.weight"), 0.5,
)  # fmt: skip
WHOLE = Evaluation(np.array([0, 1, 1, 0]), np.array([0, 1, 1, 1]), 2)
WORSE = Evaluation(np.array([0, 0, 1, 0]), np.array([0, 1, 1, 1]), 2)
SWEEP = FormatSweep(
    (10, 10), np.array([0.1, 0.5, 1.0]),
    {
        "dense": np.array([400, 400, 400]), "bitmap": np.array([53, 213, 413]), "csr": np.array([50, 250, 500]),
        "relative": np.array([60, 240, 470]), "gzip": np.array([40, 210, 380]),
    },
    (Crossing("csr", "bitmap", 0.13, 65), Crossing("bitmap", "dense", 0.96, 397)), {"bitmap": 0.96, "csr": 0.8}, 0,
)  # fmt: skip
LAYERS = ("conv1", "bn1", "conv2", "bn2", "fc")
COUPLING = CouplingReport(
    "a network", "conv1", 8, LAYERS,
    (CoupledLayer(0, "out", 8, 8), CoupledLayer(1, "norm", 8, 8), CoupledLayer(4, "in", 32, 64)), 1000, 66,
)  # fmt: skip


def comparison() -> plots.CurveComparison:
    view = plots.CurveComparison(FAMILIES, "share left", places=slice(None), floor=0.01, date="2026-01-31")
    view.update(CHOICE)
    return view


def gamma_cut() -> plots.GammaCut:
    view = plots.GammaCut(SLIMMING.edges, ROWS, whole=0.9, floor=0.01, date="2026-01-31")
    view.update(SLIMMING)
    return view


def pattern_map() -> plots.PatternMap:
    view = plots.PatternMap(WHOLE, RULES, shape=(2, 8), floor=0.01)
    view.update(PATTERN)
    return view


def format_curves() -> plots.FormatCurves:
    view = plots.FormatCurves()
    view.update(SWEEP)
    return view


def coupling_map() -> plots.CouplingMap:
    view = plots.CouplingMap()
    view.update(COUPLING)
    return view


def words(view) -> list[str]:
    return [text.get_text() for text in view.figure.findobj(lambda artist: hasattr(artist, "get_fontsize"))]


@pytest.mark.parametrize("make", [comparison, gamma_cut, pattern_map, format_curves, coupling_map])
def test_every_view_is_a_small_picture_with_readable_type_and_its_numbers(make):
    view = make()
    bundle = view._repr_mimebundle_()
    image = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    assert image.mode == "P"
    assert image.width == view.width_px == 900
    assert image.height <= 380
    assert len(bundle["image/png"]) < 60_000
    assert any(character.isdigit() for character in bundle["text/plain"])
    sizes = [text.get_fontsize() for text in view.figure.findobj(lambda artist: hasattr(artist, "get_fontsize"))]
    assert min(sizes) * view.figure.dpi / 72 >= 13.8


BACK_AND_FORTH = {
    comparison: (replace(CHOICE, shown=("chance",), place=0), CHOICE),
    gamma_cut: (replace(SLIMMING, place=0), SLIMMING),
    pattern_map: (replace(PATTERN, group=0, kept=~PATTERN.kept, rule="any half"), PATTERN),
    format_curves: (replace(SWEEP, shape=(5, 20), place=2), SWEEP),
    coupling_map: (replace(COUPLING, layers=LAYERS * 3, name="another"), COUPLING),
}


@pytest.mark.parametrize("make", BACK_AND_FORTH)
def test_a_view_that_came_back_says_what_a_new_one_says_and_draws_nothing_twice(make):
    view = make()
    first = view.text
    for result in BACK_AND_FORTH[make]:
        view.update(result)
        assert view.png()
        # What moves is drawn over the background; were it part of it too, the old state would shine through.
        assert all(artist.get_animated() for artist in view._moving)
        assert len(set(view._moving)) == len(view._moving)
        assert all(artist.axes in view.figure.axes for artist in view._moving)
    assert view.text == first


def test_what_a_slider_moves_is_no_part_of_the_background_even_after_other_curves():
    curves, formats = comparison(), format_curves()
    for view, results in ((curves, BACK_AND_FORTH[comparison]), (formats, BACK_AND_FORTH[format_curves])):
        for result in results:
            view.update(result)
    assert set(curves._moving) == {*curves._rows.artists, curves._here}
    assert set(formats._moving) == {*formats._bars.values(), *formats._bytes.values(), formats._here}


# --- curves beside their seeds ----------------------------------------------------------------------


def test_the_seeds_stand_where_the_curves_were_measured():
    view = comparison()
    for i, family in enumerate(FAMILIES):
        dots, mean, _, label = view._rows._rows[family]
        assert dots.get_xdata() == pytest.approx([0.8 - 0.1 * i, 0.9 - 0.1 * i])
        assert mean.get_xdata() == pytest.approx([0.85 - 0.1 * i])
        assert label.get_text() == f"{family}: {85 - 10 * i:.1f} %"
    assert view._here.get_xdata() == pytest.approx([0.2, 0.2])
    assert "ticket: with 20.0 % left 85.0 % (80.0 % to 90.0 %, 2 seeds)" in view.text
    assert view.readout == (
        "measured 2026-01-31, 2 seeds, with 20.0 % left; ticket: 85.0 %; control: 75.0 %; chance: 65.0 %"
    )


def test_another_place_moves_line_and_seeds_only():
    view = comparison()
    view.png()
    before = view._background, view._ax.get_ylim(), view.figure.axes[1].get_xlim()
    view.update(replace(CHOICE, place=3))
    view.png()
    assert view._background is before[0]
    assert (view._ax.get_ylim(), view.figure.axes[1].get_xlim()) == before[1:]
    assert view._here.get_xdata() == [1.0, 1.0]
    assert view._rows._rows["ticket"][1].get_xdata() == pytest.approx([0.65])


def test_a_family_that_is_not_shown_has_neither_curve_nor_row_and_the_others_keep_their_looks():
    view = comparison()
    colors = {line.get_label(): line.get_color() for line in view._ax.lines}
    view.update(replace(CHOICE, shown=("control",)))
    shown = [line.get_label() for line in view._ax.lines if line.get_label() in FAMILIES]
    assert shown == ["control"]
    assert {line.get_label(): line.get_color() for line in view._ax.lines}["control"] == colors["control"]
    visible = [family for family, row in view._rows._rows.items() if row[0].get_visible()]
    assert visible == ["control"]
    assert "ticket" not in view.readout
    view.update(replace(CHOICE, shown=()))
    assert "nothing chosen" in view.readout
    view.png()


def test_cuts_are_told_as_points_and_what_was_not_measured_is_named():
    view = comparison()
    assert "chance: with 20.0 % left 65.0 % (60.0 % to 70.0 %, 2 seeds); points at each cut: -10.0" in view.text
    view.update(CurveChoice(CURVES[:1], FAMILIES, -1))
    assert "not measured: control, chance" in view.text


def test_whole_network_and_floor_are_drawn_where_accuracies_are():
    view = comparison()
    assert CHOICE.whole == pytest.approx(0.9)
    places = [line.get_xdata()[0] for line in view._rows._lines]
    assert places == pytest.approx([0.9, 0.89])
    assert "my floor" in words(view)
    cut = gamma_cut()
    assert [line.get_xdata()[0] for line in cut._rows._lines] == pytest.approx([0.9, 0.89])
    assert "my floor" in words(cut)


def test_places_limit_the_axis_of_the_seeds():
    view = plots.CurveComparison(FAMILIES, "epochs", places=slice(-1, None), floor=0.01, date="2026-01-31")
    view.update(replace(CHOICE, place=-1))
    low, high = view.figure.axes[1].get_xlim()
    # From the lowest last value to the whole network, 40 to 90 %.
    assert 0.35 < low < 0.4
    assert 0.9 < high < 0.95
    assert "after 1 epochs" in view.readout


# --- scales under a cut -----------------------------------------------------------------------------


def test_bars_are_the_shares_between_thresholds_and_those_under_the_cut_are_hatched():
    view = gamma_cut()
    assert [bar.get_height() for bar in view._bars] == pytest.approx([0.25, 0.25, 0.5, 0.0])
    assert [bool(bar.get_hatch()) for bar in view._bars] == [True, True, False, False]
    assert view._cut.get_xdata() == [2, 2]
    assert "channels under the cut: 50.0 % (50.0 % to 50.0 %, 2 seeds)" in view.text
    assert "cut: 45.0 % (40.0 % to 50.0 %, 2 seeds)" in view.text
    view.update(replace(SLIMMING, place=2))
    assert "under the cut: 100.0 %" in view._words.get_text()


# --- neighbours -------------------------------------------------------------------------------------


def test_zeros_are_left_open_to_the_hatched_ground_and_groups_are_parted():
    view = pattern_map()
    drawn = view._map.get_array()
    assert np.ma.getmaskarray(drawn).tolist() == (~PATTERN.kept).tolist()
    assert drawn.max() == 1
    assert any(isinstance(patch, Rectangle) and patch.get_hatch() for patch in view._map.axes.patches)
    parted = [line.get_xdata()[0] for line in view._groups if line.get_visible()]
    assert parted == [-0.5, 3.5, 7.5]
    view.update(replace(PATTERN, rule="any half", group=0))
    assert not any(line.get_visible() for line in view._groups)
    assert "no groups" in view._caption.get_text()


def test_the_chosen_rule_is_hatched_and_the_accuracy_waits_for_its_measurement():
    view = pattern_map()
    assert {rule: bar.get_hatch() for rule, bar in view._bars.items()} == {"2 of 4": "//", "any half": ""}
    assert view.readout == "accuracy not measured yet"
    view.measured(PrunedAccuracy(accuracy_interval(WORSE), compare_paired(WHOLE, WORSE), 4, 0.5, False))
    assert view.readout.startswith("measured now, at once: ≈ 50.0 % right (≈ -25.0 points")
    assert "2 of 4: 50.0 % zeros in fc.weight, last.weight" in view.text
    view.update(PATTERN)
    assert view.readout == "accuracy not measured yet"


# --- formats ----------------------------------------------------------------------------------------


@pytest.mark.case("C-not-smaller")
def test_the_smallest_format_is_hatched_and_gzip_never_is():
    view = format_curves()
    assert [name for name, bar in view._bars.items() if bar.get_hatch()] == ["csr"]
    assert view._bars["csr"].get_width() == 50 / 400
    assert "smallest, gzip left out: CSR" in view.readout
    assert "gzip of dense ≈ 40 B" in view.readout
    view.update(replace(SWEEP, place=2))
    assert [name for name, bar in view._bars.items() if bar.get_hatch()] == ["dense"]


def test_curves_are_bytes_for_each_weight_left_in_zones_between_crossings():
    view = format_curves()
    bitmap = view._ax.lines[1]
    assert bitmap.get_ydata() == pytest.approx([53 / 10, 213 / 50, 413 / 100])
    diamonds = [line.get_xydata()[0].tolist() for line in view._ax.lines if line.get_marker() == "D"][1:]
    assert diamonds == [pytest.approx([0.13, 65 / 13]), pytest.approx([0.96, 397 / 96])]
    assert {"CSR", "bitmap", "dense", "13.0 %", "96.0 %"} <= {text.get_text() for text in view._ax.texts}
    assert "at 13.0 %: below it CSR is smallest, above it bitmap" in view.text
    assert "CSR is smaller than dense under 80.0 %" in view.text


def test_only_another_layer_draws_the_curves_again():
    view = format_curves()
    view.png()
    before = view._background
    view.update(replace(SWEEP, place=1))
    view.png()
    assert view._background is before
    assert view._here.get_xdata() == [0.5, 0.5]
    view.update(replace(SWEEP, shape=(20, 5)))
    view.png()
    assert view._background is not before
    assert "20 x 5" in view._ax.get_title(loc="left")


# --- coupled channels -------------------------------------------------------------------------------


def filled(view) -> list[Rectangle]:
    return [patch for patch in view._ax.patches if patch.get_hatch()]


def test_a_box_is_filled_on_the_side_of_its_role_as_high_as_its_share():
    view = coupling_map()
    out, norm, reader = filled(view)
    assert out.get_x() == pytest.approx(0.43)
    assert reader.get_x() == pytest.approx(4)
    assert norm.get_width() == pytest.approx(2 * out.get_width())
    assert out.get_height() == norm.get_height() == pytest.approx(2 * reader.get_height())
    assert len({patch.get_hatch() for patch in filled(view)}) == 3


def test_a_small_share_stays_visible():
    view = coupling_map()
    view.update(replace(COUPLING, members=(CoupledLayer(0, "out", 8, 8), CoupledLayer(4, "in", 1, 1000))))
    assert filled(view)[1].get_height() == pytest.approx(0.2 * filled(view)[0].get_height())


def test_all_members_are_named_with_how_often_a_channel_stands_there():
    view = coupling_map()
    lines = ["makes them: conv1", "passes them on (batch norm): bn1", "reads them: fc (4 for each)"]
    assert view.text.split("\n") == ["a network, set conv1", *lines, view.readout]
    assert view._members.get_text().split("\n") == lines
    assert view.readout == "8 channels in 3 places; one channel takes 66 parameters with it, 6.600 % of 1,000"


def test_members_that_find_no_room_in_the_picture_are_counted_and_named_in_the_text():
    layers = tuple(f"a_long_name_of_block_{i}.layer" for i in range(40))
    members = (CoupledLayer(0, "out", 8, 8), *(CoupledLayer(i, "in", 8, 8) for i in range(1, 40)))
    view = coupling_map()
    view.update(replace(COUPLING, layers=layers, members=members))
    shown = view._members.get_text()
    n_shown = shown.count("a_long_name") - 1
    assert f"and {39 - n_shown} more" in shown
    assert len(shown.split("\n")) <= 6
    assert view.text.count("a_long_name") == 40
    assert len(filled(view)) == 40
