"""Few labels: what a teacher adds, and what images without labels add."""

import ipywidgets as widgets

from labcore import runtime, search, text
from labcore.lesson.progress import floor
from labcore.plots import LabelCurves
from labcore.results import CurveChoice
from labcore.widgets.panel import Panel, Scene

__all__ = ["few_labels"]


def few_labels() -> Panel:
    """Panel: number of labels -> accuracy of three ways to use them, measured beforehand."""
    curves = tuple(search.load_curves("few_labels"))
    teacher = next(curve for curve in search.load_curves("temperature") if curve.family.startswith("teacher"))
    ways, numbers = tuple(curve.family for curve in curves), curves[0].x.tolist()

    def compute(labels: float) -> CurveChoice:
        return CurveChoice(curves, ways, numbers.index(labels))

    return Panel(
        "Few labels: who needs the teacher?",
        {
            "labels": widgets.SelectionSlider(
                description="labels of the student", options=[(text.count(n), n) for n in numbers]
            ),
        },
        compute,
        LabelCurves(
            compute(numbers[0]), teacher.values[:, 0], floor=floor(), date=search.sweep_date("few_labels"),
            labels_of_teacher=runtime.read_manifest()["few_labels.json"]["labels_of_the_teacher"],
        ),
        scenes=(
            Scene("50 labels", {}, "a teacher adds ten points; its answers to images without labels add thirty"),
            Scene(
                "200 labels", {"labels": numbers[2]},
                "labels alone are still behind what 50 labels and all the teacher's answers gave",
            ),
            Scene(
                "all labels", {"labels": numbers[-1]},
                "no image is left without label: both ways are alike, and the teacher still adds two points",
            ),
        ),
    )  # fmt: skip
