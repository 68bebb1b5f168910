"""A class that the student never met: which of its images the student knows, and what a bias on its logit does."""

import numpy as np
from matplotlib.ticker import FuncFormatter

from labcore import text
from labcore.plots import style
from labcore.plots.seeds import seeds_in_words
from labcore.plots.view import FigureView
from labcore.results import UnseenClass

__all__ = ["UnseenClassGallery"]

_COLUMNS, _GAP = 5, 10
_LOOKS = (style.BLUE, "o", "-"), (style.ORANGE, "s", "--")


class UnseenClassGallery(FigureView):
    """Images of the class, each with a tick or with a cross and the wrong answer; recall of it and of all others.

    Args:
        class_names: by class.
        images: of the class, shape (N, H, W), N a multiple of 5, values in [0, 1].
        last_bias: where the axis ends.
        date: when the curves were measured.
    """

    @style.styled
    def __init__(self, class_names: tuple[str, ...], images: np.ndarray, *, last_bias: float, date: str):
        figure, (left, self._ax) = style.make_figure(900, 375, 1, 2, width_ratios=(1.15, 1))
        super().__init__(figure)
        self._names, self._date, self._last, self._shown = class_names, date, last_bias, None
        self._draw_gallery(left, images)

    def _draw_gallery(self, ax, images: np.ndarray) -> None:
        n, height, width = images.shape
        rows = n // _COLUMNS
        # Below each image there is room for its mark.
        tiles = np.pad(images, ((0, 0), (0, _GAP), (1, 1))).reshape(rows, _COLUMNS, height + _GAP, width + 2)
        ax.imshow(tiles.swapaxes(1, 2).reshape(rows * (height + _GAP), -1), cmap="gray_r", vmin=0, vmax=1)
        ax.set_axis_off()
        places = [((i % _COLUMNS + 0.5) * (width + 2), (i // _COLUMNS + 1) * (height + _GAP)) for i in range(n)]
        self._marks = [ax.text(x, y - _GAP / 2, "", ha="center", va="center") for x, y in places]
        self._title = ax.set_title(" ")
        self.animate([*self._marks, self._title])

    @style.styled
    def update(self, result: UnseenClass) -> None:
        """Show a student and a bias; the curves are drawn again only for another student."""
        before, self._shown = self._shown, result
        if before is None or before.recall is not result.recall:
            self._draw_curves(result)
        for mark, answer in zip(self._marks, result.answers, strict=True):
            right = answer == result.now.index
            mark.set_text("✓" if right else f"✗ {self._names[answer]}")
            mark.set(color=style.GREEN if right else style.RED, fontweight="bold" if right else "normal")
        known = int((result.answers == result.now.index).sum())
        self._title.set_text(f"{known} of these {len(result.answers)} are known (✗: what it says)")
        self._here.set_xdata([result.now.bias] * 2)
        for point, value in zip(self._points, (result.now.recall, result.now.others), strict=True):
            point.set_data([result.now.bias], [value])

    def _draw_curves(self, shown: UnseenClass) -> None:
        ax, name = self._ax, self._names[shown.now.index]
        ax.clear()
        # Those of the student before went with `clear`.
        self._moving = [*self._marks, self._title]
        points = []
        for curve, (color, marker, line) in zip((shown.recall, shown.others), _LOOKS, strict=True):
            ax.plot(curve.x, curve.mean, color=color, linestyle=line)
            ax.fill_between(curve.x, curve.values.min(0), curve.values.max(0), color=color, alpha=0.15)
            points += ax.plot([], [], marker, color=color, markeredgecolor=style.INK, markersize=11)
        points[0].set_label(f"recall of {name}")
        points[1].set_label("recall of all others")
        ax.set(xlim=(-0.3, self._last + 0.3), ylim=(-0.03, 1.22), xlabel=f"bias on the logit of {name}")
        ax.set_title(f"{shown.taught} (dots: this one; bands: {len(shown.recall.values)} seeds)")
        ax.set_yticks(np.linspace(0, 1, 5))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text.percent(value, 0)))
        ax.legend(loc="upper center", ncols=2, frameon=False, borderaxespad=0, columnspacing=1, handletextpad=0.2)
        self._here = ax.axvline(0, ymax=0.84, color=style.INK, linestyle=":", linewidth=1.8)
        self._points = points
        self.animate([self._here, *points])
        self.redraw_background()

    @property
    def readout(self) -> str:
        now, name = self._shown.now, self._names[self._shown.now.index]
        recall, others, whole = (text.percent(x) for x in (now.recall, now.others, now.accuracy))
        return (
            f"computed now at bias {now.bias:g}: recall of {name} {recall}, of all others {others}; "
            f"all images {whole}"
        )

    @property
    def text(self) -> str:
        shown, name = self._shown, self._names[self._shown.now.index]
        marks = ", ".join(
            f"{name} right" if answer == shown.now.index else f"taken for {self._names[answer]}"
            for answer in shown.answers
        )
        lines = [f"{shown.taught}; a student that never saw a {name}", f"images of {name}: {marks}"]
        for curve in (shown.recall, shown.others):
            lines.append(f"{curve.label}, bias 0, measured {self._date}: {seeds_in_words(curve.values[:, 0])}")
        return "\n".join([*lines, self.readout])
