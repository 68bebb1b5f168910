"""A network on few bits: error of each layer's weights, three sizes, estimated energy, measured accuracy."""

import numpy as np

from labcore import text
from labcore.plots import style
from labcore.plots.strip import StripView
from labcore.results import Evaluation, NetworkOnGrids

__all__ = ["NetworkBits"]

_MOST_DB = 50


class NetworkBits(StripView):
    """Bars for layers, sizes and energy; the accuracy below.

    Args:
        whole: answers of the network in floating point.
        floor: points of accuracy, as a fraction, that the learner is ready to lose.
        layers: names of the layers that can be quantized, one a bar.
        float_bytes: of the file in floating point, the longest bar.
    """

    @style.styled
    def __init__(self, whole: Evaluation, floor: float, layers: tuple[str, ...], float_bytes: int):
        figure, axes = style.make_figure(900, 360, 2, 3, height_ratios=(2.3, 1))
        super().__init__(figure, axes, whole.accuracy, "float", floor)
        self._report = None
        self._layers = self._draw_bars(axes[0], layers, "SQNR of the weights", _MOST_DB)
        names = ("float file", "codes and scales", "file of codes")
        self._sizes = self._draw_bars(axes[1], names, "Bytes", float_bytes)
        self._energy = self._draw_bars(axes[2], ("computing", "reading weights"), "Energy (estimate)", 1)

    def _draw_bars(self, ax, names: tuple[str, ...], title: str, reach: float) -> dict:
        """A bar and its number for each name."""
        bars = ax.barh(names, [0] * len(names), color=style.SKY, edgecolor=style.INK, height=0.6)
        words = [ax.text(0, bar.get_y() + 0.3, "", va="center") for bar in bars]
        ax.set(xlim=(0, 1.5 * reach), xticks=[], title=title)
        ax.invert_yaxis()
        ax.tick_params(left=False)
        self.animate([*bars, *words])
        return dict(zip(names, zip(bars, words, strict=True), strict=True))

    def update(self, result: NetworkOnGrids) -> None:
        """Show a network; the accuracy stays as it was until `measured`."""
        self._report, self._measurement = result, None
        ratios = dict(zip(result.layers, result.sqnr_db.tolist(), strict=True))
        self._set(self._layers, ratios, lambda db: f" {db:.1f} dB", missing=" in float")
        self._set(self._sizes, result.sizes, lambda n: f" {text.size(n)}")
        self._set(self._energy, result.energy, lambda share: f" {text.percent(share)}")

    def _set(self, bars: dict, values: dict[str, float], show, missing: str = "") -> None:
        for name, (bar, words) in bars.items():
            value = values.get(name)
            bar.set_width(0 if value is None or np.isinf(value) else value)
            words.set(x=bar.get_width(), text=missing if value is None else show(value))

    @property
    def readout(self) -> str:
        return "; ".join(filter(None, (self._report.note, super().readout)))

    @property
    def text(self) -> str:
        report = self._report
        pairs = zip(report.layers, report.sqnr_db.tolist(), strict=True)
        ratios = ", ".join(f"{name} {db:.1f} dB" for name, db in pairs)
        sizes = ", ".join(f"{name} {text.size(n_bytes)}" for name, n_bytes in report.sizes.items())
        energy = ", ".join(f"{name} {text.percent(share)}" for name, share in report.energy.items())
        return (
            f"SQNR of the weights: {ratios}\nbytes: {sizes}\n"
            f"energy, share of the float network's (estimate, 45 nm): {energy}\n"
            f"in floating point: {', '.join(report.in_float) or 'nothing'}\n{self.readout}"
        )
