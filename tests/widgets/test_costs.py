"""The panel of chapter 0 on the shipped networks."""

import ipywidgets as widgets
import pytest

from labcore import data, models
from labcore.search import load_sweep
from labcore.training import evaluate
from labcore.widgets import explorers


@pytest.fixture(scope="module")
def garments():
    return data.load_dataset("fashion14")


@pytest.fixture
def panel(garments):
    return explorers.costs(garments)


@pytest.mark.case("C-invented")
def test_the_accuracy_on_the_screen_is_that_of_the_network(panel, garments):
    panel.controls["width"].value = 8
    answers = evaluate(models.load_model("lab_cnn", width=8), garments.batches())
    assert panel.view._measurement.n_correct == answers.n_correct
    assert f"{100 * answers.accuracy:.1f} %" in panel.view.readout


@pytest.mark.case("C-dropdown")
def test_the_widths_to_choose_from_are_those_of_the_shipped_sweep(panel):
    widths = [int(point.settings["width"]) for point in load_sweep("widths") if point.label.startswith("lab_cnn")]
    assert list(panel.controls["width"].options) == widths


@pytest.mark.case("C-dropdown")
def test_every_option_of_every_control_works(panel):
    for control in panel.controls.values():
        for option in control.options:
            control.value = option[1] if isinstance(option, tuple) else option


@pytest.mark.case("C-dead-widget")
def test_the_panel_is_made_of_core_widgets_only(panel):
    def walk(widget):
        yield widget
        for child in getattr(widget, "children", ()):
            yield from walk(child)

    for widget in walk(panel.widget):
        assert type(widget).__module__.startswith("ipywidgets"), widget
        assert not isinstance(widget, widgets.Output)


def test_each_currency_has_another_champion_but_time_decides_itself(panel):
    assert panel.view.champions["parameters"] == "conv3"
    assert panel.view.champions["macs"] == "conv2"
    assert panel.view.champions["activations"] == "conv1"
