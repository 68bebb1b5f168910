"""The saw: accuracy before and after each cut, for one cut and for many."""

from dataclasses import replace

import ipywidgets as widgets

from labcore import search
from labcore.lesson.progress import floor
from labcore.plots import CurveComparison
from labcore.results import CurveChoice
from labcore.widgets.panel import Panel, Scene

__all__ = ["saw"]

_ADAM = ", Adam"


def saw() -> Panel:
    """Panel: how much is left at the end, schedules to compare -> accuracy over training, and at its end."""
    targets = {}
    for curve in search.load_curves("saw"):
        schedule = curve.family.removesuffix(_ADAM)
        target = curve.label + curve.family.removeprefix(schedule)
        targets.setdefault(target, []).append(replace(curve, family=schedule, label=target))
    curves = {target: tuple(members) for target, members in targets.items()}
    schedules = {curve.family.replace(" ", "_"): curve.family for curve in curves["1/32 left"]}

    def compute(target, **chosen):
        shown = tuple(schedules[name] for name, is_chosen in chosen.items() if is_chosen)
        return CurveChoice(curves[target], shown, -1)

    def only(*names):
        return {name: schedules[name] in names for name in schedules}

    return Panel(
        "The saw: one cut or many?",
        {
            "target": widgets.Dropdown(description="at the end", options=list(curves), value="1/32 left"),
            **{
                name: widgets.Checkbox(
                    description=schedule, value=True, indent=False, layout=widgets.Layout(width="max-content")
                )
                for name, schedule in schedules.items()
            },
        },
        compute,
        CurveComparison(
            tuple(schedules.values()), "epochs", places=slice(-1, None), floor=floor(), date=search.sweep_date("saw")
        ),
        scenes=(
            Scene(
                "one cut or eight", only("one shot", "8 rounds"),
                "one deep fall against eight smaller ones; eight rounds end higher",
            ),
            Scene("gradual", only("one shot", "gradual"), "thirty small cuts: none costs more than a few points"),
            Scene("a milder cut", {"target": "1/12 left"}, "at a twelfth all schedules end within a point"),
            Scene("with Adam", {"target": f"1/32 left{_ADAM}"}, "another optimizer: one cut ends higher than eight"),
        ),
    )  # fmt: skip
