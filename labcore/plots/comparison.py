"""Measured curves beside their seeds at one place."""

from typing import Literal

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from labcore import text
from labcore.plots import style
from labcore.plots.curves import draw_curve
from labcore.plots.seeds import SeedRows, seeds_in_words
from labcore.plots.view import FigureView
from labcore.results import Curve, CurveChoice

__all__ = ["CurveComparison"]

Axis = Literal["share left", "epochs"]
_XLABELS = {"share left": "share of the weights that is left (log scale)", "epochs": "epochs after the first cut"}


class CurveComparison(FigureView):
    """Left whole curves and the place where they are compared; right the seeds at that place.

    Args:
        families: all that may be shown, in the order of rows and colours.
        axis: what the curves run over.
        places: points at which they may be compared.
        floor: points of accuracy, as a fraction, that the learner is ready to lose.
        date: when the curves were measured.
    """

    @style.styled
    def __init__(self, families: tuple[str, ...], axis: Axis, *, places: slice, floor: float, date: str):
        figure, (self._ax, right) = style.make_figure(900, 360, 1, 2, width_ratios=(1.45, 1))
        super().__init__(figure)
        self._families, self._axis, self._places = families, axis, places
        self._floor, self._date, self._choice = floor, date, None
        right.set(title="At the dotted line, a dot a seed", xlabel="accuracy (blue line: whole network)")
        self._rows = SeedRows(right, families)

    @style.styled
    def update(self, result: CurveChoice) -> None:
        """Show a choice; what does not move is drawn again only for other curves."""
        before, self._choice = self._choice, result
        if before is None or (before.curves, before.shown) != (result.curves, result.shown):
            self._draw_curves(result)
        self._here.set_xdata([result.curves[0].x[result.place]] * 2)
        self._rows.set({curve.family: curve.values[:, result.place] for curve in self._shown})

    def _draw_curves(self, choice: CurveChoice) -> None:
        ax = self._ax
        ax.clear()
        looks = dict(zip(self._families, style.SERIES, strict=False))
        for curve in self._shown:
            draw_curve(ax, curve, looks[curve.family])
        self._label_axes(choice.curves)
        style.add_floor(ax, choice.whole, self._floor)
        self._here = ax.axvline(1, color=style.INK, linestyle=":", linewidth=1.8)
        # The line of before went with `clear`.
        self._moving.clear()
        self.animate([*self._rows.artists, self._here])
        compared = np.concatenate([curve.values[:, self._places].ravel() for curve in choice.curves])
        self._rows.set_limits(compared, choice.whole, self._floor)
        self.redraw_background()

    def _label_axes(self, curves: tuple[Curve, ...]) -> None:
        """Limits that hold for all curves of the group, shown or not."""
        ax, percent = self._ax, FuncFormatter(lambda value, _: text.percent(value, 0))
        lowest, highest = min(curve.values.min() for curve in curves), max(curve.values.max() for curve in curves)
        ax.set(ylim=(lowest - 0.02, highest + 0.02), ylabel="accuracy")
        ax.set_title(f"Accuracy, {curves[0].label}")
        ax.set_xlabel(f"{_XLABELS[self._axis]}; {self._date}, {len(curves[0].values)} seeds")
        ax.yaxis.set_major_formatter(percent)
        if self._axis == "share left":
            ax.set_xscale("log")
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.xaxis.set_major_formatter(percent)
            ax.xaxis.set_minor_locator(NullLocator())
        else:
            # Room for the floor's name beside the last point.
            last = max(curve.x.max() for curve in curves)
            ax.set_xlim(-0.025 * last, 1.15 * last)

    @property
    def _shown(self) -> list[Curve]:
        return [curve for curve in self._choice.curves if curve.family in self._choice.shown]

    @property
    def _at(self) -> str:
        x = self._choice.curves[0].x[self._choice.place]
        return f"with {text.percent(x)} left" if self._axis == "share left" else f"after {text.count(x)} epochs"

    @property
    def readout(self) -> str:
        choice = self._choice
        means = [f"{curve.family}: {text.percent(curve.mean[choice.place])}" for curve in self._shown]
        seeds = len(choice.curves[0].values)
        return f"measured {self._date}, {seeds} seeds, {self._at}; {'; '.join(means) or 'nothing chosen'}"

    @property
    def text(self) -> str:
        choice = self._choice
        lines = [f"{choice.curves[0].label}; whole network {text.percent(choice.whole)}"]
        for curve in self._shown:
            lines.append(f"{curve.family}: {self._at} {seeds_in_words(curve.values[:, choice.place])}{_cuts(curve)}")
        missing = [name for name in choice.shown if name not in {curve.family for curve in choice.curves}]
        if missing:
            lines.append(f"not measured: {', '.join(missing)}")
        return "\n".join([*lines, self.readout])


def _cuts(curve: Curve) -> str:
    """What each cut did to the mean, in points: a cut is where two points have one x."""
    before = np.flatnonzero(np.diff(curve.x) == 0)
    steps = (text.points(curve.mean[i + 1] - curve.mean[i]).removesuffix(" points") for i in before)
    return f"; points at each cut: {', '.join(steps)}" if len(before) else ""
