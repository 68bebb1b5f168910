"""Which layers must stay real? Every choice of binary layers was trained beforehand."""

import ipywidgets as widgets

from labcore import binarize, search
from labcore.lesson.progress import floor
from labcore.models import make_blocks
from labcore.plots import PartialBits
from labcore.results import PartialBinary
from labcore.tasks import TASKS, load_task
from labcore.widgets.panel import Panel, Scene

__all__ = ["partial_binary"]


def partial_binary() -> Panel:
    """Panel: which of the four layers are binary -> file, real and binary MACs, and accuracy measured beforehand."""
    curves = search.load_curves("partial_binary")
    accuracies = {curve.family: curve.values[:, 0] for curve in curves}
    data = load_task(TASKS[-1].difficulty)
    model = make_blocks(in_channels=data.image_shape[0], n_classes=len(data.class_names)).eval()
    layers, middle = binarize.find_layers(model), binarize.middle_layers(model)
    reports = {
        family: binarize.report_partial(model, family.split(" + "), accuracies, sample=data.test_images[:1])
        for family in accuracies
    }

    def compute(**binary: bool) -> PartialBinary:
        return reports[" + ".join(name for name in layers if binary[name]) or "none"]

    return Panel(
        "Which layers must stay real?",
        {
            name: widgets.Checkbox(description=f"{name} binary", value=name in middle, indent=False)
            for name in layers
        },
        compute,
        PartialBits(
            reports["none"], accuracies, task=curves[0].label, floor=floor(), date=search.sweep_date("partial_binary")
        ),
        scenes=(
            Scene(
                "middle layers", {},
                "almost four of five products are binary; most bytes stand in the last layer, which is real",
            ),
            Scene(
                "first layer too", {"conv1": True},
                "its weights have one bit, pixels stay real: no byte to speak of is saved, more than four points go",
            ),
            Scene("last layer too", {"fc": True}, "the file shrinks to about a tenth, and eight more points go"),
            Scene(
                "everything", dict.fromkeys(layers, True),
                "the smallest file of all, and almost twenty points below the real network",
            ),
        ),
    )  # fmt: skip
