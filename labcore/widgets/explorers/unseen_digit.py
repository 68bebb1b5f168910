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
_CONTROL = "labels only (control)"


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
        family = control if teacher == _CONTROL else temperature
        recall, others = curves[family]
        return distill.report_unseen(
            logits[family], data.test_labels, gallery, bias=bias, recall=recall, others=others
        )

    first, middle, last = taught[0], taught[len(taught) // 2], taught[-1]
    return Panel(
        "The digit nobody showed",
        {
            "teacher": widgets.Dropdown(description="taught by", options=["the teacher", _CONTROL]),
            "temperature": widgets.Dropdown(description="temperature", options=taught),
            "bias": widgets.FloatSlider(
                description="bias of the missing digit", value=0, min=0, max=_LAST_BIAS, step=0.5, readout_format=".1f",
                layout=widgets.Layout(width="400px"),
            ),
        },
        compute,
        UnseenClassGallery(
            data.class_names, data.test_images[gallery, 0].numpy(), last_bias=_LAST_BIAS,
            date=search.sweep_date("unseen_digit"),
        ),
        scenes=(
            Scene(first, {"temperature": first}, "few are known: the teacher's shares for a 3 are almost 0"),
            Scene(last, {"temperature": last}, "about half are known, and nobody showed one"),
            Scene(
                f"{middle}, bias 3", {"temperature": middle, "bias": 3.0},
                "a small push: four of five are known, and the others hardly pay",
            ),
            Scene(
                f"{middle}, bias 8", {"temperature": middle, "bias": 8.0},
                "nearly all are known, but many other digits are taken for a 3",
            ),
            Scene("control", {"teacher": _CONTROL, "bias": 8.0}, "without the teacher not one is known, at any bias"),
        ),
    )  # fmt: skip
