"""Five tasks, one bit: accuracy against difficulty, the gap to the real network, and images of one task."""

import textwrap

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from labcore import text
from labcore.plots import style
from labcore.plots.curves import draw_curve
from labcore.plots.seeds import seeds_in_words
from labcore.plots.view import FigureView
from labcore.results import LadderChoice

__all__ = ["TaskLadder"]

_PALE, _CELL = "#cfe3f1", (36, 27)


class TaskLadder(FigureView):
    """Left the curves of all levels, right the gap of one level at each task (dark: the chosen one), below its images.

    Args:
        choice: as first shown; other choices have the same curves.
        floor: points of accuracy, as a fraction, that the learner is ready to lose.
        date: when the curves were measured.
    """

    @style.styled
    def __init__(self, choice: LadderChoice, *, floor: float, date: str):
        figure, axes = style.make_figure(900, 375, 2, 2, width_ratios=(1.75, 1), height_ratios=(2.55, 1))
        super().__init__(figure)
        self._choice, self._date, self._floor = choice, date, floor
        for ax in axes[2:]:
            ax.remove()
        self._draw_curves(axes[0])
        self._draw_gaps(axes[1])
        self._draw_images(figure.add_subplot(axes[0].get_gridspec()[1, :]))

    def _draw_curves(self, ax) -> None:
        curves, real = self._choice.curves, self._choice.curves[0]
        for curve, look in zip(curves, style.SERIES, strict=False):
            draw_curve(ax, curve, look)
        ax.plot(real.x, real.mean - self._floor, color=style.RED, linestyle=(0, (4, 3)), label="my floor")
        (self._span,) = ax.plot([], [], "_-", color=style.INK, markersize=16, markeredgewidth=2, linewidth=2)
        low = min(curve.values.min() for curve in curves)
        ax.set(ylim=(low - 0.05, 1.02), title=f"Accuracy ({self._date}, {len(real.values)} seeds, band: their spread)")
        ax.set_xlim(real.x[0] - 0.4, real.x[-1] + 0.4)
        ax.set_xticks(real.x, [textwrap.fill(name, 10) for name in self._choice.tasks])
        ax.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text.percent(value, 0)))
        ax.legend(loc="lower left", frameon=False, ncols=2, borderaxespad=0, columnspacing=1)
        self.animate([self._span])

    def _draw_gaps(self, ax) -> None:
        x = self._choice.curves[0].x
        gaps = np.concatenate(list(self._choice.gaps.values()))
        self._bars = list(ax.bar(x, 0 * x, edgecolor=style.INK, width=0.75))
        self._labels = [ax.text(place, 0, "", ha="center", va="bottom") for place in x]
        for label in self._labels:
            label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.5})
        ax.axhline(0, color=style.GREY, linewidth=1)
        ax.axhline(self._floor, color=style.RED, linestyle=(0, (4, 3)), linewidth=1.2)
        self._lift = 0.03 * gaps.max()
        ax.set(ylim=(min(1.3 * gaps.min(), 0), 1.3 * gaps.max()), xlabel="difficulty of the task (1 to 5)", xticks=x)
        ax.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}"))
        ax.set_ylabel("points")
        ax.set_title(f"Points below {self._choice.curves[0].family}")
        self._name = ax.text(0.02, 0.93, "", transform=ax.transAxes, va="center")
        self.animate([*self._bars, *self._labels, self._name])

    def _draw_images(self, ax) -> None:
        (width, height), n = _CELL, len(self._choice.images)
        self._mosaic = ax.imshow(np.zeros((height, n * width)), cmap="gray_r", vmin=0, vmax=1)
        ax.set_axis_off()
        places = [(i + 0.5) * width for i in range(n)]
        self._captions = [ax.text(x, 15, "", ha="center", va="top", linespacing=1.1) for x in places]
        self.animate([self._mosaic, *self._captions])

    @style.styled
    def update(self, result: LadderChoice) -> None:
        """Show another task or level."""
        self._choice = result
        real, level = self._pair
        self._span.set_data([real.x[result.place]] * 2, [real.mean[result.place], level.mean[result.place]])
        self._name.set_text(f"{result.level} (red: my floor)")
        for i, (bar, label, gap) in enumerate(zip(self._bars, self._labels, result.gaps[result.level], strict=True)):
            chosen = i == result.place
            bar.set(height=gap, facecolor=style.BLUE if chosen else _PALE, linewidth=2 if chosen else 0.8)
            label.set(y=max(gap, 0) + self._lift, text=_number(gap), fontweight="bold" if chosen else "normal")
        self._set_images(result)

    def _set_images(self, result: LadderChoice) -> None:
        (width, height), (n, rows, columns) = _CELL, result.images.shape
        left = (width - columns) // 2
        tiles = np.pad(result.images, ((0, 0), (0, height - rows), (left, width - columns - left)))
        self._mosaic.set_data(tiles.swapaxes(0, 1).reshape(height, n * width))
        for caption, name in zip(self._captions, result.captions, strict=True):
            caption.set_text(name.replace(" + ", "\n+ "))

    @property
    def _pair(self):
        real, *others = self._choice.curves
        return real, next(curve for curve in others if curve.family == self._choice.level)

    @property
    def readout(self) -> str:
        real, level = self._pair
        place, n = self._choice.place, len(real.values)
        shares = (text.percent(curve.mean[place]) for curve in (real, level))
        values = "{real}: {}, {level}: {}".format(*shares, real=real.family, level=level.family)
        change = text.points(level.mean[place] - real.mean[place])
        return f"measured {self._date}, {n} seeds, {self._choice.tasks[place]}: {values} ({change})"

    @property
    def text(self) -> str:
        shown = self._choice
        lines = [f"{c.family}, {shown.tasks[shown.place]}: {seeds_in_words(c.values[:, shown.place])}"
                 for c in shown.curves]  # fmt: skip
        for level, gaps in shown.gaps.items():
            each = (f"{name} {_number(gap)}" for name, gap in zip(shown.tasks, gaps, strict=True))
            lines.append(f"points below {shown.curves[0].family}, {level}: {', '.join(each)}")
        lines.append(f"images: {', '.join(shown.captions)}")
        return "\n".join([*lines, self.readout])


def _number(gap: float) -> str:
    return text.points(gap).removesuffix(" points").removeprefix("+")
