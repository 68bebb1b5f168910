"""The panels of chapter 4 on weights, bits and speed: their numbers are computed, and the scenes say what is true."""

import numpy as np
import pytest
import torch
from torch import nn

from labcore import binarize, models
from labcore.widgets import explorers
from panel_checks import move_every_control, play_every_scene, settings_of


@pytest.fixture(scope="module")
def network():
    return models.load_model("lab_cnn")


@pytest.fixture(scope="module")
def panels(network):
    return {
        "signs": explorers.signs(network), "bit_by_bit": explorers.bit_by_bit(), "speed_bars": explorers.speed_bars(),
    }  # fmt: skip


PANELS = ("signs", "bit_by_bit", "speed_bars")


@pytest.mark.case("C-dropdown")
@pytest.mark.parametrize("name", PANELS)
def test_every_control_works_at_every_option_and_both_ends(panels, name):
    move_every_control(panels[name])


@pytest.mark.parametrize("name", PANELS)
def test_every_scene_has_a_line_and_its_own_words(panels, name):
    play_every_scene(panels[name])


# --- signs ------------------------------------------------------------------------------------------


def of_scenes(panel) -> list:
    """What the view shows in each scene."""
    shown = []
    for scene in panel.scenes:
        panel.play(scene.name)
        shown.append(panel.view._report)
    return shown


def test_the_scenes_of_signs_are_true(panels):
    binary, ternary, best, scarce = of_scenes(panels["signs"])
    assert binary.alphas == pytest.approx(np.abs(binary.values).mean(1), rel=1e-5)
    assert 1 / 3 < binary.error < 0.4
    assert (np.abs(binary.codes) == 1).all()
    assert 0.45 < ternary.error / binary.error < 0.55
    assert ternary.alphas.mean() > binary.alphas.mean()
    small = np.abs(ternary.values) <= ternary.deltas[:, None]
    assert ((ternary.codes == 0) == small).all()
    assert best.error == pytest.approx(best.errors.min(), rel=1e-6)
    assert 0 < ternary.error - best.error < 0.005
    assert scarce.zeros > 0.85
    assert scarce.error > binary.error


def test_signs_shows_the_weights_of_the_layer_that_is_chosen(panels, network):
    panel = panels["signs"]
    panel.start_again()
    for layer in settings_of(panel.controls["layer"]):
        panel.controls["layer"].value = layer
        weight = network.get_submodule(layer).weight.detach()
        shown = panel.view._report
        assert np.array_equal(shown.values, weight.flatten(1))
        fitted = binarize.fit_binary(weight)
        assert shown.error == pytest.approx(binarize.relative_error(weight, fitted.values))
        assert shown.errors == pytest.approx(binarize.sweep_factors(weight))


def test_delta_counts_for_three_values_only(panels):
    panel = panels["signs"]
    panel.start_again()
    before = panel.view.text
    panel.controls["factor"].value = 1.5
    assert panel.view.text == before
    panel.controls["kind"].value = "ternary"
    assert panel.view._report.factor == 1.5


def test_layers_of_one_filter_are_left_out():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))
    assert explorers.signs(model).controls["layer"].options == ("0", "2")


# --- bits -------------------------------------------------------------------------------------------


def test_the_scenes_of_bits_are_true(panels):
    panel, shown = panels["bit_by_bit"], {}
    for scene in panel.scenes:
        panel.play(scene.name)
        shown[scene.name] = panel.view._product
    five, full = shown["5 of 8 bits"], shown["full word"]
    assert "".join("+" if sign > 0 else "-" for sign in (*five.a, *five.b)) == "+-++-++-+-"
    assert (five.length, five.word, five.popcount, five.product, five.padded_product) == (5, 8, 2, 1, 4)
    assert full.product == full.padded_product
    equal, opposite = shown["equal vectors"], shown["opposite"]
    assert equal.popcount == 0
    assert equal.product == equal.length
    assert opposite.popcount == opposite.length
    assert opposite.product == -opposite.length


def test_bits_give_the_product_for_every_pair_and_length(panels):
    panel, vectors = panels["bit_by_bit"], set()
    for pair in settings_of(panel.controls["pair"]):
        panel.controls["pair"].value = pair
        for length in range(1, 9):
            panel.controls["length"].value = length
            product = panel.view._product
            assert product.length == length
            assert product.product == int(np.dot(product.a.astype(int), product.b))
        vectors.add((*product.a.tolist(), *product.b.tolist()))
    assert len(vectors) == 5


# --- speed ------------------------------------------------------------------------------------------


def test_the_scenes_of_speed_are_true(panels):
    panel, shown = panels["speed_bars"], []
    for scene in panel.scenes:
        panel.play(scene.name)
        shown.append((panel.view._formula, panel.view._measurement))
    assert [round(formula) for formula, _ in shown] == [62, 51, 58]
    assert all(formula == measured.formula for formula, measured in shown)
    assert [(measured.channels, measured.kernel) for _, measured in shown] == [(256, 3), (256, 1), (64, 3)]
    paper = shown[0][1]
    assert paper.against_naive > paper.against_library


def test_a_setting_is_measured_once_and_again_when_asked(panels):
    panel = panels["speed_bars"]
    panel.play("64 channels")
    first = panel.view._measurement
    panel.play("1x1")
    panel.play("64 channels")
    assert panel.view._measurement is first
    panel.act()
    assert panel.view._measurement is not first
    assert panel.view._measurement.channels == 64


def test_a_measurement_that_was_stopped_is_not_shown(panels):
    panel = panels["speed_bars"]
    panel.play("64 channels")
    panel._stop.set()
    try:
        panel.act()
    finally:
        panel._stop.clear()
    assert panel.view._measurement is None
    assert "stopped" in panel._status.value
