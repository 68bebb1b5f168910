"""What K knows: one image, the size of what a layer reads, and three convolutions on one scale."""

import numpy as np
from matplotlib.ticker import MultipleLocator

from labcore import text
from labcore.plots import style
from labcore.plots.view import FigureView
from labcore.results import InputSizes

__all__ = ["SizeMapRow"]

_TITLES = ("image", "A: mean |x|", "K = A * k", "real", "signs x alpha", "and x K")
_ROWS = ("signs x alpha", "and x K")


class SizeMapRow(FigureView):
    """Six small maps (a dash marks what is negative), and below them the errors without and with K.

    Args:
        n_images: over which the best factors are found.
    """

    @style.styled
    def __init__(self, n_images: int):
        figure, axes = style.make_figure(900, 360, 2, 6, height_ratios=(1.6, 1))
        super().__init__(figure)
        self._shown = None
        for ax in axes[6:]:
            ax.remove()
        self._draw_maps(axes[:6])
        grid = axes[0].get_gridspec()
        self._now = self._draw_errors(figure.add_subplot(grid[1, :3]), "This image")
        many = f"{text.count(n_images)} images, best factor a channel"
        self._fitted = self._draw_errors(figure.add_subplot(grid[1, 3:]), many)

    def _draw_maps(self, axes) -> None:
        looks = [("gray_r", 0, 1), ("viridis", 0, 1), ("viridis", 0, 1), *[("PuOr", -1, 1)] * 3]
        self._maps = [
            ax.imshow(np.zeros((2, 2)), cmap=cmap, vmin=low, vmax=high, interpolation="nearest")
            for ax, (cmap, low, high) in zip(axes, looks, strict=True)
        ]
        self._ranges, self._dashes = [], []
        for ax, title in zip(axes, _TITLES, strict=True):
            ax.set(xticks=[], yticks=[], xlabel=" ")
            ax.set_title(title, loc="center", fontsize=10.5)
            self._ranges.append(ax.text(0.5, -0.1, "", transform=ax.transAxes, ha="center", va="center"))
            self._dashes += ax.plot([], [], "_", color=style.INK, markersize=7, markeredgewidth=1.5)
        self.animate([*self._maps, *self._dashes, *self._ranges])

    def _draw_errors(self, ax, title: str):
        bars = list(ax.barh(_ROWS, [0] * len(_ROWS), color=(style.SKY, style.ORANGE), edgecolor=style.INK, height=0.7))
        bars[1].set_hatch("//")
        labels = [ax.text(0, i, "", va="center") for i in range(len(_ROWS))]
        ax.set(xlim=(0, 1), yticks=[], xlabel="squared error / squared size (0: exact)", title=title)
        ax.xaxis.set_major_locator(MultipleLocator(0.25))
        ax.invert_yaxis()
        self.animate([*bars, *labels])
        return bars, labels

    @style.styled
    def update(self, result: InputSizes) -> None:
        """Show another image, layer or channel."""
        self._shown = result
        sizes, outputs = (result.magnitude, result.sizes), (result.real, result.signs, result.scaled)
        most, reach = max(each.max() for each in sizes), max(np.abs(each).max() for each in outputs)
        scales = (1, most, most, reach, reach, reach)
        values = (result.image, *sizes, *outputs)
        for picture, dashes, words, grid, scale in zip(
            self._maps, self._dashes, self._ranges, values, scales, strict=True
        ):
            rows, columns = grid.shape
            picture.set_data(grid / scale)
            picture.set_extent((-0.5, columns - 0.5, rows - 0.5, -0.5))
            picture.axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
            dashes.set_data(*np.argwhere(grid < 0)[:, ::-1].T)
            words.set_text(_range(grid))
        for (bars, labels), errors in ((self._now, result.errors), (self._fitted, result.fitted_errors)):
            for name, bar, label, error in zip(_ROWS, bars, labels, errors, strict=True):
                bar.set_width(error)
                label.set(x=error, text=f" {error:.2f}  {name}")

    @property
    def readout(self) -> str:
        shown = self._shown
        (signs, scaled), (fitted, fitted_scaled) = shown.errors, shown.fitted_errors
        return (
            f"computed now, all channels of {shown.layer}: error {signs:.2f}, with K {scaled:.2f}; with the best "
            f"factor a channel, {text.count(shown.n_images)} images: {fitted:.2f}, with K {fitted_scaled:.2f}"
        )

    @property
    def text(self) -> str:
        shown = self._shown
        names = ("A", "K", "real convolution", "signs times alpha", "signs times alpha times K")
        grids = (shown.magnitude, shown.sizes, shown.real, shown.signs, shown.scaled)
        ranges = "; ".join(f"{name} {_range(grid)}" for name, grid in zip(names, grids, strict=True))
        return f"{shown.layer}, channel {shown.channel}: {ranges}\n{self.readout}"


def _range(grid: np.ndarray) -> str:
    return f"{grid.min():.1f} to {grid.max():.1f}".replace("-0.0 ", "0.0 ")
