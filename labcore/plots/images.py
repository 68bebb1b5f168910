"""Images with what a network says of them, and one convolution step by step."""

import numpy as np

from labcore.plots import style
from labcore.plots.view import FigureView
from labcore.results import Evaluation

__all__ = ["ConvolutionSteps", "ImageGrid"]


class ImageGrid(FigureView):
    """Images with their labels; wrong answers carry a cross and both names, never colour alone.

    Args:
        columns, rows: size of the grid.
    """

    @style.styled
    def __init__(self, columns: int = 6, rows: int = 2):
        figure, axes = style.make_figure(900, 185 * rows, rows, columns)
        super().__init__(figure)
        self._axes, self._lines = axes, []
        self._pictures = [ax.imshow(np.zeros((14, 14)), cmap="gray_r", vmin=0, vmax=1) for ax in axes]
        self._captions = [ax.set_title("", fontsize=10, fontweight="normal", loc="center") for ax in axes]
        for ax in axes:
            ax.set(xticks=[], yticks=[])

    @style.styled
    def update(self, result: tuple[np.ndarray, Evaluation, tuple[str, ...], np.ndarray]) -> None:
        """Show images: (all images (N, 1, H, W), evaluation, class names, indices to show)."""
        images, evaluation, names, chosen = result
        self._lines = []
        for ax, picture, caption, index in zip(self._axes, self._pictures, self._captions, chosen, strict=False):
            said, right = names[evaluation.predictions[index]], names[evaluation.labels[index]]
            correct = said == right
            picture.set_data(images[index, 0])
            caption.set_text(f"✓ {right}\n " if correct else f"✗ says {said},\nis {right}")
            caption.set_color(style.INK if correct else style.RED)
            for spine in ax.spines.values():
                spine.set(visible=True, linewidth=1 if correct else 2.5, color=style.GREY if correct else style.RED)
            self._lines.append(f"image {index}: {right}, {'right' if correct else f'taken for {said}'}")
        self.redraw_background()

    @property
    def text(self) -> str:
        return "\n".join(self._lines)


class ConvolutionSteps(FigureView):
    """One output value of one convolution: the patch, the kernel, their product, the sum, and the whole output map."""

    @style.styled
    def __init__(self):
        figure, axes = style.make_figure(900, 230, 1, 5, width_ratios=(1.25, 1, 1, 1, 1.25))
        super().__init__(figure)
        self._axes, self._text = axes, ""

    @style.styled
    def update(self, result: tuple[np.ndarray, np.ndarray, tuple[int, int]]) -> None:
        """Show (image (H, W), kernel (k, k), (row, column) of the output value); no padding, stride 1."""
        image, kernel, (row, column) = result
        k = len(kernel)
        patch = image[row : row + k, column : column + k]
        windows = np.lib.stride_tricks.sliding_window_view(image, (k, k))
        output = (windows * kernel).sum((2, 3))
        value = output[row, column]
        before, after = ("{}x{}".format(*grid.shape) for grid in (image, output))
        titles = (f"image {before}", "patch", "kernel", "product", f"output {after}")
        grids = (image, patch, kernel, patch * kernel, output)
        for ax, title, grid in zip(self._axes, titles, grids, strict=True):
            ax.clear()
            reach = max(abs(grid).max(), 1e-9)
            cmap, low = ("gray_r", 0) if title.startswith(("image", "patch")) else ("PuOr", -reach)
            ax.imshow(grid, cmap=cmap, vmin=low, vmax=reach)
            ax.set(xticks=[], yticks=[])
            ax.set_title(title, loc="center", fontsize=11)
            if grid.shape == kernel.shape:
                self._write_values(ax, grid, reach)
        self._frame(self._axes[0], row, column, k)
        self._frame(self._axes[4], row, column, 1)
        self._axes[3].set_xlabel(f"sum = {value:.2f}", fontsize=12, color=style.RED, fontweight="bold")
        self._text = (
            f"patch: {_numbers(patch)}\nkernel: {_numbers(kernel)}\nproduct: {_numbers(patch * kernel)}\n"
            f"sum of products: {value:.2f}"
        )
        self.redraw_background()

    @staticmethod
    def _write_values(ax, grid: np.ndarray, reach: float) -> None:
        for (i, j), number in np.ndenumerate(grid):
            dark = abs(number) > 0.6 * reach
            ax.text(j, i, f"{number:.2f}", ha="center", va="center", fontsize=10, color="white" if dark else style.INK)

    @staticmethod
    def _frame(ax, row: int, column: int, k: int) -> None:
        x, y = column - 0.5, row - 0.5
        ax.plot([x, x + k, x + k, x, x], [y, y, y + k, y + k, y], color=style.RED, linewidth=2.5)

    @property
    def text(self) -> str:
        return self._text


def _numbers(grid: np.ndarray) -> str:
    return " / ".join(" ".join(f"{number:.2f}" for number in row) for row in grid)
