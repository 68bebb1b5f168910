"""Filters that stay and filters that go, as pictures; what is left; what the accuracy does then and later."""

import numpy as np

from labcore import text
from labcore.plots import style
from labcore.plots.strip import accuracy_in_words
from labcore.plots.view import FigureView
from labcore.results import Evaluation, FilterReport, SmallerMeasurement

__all__ = ["FilterGallery"]

_COLUMNS, _ROWS, _TILE = 8, 4, 4
_NOW = "at once"


class FilterGallery(FigureView):
    """Filters of one layer (crossed out: they go), the costs that are left, the accuracy at once and later.

    Args:
        whole: answers of the network before the cut.
        floor: points of accuracy, as a fraction, that the learner is ready to lose.
        later: what was measured beforehand, one row each.
        date: when that was.
    """

    @style.styled
    def __init__(self, whole: Evaluation, floor: float, later: tuple[str, ...], date: str):
        figure, axes = style.make_figure(900, 370, 2, 2, width_ratios=(1, 1.15))
        super().__init__(figure)
        self._whole, self._floor, self._rows = whole, floor, (_NOW, *later)
        self._report, self._measurement = None, None
        axes[0].remove()
        axes[2].remove()
        self._draw_filters(figure.add_subplot(axes[0].get_gridspec()[:, 0]))
        self._draw_accuracy(axes[1], date)
        self._draw_costs(axes[3])

    def _draw_filters(self, ax) -> None:
        shape = (_ROWS * _TILE - 1, _COLUMNS * _TILE - 1)
        self._mosaic = ax.imshow(np.full(shape, np.nan), cmap="gray_r", vmin=0, vmax=1)
        (self._crosses,) = ax.plot([], [], "x", color=style.RED, markersize=26, markeredgewidth=2.5)
        ax.set(xticks=[], yticks=[], title="Filters (crossed out: they go)", xlabel=" ")
        ax.set(xlim=(-0.7, shape[1] - 0.3), ylim=(shape[0] - 0.3, -0.7))
        for spine in ax.spines.values():
            spine.set_visible(False)
        self._caption = ax.text(0, -0.05, "", transform=ax.transAxes, va="center")
        self.animate([self._mosaic, self._crosses, self._caption])

    def _draw_accuracy(self, ax, date: str) -> None:
        best = self._whole.accuracy
        ax.set(xlim=(0, 1), yticks=range(len(self._rows)), yticklabels=self._rows, title="Accuracy")
        ax.set_ylim(len(self._rows) - 0.4, -0.6)
        ax.set_xticks([0, 0.25, 0.5, 0.75, 1], [text.percent(tick, 0) for tick in (0, 0.25, 0.5, 0.75, 1)])
        ax.set_xlabel(f"{_NOW}: now; others: {date}, a dot a seed")
        ax.axvline(best, color=style.BLUE, linewidth=2)
        ax.axvline(best - self._floor, color=style.RED, linestyle=(0, (4, 3)))
        ax.text(best - self._floor - 0.01, -0.35, "my floor", color=style.RED, ha="right", va="center")
        (self._now,) = ax.plot([], [], "D", markersize=10, color=style.ORANGE, markeredgecolor=style.INK)
        (self._later,) = ax.plot([], [], "o", markersize=7, color=style.GREEN, alpha=0.6)
        self.animate([self._now, self._later])

    def _draw_costs(self, ax) -> None:
        names = ("parameters", "MACs", "activations", "time")
        bars = ax.barh(names, [0] * len(names), color=style.SKY, edgecolor=style.INK, height=0.7)
        self._costs = dict(zip(names, bars, strict=True))
        self._shares = {name: ax.text(0, bar.get_y() + 0.35, "", va="center") for name, bar in self._costs.items()}
        ax.set(xlim=(0, 1.2), title="What is left of each cost")
        ax.set_xticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
        ax.axvline(1, color=style.BLUE, linewidth=1)
        ax.invert_yaxis()
        ax.tick_params(left=False)
        self.animate([*bars, *self._shares.values()])

    def update(self, result: FilterReport) -> None:
        """Show a cut; accuracy at once and time follow with `measured`."""
        self._report, self._measurement = result, None
        self._set_mosaic(result)
        for name, share in result.costs.items():
            self._set_cost(name, share)
        places = [(value, self._rows.index(name)) for name, values in result.later.items() for value in values]
        self._later.set_data(*np.array(places).T) if places else self._later.set_data([], [])

    def _set_mosaic(self, result: FilterReport) -> None:
        mosaic = np.full((_ROWS * _TILE - 1, _COLUMNS * _TILE - 1), np.nan)
        crosses = []
        for i, kernel in enumerate(result.filters):
            top, left = i // _COLUMNS * _TILE, i % _COLUMNS * _TILE
            mosaic[top : top + 3, left : left + 3] = kernel / result.filters.max()
            if result.removed[i]:
                crosses.append((left + 1, top + 1))
        self._mosaic.set_data(mosaic)
        self._crosses.set_data(*np.array(crosses).T) if crosses else self._crosses.set_data([], [])
        self._caption.set_text(f"{result.layer}: {result.removed.sum()} of {len(result.removed)} filters go")

    def _set_cost(self, name: str, share: float) -> None:
        self._costs[name].set_width(share)
        self._shares[name].set(x=share + 0.01, text=text.percent(share, 0))

    def measured(self, measurement: SmallerMeasurement) -> None:
        """Show accuracy at once and time."""
        self._measurement = measurement
        self._now.set_data([measurement.accuracy.accuracy.value], [0])
        self._set_cost("time", measurement.time_share)

    @property
    def readout(self) -> str:
        if self._measurement is None:
            return "accuracy not measured yet"
        return f"measured now, at once: {accuracy_in_words(self._measurement.accuracy)}"

    @property
    def text(self) -> str:
        report = self._report
        gone = ", ".join(map(str, np.flatnonzero(report.removed))) or "none"
        costs = ", ".join(f"{name} {text.percent(share)}" for name, share in report.costs.items())
        lines = [f"{report.label}; filters of {report.layer} that go: {gone}", f"left: {costs}"]
        for name, values in report.later.items():
            low, high = values.min(), values.max()
            lines.append(f"{name}: mean {text.percent(values.mean())} ({text.percent(low)} to {text.percent(high)})")
        if self._measurement is not None:
            share = text.approx(text.percent(self._measurement.time_share, 0))
            lines.append(f"time of {self._measurement.batch} images: {share} of the whole network's")
        return "\n".join([*lines, self.readout])
