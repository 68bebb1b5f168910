"""Numbers with their spread: accuracy by class, and repeated timings."""

import numpy as np

from labcore import text
from labcore.plots import style
from labcore.plots.view import FigureView
from labcore.results import Interval, Latency

__all__ = ["ClassBars", "LatencyStrip"]


class ClassBars(FigureView):
    """Accuracy of each class with its interval, beside the whole and the learner's floor.

    Args:
        class_names: one a row.
        floor: points of accuracy, as a fraction, that the learner is ready to lose.
    """

    @style.styled
    def __init__(self, class_names: tuple[str, ...], floor: float):
        figure, (ax,) = style.make_figure(900, 360)
        super().__init__(figure)
        self.class_names, self.floor, self._ax, self._rows = class_names, floor, ax, []

    @style.styled
    def update(self, result: tuple[list[Interval], Interval]) -> None:
        """Show (an interval for each class, the interval of the whole test set)."""
        classes, whole = result
        ax, self._rows = self._ax, []
        ax.clear()
        values = np.array([interval.value for interval in classes])
        low = np.array([interval.low for interval in classes])
        high = np.array([interval.high for interval in classes])
        ax.bar(self.class_names, values, color=style.SKY, edgecolor=style.INK)
        ax.errorbar(range(len(values)), values, (values - low, high - values), ls="", color=style.INK, capsize=4)
        for i, value in enumerate(values):
            ax.text(i, 0.03, text.percent(value, 0), ha="center", fontsize=10)
        ax.axhline(whole.value, color=style.BLUE, linewidth=1.5)
        ax.set(ylim=(0, 1.08), ylabel="accuracy", yticks=[0, 0.5, 1], yticklabels=["0 %", "50 %", "100 %"])
        ax.text(-0.48, 1.045, f"whole test set {text.percent(whole.value)} (line)", color=style.BLUE)
        ax.set_xlim(-0.6, len(values) + 0.3)
        style.add_floor(ax, whole.value, self.floor)
        ax.tick_params(axis="x", labelrotation=20, length=0)
        self._rows = [self._row(name, i) for name, i in [*zip(self.class_names, classes, strict=True), ("all", whole)]]
        self.redraw_background()

    @staticmethod
    def _row(name: str, interval: Interval) -> str:
        value, low, high = (text.approx(text.percent(x)) for x in (interval.value, interval.low, interval.high))
        return f"{name}: {value} (95 % interval {low} to {high})"

    @property
    def text(self) -> str:
        return "\n".join(self._rows)


class LatencyStrip(FigureView):
    """Every single timing as a dot, warm-up calls as crosses, median and 95th percentile as lines; a row a network.

    Args:
        labels: one a row.
    """

    @style.styled
    def __init__(self, labels: tuple[str, ...]):
        figure, (ax,) = style.make_figure(900, 130 + 70 * len(labels))
        super().__init__(figure)
        self.labels, self._ax, self._rows = labels, ax, []

    @style.styled
    def update(self, result: tuple[Latency, ...]) -> None:
        """Show one `Latency` a row."""
        ax, self._rows = self._ax, []
        ax.clear()
        for row, (label, latency) in enumerate(zip(self.labels, result, strict=True)):
            self._draw_row(row, latency)
            p50, p95, least = (text.approx(text.ms(v)) for v in (latency.p50_ms, latency.p95_ms, latency.min_ms))
            n = len(latency.samples_ms)
            self._rows.append(f"{label}: p50 {p50}, p95 {p95}, least {least}; {n} calls, {latency.threads} thread(s)")
        ax.set(yticks=range(len(self.labels)), yticklabels=self.labels, xscale="log")
        ax.set_xlabel("milliseconds a call (log scale)")
        ax.set_ylim(len(self.labels) - 0.4, -0.6)
        self._set_ticks(result)
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4, frameon=False)
        self.redraw_background()

    def _draw_row(self, row: int, latency: Latency) -> None:
        ax, warm = self._ax, latency.warmup_ms
        shifts = np.resize([-0.16, 0.08, -0.06, 0.16, 0], len(latency.samples_ms))
        ax.plot(
            latency.samples_ms, row + shifts, "o", color=style.BLUE, alpha=0.55, ls="", label=_once("one call", row)
        )  # fmt: skip
        ax.plot(warm, np.full(len(warm), row), "x", color=style.RED, ls="", label=_once("warm-up, not counted", row))
        for value, dashes, name in ((latency.p50_ms, "-", "p50"), (latency.p95_ms, "--", "p95")):
            ax.vlines(value, row - 0.3, row + 0.3, color=style.INK, ls=dashes, label=_once(name, row))

    def _set_ticks(self, result: tuple[Latency, ...]) -> None:
        every = np.concatenate([np.concatenate([item.samples_ms, item.warmup_ms]) for item in result])
        low, high = every.min() * 0.9, every.max() * 1.1
        ticks = np.geomspace(low, high, 6)
        self._ax.set_xlim(low, high)
        self._ax.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
        self._ax.minorticks_off()

    @property
    def text(self) -> str:
        return "\n".join(self._rows)


def _once(label: str, row: int) -> str:
    """A legend entry for the first row only."""
    return label if row == 0 else f"_{label}"
