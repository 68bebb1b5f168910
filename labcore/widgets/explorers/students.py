"""Students by alpha and temperature, beside the student of labels alone; one of them can be trained on the spot."""

import ipywidgets as widgets
import torch
from torch import nn

from labcore import distill, runtime, search
from labcore.data import Batches, Dataset
from labcore.lesson.progress import floor
from labcore.models import make_model
from labcore.plots import StudentMap
from labcore.results import StudentChoice
from labcore.training import TrainConfig, evaluate
from labcore.widgets.panel import Action, Panel, Scene

__all__ = ["students"]

# Those of the shipped grid.
_WIDTH, _BATCH = 8, 64


def students(teacher: nn.Module, data: Dataset) -> Panel:
    """Panel: alpha, temperature -> gain over labels only, measured beforehand; a button trains one student now.

    Args:
        teacher: `lab_resnet` with its shipped weights, the teacher of the shipped grid.
        data: `fashion14`, whose name the curves of the grid carry.
    """
    curves = [curve for curve in search.load_curves("student_grid") if curve.label == data.name]
    points = {point.label: point for point in search.load_sweep("students")}
    grid = distill.report_students(curves, points[f"lab_resnet, the teacher, {data.name}"].mean)
    recipe = runtime.read_manifest()["student_grid.json"]["recipe"]

    def compute(alpha: float, temperature: float) -> StudentChoice:
        return StudentChoice(grid.alphas.tolist().index(alpha), grid.temperatures.tolist().index(temperature))

    def train(alpha, temperature, stop, progress):
        # Each image and its mirror image: half of the sweep's epochs makes as many updates.
        images, labels = torch.cat([data.train_images, data.train_images.flip(3)]), data.train_labels.repeat(2)
        outputs = distill.cache_teacher(teacher, Batches((images,), 500))
        config = TrainConfig(**recipe | {"epochs": recipe["epochs"] // 2, "seed": 0})
        taught = distill.distill(
            make_model("lab_cnn", width=_WIDTH, seed=0), outputs, Batches((images, labels), _BATCH, 0), config,
            temperature=temperature, alpha=alpha, stop=stop, progress=progress,
        )  # fmt: skip
        return None if stop.is_set() else evaluate(taught.model, data.batches())

    return Panel(
        "A student of a teacher fifteen times its size",
        {
            "alpha": widgets.SelectionSlider(
                description="alpha", options=[(f"{a:g}", a) for a in grid.alphas.tolist()], value=0.9
            ),
            "temperature": widgets.SelectionSlider(
                description="temperature T", options=[(f"{t:g}", t) for t in grid.temperatures.tolist()], value=4
            ),
        },
        compute,
        StudentMap(grid, floor(), search.sweep_date("student_grid")),
        action=Action("train this student now", train),
        scenes=(
            Scene("the usual choice", {}, "no clear difference: with 10,000 labels the teacher adds nothing"),
            Scene(
                "very soft", {"temperature": 16},
                "a clear loss: so small a student cannot follow all that a soft answer says",
            ),
            Scene(
                "one of thirty", {"alpha": 0.5, "temperature": 3},
                "a clear gain by the rule, the only one; of thirty tries one or two go wrong by chance",
            ),
        ),
    )
