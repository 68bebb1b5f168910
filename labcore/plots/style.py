"""Colours, type and sizes of every picture. Colour-blind safe (Okabe and Ito 2008); never colour alone."""

import functools
from collections.abc import Callable

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = [
    "BLUE", "GONE", "GREEN", "GREY", "INK", "ORANGE", "PINK", "RED", "SERIES", "SKY", "add_floor", "make_figure",
    "styled",
]  # fmt: skip

INK, GREY = "#222222", "#8a8a8a"
BLUE, ORANGE, GREEN, RED, SKY, PINK = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7"
SERIES = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (PINK, "D"), (RED, "v"), (SKY, "P"))

# What is cut off.
GONE = {"facecolor": "#f3c9a8", "hatch": "///", "edgecolor": RED, "alpha": 0.5}

_DPI = 100
_RC = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,  # 14.6 px at 100 dpi
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "axes.axisbelow": True,
    "hatch.linewidth": 0.6,
}


def styled(method: Callable) -> Callable:
    """Decorate a view's method: what it draws has the lab's look; the global settings stay untouched."""

    @functools.wraps(method)
    def wrapped(*args, **kwargs):
        with rc_context(_RC):
            return method(*args, **kwargs)

    return wrapped


def make_figure(width: int, height: int, rows: int = 1, columns: int = 1, **grid) -> tuple[Figure, list[Axes]]:
    """A bare figure of `width` x `height` pixels with its own canvas, and its axes row by row."""
    figure = Figure((width / _DPI, height / _DPI), dpi=_DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(rows, columns, squeeze=False, **grid).flat)


def add_floor(axes: Axes, best: float, floor: float) -> None:
    """Draw the learner's floor: the accuracy that a compressed model must not fall below."""
    axes.axhline(best - floor, color=RED, linestyle=(0, (4, 3)), linewidth=1.2, zorder=1)
    axes.annotate(
        "my floor", (1, best - floor), xycoords=("axes fraction", "data"), xytext=(-2, -3),
        textcoords="offset points", ha="right", va="top", color=RED, fontsize=10,
    )  # fmt: skip
