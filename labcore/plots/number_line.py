"""Values on the levels of a grid: where they fall, how far they move, and one of them under the magnifier."""

import numpy as np

from labcore import text
from labcore.plots import style
from labcore.plots.view import FigureView
from labcore.results import GridReport

__all__ = ["NumberLine"]

_BINS, _DOTS = 80, 2000
_LINES = ("format", "scale", "zero point", "SQNR", "clipped", "", "value", "code", "decoded", "error")


class NumberLine(FigureView):
    """Histogram with the levels below it, the error of every value, and one value in numbers.

    Args:
        name: what the values are.
    """

    @style.styled
    def __init__(self, name: str):
        figure, axes = style.make_figure(900, 375, 2, 2, width_ratios=(2.3, 1), height_ratios=(1.5, 1), sharex="col")
        super().__init__(figure)
        self._name, self._report, self._values = name, None, None
        self._draw_values(axes[0])
        self._draw_errors(axes[2])
        axes[1].remove()
        axes[3].remove()
        self._draw_magnifier(figure.add_subplot(axes[1].get_gridspec()[:, 1]))

    def _draw_values(self, ax) -> None:
        self._bars = ax.stairs(np.zeros(_BINS), np.zeros(_BINS + 1), fill=True, color=style.SKY)
        (self._levels,) = ax.plot([], [], "|", color=style.INK, markersize=13, markeredgewidth=1.3, clip_on=False)
        self._outside = [ax.axvspan(0, 0, **style.GONE) for _ in ("left", "right")]
        (self._chosen,) = ax.plot([], [], "v", color=style.ORANGE, markeredgecolor=style.INK, markersize=11)
        ax.set(ylim=(-0.16, 1.12), yticks=[], title=f"{self._name}: values (bars) and levels (ticks)")
        self._axes = ax
        self.animate([*self._outside, self._bars, self._levels, self._chosen])

    def _draw_errors(self, ax) -> None:
        ax.axhline(0, color=style.GREY, linewidth=1)
        (self._errors,) = ax.plot([], [], ".", color=style.BLUE, markersize=3)
        (self._error,) = ax.plot([], [], "D", color=style.ORANGE, markeredgecolor=style.INK, markersize=8)
        ax.set(xlabel="value", ylabel="error", ylim=(-1, 1))
        ax.set_title("decoded - value, shaded: clipped", fontweight="normal")
        self._error_axes = ax
        self.animate([self._errors, self._error])

    def _draw_magnifier(self, ax) -> None:
        ax.set(xlim=(0, 1), ylim=(len(_LINES) - 0.5, -1), title="In numbers")
        ax.axis("off")
        for row, line in enumerate(_LINES):
            ax.text(0, row, line, va="center", color=style.GREY)
        ax.text(0, _LINES.index(""), "one value (orange)", va="center", fontweight="bold")
        self._words = {line: ax.text(0.42, row, "", va="center") for row, line in enumerate(_LINES) if line}
        self.animate(self._words.values())

    def update(self, result: GridReport) -> None:
        """Show a grid; the axes are drawn anew only when other values come."""
        self._report = result
        if self._values is None or not np.array_equal(self._values, result.values):
            self._values = result.values
            self._set_axes(result)
        for span, (start, end) in zip(self._outside, self._clipped(result), strict=True):
            span.set(x=start, width=max(end - start, 0))
        self._levels.set_data(result.levels, np.full(len(result.levels), -0.08))
        some = slice(None, None, len(result.values) // _DOTS + 1)
        self._errors.set_data(result.values[some], (result.decoded - result.values)[some])
        value, decoded = result.values[result.index], result.decoded[result.index]
        self._chosen.set_data([value], [1.05])
        self._error.set_data([value], [decoded - value])
        for line, words in self._numbers.items():
            self._words[line].set_text(words)

    def _set_axes(self, result: GridReport) -> None:
        reach = 1.05 * np.abs(result.values).max()
        heights, edges = np.histogram(result.values, _BINS, (-reach, reach))
        self._bars.set_data(heights / heights.max(), edges)
        self._axes.set_xlim(-reach, reach)
        bound = 1.1 * np.abs(result.decoded - result.values).max()
        self._error_axes.set_ylim(-bound, bound)
        self.redraw_background()

    def _clipped(self, result: GridReport) -> tuple[tuple[float, float], tuple[float, float]]:
        left, right = self._axes.get_xlim()
        return (left, max(left, result.low)), (min(right, result.high), right)

    @property
    def _numbers(self) -> dict[str, str]:
        r = self._report
        value, code, decoded = r.values[r.index], r.codes[r.index], r.decoded[r.index]
        return {
            "format": f"{r.format}, {text.count(len(r.levels))} levels",
            "scale": f"{r.scale:.5g}",
            "zero point": text.count(r.zero_point),
            "SQNR": f"{r.sqnr_db:.1f} dB",
            "clipped": f"{text.count(r.n_clipped)} of {text.count(len(r.values))}",
            "value": f"{value:+.4f}",
            "code": f"{code:d}",
            "decoded": f"{decoded:+.4f}",
            "error": f"{decoded - value:+.4f}",
        }

    @property
    def readout(self) -> str:
        numbers = self._numbers
        return f"computed now: {numbers['SQNR']}, scale {numbers['scale']}, {numbers['clipped']} values clipped"

    @property
    def text(self) -> str:
        numbers = self._numbers
        grid = ", ".join(f"{line} {numbers[line]}" for line in _LINES[1:5])
        return f"{numbers['format']}: {grid}\nvalue {numbers['value']} = {numbers['scale']} x ({numbers['code']} - " \
            f"{numbers['zero point']}) = {numbers['decoded']}, error {numbers['error']}"
