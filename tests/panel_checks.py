"""What every panel and every picture must bear."""

from labcore.plots.view import FigureView
from labcore.widgets.panel import Panel

__all__ = ["check_picture", "move_every_control", "play_every_scene", "settings_of"]


def settings_of(control) -> list:
    """Every option; of a slider without options both ends."""
    if hasattr(control, "options"):
        return [option[1] if isinstance(option, tuple) else option for option in control.options]
    return [False, True] if isinstance(control.value, bool) else [control.min, control.max]


def move_every_control(panel: Panel) -> None:
    """Set every control to each of its settings, the others as at the start: there are a picture and words."""
    for control in panel.controls.values():
        panel.start_again()
        for value in settings_of(control):
            control.value = value
            assert control.value == value
            assert panel.view.png()
            assert panel.text
    panel.start_again()


def play_every_scene(panel: Panel, most: int = 4) -> None:
    """Every scene that needs no training has a line and words of its own."""
    assert 3 <= len(panel.scenes) <= most
    words = []
    for scene in panel.scenes:
        if scene.act:
            continue
        panel.play(scene.name)
        assert scene.see
        words.append(panel.text)
    assert len(set(words)) == len(words)


def check_picture(view: FigureView) -> None:
    """A picture that fits beside its controls, with its numbers as text."""
    bundle = view._repr_mimebundle_()
    assert bundle["text/plain"]
    assert len(bundle["image/png"]) > 1000
    assert view.alt
    assert view.width_px == 900
    assert view.figure.get_figheight() * view.figure.dpi <= 376
