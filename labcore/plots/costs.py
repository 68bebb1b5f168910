"""Costs of a network: one small bar chart a currency, the longest bar named, above accuracy against size."""

import numpy as np

from labcore import text
from labcore.plots import style
from labcore.plots.pareto import draw_sweep
from labcore.plots.view import FigureView
from labcore.results import BoardMeasurement, CostBoard, SweepPoint

__all__ = ["CostBars"]

_TIME = "time"
_TITLES = {"parameters": "Parameters", "macs": "MACs", "activations": "Activations", _TIME: "Time"}


class CostBars(FigureView):
    """Four currencies side by side (share of each layer), and where the network stands among its neighbours.

    Args:
        layers: names of the layers, in order of execution.
        neighbours: trained networks for the curve below.
        floor: points of accuracy, as a fraction, that the learner is ready to lose.
        date: when the neighbours were measured.
    """

    @style.styled
    def __init__(self, layers: tuple[str, ...], neighbours: list[SweepPoint], floor: float, date: str):
        figure, axes = style.make_figure(900, 375, 2, 4, height_ratios=(1, 1.05))
        super().__init__(figure)
        self.layers, self._result, self._measurement = layers, None, None
        self._bars, self._labels, self._totals = {}, {}, {}
        for currency, ax in zip(_TITLES, axes[:4], strict=True):
            self._draw_currency(currency, ax)
        for ax in axes[4:]:
            ax.remove()
        curve = figure.add_subplot(axes[0].get_gridspec()[1, :])
        draw_sweep(curve, neighbours, "n_params", floor, date)
        (self._point,) = curve.plot([], [], "*", markersize=17, color=style.RED, markeredgecolor="white")
        self._errors = curve.vlines([neighbours[0].n_params], 0.9, 0.9, color=style.RED, linewidth=2)
        self.animate([self._errors, self._point])

    def _draw_currency(self, currency: str, ax) -> None:
        bars = ax.barh(self.layers, np.zeros(len(self.layers)), color=style.SKY, edgecolor=style.INK, height=0.7)
        ax.set(title=_TITLES[currency], xlim=(0, 1.42), xticks=[], xlabel=" ")
        ax.invert_yaxis()
        ax.spines[["bottom"]].set_visible(False)
        ax.tick_params(left=False, labelleft=currency == "parameters")
        self._bars[currency] = list(bars)
        self._labels[currency] = [ax.text(0, bar.get_y() + 0.35, "", va="center", fontsize=10) for bar in bars]
        self._totals[currency] = ax.text(0, -0.1, "", transform=ax.transAxes, va="center", fontsize=10.5)
        self.animate([*self._bars[currency], *self._labels[currency], self._totals[currency]])

    @style.styled
    def update(self, result: CostBoard) -> None:
        """Show the costs; times and accuracy follow with `measured` and stay as they were until then."""
        self._result = result
        for currency, values in result.values.items():
            self._set(currency, values, [_short(value) for value in values], result.totals[currency])
        for currency, bars in self._bars.items():
            for artist in (*bars, *self._labels[currency]):
                artist.set_alpha(1 if result.focus in ("all", currency) else 0.25)

    @style.styled
    def measured(self, measurement: BoardMeasurement) -> None:
        """Show what was measured on this machine: times of the layers, accuracy of the network."""
        self._measurement = measurement
        shown = [text.ms(value) for value in measurement.layer_ms]
        self._set(_TIME, measurement.layer_ms, shown, f"{text.ms(measurement.total_ms)} for {measurement.batch} images")
        accuracy, x = measurement.accuracy, self._result.n_params
        self._point.set_data([x], [accuracy.value])
        self._errors.set_segments([np.array([[x, accuracy.low], [x, accuracy.high]])])

    def _set(self, currency: str, values: np.ndarray, shown: list[str], total: str) -> None:
        shares, champion = values / max(values.sum(), 1e-12), int(np.argmax(values))
        for i, (bar, label) in enumerate(zip(self._bars[currency], self._labels[currency], strict=True)):
            bar.set_width(shares[i])
            bar.set(facecolor=style.ORANGE if i == champion else style.SKY, hatch="//" if i == champion else "")
            label.set(x=shares[i] + 0.03, text=shown[i], fontweight="bold" if i == champion else "normal")
        self._totals[currency].set_text(total)

    @property
    def champions(self) -> dict[str, str]:
        """Currency -> the layer with the longest bar, as far as measured."""
        values = dict(self._result.values)
        if self._measurement is not None:
            values[_TIME] = self._measurement.layer_ms
        return {currency: self.layers[int(np.argmax(value))] for currency, value in values.items()}

    @property
    def readout(self) -> str:
        """The measured numbers: accuracy with its interval, and the champion of the currency in focus."""
        m, focus = self._measurement, self._result.focus
        if m is None:
            return "accuracy not measured yet"
        most = f"most {_TITLES[focus].lower()}: {self.champions[focus]}; " if focus in self.champions else ""
        value, low, high = (text.approx(text.percent(x)) for x in (m.accuracy.value, m.accuracy.low, m.accuracy.high))
        images = text.count(m.n_images)
        return f"measured now: {most}{value} of {images} test images right (95 % interval {low} to {high})"

    @property
    def text(self) -> str:
        board = self._result
        lines = [board.label]
        for currency, values in board.values.items():
            lines.append(f"{_TITLES[currency].lower()}: {board.totals[currency]}; {self._row(values, text.count)}")
        if self._measurement is not None:
            row = self._row(self._measurement.layer_ms, lambda value: text.approx(text.ms(value)), name_longest=False)
            lines.append(f"time of {self._measurement.batch} images: {row}")
        return "\n".join([*lines, self.readout])

    def _row(self, values: np.ndarray, show, *, name_longest: bool = True) -> str:
        row = ", ".join(f"{layer} {show(value)}" for layer, value in zip(self.layers, values, strict=True))
        return f"{row}; most: {self.layers[int(np.argmax(values))]}" if name_longest else row


def _short(value: float) -> str:
    return text.count(value) if value < 100_000 else f"{value / 1000:,.0f} k"
