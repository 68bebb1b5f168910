"""The distillation loss on four logits: alpha, temperature, and the factor T²."""

import ipywidgets as widgets
import torch

from labcore import distill
from labcore.plots import LossBars
from labcore.results import LossChoice
from labcore.widgets.panel import Panel, Scene

__all__ = ["distillation_loss"]

_NAMES, _LABEL = ("sneaker", "boot", "sandal", "bag"), 0
_TEACHER, _STUDENT = (4.0, 2.5, 1.0, -3.0), (1.0, 2.0, 0.0, 0.5)
_TEMPERATURES = (1, 2, 4, 8, 20)


def distillation_loss() -> Panel:
    """Panel: alpha, T, with or without T² -> softened shares, both terms of the loss, length of the gradient.

    One image, a sneaker, with fixed logits of teacher and student.
    """
    teacher, student, label = torch.tensor([_TEACHER]), torch.tensor([_STUDENT]), torch.tensor([_LABEL])

    def compute(alpha: float, temperature: float, squared: bool) -> LossChoice:
        return LossChoice(distill.loss_terms(student, teacher, label, temperature=temperature, alpha=alpha), squared)

    ends = [compute(alpha, temperature, True) for alpha in (0, 1) for temperature in _TEMPERATURES]
    reach = [max(max(pair) for pair in pairs) for pairs in zip(*((end.shares, end.norms) for end in ends), strict=True)]
    at_8 = {"temperature": 8}
    return Panel(
        "The loss: labels, teacher, and T²",
        {
            "alpha": widgets.FloatSlider(description="alpha", value=0.9, min=0, max=1, step=0.1, readout_format=".1f"),
            "temperature": widgets.SelectionSlider(
                description="temperature T", options=[(str(t), t) for t in _TEMPERATURES], value=4
            ),
            "squared": widgets.Checkbox(
                description="times T²", value=True, indent=False, layout=widgets.Layout(width="max-content")
            ),
        },
        compute,
        LossBars(_NAMES, *reach),
        scenes=(
            Scene("T 8 without T²", at_8 | {"squared": False}, "the teacher hardly pulls; the labels pull harder"),
            Scene("T 8 with T²", at_8, "64 times the pull: the teacher decides again"),
            Scene("T 1", {"temperature": 1}, "the factor is 1; the pull is of the same size as at T = 8"),
            Scene("labels only", {"alpha": 0.0}, "the teacher adds nothing, at any temperature"),
        ),
    )
