"""Accuracies of several seeds, a row for each thing that was done: a dot a seed, the mean as a tick and a number."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from labcore import text
from labcore.plots import style

__all__ = ["SeedRows", "seeds_in_words"]


class SeedRows:
    """Draws itself into `ax`; its `artists` move, what `set_limits` draws does not.

    Args:
        ax: without anything in it.
        names: one a row, from the top; each has the colour and marker of its place.
    """

    def __init__(self, ax: Axes, names: tuple[str, ...]):
        self._ax, self._rows = ax, {}
        for i, (name, (color, marker)) in enumerate(zip(names, style.SERIES, strict=False)):
            (dots,) = ax.plot([], [], marker, color=color, markersize=8, alpha=0.6)
            (mean,) = ax.plot([], [], "|", color=style.INK, markersize=14, markeredgewidth=2)
            (sign,) = ax.plot([0.03], [i - 0.3], marker, color=color, transform=ax.get_yaxis_transform(), markersize=7)
            label = ax.text(0.07, i - 0.3, name, va="center", transform=ax.get_yaxis_transform())
            label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
            self._rows[name] = (dots, mean, sign, label)
        ax.set(ylim=(len(self._rows) - 0.6, -0.75), yticks=[])
        ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text.percent(value).replace(".0", "")))
        self._lines = [ax.axvline(0, color=style.BLUE, linewidth=2, zorder=0)]
        self._lines.append(ax.axvline(0, color=style.RED, linestyle=(0, (4, 3)), zorder=0))
        self.artists = [artist for row in self._rows.values() for artist in row]

    def set_limits(self, values: np.ndarray, whole: float, floor: float) -> None:
        """Fix the axis so that all of `values` fit, beside the whole network's accuracy and the floor below it."""
        low, high = min(values.min(), whole - floor), max(values.max(), whole)
        margin = 0.06 * (high - low)
        self._ax.set_xlim(low - margin, high + margin)
        for line, x in zip(self._lines, (whole, whole - floor), strict=True):
            line.set_xdata([x, x])

    def set(self, values: Mapping[str, np.ndarray]) -> None:
        """Move the dots; rows that are not named are empty."""
        for i, (name, row) in enumerate(self._rows.items()):
            for artist in row:
                artist.set_visible(name in values)
            if name in values:
                dots, mean, _, label = row
                dots.set_data(values[name], np.full(len(values[name]), i + 0.1))
                mean.set_data([values[name].mean()], [i + 0.1])
                label.set_text(f"{name}: {text.percent(values[name].mean())}")


def seeds_in_words(values: np.ndarray) -> str:
    """The mean, and from the lowest to the highest seed."""
    low, high = text.percent(values.min()), text.percent(values.max())
    return f"{text.percent(values.mean())} ({low} to {high}, {len(values)} seeds)"
