"""The generic panel: controls, worker, measurement, scenes, errors. No browser."""

import threading
import time

import ipywidgets as widgets
import pytest

from labcore import runtime
from labcore.widgets.panel import Action, Panel, Scene

PIXEL = b"\x89PNG\r\n"


class FakeView:
    """Records what a panel gives it."""

    width_px, alt = 900, "a number"

    def __init__(self):
        self.results, self.measurements = [], []

    def update(self, result):
        self.results.append(result)

    def measured(self, measurement):
        self.measurements.append(measurement)

    def png(self, *, palette=True):
        return PIXEL

    @property
    def text(self):
        return f"result {self.results[-1]}"

    @property
    def readout(self):
        return f"measured {self.measurements[-1]}" if self.measurements else "not measured yet"


def make_panel(compute=lambda x, mode: (x, mode), **extra) -> Panel:
    controls = {
        "x": widgets.IntSlider(description="level", min=0, max=10, value=3),
        "mode": widgets.Dropdown(description="mode", options=[("one", 1), ("two", 2)]),
    }
    return Panel("A test", controls, compute, FakeView(), **extra)


def wait_until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the panel did not finish"
        time.sleep(0.005)


@pytest.fixture
def live(monkeypatch):
    monkeypatch.setattr(runtime, "strict", lambda: False)


def test_moving_a_control_shows_the_result_of_its_value():
    panel = make_panel()
    panel.controls["x"].value = 7
    assert panel.view.results[-1] == (7, 1)
    assert "result (7, 1)" in panel._numbers.value


def test_a_setting_is_computed_once():
    seen = []
    panel = make_panel(lambda x, mode: seen.append(x))
    for value in (4, 5, 4, 5, 3):
        panel.controls["x"].value = value
    assert seen == [3, 4, 5]


def test_a_scene_sets_all_controls_with_one_computation():
    seen = []
    panel = make_panel(lambda x, mode: seen.append((x, mode)), scenes=(Scene("far", {"x": 9, "mode": 2}, "nine"),))
    panel.controls["x"].value = 5
    panel.play("far")
    assert seen == [(3, 1), (5, 1), (9, 2)]
    assert "far: nine" in panel._status.value
    panel.start_again()
    assert panel.values == {"x": 3, "mode": 1}


def test_a_scene_button_is_a_click_away():
    panel = make_panel(scenes=(Scene("far", {"x": 9}, "nine"),))
    button = next(b for b in panel.widget.children[2].children if b.description == "far")
    button.click()
    assert panel.values["x"] == 9


def test_a_scene_of_unknown_controls_is_refused():
    with pytest.raises(ValueError, match="unknown controls: y"):
        make_panel(scenes=(Scene("wrong", {"y": 1}, ""),))


def test_an_unknown_scene_lists_the_known_ones():
    with pytest.raises(ValueError, match="choose one of: far"):
        make_panel(scenes=(Scene("far", {"x": 9}, "nine"),)).play("near")


def test_the_stored_text_holds_the_start_and_every_scene():
    panel = make_panel(scenes=(Scene("far", {"x": 9, "mode": 2}, "nine"),))
    data, metadata = panel._repr_mimebundle_()
    assert "[level 3, mode one]\nresult (3, 1)" in data["text/plain"]
    assert "scene 'far', you should see: nine" in data["text/plain"]
    assert "[level 9, mode two]\nresult (9, 2)" in data["text/plain"]
    assert "image/png" in data
    assert metadata == {"labcore.panel": "A test"}
    assert panel.values == {"x": 3, "mode": 1}


@pytest.mark.case("C-swallowed")
def test_strict_an_exception_in_a_callback_raises():
    def compute(x, mode):
        if x > 5:
            raise RuntimeError("too far")

    panel = make_panel(compute, scenes=(Scene("far", {"x": 9}, "nine"),))
    with pytest.raises(RuntimeError, match="too far"):
        panel.controls["x"].value = 6
    with pytest.raises(RuntimeError, match="too far"):
        panel._repr_mimebundle_()


@pytest.mark.case("C-swallowed")
def test_live_an_exception_stands_in_the_status_line_and_the_panel_goes_on(live):
    def compute(x, mode):
        if x == 6:
            raise RuntimeError("too far")
        return x

    panel = make_panel(compute)
    panel.controls["x"].value = 6
    wait_until(lambda: "RuntimeError: too far" in panel._status.value)
    panel.controls["x"].value = 7
    wait_until(lambda: panel.view.results[-1] == 7)


