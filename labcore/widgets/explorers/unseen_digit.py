"""The digit nobody showed: a student that never met a 3, in images or labels."""

import ipywidgets as widgets
import torch

from labcore import distill, search
from labcore.data import Dataset
from labcore.plots import UnseenClassGallery
from labcore.results import UnseenClass
from labcore.widgets.panel import Panel, Scene

__all__ = ["unseen_digit"]

_SHOWN, _LAST_BIAS = 20, 10.0


def unseen_digit(data: Dataset) -> Panel:
    """Panel: teacher or control, temperature, bias -> which real images of the digit the student knows, and recall.

    The students were trained beforehand; their answers to all test images are shipped.

    Args:
        data: `mnist5k-few`, whose test images the shipped answers belong to.
    """
    logits = {name: torch.from_numpy(each).float() for name, each in search.load_arrays("unseen_digit").items()}
    curves = {}
    for curve in search.load_curves("unseen_digit"):
        curves.setdefault(curve.family, []).append(curve)
    *taught, control = curves
    missing = curves[control][0].settings["missing"]
    gallery = (data.test_labels == missing).nonzero().flatten()[:_SHOWN]

    def compute(teacher: str, temperature: str, bias: float) -> UnseenClass:
        family = temperature if teacher == "the teacher" else control
        recall, others = curves[family]
        return distill.report_unseen(
            logits[family], data.test_labels, gallery, bias=bias, recall=recall, others=others
        )

    def at(place: int, bias: float = 0.0) -> dict:
        return {"temperature": taught[place], "bias": bias}

    return Panel(
        "The digit nobody showed",
        {
            "teacher": widgets.Dropdown(description="taught by", options=["the teacher", "labels only (control)"]),
            "temperature": widgets.Dropdown(description="temperature", options=taught),
            "bias": widgets.FloatSlider(
                description="bias of the missing digit", value=0, min=0, max=_LAST_BIAS, step=0.5, readout_format=".1f"
            ),
        },
        compute,
        UnseenClassGallery(
            data.class_names, data.test_images[gallery, 0].numpy(), last_bias=_LAST_BIAS,
            date=search.sweep_date("unseen_digit"),
        ),
        scenes=(),
    )  # fmt: skip
