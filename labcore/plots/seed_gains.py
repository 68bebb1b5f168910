"""What each of several things gains: a dot a seed, the mean with its interval, and whether it can be told from 0."""

from collections.abc import Sequence

from matplotlib.ticker import FuncFormatter, MaxNLocator

from labcore import text
from labcore.plots import style
from labcore.plots.view import FigureView
from labcore.results import SeedGain

__all__ = ["SeedGains"]


class SeedGains(FigureView):
    """A row a gain; a mean whose interval holds 0 is hollow, and its words say so.

    Args:
        date: when all was measured.
    """

    @style.styled
    def __init__(self, date: str):
        figure, (self._ax, self._words) = style.make_figure(900, 370, 1, 2, width_ratios=(1, 1))
        super().__init__(figure)
        self._date, self._gains = date, ()

    @style.styled
    def update(self, result: Sequence[SeedGain]) -> None:
        """Show gains, from the top."""
        self._gains, ax, words = tuple(result), self._ax, self._words
        for each in (ax, words):
            each.clear()
            each.set_ylim(len(self._gains) - 0.5, -0.5)
        words.set_axis_off()
        ax.axvline(0, color=style.INK, linewidth=1.2)
        for row, gain in enumerate(self._gains):
            self._draw_row(row, gain)
        ax.set(yticks=range(len(self._gains)), yticklabels=[gain.name for gain in self._gains])
        ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:+.1f}" if value else "0"))
        ax.set_title("Gain in points, a dot a seed")
        ax.set_xlabel(f"measured {self._date}, {len(self._gains[0].gains)} seeds")
        words.set_title("Mean and 95 % interval, in points")
        self.redraw_background()

    def _draw_row(self, row: int, gain: SeedGain) -> None:
        interval, color = gain.interval, style.BLUE if gain.clear else style.GREY
        self._ax.plot(gain.gains, [row + 0.2] * len(gain.gains), "o", color=color, markersize=5, alpha=0.5)
        self._ax.plot([interval.low, interval.high], [row - 0.1] * 2, color=color, linewidth=2.5)
        face = color if gain.clear else "white"
        self._ax.plot(interval.value, row - 0.1, "D", color=color, markerfacecolor=face, markersize=8)
        self._words.text(0, row, _in_words(gain), va="center")

    @property
    def text(self) -> str:
        return "\n".join(f"{gain.name}: {_in_words(gain)}" for gain in self._gains)


def _in_words(gain: SeedGain) -> str:
    """The mean gain, its interval, and the verdict: "+0.6 (+0.3 to +0.9): a clear gain"."""
    interval = gain.interval
    value, low, high = (
        text.points(each).removesuffix(" points") for each in (interval.value, interval.low, interval.high)
    )
    verdict = f"a clear {'gain' if interval.value > 0 else 'loss'}" if gain.clear else "no clear gain or loss"
    return f"{value} ({low} to {high}): {verdict}"
