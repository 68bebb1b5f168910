"""Views of chapter 4, weights, bits and speed: what was put in is what is drawn and what is said."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgba, to_rgba_array

from labcore import plots
from labcore.plots import style
from labcore.results import BitProduct, SignReport, SpeedComparison
from panel_checks import check_picture

VALUES = np.array([[0.9, -0.6, 0.1, -0.2], [0.5, 0.3, -0.4, 0.0]], np.float32)
BINARY = SignReport(
    "fc", VALUES, np.array([[1, -1, 1, -1], [1, 1, -1, 1]], np.int8), np.array([0.45, 0.3]), np.zeros(2), 0.4, None,
    np.array([0.0, 0.7, 2.0]), np.array([0.4, 0.15, 0.6]), 0.4,
)  # fmt: skip
TERNARY = replace(
    BINARY, codes=np.array([[1, -1, 0, 0], [1, 1, -1, 0]], np.int8), alphas=np.array([0.75, 0.4]),
    deltas=np.array([0.315, 0.21]), error=0.15, factor=0.7,
)  # fmt: skip
FIVE = BitProduct(
    np.array([1, -1, 1, 1, -1], np.int8), np.array([1, 1, -1, 1, -1], np.int8),
    np.array([0, 1, 0, 0, 1, 0, 0, 0], np.uint8), np.array([0, 0, 1, 0, 1, 0, 0, 0], np.uint8),
)  # fmt: skip
FULL = BitProduct(
    np.ones(8, np.int8), -np.ones(8, np.int8), np.zeros(8, np.uint8), np.ones(8, np.uint8),
)  # fmt: skip
SPEED = SpeedComparison(256, 3, 14, 62.27, 0.5, 5.0, 150.0)


def signs(report: SignReport = BINARY) -> plots.SignCodes:
    view = plots.SignCodes(0.6)
    view.update(report)
    return view


def bits(product: BitProduct = FIVE) -> plots.BitRows:
    view = plots.BitRows(8)
    view.update(product)
    return view


def speed() -> plots.SpeedBars:
    view = plots.SpeedBars()
    view.update(SPEED.formula)
    view.measured(SPEED)
    return view


# --- signs ------------------------------------------------------------------------------------------


def test_two_values_stand_at_plus_and_minus_the_mean_alpha_with_their_spread():
    view = signs()
    assert view._ticks.get_xdata() == pytest.approx([-0.375, 0.375])
    assert [segment[:, 0].tolist() for segment in view._spread.get_segments()] == [[-0.3, -0.45], [0.3, 0.45]]
    assert not view._zone.get_visible()


def test_a_third_value_brings_its_tick_and_the_hatched_zone():
    view = signs(TERNARY)
    assert view._ticks.get_xdata() == pytest.approx([-0.575, 0.575, 0])
    assert view._zone.get_visible()
    assert view._zone.get_hatch()
    assert (view._zone.get_x(), view._zone.get_width()) == pytest.approx((-0.2625, 0.525))
    assert [words.get_text() for words in view._words if words.get_visible()] == ["-α", "+α", "0"]
    view.update(BINARY)
    assert [words.get_text() for words in view._words if words.get_visible()] == ["-α", "+α"]
    assert not view._zone.get_visible()


def test_codes_of_zero_let_the_hatched_ground_through_and_plus_has_a_mark():
    view = signs(TERNARY)
    assert view._map.get_array().mask.tolist() == (TERNARY.codes == 0).tolist()
    pluses = set(zip(*(each.tolist() for each in view._pluses.get_data()), strict=True))
    assert pluses == {(0, 0), (0, 1), (1, 1)}


def test_a_large_layer_shows_a_corner_and_says_so():
    codes = np.ones((40, 100), np.int8)
    view = signs(replace(BINARY, values=codes.astype(float), codes=codes))
    assert view._map.get_array().shape == (16, 27)
    assert view._cells.get_text() == "16 of 40 filters, 27 of 100 weights"


def test_the_chosen_error_stands_on_the_curve_and_two_values_at_its_start():
    view = signs()
    assert view._chosen.get_xydata().tolist() == [[0, 0.4]]
    view.update(TERNARY)
    assert view._chosen.get_xydata().tolist() == [[0.7, 0.15]]
    assert view._least.get_xydata().tolist() == [[0.7, 0.15]]
    assert list(view._binary.get_ydata()) == [0.4, 0.4]


def test_axes_move_only_for_another_layer():
    view = signs()
    view.png()
    before = [ax.get_xlim() + ax.get_ylim() for ax in view.figure.axes]
    view.update(TERNARY)
    assert [ax.get_xlim() + ax.get_ylim() for ax in view.figure.axes] == before
    view.update(replace(TERNARY, layer="conv", values=3 * VALUES))
    assert view.figure.axes[0].get_xlim() == pytest.approx((-1.05 * 2.7, 1.05 * 2.7))


def test_numbers_of_signs_name_alpha_loss_zeros_and_bits():
    assert "alpha 0.3750 (0.3000 to 0.4500), 40.0 % of the squares lost, 0.0 % zeros, 1 bit a" in signs().readout
    view = signs(TERNARY)
    assert "alpha 0.5750 (0.4000 to 0.7500), 15.0 % of the squares lost, 37.5 % zeros, 2 bits a" in view.readout
    assert "three values, Delta = 0.7 x mean |W|" in view.text
    assert "with three at least 15.0 %, at 0.7 x mean |W|" in view.text


# --- bits -------------------------------------------------------------------------------------------


def rows(view) -> list[str]:
    return ["".join(words.get_text() for _, words in row) for row in view._cells]


def test_rows_of_bits_are_those_of_the_vectors():
    view = bits()
    assert rows(view) == ["+-++-   ", "++-+-   ", "01001000", "00101000", "01100000", "10011111"]
    view.update(FULL)
    assert rows(view) == ["++++++++", "--------", "00000000", "11111111", "11111111", "00000000"]


def test_padding_is_hatched_and_real_bits_are_not():
    view = bits()
    for row in view._cells:
        assert [bool(box.get_hatch()) for box, _ in row] == [False] * 5 + [True] * 3
    view.update(FULL)
    assert not any(box.get_hatch() for row in view._cells for box, _ in row)


def test_bits_that_differ_stand_out_by_colour_and_weight_in_their_row_only():
    marked = [[words.get_fontweight() == "bold" for _, words in row] for row in bits()._cells]
    assert marked[4] == [False, True, True] + [False] * 5
    assert not any(any(row) for row in (*marked[:4], marked[5]))


def test_the_word_in_place_of_n_is_red_only_where_it_is_wrong():
    view = bits()
    heading, words = view._sums["with the word"]
    assert (heading.get_text(), words.get_text()) == ("word - 2 p (counts the padding)", "8 - 2 x 2 = 4")
    assert heading.get_color() == words.get_color() == style.RED
    assert view._sums["the product"][1].get_text() == "5 - 2 x 2 = 1"
    view.update(FULL)
    assert heading.get_color() == style.INK
    assert "no padding" in heading.get_text()


def test_numbers_of_bits_hold_both_ways_to_the_product():
    view = bits()
    assert "one by one: +1 -1 -1 +1 +1 = 1" in view.text
    assert "a xor b: 0 1 1 0 0 0 0 0" in view.text
    assert "padding: 3 of 8 bits" in view.text
    assert view.readout.endswith("n = 5, p = 2: the product is 1; with 8 in place of n: 4")


def test_the_longest_sum_fits_into_the_picture():
    view = bits(FULL)
    view.png()
    assert max(each.get_window_extent().x1 for pair in view._sums.values() for each in pair) < 900


# --- speed ------------------------------------------------------------------------------------------


def test_bars_of_speed_reach_from_1_to_their_ratio():
    view = speed()
    ends = {name: bar.get_x() + bar.get_width() for name, bar in view._bars.items()}
    assert ends == pytest.approx({"formula": 62.27, "naive": 300, "library": 10})
    assert {bar.get_x() for bar in view._bars.values()} == {1}
    assert len({bar.get_hatch() for bar in view._bars.values()}) == 3


def test_slower_than_the_library_goes_to_the_left():
    view = speed()
    view.measured(replace(SPEED, library_ms=0.25))
    assert view._bars["library"].get_width() == -0.5
    assert "against torch ≈ 0.50x" in view.readout


def test_another_setting_keeps_the_old_bars_pale_until_it_is_measured():
    view = speed()
    view.update(51.2)
    assert view._bars["naive"].get_width() == 299
    assert view._bars["naive"].get_alpha() < 0.5
    assert view.readout == view.text == "by counting 51.2x; not measured yet"
    view.measured(SPEED)
    assert view._bars["naive"].get_alpha() == 1


def test_every_time_is_marked_as_one_of_this_machine():
    view = speed()
    assert "signs ≈ 0.50 ms, torch ≈ 5.00 ms, plain loop ≈ 150 ms" in view.text
    assert "against a plain loop ≈ 300x, against torch ≈ 10.0x; by counting 62.3x" in view.readout
    assert "the paper says 58x for one convolution" in view.text


def test_the_figure_of_the_paper_is_a_dotted_line_with_its_name():
    ax = speed().figure.axes[0]
    (dotted,) = (line for line in ax.lines if line.get_linestyle() == ":")
    assert set(dotted.get_xdata()) == {58}
    assert "the paper: 58x" in [each.get_text() for each in ax.texts]


@pytest.mark.parametrize("make", [signs, bits, speed])
def test_every_view_is_a_picture_with_its_numbers(make):
    check_picture(make())


@pytest.mark.parametrize("make", [signs, bits, speed])
def test_type_is_at_least_14_pixels(make):
    view = make()
    view.png()
    texts = [each for ax in view.figure.axes for each in (*ax.texts, ax.title, ax.xaxis.label, *ax.get_xticklabels())]
    assert min(each.get_fontsize() * view.figure.dpi / 72 for each in texts if each.get_text().strip()) >= 14


def test_bars_of_weights_and_the_curve_of_errors_are_those_of_the_report():
    view = signs(TERNARY)
    heights, edges, _ = view._bars.get_data()
    counts, expected = np.histogram(VALUES, 61, (-1.05 * 0.9, 1.05 * 0.9))
    assert heights == pytest.approx(counts / counts.max())
    assert edges == pytest.approx(expected, abs=1e-6)
    assert view._curve.get_xdata().tolist() == TERNARY.factors.tolist()
    assert view._curve.get_ydata().tolist() == TERNARY.errors.tolist()


def test_minus_is_blue_plus_is_orange_and_the_first_filter_is_on_top():
    view = signs()
    assert view._map.cmap(view._map.norm([-1, 1])).tolist() == to_rgba_array([style.BLUE, style.ORANGE]).tolist()
    assert view._map.get_extent() == [-0.5, 3.5, 1.5, -0.5]


def test_bits_that_differ_are_orange_and_letters_of_padding_grey():
    view = bits()
    orange = [[box.get_facecolor() == to_rgba(style.ORANGE) for box, _ in row] for row in view._cells]
    assert orange[4] == [False, True, True] + [False] * 5
    assert not any(any(row) for row in (*orange[:4], orange[5]))
    assert [words.get_color() for _, words in view._cells[2]] == [style.INK] * 5 + ["#666666"] * 3


def test_words_of_speed_hold_the_ratios_and_times_of_their_rows():
    view = speed()
    assert {name: words.get_text().split(": ")[1] for name, words in view._values.items()} == {
        "formula": "62.3x", "naive": "300x", "library": "10.0x",
    }  # fmt: skip
    assert view._times.get_text().splitlines()[1:] == ["signs: 0.50 ms", "plain loop: 150 ms", "torch: 5.00 ms"]
    view.update(51.2)
    assert view._times.get_alpha() < 0.5