def test_live_only_the_newest_of_many_moves_is_computed(live):
    started, free, seen = threading.Event(), threading.Event(), []

    def compute(x, mode):
        seen.append(x)
        if x == 4:
            started.set()
            assert free.wait(5)
        return x

    panel = make_panel(compute)
    panel.controls["x"].value = 4
    assert started.wait(5)
    for value in (5, 6, 7, 8):
        panel.controls["x"].value = value
    free.set()
    wait_until(lambda: panel.view.results[-1] == 8)
    assert seen == [3, 4, 8]


def test_live_a_measurement_waits_for_rest_and_greys_the_old_number(live):
    greyed, free = [], threading.Event()

    def measure(x, mode, stop):
        greyed.append("measuring" in panel._readout.value)
        assert free.wait(5)
        return x

    panel = make_panel(measure=measure)
    wait_until(lambda: greyed)
    free.set()
    wait_until(lambda: panel.view.measurements == [3])
    wait_until(lambda: "measuring" not in panel._readout.value)
    assert greyed == [True]
    assert "measured 3" in panel._readout.value


def test_live_a_new_move_cancels_the_measurement(live):
    started, measured = threading.Event(), []

    def measure(x, mode, stop):
        if x == 3:
            started.set()
            assert stop.wait(5)
            return None
        measured.append(x)
        return x

    panel = make_panel(measure=measure)
    assert started.wait(5)
    panel.controls["x"].value = 4
    wait_until(lambda: panel.view.measurements == [4])
    assert measured == [4]


def test_what_must_be_ready_is_made_once_and_said_in_the_status_line():
    calls = []

    def prepare(say):
        say("compiling")
        calls.append("prepare")

    def measure(x, mode, stop):
        calls.append(panels[0]._status.value if panels else "first")
        return x

    panels = []
    panels.append(make_panel(measure=measure, prepare=prepare))
    panels[0].controls["x"].value = 5
    assert calls[:2] == ["prepare", "first"]
    assert len(calls) == 3
    assert "compiling" not in calls[2]


def test_what_is_being_made_ready_shows(live):
    going, seen = threading.Event(), []

    def prepare(say):
        say("compiling a loop")
        seen.append(True)
        assert going.wait(5)

    panel = make_panel(measure=lambda x, mode, stop: x, prepare=prepare)
    wait_until(lambda: seen)
    assert "compiling a loop" in panel._status.value
    going.set()
    wait_until(lambda: panel.view.measurements)
    assert "compiling" not in panel._status.value


def test_every_control_has_a_description_and_the_number_is_announced():
    panel = make_panel(measure=lambda x, mode, stop: x)
    assert all(control.description for control in panel.controls.values())
    assert 'aria-live="polite"' in panel._readout.value
    assert '<img alt="a number"' in panel._picture.value


def test_the_numbers_behind_the_picture_can_be_shown():
    panel = make_panel()
    toggle = next(w for w in panel.widget.children[2].children if isinstance(w, widgets.ToggleButton))
    assert panel._numbers.layout.display == "none"
    toggle.value = True
    assert panel._numbers.layout.display == ""


def slow_action(started: threading.Event):
    """Runs until it is stopped, or at once where the level is not 3."""

    def run(x, mode, stop, progress):
        progress(0.5)
        started.set()
        if x == 3:
            assert stop.wait(5)
            return None
        return f"acted on {x}"

    return Action("repair", run)


def test_an_action_shows_what_it_measured():
    panel = make_panel(action=slow_action(threading.Event()))
    panel.controls["x"].value = 5
    panel.act()
    assert panel.view.measurements == ["acted on 5"]
    assert "repair: done" in panel._status.value


def test_live_the_stop_button_ends_an_action(live):
    started = threading.Event()
    panel = make_panel(action=slow_action(started))
    panel.act()
    assert started.wait(5)
    next(button for button in panel.widget.children[2].children if button.description == "stop").click()
    wait_until(lambda: "repair: stopped" in panel._status.value)
    assert panel.view.measurements == []


def test_live_a_scene_ends_an_action_and_its_line_stays(live):
    started = threading.Event()
    panel = make_panel(action=slow_action(started), scenes=(Scene("far", {"x": 9}, "nine"),))
    panel.act()
    assert started.wait(5)
    panel.play("far")
    wait_until(lambda: panel.view.results[-1] == (9, 1))
    wait_until(lambda: not panel._working)
    assert "far: nine" in panel._status.value
    assert panel.view.measurements == []
