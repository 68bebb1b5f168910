"""Which layers are binary: what they are as boxes, the file, the products of a pass, and the accuracy."""

from collections.abc import Mapping

import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter

from labcore import text
from labcore.plots import style
from labcore.plots.seeds import seeds_in_words
from labcore.plots.view import FigureView
from labcore.results import PartialBinary

__all__ = ["PartialBits"]

_BOX = 0.8
_REAL = {"facecolor": style.SKY, "hatch": ""}
_BINARY = {"facecolor": style.ORANGE, "hatch": "////"}
_PLAIN = {"facecolor": "#d9d9d9"}


class PartialBits(FigureView):
    """Layers in a row (hatched: binary), bytes of the file, real and binary MACs, below the accuracy of each seed.

    Args:
        shown: any of the networks; all have the same layers, real file and number of MACs.
        accuracies: of all networks that can be shown, by any key; they set the limits.
        task: what was learned.
        floor: points of accuracy, as a fraction, that the learner is ready to lose.
        date: when the accuracies were measured.
    """

    @style.styled
    def __init__(
        self, shown: PartialBinary, accuracies: Mapping[str, np.ndarray], *, task: str, floor: float, date: str
    ):
        figure, axes = style.make_figure(900, 375, 3, 2, height_ratios=(1, 1.05, 1.35))
        super().__init__(figure)
        self._shown, self._task, self._date = shown, task, date
        for ax in (*axes[:2], *axes[4:]):
            ax.remove()
        grid = axes[0].get_gridspec()
        self._draw_layers(figure.add_subplot(grid[0, :]), shown.layers)
        files, macs = {"this file": _PLAIN, "real file": _REAL}, {"real": _REAL, "binary": _BINARY}
        self._file = self._draw_bars(axes[2], files, shown.real_bytes, "Bytes of the file")
        self._macs = self._draw_bars(axes[3], macs, shown.real_macs + shown.binary_macs, "MACs of a pass")
        self._draw_accuracy(figure.add_subplot(grid[2, :]), accuracies, floor)

    def _draw_layers(self, ax, layers: tuple[str, ...]) -> None:
        self._boxes = [Rectangle((i, 0), _BOX, 1, edgecolor=style.INK, linewidth=1.2) for i in range(len(layers))]
        middle = _BOX / 2
        for i, (box, name) in enumerate(zip(self._boxes, layers, strict=True)):
            ax.add_patch(box)
            ax.annotate(
                "", (i, 0.5), (i - 1 + _BOX, 0.5), arrowprops={"arrowstyle": "->", "color": style.INK}, zorder=0
            )
            ax.text(i + middle, 1.08, name, ha="center", va="bottom", fontweight="bold")
        ax.text(_BOX - 1, 0.5, "images ", ha="right", va="center")
        self._kinds = [ax.text(i + middle, 0.5, "", ha="center", va="center") for i in range(len(layers))]
        for kind in self._kinds:
            kind.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 2})
        ax.set(xlim=(-0.75, len(layers) - 0.1), ylim=(-0.1, 1.6))
        ax.set_axis_off()
        self.animate([*self._boxes, *self._kinds])

    def _draw_bars(self, ax, looks: Mapping[str, dict], most: int, title: str):
        bars = list(ax.barh(list(looks), [0] * len(looks), edgecolor=style.INK, height=0.75))
        for bar, look in zip(bars, looks.values(), strict=True):
            bar.set(**look)
        labels = [ax.text(0, i, "", va="center") for i in range(len(looks))]
        ax.set(xlim=(0, 1.3 * most), xticks=[], title=title)
        ax.invert_yaxis()
        ax.tick_params(left=False)
        self.animate([*bars, *labels])
        return bars, labels

    def _draw_accuracy(self, ax, accuracies: Mapping[str, np.ndarray], floor: float) -> None:
        shown, every = self._shown, np.concatenate(list(accuracies.values()))
        real, middle = float(shown.real.mean()), float(shown.all_binary.mean())
        ax.set(xlim=(every.min() - 0.05, every.max() + 0.05), ylim=(0, 1), yticks=[])
        ax.set_xlabel(f"accuracy on {self._task}, measured {self._date}; a dot a seed, the tick their mean")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text.percent(value, 0)))
        ax.axvline(real, ymax=0.75, color=style.BLUE, linewidth=2)
        ax.axvline(middle, ymax=0.75, color=style.GREEN, linewidth=2, linestyle=":")
        ax.axvline(real - floor, ymax=0.75, color=style.RED, linestyle=(0, (4, 3)))
        ax.text(real + 0.003, 0.78, "real", color=style.BLUE, va="bottom")
        ax.text(real - floor - 0.003, 0.78, "my floor", color=style.RED, ha="right", va="bottom")
        ax.text(middle, 0.78, "middle layers binary", color=style.GREEN, ha="center", va="bottom")
        (self._dots,) = ax.plot([], [], "o", color=style.ORANGE, markeredgecolor=style.INK, markersize=9)
        (self._mean,) = ax.plot([], [], "|", color=style.INK, markersize=26, markeredgewidth=2)
        self.animate([self._mean, self._dots])

    @style.styled
    def update(self, result: PartialBinary) -> None:
        """Show another choice of layers."""
        self._shown = result
        for name, box, kind in zip(result.layers, self._boxes, self._kinds, strict=True):
            binary = name in result.binary
            box.set(**(_BINARY if binary else _REAL))
            # The first layer reads pixels, which stay real.
            kind.set_text("real" if not binary else "binary weights" if name == result.layers[0] else "binary")
        for (bars, labels), numbers, words in (
            (self._file, (result.file_bytes, result.real_bytes), text.size),
            (self._macs, (result.real_macs, result.binary_macs), text.count),
        ):
            for bar, label, number in zip(bars, labels, numbers, strict=True):
                bar.set_width(number)
                label.set(x=number, text=f" {words(number)}")
        self._dots.set_data(result.accuracies, np.full(len(result.accuracies), 0.35))
        self._mean.set_data([result.accuracies.mean()], [0.35])

    @property
    def _binary(self) -> str:
        return ", ".join(self._shown.binary) or "no layer"

    @property
    def readout(self) -> str:
        shown = self._shown
        accuracy, change = shown.accuracies.mean(), text.points(shown.accuracies.mean() - shown.real.mean())
        smaller = text.times(shown.real_bytes / shown.file_bytes)
        return (
            f"measured {self._date}, {len(shown.accuracies)} seeds; {self._binary} binary: "
            f"{text.percent(accuracy)} ({change}), file {text.size(shown.file_bytes)} ({smaller} smaller)"
        )

    @property
    def text(self) -> str:
        shown = self._shown
        return "\n".join([
            f"binary: {self._binary}; {self._task}",
            f"file {text.size(shown.file_bytes)}, the real network's {text.size(shown.real_bytes)}",
            f"MACs of a pass: {text.count(shown.real_macs)} real, {text.count(shown.binary_macs)} binary",
            f"this network: {seeds_in_words(shown.accuracies)}",
            f"without binary layers: {seeds_in_words(shown.real)}",
            f"middle layers binary: {seeds_in_words(shown.all_binary)}",
            self.readout,
        ])  # fmt: skip
