"""Accuracy against the number of labels that the student gets."""

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from labcore import text
from labcore.plots import style
from labcore.plots.curves import draw_curve
from labcore.plots.seeds import SeedRows, seeds_in_words
from labcore.plots.view import FigureView
from labcore.results import CurveChoice

__all__ = ["LabelCurves"]


class LabelCurves(FigureView):
    """Left whole curves and the chosen number of labels; right the seeds there.

    Args:
        choice: all ways to use the labels, as first shown; other choices have the same curves.
        teacher: accuracy of each teacher, shape (seeds,).
        labels_of_teacher: how many labels the teacher had seen; said in the picture.
        floor: points of accuracy, as a fraction, that the learner is ready to lose.
        date: when all was measured.
    """

    @style.styled
    def __init__(self, choice: CurveChoice, teacher: np.ndarray, *, labels_of_teacher: int, floor: float, date: str):
        figure, (left, right) = style.make_figure(900, 360, 1, 2, width_ratios=(1.25, 1))
        super().__init__(figure)
        self._choice, self._teacher, self._labels, self._date = choice, teacher, labels_of_teacher, date
        self._draw_curves(left, floor)
        self._rows = SeedRows(right, choice.shown)
        right.set(title="At the dotted line, a dot a seed", xlabel="accuracy (blue line: the teacher)")
        self._rows.set_limits(np.concatenate([c.values.ravel() for c in choice.curves]), float(teacher.mean()), floor)
        self.animate([*self._rows.artists, self._here])

    def _draw_curves(self, ax, floor: float) -> None:
        curves, best = self._choice.curves, float(self._teacher.mean())
        for curve, look in zip(curves, style.SERIES, strict=False):
            draw_curve(ax, curve, look)
        x = curves[0].x
        ax.axhline(best, color=style.BLUE, linewidth=1.5)
        said = f"teacher: saw {text.count(self._labels)} labels"
        ax.text(x[-1], best + 0.004, said, color=style.BLUE, ha="right", va="bottom")
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(FixedLocator(x))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text.count(value)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text.percent(value, 0)))
        low = min(curve.values.min() for curve in curves)
        ax.set(ylim=(low - 0.02, best + 0.05), ylabel="accuracy", title="Accuracy of the student")
        ax.set_xlabel(f"labels of the student (log scale); {self._date}, {len(curves[0].values)} seeds")
        # Named above both lines: just below them lies a curve.
        ax.axhline(best - floor, color=style.RED, linestyle=(0, (4, 3)), linewidth=1.2)
        ax.text(1.1 * x[0], best + 0.004, "my floor (dashed)", color=style.RED, va="bottom")
        self._here = ax.axvline(x[0], color=style.INK, linestyle=":", linewidth=1.8)

    @style.styled
    def update(self, result: CurveChoice) -> None:
        """Show the seeds at another number of labels."""
        self._choice = result
        self._here.set_xdata([result.curves[0].x[result.place]] * 2)
        self._rows.set({curve.family: curve.values[:, result.place] for curve in result.curves})

    @property
    def _n(self) -> str:
        return f"{text.count(self._choice.curves[0].x[self._choice.place])} labels"

    @property
    def readout(self) -> str:
        means = (f"{c.family} {text.percent(c.mean[self._choice.place])}" for c in self._choice.curves)
        return f"measured {self._date}, {len(self._choice.curves[0].values)} seeds, {self._n}: {'; '.join(means)}"

    @property
    def text(self) -> str:
        place = self._choice.place
        lines = [f"{curve.family}: {seeds_in_words(curve.values[:, place])}" for curve in self._choice.curves]
        teacher = f"the teacher saw {text.count(self._labels)} labels: {seeds_in_words(self._teacher)}"
        return "\n".join([f"a student with {self._n}", *lines, teacher, self.readout])
