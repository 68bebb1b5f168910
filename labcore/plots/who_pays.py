"""Who pays: classes and images that a change of model hits. Accuracy alone hides them."""

import numpy as np

from labcore import text
from labcore.plots import style
from labcore.plots.view import FigureView
from labcore.results import ClassChanges, Evaluation

__all__ = ["WhoPays"]


class WhoPays(FigureView):
    """Change of each class in points, beside six images that were right and are wrong now.

    Args:
        class_names: one a bar.
        images: all test images, shape (N, 1, H, W), values in [0, 1].
    """

    @style.styled
    def __init__(self, class_names: tuple[str, ...], images: np.ndarray):
        figure, axes = style.make_figure(900, 380, 2, 5, width_ratios=(2, 2, 1, 1, 1))
        super().__init__(figure)
        self.class_names, self.images, self._rows = class_names, images, []
        for ax in (axes[0], axes[1], axes[5], axes[6]):
            ax.remove()
        self._bars = figure.add_subplot(axes[0].get_gridspec()[:, :2])
        self._shown = [*axes[2:5], *axes[7:10]]

    @style.styled
    def update(self, result: tuple[ClassChanges, Evaluation]) -> None:
        """Show (changes, answers of the second model)."""
        changes, after = result
        points, ax = changes.after - changes.before, self._bars
        ax.clear()
        colors = [style.RED if value < 0 else style.GREEN for value in points]
        bars = ax.barh(self.class_names, 100 * points, color=colors, edgecolor=style.INK)
        for bar, value, flips in zip(bars, points, changes.flipped, strict=True):
            bar.set_hatch("" if value < 0 else "..")
            ax.annotate(
                f" {text.points(value)}, {flips} flipped ", (max(100 * value, 0), bar.get_y() + 0.4),
                va="center", fontsize=10,
            )  # fmt: skip
        reach = max(abs(100 * points).max(), 0.5)
        ax.set(xlim=(-1.15 * reach, 2.6 * reach), xlabel="change of accuracy, points", title="Classes")
        ax.axvline(0, color=style.INK, linewidth=1)
        ax.invert_yaxis()
        for picture in self._shown:
            picture.clear()
            picture.set_axis_off()
        for picture, index in zip(self._shown, changes.lost, strict=False):
            picture.imshow(self.images[index, 0], cmap="gray_r", vmin=0, vmax=1)
            right, said = self.class_names[after.labels[index]], self.class_names[after.predictions[index]]
            picture.set_title(f"{right}:\nnow {said}", fontsize=10, fontweight="normal", loc="center")
        self._describe(changes, after)
        self.redraw_background()

    def _describe(self, changes: ClassChanges, after: Evaluation) -> None:
        n = after.n_images
        whole = text.change(changes.pair.difference.value, n_images=n, flipped=len(changes.pair.flipped))
        self._rows = [f"all classes: {whole}"]
        for name, old, new, flips in zip(self.class_names, changes.before, changes.after, changes.flipped, strict=True):
            change, flipped = text.approx(text.points(new - old)), text.approx(text.count(flips))
            self._rows.append(f"{name}: {change}, {flipped} flipped")

    @property
    def text(self) -> str:
        return "\n".join(self._rows)
