"""Weights of two or three values: where they lie among the real ones, their codes, and what is lost."""

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch, Rectangle

from labcore import text
from labcore.plots import style
from labcore.plots.view import FigureView
from labcore.results import SignReport

__all__ = ["SignCodes"]

_BINS = 61
# Of the map: more cells would be too small for a hatch.
_ROWS, _COLUMNS = 16, 27
_ZERO = {"facecolor": "white", "edgecolor": style.GREY, "hatch": "////"}


class SignCodes(FigureView):
    """Histogram with the values that are left, the codes of some filters, and the error over Delta.

    Args:
        highest_error: where the axis of errors ends.
    """

    @style.styled
    def __init__(self, highest_error: float):
        figure, axes = style.make_figure(900, 375, 1, 3, width_ratios=(1.15, 1.1, 1))
        super().__init__(figure)
        self._report = None
        self._draw_values(axes[0])
        self._draw_codes(axes[1])
        self._draw_errors(axes[2], highest_error)

    def _draw_values(self, ax) -> None:
        self._zone = ax.axvspan(0, 0, **style.GONE)
        self._bars = ax.stairs(np.zeros(_BINS), np.zeros(_BINS + 1), fill=True, color=style.SKY, alpha=0.8)
        self._spread = ax.hlines([-0.09] * 2, 0, 0, color=style.INK, linewidth=6, alpha=0.45)
        (self._ticks,) = ax.plot([], [], "|", color=style.INK, markersize=18, markeredgewidth=2.4, clip_on=False)
        self._words = [ax.text(0, -0.25, "", ha="center", va="center") for _ in range(3)]
        ax.set(ylim=(-0.34, 1.05), yticks=[], title="Weights and what is left")
        ax.set_xlabel("weight (hatched: becomes 0)\nticks: alpha (α), mean and spread")
        self._values = ax
        self.animate([self._zone, self._bars, self._spread, self._ticks, *self._words])

    def _draw_codes(self, ax) -> None:
        ground = Rectangle((0, 0), 1, 1, transform=ax.transAxes, **_ZERO)
        ax.add_patch(ground)
        colors = ListedColormap([style.BLUE, style.ORANGE])
        self._map = ax.imshow(np.zeros((2, 2)), cmap=colors, vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
        (self._pluses,) = ax.plot([], [], "+", color=style.INK, markersize=5)
        ax.set(xticks=[], yticks=[], title="Codes, a row a filter", xlabel=" \n ")
        self._cells = ax.text(0, -0.15, "", transform=ax.transAxes, va="center")
        looks = {"-1": {"facecolor": style.BLUE}, "0": _ZERO, "+1": {"facecolor": style.ORANGE}}
        keys = [Patch(label=label, **look) for label, look in looks.items()]
        ax.legend(
            handles=keys, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=3, frameon=False, borderaxespad=0,
            columnspacing=1.2,
        )  # fmt: skip
        self.animate([ground, self._map, self._pluses, self._cells])

    def _draw_errors(self, ax, highest: float) -> None:
        (self._curve,) = ax.plot([], [], color=style.BLUE, linewidth=2, label="three values")
        self._binary = ax.axhline(0, color=style.INK, linestyle="--", linewidth=1.5, label="two values")
        (self._least,) = ax.plot([], [], "^", color=style.BLUE, markeredgecolor=style.INK, markersize=9, label="least")
        (self._chosen,) = ax.plot(
            [], [], "D", color=style.ORANGE, markeredgecolor=style.INK, markersize=10, label="chosen"
        )
        ax.set(title="Share of squares lost", xlabel="Delta / mean |W|\n ", ylim=(0, 1.3 * highest))
        ticks = np.arange(0, 1.3 * highest, 0.2)
        ax.set_yticks(ticks, [text.percent(tick, 0) for tick in ticks])
        ax.legend(loc="upper center", frameon=False, ncols=2, columnspacing=1, handlelength=1.4, borderaxespad=0.1)
        self._errors = ax
        self.animate([self._binary, self._curve, self._least, self._chosen])

    @style.styled
    def update(self, result: SignReport) -> None:
        """Show codes; the axes are drawn anew only for another layer."""
        before, self._report = self._report, result
        if before is None or before.layer != result.layer:
            self._set_axes(result)
        self._set_values(result)
        self._set_codes(result)
        self._chosen.set_data([result.factor or 0], [result.error])

    def _set_axes(self, result: SignReport) -> None:
        reach = 1.05 * np.abs(result.values).max()
        heights, edges = np.histogram(result.values, _BINS, (-reach, reach))
        self._bars.set_data(heights / heights.max(), edges)
        self._values.set_xlim(-reach, reach)
        self._curve.set_data(result.factors, result.errors)
        self._errors.set_xlim(result.factors[0] - 0.08, result.factors[-1] + 0.08)
        self._binary.set_ydata([result.binary_error] * 2)
        factor, error = result.best
        self._least.set_data([factor], [error])
        self.redraw_background()

    def _set_values(self, result: SignReport) -> None:
        alpha, delta = result.alphas.mean(), result.deltas.mean()
        self._zone.set(x=-delta, width=2 * delta, visible=delta > 0)
        low, high = result.alphas.min(), result.alphas.max()
        self._spread.set_segments([[(sign * low, -0.09), (sign * high, -0.09)] for sign in (-1, 1)])
        values = {"-α": -alpha, "+α": alpha} | ({} if result.factor is None else {"0": 0.0})
        self._ticks.set_data(list(values.values()), [-0.09] * len(values))
        for words in self._words:
            words.set_visible(False)
        for words, (name, x) in zip(self._words, values.items(), strict=False):
            words.set(x=x, text=name, visible=True)

    def _set_codes(self, result: SignReport) -> None:
        codes = result.codes[:_ROWS, :_COLUMNS]
        rows, columns = codes.shape
        self._map.set_data(np.ma.masked_equal(codes, 0))
        self._map.set_extent((-0.5, columns - 0.5, rows - 0.5, -0.5))
        self._map.axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
        self._pluses.set_data(*np.nonzero(codes.T > 0))
        n_rows, n_columns = result.codes.shape
        self._cells.set_text(f"{rows} of {n_rows} filters, {columns} of {n_columns} weights")

    @property
    def readout(self) -> str:
        report = self._report
        alphas = f"{report.alphas.mean():.4f} ({report.alphas.min():.4f} to {report.alphas.max():.4f})"
        bits = "1 bit" if report.factor is None else "2 bits"
        return (
            f"computed now: alpha {alphas}, {text.percent(report.error)} of the squares lost, "
            f"{text.percent(report.zeros)} zeros, {bits} a weight"
        )

    @property
    def text(self) -> str:
        report, (factor, least) = self._report, self._report.best
        kind = "two values" if report.factor is None else f"three values, Delta = {report.factor:g} x mean |W|"
        return (
            f"{report.layer}, {len(report.values)} filters of {report.values.shape[1]} weights: {kind}\n"
            f"lost with two values {text.percent(report.binary_error)}; with three at least {text.percent(least)}, "
            f"at {factor:g} x mean |W|\n{self.readout}"
        )
