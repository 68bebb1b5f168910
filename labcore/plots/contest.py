"""A contest: what was done to the same networks, a row each, a dot a seed."""

import numpy as np

from labcore.plots import style
from labcore.plots.seeds import SeedRows, seeds_in_words
from labcore.plots.view import FigureView
from labcore.results import SeedChoice

__all__ = ["Contest"]


class Contest(FigureView):
    """Accuracies of every contestant; the best mean is named.

    Args:
        names: the contestants, at most six, from the top.
        floor: points of accuracy, as a fraction, that the learner is ready to lose.
        date: when all was measured.
    """

    @style.styled
    def __init__(self, names: tuple[str, ...], floor: float, date: str):
        figure, (ax,) = style.make_figure(900, 370)
        super().__init__(figure)
        self._floor, self._date, self._choice = floor, date, None
        ax.set(xlabel="accuracy (blue line: float; red: my floor)")
        self._ax, self._rows = ax, SeedRows(ax, names)
        self.animate(self._rows.artists)

    @style.styled
    def update(self, result: SeedChoice) -> None:
        """Show a setting."""
        self._choice = result
        values = np.concatenate([*result.accuracies.values()])
        self._rows.set_limits(values, float(result.whole.mean()), self._floor)
        self._rows.set(result.accuracies)
        self._ax.set_title(result.title)
        self.redraw_background()

    @property
    def readout(self) -> str:
        seeds = len(self._choice.whole)
        return f"measured {self._date}, {seeds} seeds; best on average: {self._choice.best}"

    @property
    def text(self) -> str:
        rows = [f"{name}: {seeds_in_words(values)}" for name, values in self._choice.accuracies.items()]
        return "\n".join([self._choice.title, f"float: {seeds_in_words(self._choice.whole)}", *rows, self.readout])
