"""Formats of the file: which one is smallest, at which density."""

import functools
from dataclasses import replace

import ipywidgets as widgets

from labcore import storage, text
from labcore.plots import FormatCurves
from labcore.widgets.panel import Panel, Scene

__all__ = ["formats"]

_DENSITIES = (0.01, 0.015, 0.02, 0.03, 0.045, 0.06, 0.09, 0.12, 0.16, 0.22, 0.3, 0.4, 0.5, 0.7, 0.9, 0.97, 1.0)
# The last two hold as many weights: only the columns differ, and with them the bits of a column's number.
_SHAPES = ((16, 16), (128, 128), (32, 512))


def formats() -> Panel:
    """Panel: density, shape of the layer -> bytes in every format, and where the smallest one changes."""
    sweep = functools.cache(lambda shape: storage.sweep_formats(shape, _DENSITIES))

    def compute(density, shape):
        return replace(sweep(shape), place=_DENSITIES.index(density))

    return Panel(
        "Formats: when do zeros save bytes?",
        {
            "density": widgets.SelectionSlider(
                description="share left", options=[(text.percent(x), x) for x in reversed(_DENSITIES)], value=0.09
            ),
            "shape": widgets.Dropdown(
                description="layer", options=[(f"{rows} x {columns}", (rows, columns)) for rows, columns in _SHAPES],
                value=(128, 128),
            ),
        },
        compute,
        FormatCurves(),
        scenes=(
            Scene("9 percent", {}, "the relative index is smallest, closely followed by CSR and bitmap"),
            Scene("nothing gone", {"density": 1.0}, "every sparse format is larger than the dense one"),
            Scene("half left", {"density": 0.5}, "one bit for each weight is the cheapest way to say where"),
            Scene("2 percent", {"density": 0.02}, "CSR wins: the relative index pays for fillers in long gaps"),
            Scene(
                "wide rows", {"shape": (32, 512)},
                "as many weights; the number of a column takes two bytes, and CSR falls behind bitmap",
            ),
        ),
    )  # fmt: skip
