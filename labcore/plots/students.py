"""Students of many settings beside the student of labels alone."""

import numpy as np
from matplotlib.patches import Rectangle

from labcore import text
from labcore.plots import style
from labcore.plots.seeds import SeedRows, seeds_in_words
from labcore.plots.view import FigureView
from labcore.results import Evaluation, StudentChoice, StudentGrid

__all__ = ["StudentMap"]

_ALONE, _TAUGHT, _MINE = "labels only", "taught", "trained now"


class StudentMap(FigureView):
    """Left the gain of each setting in points (hatched: not to be told from labels only), right its seeds.

    Args:
        grid: all settings.
        floor: points of accuracy, as a fraction, that the learner is ready to lose.
        date: when the grid was measured.
    """

    @style.styled
    def __init__(self, grid: StudentGrid, floor: float, date: str):
        figure, (left, right) = style.make_figure(900, 370, 1, 2, width_ratios=(1.1, 1))
        super().__init__(figure)
        self._grid, self._date, self._choice, self._mine = grid, date, None, None
        self._draw_map(left)
        right.set(title="Accuracy, a dot a seed", xlabel="blue line: the teacher; red, dashed: my floor")
        self._rows = SeedRows(right, (_ALONE, _TAUGHT, _MINE))
        seen = np.concatenate([grid.accuracies.ravel(), grid.baseline])
        self._rows.set_limits(seen, grid.teacher, floor)
        self.animate(self._rows.artists)

    def _draw_map(self, ax) -> None:
        grid, gains = self._grid, self._grid.gains
        reach = np.abs(gains).max()
        ax.imshow(gains, cmap="PuOr", vmin=-reach, vmax=reach, aspect="auto")
        for (row, column), gain in np.ndenumerate(gains):
            corner = column - 0.5, row - 0.5
            if grid.undecided[row, column]:
                ax.add_patch(Rectangle(corner, 1, 1, facecolor="#d9d9d9", hatch="///", edgecolor=style.GREY))
            dark = abs(gain) > 0.6 * reach and not grid.undecided[row, column]
            label = ax.text(column, row, _points(gain), ha="center", va="center", color="white" if dark else style.INK)
            if grid.undecided[row, column]:
                label.set_bbox({"facecolor": "#f2f2f2", "edgecolor": "none", "pad": 2})
        ax.set_xticks(range(len(grid.temperatures)), [f"{t:g}" for t in grid.temperatures])
        ax.set_yticks(range(len(grid.alphas)), [f"{a:g}" for a in grid.alphas])
        ax.set(title="Gain over labels only, points", ylabel="alpha")
        ax.set_xlabel("temperature T; hatched: no clear difference")
        # Dark outside, light inside: visible on every cell, and not cut at the edge.
        looks = ({"linewidth": 6, "edgecolor": style.INK}, {"linewidth": 2, "edgecolor": "white"})
        self._frames = [Rectangle((0, 0), 1, 1, fill=False, clip_on=False, **look) for look in looks]
        for frame in self._frames:
            ax.add_patch(frame)
        self.animate(self._frames)

    @style.styled
    def update(self, result: StudentChoice) -> None:
        """Choose a setting; what was trained for another one goes."""
        self._choice, self._mine = result, None
        for frame in self._frames:
            frame.set_xy((result.column - 0.5, result.row - 0.5))
        self._set_rows()

    @style.styled
    def measured(self, measurement: Evaluation) -> None:
        """Add the student that was trained now."""
        self._mine = measurement
        self._set_rows()

    def _set_rows(self) -> None:
        rows = {_ALONE: self._grid.baseline, _TAUGHT: self._seeds}
        if self._mine is not None:
            rows[_MINE] = np.array([self._mine.accuracy])
        self._rows.set(rows)

    @property
    def _seeds(self) -> np.ndarray:
        return self._grid.accuracies[self._choice.row, self._choice.column]

    @property
    def _compared(self) -> str:
        grid, at = self._grid, (self._choice.row, self._choice.column)
        words = "not to be told from labels only" if grid.undecided[at] else "a clear difference"
        return (
            f"gain {text.points(grid.gains[at])} (95 % interval {_points(grid.low[at])} to {_points(grid.high[at])}): "
            f"{words}"
        )

    @property
    def readout(self) -> str:
        said = f"measured {self._date}, {len(self._grid.baseline)} seeds: {self._compared}"
        if self._mine is None:
            return said
        return f"{said}; trained now: {text.approx(text.percent(self._mine.accuracy))}"

    @property
    def text(self) -> str:
        grid = self._grid
        lines = ["gain over labels only in points, (?) where the interval of the mean over seeds holds 0"]
        for i, alpha in enumerate(grid.alphas):
            cells = (
                f"T {t:g} {_points(gain)}{' (?)' if unsure else ''}"
                for t, gain, unsure in zip(grid.temperatures, grid.gains[i], grid.undecided[i], strict=True)
            )
            lines.append(f"alpha {alpha:g}: {', '.join(cells)}")
        lines.append(f"labels only: {seeds_in_words(grid.baseline)}; teacher {text.percent(grid.teacher)}")
        lines.append(f"this setting: {seeds_in_words(self._seeds)}")
        return "\n".join([*lines, self.readout])


def _points(gain: float) -> str:
    return text.points(gain).removesuffix(" points")
