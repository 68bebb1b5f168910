"""Scales of batch norm with a cut through them, and what the channels under the cut were worth."""

import numpy as np

from labcore import text
from labcore.plots import style
from labcore.plots.seeds import SeedRows, seeds_in_words
from labcore.plots.view import FigureView
from labcore.results import SlimmingReport

__all__ = ["GammaCut"]


class GammaCut(FigureView):
    """Left the histogram of |gamma| with the cut; right accuracies, a dot a seed.

    Args:
        edges: shape (thresholds,), where the cut may stand.
        names: what was done, a row each.
        whole: accuracy without penalty and without a cut.
        floor: points of accuracy, as a fraction, that the learner is ready to lose.
        date: when all this was measured.
    """

    @style.styled
    def __init__(self, edges: np.ndarray, names: tuple[str, ...], *, whole: float, floor: float, date: str):
        figure, (left, right) = style.make_figure(900, 360, 1, 2, width_ratios=(1.25, 1))
        super().__init__(figure)
        self._date, self._report = date, None
        self._draw_histogram(left, edges)
        right.set(title="Accuracy, a dot a seed", xlabel="accuracy (blue line: no penalty, nothing cut)")
        self._rows = SeedRows(right, names)
        self._rows.set_limits(np.array([0.0, 1.0]), whole, floor)
        right.text(whole - floor - 0.015, -0.58, "my floor", color=style.RED, ha="right", va="center")
        self.animate(self._rows.artists)

    def _draw_histogram(self, ax, edges: np.ndarray) -> None:
        n = len(edges) + 1
        self._bars = list(ax.bar(np.arange(n), np.zeros(n), 1, align="edge", edgecolor=style.INK, linewidth=0.6))
        self._cut = ax.axvline(0, color=style.RED, linestyle="--", linewidth=2)
        self._words = ax.text(0.98, 0.96, "", transform=ax.transAxes, ha="right", va="top")
        self._words.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
        ax.set(ylim=(0, 1), xlim=(0, n), ylabel="share of the channels")
        ax.set_title("How large are the scales of batch norm?")
        ax.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
        marks = range(0, len(edges), 3)
        ax.set_xticks([i + 1 for i in marks], [f"{edges[i]:g}" for i in marks])
        ax.set_xlabel("|gamma| (log scale; first bar: everything below)")
        self.animate([*self._bars, self._cut, self._words])

    def update(self, result: SlimmingReport) -> None:
        """Show a penalty and a cut."""
        self._report = result
        below = np.concatenate([[0], result.shares.mean(0), [1]])
        for i, (bar, share) in enumerate(zip(self._bars, np.diff(below), strict=True)):
            goes = i <= result.place
            bar.set(height=share, hatch="////" if goes else "")
            bar.set_facecolor(style.GONE["facecolor"] if goes else style.BLUE)
        self._cut.set_xdata([result.place + 1] * 2)
        self._words.set_text(f"{result.label}\nunder the cut: {text.percent(self._under.mean())} of the channels")
        self._rows.set(result.accuracies)

    @property
    def _under(self) -> np.ndarray:
        return self._report.shares[:, self._report.place]

    @property
    def readout(self) -> str:
        report = self._report
        means = "; ".join(f"{name}: {text.percent(values.mean())}" for name, values in report.accuracies.items())
        return f"measured {self._date}, {len(report.shares)} seeds; {means}"

    @property
    def text(self) -> str:
        report = self._report
        lines = [
            f"{report.label}; cut at |gamma| {report.edges[report.place]:g}",
            f"channels under the cut: {seeds_in_words(self._under)}",
            *(f"{name}: {seeds_in_words(values)}" for name, values in report.accuracies.items()),
        ]
        below = zip(report.edges, report.shares.mean(0), strict=True)
        lines.append("below: " + ", ".join(f"{edge:g}: {text.percent(share)}" for edge, share in below))
        return "\n".join([*lines, self.readout])
