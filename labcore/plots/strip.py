"""One accuracy on a line, beside the original network's and the learner's floor."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labcore import text
from labcore.plots import style
from labcore.plots.view import FigureView
from labcore.results import ComparedAccuracy, Interval

__all__ = ["AccuracyStrip", "StripView", "accuracy_in_words"]


def accuracy_in_words(measured: ComparedAccuracy) -> str:
    """Such as "≈ 86.2 % right (≈ -1.2 points, ≈ 60 of 5,000 images, ≈ 85 flipped)"."""
    pair = measured.pair
    change = text.change(pair.difference.value, n_images=measured.n_images, flipped=len(pair.flipped))
    return f"{text.approx(text.percent(measured.accuracy.value))} right ({change})"


class AccuracyStrip:
    """Draws itself into `ax`; its `artists` move.

    Args:
        ax: the whole line, from 0 to 100 %.
        best: accuracy of the original network.
        name: what the original is called.
        floor: points of accuracy, as a fraction, that the learner is ready to lose.
    """

    def __init__(self, ax: Axes, best: float, name: str, floor: float):
        ax.set(xlim=(0, 1), ylim=(0, 1), yticks=[], xlabel="accuracy on the test images")
        ax.set_xticks(np.linspace(0, 1, 11), [text.percent(tick, 0) for tick in np.linspace(0, 1, 11)])
        ax.axvline(best, color=style.BLUE, linewidth=2)
        ax.axvline(best - floor, color=style.RED, linestyle=(0, (4, 3)))
        ax.text(best - floor - 0.008, 0.75, "my floor", color=style.RED, ha="right")
        ax.text(best + 0.008, 0.75, name, color=style.BLUE)
        (self._span,) = ax.plot([0, 0], [0.35, 0.35], color=style.INK, linewidth=4, solid_capstyle="butt")
        (self._point,) = ax.plot([], [], "D", markersize=11, color=style.ORANGE, markeredgecolor=style.INK)
        self.artists = [self._span, self._point]

    def set(self, accuracy: Interval) -> None:
        """Move the point and its interval."""
        self._point.set_data([accuracy.value], [0.35])
        self._span.set_data([accuracy.low, accuracy.high], [0.35, 0.35])


class StripView(FigureView):
    """A picture with the measured accuracy on a line below it.

    Subclasses set `_measurement` to None in `update`: a new setting has not been measured yet.

    Args:
        figure: with a grid of axes in two rows; those of the second row make room for the line.
        axes: of the figure, row by row.
        best, name, floor: as for `AccuracyStrip`.
    """

    # What the line of numbers says before the accuracy.
    measured_how = "measured now"

    def __init__(self, figure: Figure, axes: list[Axes], best: float, name: str, floor: float):
        super().__init__(figure)
        self._measurement: ComparedAccuracy | None = None
        for ax in axes[len(axes) // 2 :]:
            ax.remove()
        self._strip = AccuracyStrip(figure.add_subplot(axes[0].get_gridspec()[1, :]), best, name, floor)
        self.animate(self._strip.artists)

    def measured(self, measurement: ComparedAccuracy) -> None:
        """Show the accuracy that was measured."""
        self._measurement = measurement
        self._strip.set(measurement.accuracy)

    @property
    def readout(self) -> str:
        if self._measurement is None:
            return "accuracy not measured yet"
        return f"{self.measured_how}: {accuracy_in_words(self._measurement)}"
