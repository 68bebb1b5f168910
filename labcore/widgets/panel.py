"""The one generic panel: controls -> compute -> view, and a slower measurement when the controls rest.

A change of a control asks a worker thread for the newest values only. It computes and shows the picture at once;
when the controls have rested, it measures, with the old number greyed until the new one is there. Tests and builds
(``LABCORE_STRICT=1``) run everything inline. Exceptions go to the status line; in strict mode they raise.
"""

import base64
import html
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import ipywidgets as widgets

from labcore import runtime, text
from labcore.plots.view import img_tag

__all__ = ["Action", "Panel", "PanelView", "Scene"]

_REST_SECONDS = 0.15
_SIZE = "<style>.labcore-panel{--jp-widgets-font-size:14px}</style>"
_STYLE = "font-size:15px;line-height:1.4;color:var(--jp-ui-font-color1,#222)"


@dataclass(frozen=True)
class Scene:
    """A named setting of all controls: the "try this" of a panel.

    Attributes:
        name: of the button.
        settings: values by control; the others go back to their start.
        see: what the learner should see, in one line.
        act: whether the panel's action runs too.
    """

    name: str
    settings: Mapping[str, Any]
    see: str
    act: bool = False


@dataclass(frozen=True)
class Action:
    """Something long that a button starts, for example one epoch of training.

    Attributes:
        name: of the button.
        run: ``run(stop=event, progress=share, **values) -> measurement``; may return None once `stop` is set.
    """

    name: str
    run: Callable[..., Any]


class PanelView(Protocol):
    """What a panel asks of its picture. `measured` and `readout` matter only with a measurement."""

    width_px: int
    text: str
    alt: str
    readout: str

    def update(self, result: Any) -> None: ...
    def measured(self, measurement: Any) -> None: ...
    def png(self, *, palette: bool = True) -> bytes: ...


