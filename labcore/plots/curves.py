"""Measured curves with their seeds: a line for the mean, a band from the lowest to the highest."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from labcore import text
from labcore.plots import style
from labcore.plots.view import FigureView
from labcore.results import Curve

__all__ = ["Curves", "draw_curve"]

_MOST_MARKERS = 24


def draw_curve(ax: Axes, curve: Curve, look: tuple[str, str]) -> None:
    """One curve as the mean of its seeds, and a band from the lowest to the highest.

    Args:
        look: colour and marker, an entry of `style.SERIES`.
    """
    color, marker = look
    every = max(1, len(curve.x) // _MOST_MARKERS)
    ax.plot(curve.x, curve.mean, color=color, marker=marker, markersize=5, markevery=every, label=curve.family)
    ax.fill_between(curve.x, curve.values.min(0), curve.values.max(0), color=color, alpha=0.15)


class Curves(FigureView):
    """A few curves over one axis.

    Args:
        xlabel: what the axis shows, with its unit.
        date: when the curves were measured.
        log: whether the axis is logarithmic.
    """

    @style.styled
    def __init__(self, xlabel: str, date: str, *, log: bool = False):
        figure, (self._ax,) = style.make_figure(900, 360)
        super().__init__(figure)
        self._xlabel, self._date, self._log, self._curves = xlabel, date, log, []

    @style.styled
    def update(self, result: list[Curve]) -> None:
        """Show curves; each is named by its family."""
        self._curves, ax = result, self._ax
        ax.clear()
        for look, curve in zip(style.SERIES, result, strict=False):
            draw_curve(ax, curve, look)
        ax.set_ylabel("accuracy")
        if self._log:
            ax.set_xscale("log")
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
            ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xlabel(f"{self._xlabel}; measured {self._date}, {len(result[0].values)} seeds")
        ticks = np.unique(np.round(ax.get_yticks(), 2))
        ax.set_yticks(ticks, [text.percent(tick, 0) for tick in ticks])
        ax.set_ylim(min(curve.values.min() for curve in result) - 0.01, max(c.values.max() for c in result) + 0.01)
        ax.legend(loc="best", frameon=False)
        self.redraw_background()

    @property
    def text(self) -> str:
        lines = []
        for curve in self._curves:
            points = zip(curve.x.tolist(), curve.mean.tolist(), strict=True)
            lines.append(f"{curve.family}: " + ", ".join(f"{x:g}: {text.percent(y)}" for x, y in points))
        return "\n".join(lines)
