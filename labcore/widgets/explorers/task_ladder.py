"""Five tasks, one bit: what binary weights and binary activations cost as the task becomes harder."""

import ipywidgets as widgets
import torch
from torch.nn import functional as F

from labcore import search
from labcore.lesson.progress import floor
from labcore.plots import TaskLadder
from labcore.results import LadderChoice
from labcore.tasks import TASKS, Task
from labcore.widgets.panel import Panel, Scene

__all__ = ["task_ladder"]

_SHOWN = 8


def task_ladder() -> Panel:
    """Panel: difficulty, level -> accuracy and gap to the real network, measured beforehand, and images of the task."""
    curves = tuple(search.load_curves("binary_ladder"))
    names = tuple(task.name for task in TASKS)
    examples = {task.difficulty: _examples(task) for task in TASKS}
    levels = [curve.family for curve in curves[1:]]

    def compute(difficulty: int, level: str) -> LadderChoice:
        return LadderChoice(curves, names, curves[0].x.tolist().index(difficulty), level, *examples[difficulty])

    return Panel(
        "Five tasks, one bit",
        {
            "difficulty": widgets.IntSlider(description="difficulty", value=3, min=1, max=len(TASKS)),
            "level": widgets.Dropdown(description="compare with float", options=levels, value=levels[-1]),
        },
        compute,
        TaskLadder(compute(3, levels[-1]), floor=floor(), date=search.sweep_date("binary_ladder")),
        scenes=(
            Scene("two garments", {"difficulty": 1}, "an easy task: all binary loses about half a point"),
            Scene("ten garments", {}, "binary weights lose less than a point, all binary loses three"),
            Scene(
                "pairs", {"difficulty": 5},
                "the hardest task: all binary loses more than twice as much as on any other",
            ),
            Scene(
                "pairs, binary weights", {"difficulty": 5, "level": levels[0]},
                "binary weights alone lose about a third of that",
            ),
        ),
    )  # fmt: skip


def _examples(task: Task):
    """A few test images, channels side by side, and their classes."""
    shown = task.make().subset(_SHOWN, _SHOWN)
    images = torch.cat(F.pad(shown.test_images, (1, 1)).unbind(1), -1)
    return images.numpy(), tuple(shown.class_names[label] for label in shown.test_labels.tolist())
