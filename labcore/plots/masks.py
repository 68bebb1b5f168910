"""Weights that stay and weights that go: the map, the histogram with the cut, the sizes, the accuracy."""

import numpy as np
from matplotlib.colors import ListedColormap

from labcore import text
from labcore.plots import style
from labcore.plots.strip import StripView
from labcore.results import Evaluation, MaskReport, PrunedAccuracy

__all__ = ["Scalpel"]

_BINS = 61
_FORMATS = {"dense": "dense", "bitmap": "bitmap", "csr": "CSR", "relative": "relative"}


class Scalpel(StripView):
    """One layer's weights as a map and as a histogram, the bytes of four formats, and the measured accuracy.

    Args:
        whole: answers of the network before pruning.
        floor: points of accuracy, as a fraction, that the learner is ready to lose.
        reach: largest magnitude of all weights, the end of the histogram's axis.
        dense_bytes: of all prunable weights, the longest bar.
    """

    @style.styled
    def __init__(self, whole: Evaluation, floor: float, reach: float, dense_bytes: int):
        figure, axes = style.make_figure(900, 375, 2, 3, width_ratios=(1.25, 1, 0.95), height_ratios=(2.5, 1))
        super().__init__(figure, axes, whole.accuracy, "whole", floor)
        self._report = None
        self._draw_map(axes[0])
        self._draw_histogram(axes[1], reach)
        self._draw_sizes(axes[2], dense_bytes)

    def _draw_map(self, ax) -> None:
        colors = ListedColormap(["#ffffff", "#9db8d2", "#33658c", "#08233a"])
        self._map = ax.imshow(np.zeros((2, 2)), cmap=colors, vmin=0, vmax=3, aspect="auto", interpolation="nearest")
        ax.set(xticks=[], yticks=[], title="Weights (white: zero)", xlabel=" ")
        for spine in ax.spines.values():
            spine.set_visible(True)
        self._layer = ax.text(0, -0.08, "", transform=ax.transAxes, va="center")
        self.animate([self._map, self._layer])

    def _draw_histogram(self, ax, reach: float) -> None:
        self._edges = np.linspace(-reach, reach, _BINS + 1)
        centres, width = (self._edges[1:] + self._edges[:-1]) / 2, self._edges[1] - self._edges[0]
        self._kept = ax.bar(centres, np.zeros(_BINS), width, color=style.BLUE, label="stay")
        self._gone = ax.bar(centres, np.zeros(_BINS), width, color="#f3c9a8", hatch="////", label="go")
        self._cuts = [ax.axvline(0, color=style.RED, linestyle="--", linewidth=1.5) for _ in range(2)]
        ax.set(title="How large are they?", xlabel="weight", yticks=[], ylim=(0, 1.05))
        ax.legend(loc="upper right", frameon=False)
        self.animate([*self._kept, *self._gone, *self._cuts])

    def _draw_sizes(self, ax, dense_bytes: int) -> None:
        bars = ax.barh(list(_FORMATS.values()), [0] * len(_FORMATS), color=style.SKY, edgecolor=style.INK)
        self._sizes = dict(zip(_FORMATS, bars, strict=True))
        self._bytes = {form: ax.text(0, bar.get_y() + 0.4, "", va="center") for form, bar in self._sizes.items()}
        ax.set(title="Bytes, places included", xlim=(0, 2.1 * dense_bytes), xticks=[], xlabel=" ")
        ax.invert_yaxis()
        ax.tick_params(left=False)
        self.animate([*bars, *self._bytes.values()])

    @style.styled
    def update(self, result: MaskReport) -> None:
        """Show masks; the accuracy stays as it was until `measured`."""
        self._report = result
        self._measurement = None
        magnitude = np.abs(result.weights)
        levels = 1 + np.searchsorted([magnitude.mean(), 3 * magnitude.mean()], magnitude)
        self._map.set_data(np.where(result.kept, levels, 0))
        rows, columns = result.weights.shape
        self._map.set_extent((-0.5, columns - 0.5, rows - 0.5, -0.5))
        self._map.axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
        zeros = text.percent(result.by_layer[result.layer])
        self._layer.set_text(f"{result.layer} {rows}x{columns}: {zeros} zeros")
        self._set_histogram(result)
        for form, n_bytes in result.sizes.items():
            self._sizes[form].set_width(n_bytes)
            self._bytes[form].set(x=n_bytes, text=f" {text.size(n_bytes)}")

    def _set_histogram(self, result: MaskReport) -> None:
        kept, gone = (np.histogram(result.weights[mask], self._edges)[0] for mask in (result.kept, ~result.kept))
        tallest = max((kept + gone).max(), 1)
        for bar, height, other, below in zip(self._kept, kept, self._gone, gone, strict=True):
            bar.set_height(height / tallest)
            other.set(height=below / tallest, y=height / tallest)
        for line, sign in zip(self._cuts, (-1, 1), strict=True):
            line.set_xdata([sign * np.nan_to_num(result.cut)] * 2)
            line.set_visible(not np.isnan(result.cut))

    def measured(self, measurement: PrunedAccuracy) -> None:
        """Show the accuracy that was measured."""
        self.measured_how = "tuned for one epoch" if measurement.tuned else "measured now"
        super().measured(measurement)

    @property
    def readout(self) -> str:
        zeros = "" if self._measurement is None else f"; {text.percent(self._measurement.sparsity)} zeros"
        return super().readout + zeros

    @property
    def text(self) -> str:
        report = self._report
        by_layer = ", ".join(f"{name} {text.percent(share)}" for name, share in report.by_layer.items())
        sizes = ", ".join(f"{_FORMATS[form]} {text.size(n_bytes)}" for form, n_bytes in report.sizes.items())
        cut = f"largest weight of {report.layer} that goes: {report.cut:.4f}"
        cut = "nothing goes" if np.isnan(report.cut) else cut
        return f"zeros: {text.percent(report.sparsity)} of all weights; {by_layer}\n{cut}\n{sizes}\n{self.readout}"