class Panel:
    """Controls beside a picture.

    Args:
        title: what the panel is about.
        controls: core ipywidgets by argument name; each needs a description.
        compute: ``compute(**values) -> result``, fast; called once a setting.
        view: shows results.
        measure: ``measure(stop=event, **values) -> measurement``, slow; may return None once `stop` is set.
        prepare: ``prepare(say)``, once before the first measurement; what it says goes to the status line.
        action: has a button of its own, and one to stop it; moving a control stops it too.
        scenes: named settings; their buttons stand under the controls.
    """

    def __init__(
        self,
        title: str,
        controls: Mapping[str, widgets.ValueWidget],
        compute: Callable[..., Any],
        view: PanelView,
        *,
        measure: Callable[..., Any] | None = None,
        prepare: Callable[[Callable[[str], None]], Any] | None = None,
        action: Action | None = None,
        scenes: tuple[Scene, ...] = (),
    ):
        self.title, self.controls, self.view, self.scenes = title, dict(controls), view, scenes
        self._compute, self._measure, self._prepare, self._action = compute, measure, prepare, action
        self._start = self.values
        for scene in scenes:
            if unknown := scene.settings.keys() - self.controls.keys():
                raise ValueError(f"scene {scene.name!r} sets unknown controls: {', '.join(sorted(unknown))}")
        self._results: dict[tuple, Any] = {}
        self._measurements: dict[tuple, Any] = {}
        self._condition, self._drawing = threading.Condition(), threading.Lock()
        self._pending: tuple[dict[str, Any], bool] | None = None
        self._working, self._quiet, self._line = False, False, ""
        self._stop = threading.Event()
        self._picture, self._readout, self._status, self._numbers = (widgets.HTML() for _ in range(4))
        self.widget = self._build()
        for control in self.controls.values():
            control.observe(self._changed, names="value")
        key = tuple(self.values.values())
        self._results[key] = self._compute(**self.values)
        self.view.update(self._results[key])
        self._changed()

    # --- what is on the screen ---

    def _build(self) -> widgets.VBox:
        row = widgets.Layout(flex_flow="row wrap", align_items="center", margin="2px 0")
        for control in self.controls.values():
            control.style.description_width = "initial"
            control.layout.margin = "2px 18px 2px 2px"
            if isinstance(control, widgets.Dropdown):
                control.layout.width = "max-content"
        buttons = [self._button(scene.name, lambda scene=scene: self.play(scene.name)) for scene in self.scenes]
        buttons.append(self._button("start again", self.start_again))
        if self._action is not None:
            buttons += [self._button(self._action.name, self.act), self._button("stop", self._stop.set)]
        toggle = widgets.ToggleButton(description="numbers as text", value=False, layout=widgets.Layout(width="auto"))
        self._numbers.layout.display = "none"
        toggle.observe(self._toggle_numbers, names="value")
        heading = widgets.HTML(f'{_SIZE}<div style="{_STYLE};font-weight:600">{html.escape(self.title)}</div>')
        children = [
            heading,
            widgets.Box(list(self.controls.values()), layout=row),
            widgets.Box([*buttons, toggle], layout=row),
            self._status, self._picture, self._readout, self._numbers,
        ]  # fmt: skip
        box = widgets.VBox(children, layout=widgets.Layout(width="910px", max_width="100%"))
        box.add_class("labcore-panel")
        return box

    def _button(self, name: str, action: Callable[[], None]) -> widgets.Button:
        button = widgets.Button(description=name, layout=widgets.Layout(width="auto"))
        button.on_click(lambda _: self._guard(action))
        return button

    def _toggle_numbers(self, change: dict) -> None:
        self._numbers.layout.display = "" if change["new"] else "none"

    def _show(self, readout: str, *, grey: bool = False) -> None:
        with self._drawing:
            png = self.view.png(palette=False)
            self._picture.value = img_tag(png, self.view.alt, self.view.width_px)
            self._numbers.value = f'<pre style="{_STYLE};margin:0">{html.escape(self.view.text)}</pre>'
        shown = f'<span style="opacity:.5">{html.escape(readout)} — measuring</span>' if grey else html.escape(readout)
        self._readout.value = (
            f'<div class="labcore-readout" role="status" aria-live="polite" style="{_STYLE}">{shown}</div>'
        )

    def _say(self, message: str) -> None:
        self._status.value = f'<div class="labcore-status" role="status" style="{_STYLE}">{html.escape(message)}</div>'

    # --- what happens when a control moves ---

    @property
    def values(self) -> dict[str, Any]:
        """Current values of the controls by name."""
        return {name: control.value for name, control in self.controls.items()}

    def play(self, name: str) -> None:
        """Set all controls to a scene."""
        scene = next((scene for scene in self.scenes if scene.name == name), None)
        if scene is None:
            raise ValueError(f"unknown scene {name!r}; choose one of: {', '.join(s.name for s in self.scenes)}")
        self._line = f"{scene.name}: {scene.see}"
        self._say(self._line)
        self._set({**self._start, **scene.settings}, act=scene.act)

    def act(self) -> None:
        """Run the action at the present setting."""
        self._request(act=True)

    def start_again(self) -> None:
        """Set all controls to where they stood at first."""
        self._line = ""
        self._say("")
        self._set(self._start)

    def _set(self, values: Mapping[str, Any], *, act: bool = False) -> None:
        self._quiet = True
        try:
            for name, value in values.items():
                self.controls[name].value = value
        finally:
            self._quiet = False
        self._request(act=act)

    def _changed(self, change: dict | None = None) -> None:
        if not self._quiet:
            self._request()

    def _request(self, *, act: bool = False) -> None:
        """Ask for the present values; newer requests replace older ones."""
        if runtime.strict():
            self._run(self.values, act)
            return
        with self._condition:
            self._pending = self.values, act
            self._stop.set()
            self._condition.notify()
            if self._working:
                return
            self._working = True
        threading.Thread(target=self._work, name=f"panel {self.title}", daemon=True).start()

    def _work(self) -> None:
        """Serve the newest request until there is none left."""
        while True:
            with self._condition:
                if self._pending is None:
                    self._working = False
                    return
                request, self._pending = self._pending, None
                self._stop.clear()
            self._guard(self._run, *request)

    def _run(self, values: dict[str, Any], act: bool) -> None:
        key = tuple(values.values())
        if key not in self._results:
            self._results[key] = self._compute(**values)
        with self._drawing:
            self.view.update(self._results[key])
        if act:
            measurement = self._act(values)
        elif self._measure is not None:
            if key not in self._measurements:
                self._show(self.view.readout, grey=True)
                self._get_ready()
                self._measurements[key] = None if self._superseded() else self._measure(stop=self._stop, **values)
            # A measurement that was stopped is None and is taken again next time.
            measurement = self._measurements[key] or self._measurements.pop(key)
        else:
            self._show(getattr(self.view, "readout", ""))
            return
        if measurement is not None:
            with self._drawing:
                self.view.measured(measurement)
            self._show(self.view.readout)

    def _get_ready(self) -> None:
        if self._prepare is not None:
            self._prepare(self._say)
            self._prepare = None
            self._say(self._line)

    def _act(self, values: dict[str, Any]) -> Any:
        name = self._action.name
        self._show(self.view.readout, grey=True)
        measurement = self._action.run(
            stop=self._stop, progress=lambda share: self._say(f"{name}: {text.percent(share, 0)}"), **values
        )
        if self._pending is not None:
            self._say(self._line)  # a newer request stopped the action; the line is already its own
        else:
            self._say(f"{name}: stopped" if measurement is None else self._line or f"{name}: done")
        return measurement

    def _superseded(self) -> bool:
        """Wait until the controls have rested; True when newer values came meanwhile."""
        if runtime.strict():
            return False
        with self._condition:
            return self._condition.wait_for(lambda: self._pending is not None, timeout=_REST_SECONDS)

    def _guard(self, action: Callable[..., None], *args: Any) -> None:
        """Run; an exception is shown in the status line, and raises in strict mode."""
        try:
            action(*args)
        except Exception as error:
            self._say(f"{type(error).__name__}: {error}")
            if runtime.strict():
                raise

    # --- what a cell stores ---

    @property
    def text(self) -> str:
        """The state in words: the controls, then the numbers behind the picture."""
        settings = ", ".join(f"{control.description} {_shown(control)}" for control in self.controls.values())
        return f"{self.title}\n[{settings}]\n{self.view.text}"

    def _text_of_scenes(self) -> str:
        """The start and every scene, each in words."""
        parts = [self.text]
        for scene in self.scenes:
            self.play(scene.name)
            parts.append(f"scene {scene.name!r}, you should see: {scene.see}\n{self.text}")
        self.start_again()
        return "\n\n".join(parts)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        words = self._text_of_scenes() if runtime.strict() else self.text
        with self._drawing:
            png = base64.b64encode(self.view.png()).decode()
        data = self.widget._repr_mimebundle_() | {"text/plain": words, "image/png": png}
        return data, {"labcore.panel": self.title}


def _shown(control: widgets.ValueWidget) -> str:
    """A control's value as its readout shows it (the option's label where there is one)."""
    return str(getattr(control, "label", control.value))
