"""Views: artists, labels, limits and texts; no pixels, except that a picture is a picture."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from labcore import plots, runtime
from labcore.metrics import measure_changes, wilson_interval
from labcore.results import BoardMeasurement, CostBoard, Curve, Evaluation, Interval, Latency, ScoreChoice, SweepPoint


def point(width: int, mean: float, family: str = "narrower") -> SweepPoint:
    accuracies = np.array([mean - 0.01, mean, mean + 0.01])
    costs = (width * 1000, width * 20_000, width * 4000)
    return SweepPoint(family, f"width {width}", *costs, accuracies, {"width": width})


SWEEP = [point(4, 0.80), point(8, 0.85), point(16, 0.87), point(16, 0.86, "residual")]
BOARD = CostBoard(
    "width 8",
    ("conv1", "conv2"),
    {"parameters": np.array([10, 90]), "macs": np.array([70, 30]), "activations": np.array([300, 100])},
    {"parameters": "100 in all", "macs": "100 an image", "activations": "peak 1.2 kB an image"},
    8000,
)
MEASURED = BoardMeasurement(Interval(0.83, 0.85, 0.87), 85, 100, np.array([0.2, 0.1]), 0.4, 50)
NAMES = ("cat", "dog", "bird")
LABELS = np.array([0, 0, 1, 1, 2, 2])
FIRST = Evaluation(np.array([0, 0, 1, 1, 2, 0]), LABELS, 3)
SECOND = Evaluation(np.array([0, 1, 1, 1, 2, 2]), LABELS, 3)
IMAGES = np.random.default_rng(0).random((6, 1, 14, 14))


def cost_bars() -> plots.CostBars:
    view = plots.CostBars(BOARD.layers, SWEEP[:3], 0.01, "2026-01-31")
    view.update(BOARD)
    return view


def image_grid() -> plots.ImageGrid:
    view = plots.ImageGrid(3, 2)
    view.update((IMAGES, FIRST, NAMES, range(6)))
    return view


def class_bars() -> plots.ClassBars:
    view = plots.ClassBars(NAMES, 0.02)
    view.update(([wilson_interval(k, 10) for k in (7, 8, 9)], wilson_interval(24, 30)))
    return view


def latency_strip() -> plots.LatencyStrip:
    view = plots.LatencyStrip(("a", "b"))
    calls = Latency(np.array([1.0, 2.0, 3.0]), np.array([9.0]), 1, 50)
    view.update((calls, calls))
    return view


def who_pays() -> plots.WhoPays:
    view = plots.WhoPays(NAMES, IMAGES)
    view.update((measure_changes(FIRST, SECOND), SECOND))
    return view


def convolution_steps() -> plots.ConvolutionSteps:
    view = plots.ConvolutionSteps()
    view.update((np.arange(16.0).reshape(4, 4) / 16, np.eye(3), (0, 1)))
    return view


def accuracy_against_cost() -> plots.AccuracyAgainstCost:
    view = plots.AccuracyAgainstCost(SWEEP, floor=0.01, date="2026-01-31")
    view.update(point(6, 0.84, "mine"))
    return view


def curves() -> plots.Curves:
    view = plots.Curves("epochs", "2026-01-31")
    values = np.array([[0.8, 0.6, 0.9], [0.9, 0.7, 0.9]])
    view.update([Curve("one", "", np.array([0, 1, 2]), values, {}), Curve("two", "", np.array([0, 1, 2]), values, {})])
    return view


def score_choice(place: int = 0, reference: str = "random") -> ScoreChoice:
    values = {
        "magnitude": [[0.80, 0.5], [0.84, 0.3]],
        "lamp": [[0.87, 0.6], [0.89, 0.6]],
        "random": [[0.70, 0.2], [0.8, 0.1]],
    }
    shares = np.array([0.5, 0.9])
    members = tuple(Curve(name, "weights, at once", shares, np.array(each), {}) for name, each in values.items())
    return ScoreChoice("weights, at once", members, place, reference)


def score_zoo() -> plots.ScoreZoo:
    view = plots.ScoreZoo(np.array([0.88, 0.90]), 0.02, "2026-01-31")
    view.update(score_choice())
    return view


VIEWS = [
    score_zoo, curves, cost_bars, image_grid, class_bars, latency_strip, who_pays, convolution_steps,
    accuracy_against_cost,
]  # fmt: skip


@pytest.mark.parametrize("make", VIEWS, ids=lambda make: make.__name__)
def test_a_view_shows_a_small_palette_png_with_its_numbers_as_text(make):
    view = make()
    bundle = view._repr_mimebundle_()
    image = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    assert image.mode == "P"
    assert image.width == view.width_px == 900
    assert len(bundle["image/png"]) < 60_000
    assert any(character.isdigit() for character in bundle["text/plain"])
    assert "\n" not in view.alt


@pytest.mark.parametrize("make", VIEWS, ids=lambda make: make.__name__)
def test_type_is_at_least_14_pixels_high_within_two_percent(make):
    view = make()
    view.png()
    sizes = [text.get_fontsize() for text in view.figure.findobj(lambda artist: hasattr(artist, "get_fontsize"))]
    assert min(sizes) * view.figure.dpi / 72 >= 13.8


@pytest.mark.parametrize("make", VIEWS, ids=lambda make: make.__name__)
def test_live_a_view_has_alternative_text_and_a_white_ground(make, monkeypatch):
    monkeypatch.setattr(runtime, "strict", lambda: False)
    bundle = make()._repr_mimebundle_()
    if make is accuracy_against_cost:
        assert bundle["application/vnd.plotly.v1+json"]["data"]
    else:
        assert 'alt="' in bundle["text/html"]
        assert "background:white" in bundle["text/html"]


def test_the_longest_bar_of_each_currency_is_hatched_and_named():
    view = cost_bars()
    view.measured(MEASURED)
    assert view.champions == {"parameters": "conv2", "macs": "conv1", "activations": "conv1", "time": "conv1"}
    assert [bar.get_hatch() for bar in view._bars["parameters"]] == ["", "//"]
    assert [bar.get_width() for bar in view._bars["parameters"]] == pytest.approx([0.1, 0.9])
    assert "most: conv2" in view.text


def test_before_the_measurement_no_accuracy_is_claimed():
    view = cost_bars()
    assert view.readout == "accuracy not measured yet"
    view.measured(MEASURED)
    assert view.readout.startswith("measured now: ≈ 85.0 % of 100 test images right")


def test_the_background_is_drawn_once_and_limits_stay_over_a_sweep():
    view = cost_bars()
    before = view.png(), view.figure.axes[0].get_xlim(), view._background
    wider = CostBoard(BOARD.label, BOARD.layers, {k: 9 * v for k, v in BOARD.values.items()}, BOARD.totals, 16_000)
    view.update(wider)
    assert view.png() != before[0]
    assert view.figure.axes[0].get_xlim() == before[1]
    assert view._background is before[2]


def test_the_star_stands_at_the_measured_accuracy():
    view = cost_bars()
    view.measured(MEASURED)
    assert view._point.get_xydata().tolist() == [[8000, 0.85]]


def test_a_wrong_answer_is_told_by_sign_and_word_not_by_colour_alone():
    captions = [caption.get_text() for caption in image_grid()._captions]
    assert captions[0].startswith("✓ cat")
    assert captions[5] == "✗ says cat,\nis bird"


def test_every_accuracy_chart_shows_the_floor():
    for view in (cost_bars(), class_bars(), accuracy_against_cost(), score_zoo()):
        words = [text.get_text() for text in view.figure.findobj(lambda artist: hasattr(artist, "get_fontsize"))]
        assert "my floor" in words


def test_the_convolution_is_the_sum_of_products():
    # By hand: patch rows 0-2, columns 1-3; the identity picks 1, 6 and 11 of sixteenths.
    assert f"sum of products: {(1 + 6 + 11) / 16:.2f}" in convolution_steps().text


def test_who_pays_lists_each_class_with_its_flips():
    text = who_pays().text
    assert "dog: ≈ 0.0 points, ≈ 0 flipped" in text
    assert "cat: ≈ -50.0 points, ≈ 1 flipped" in text
    assert "bird: ≈ +50.0 points, ≈ 1 flipped" in text


def test_the_plotly_chart_and_its_still_show_the_same_points():
    view = accuracy_against_cost()
    chart = view.chart()
    drawn = {trace.name: list(trace.x) for trace in chart.data}
    assert drawn["narrower"] == [4000, 8000, 16_000]
    assert drawn["residual"] == [16_000]
    assert drawn["my point"] == [6000]
    assert view._star.get_xydata()[0].tolist() == [6000, 0.84]


def test_a_chart_without_networks_or_with_an_unknown_cost_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        plots.AccuracyAgainstCost([], floor=0.01, date="")
    with pytest.raises(ValueError, match="choose one of: n_params, macs, file_bytes"):
        plots.AccuracyAgainstCost(SWEEP, cost="size", floor=0.01, date="")


def test_a_curve_is_the_mean_of_its_seeds_between_the_lowest_and_the_highest():
    view = curves()
    assert "one: 0: 85.0 %, 1: 65.0 %, 2: 90.0 %" in view.text
    line, band = view._ax.lines[0], view._ax.collections[0]
    assert line.get_ydata() == pytest.approx([0.85, 0.65, 0.9])
    assert band.get_paths()[0].vertices[:, 1].min() == 0.6


def test_the_zoo_shows_every_seed_of_every_score_in_its_row():
    view = score_zoo()
    assert view._dots.get_xydata().tolist() == [[0.8, 0], [0.84, 0], [0.87, 1], [0.89, 1], [0.7, 2], [0.8, 2]]
    assert view._means.get_xdata() == pytest.approx([0.82, 0.88, 0.75])
    assert [label.get_text() for label in view._ax.get_yticklabels()] == ["magnitude", "lamp", "random"]


def test_differences_to_the_reference_are_taken_seed_by_seed():
    view = score_zoo()
    assert [label.get_text() for label in view._labels.values()] == [
        "82.0 %   +7.0 (+4.0 to +10.0) points", "88.0 %   +13.0 (+9.0 to +17.0) points", "75.0 %   reference",
    ]  # fmt: skip
    assert view._level.get_xdata()[0] == pytest.approx(0.75)
    view.update(score_choice(place=1, reference="lamp"))
    assert view._labels["magnitude"].get_text() == "40.0 %   -20.0 (-30.0 to -10.0) points"
    assert "magnitude: 40.0 % (30.0 % to 50.0 %, 2 seeds), -20.0 (-30.0 to -10.0) points" in view.text


def test_the_zoo_counts_the_scores_above_the_floor():
    # The floor is 87 %.
    view = score_zoo()
    assert view.readout.endswith("without 50 %: best lamp with 88.0 %; 1 of 3 scores stay above my floor")
    view.update(score_choice(place=1))
    assert view.readout.endswith("without 90 %: best lamp with 60.0 %; 0 of 3 scores stay above my floor")


def test_limits_of_the_zoo_stay_over_shares_and_references():
    view, choice = score_zoo(), score_choice()
    view.update(choice)
    view.png()
    before = view._ax.get_xlim(), view._background
    # From the worst dot of all shares to the whole network; the floor lies between.
    assert before[0] == pytest.approx((0.1 - 0.02, 0.89 + 0.02))
    view.update(ScoreChoice(choice.kind, choice.curves, 1, "lamp"))
    assert (view._ax.get_xlim(), view._background) == before
    view.update(ScoreChoice("weights, tuned", choice.curves[:2], 1, "lamp"))
    assert view._background is None
    assert len(view._ax.get_yticklabels()) == len(view._labels) == 2
    view.png()
