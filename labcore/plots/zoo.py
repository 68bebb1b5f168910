"""Every score beside every other: what accuracy is left when the lowest scores go."""

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from labcore import text
from labcore.plots import style
from labcore.plots.seeds import seeds_in_words
from labcore.plots.view import FigureView
from labcore.results import ScoreChoice

__all__ = ["ScoreZoo"]


def _gain_in_words(gains: np.ndarray) -> str:
    """The mean gain, and from the lowest to the highest seed: "+1.2 (+0.8 to +1.6) points"."""
    mean, low, high = (text.points(value).removesuffix(" points") for value in (gains.mean(), gains.min(), gains.max()))
    return f"{mean} ({low} to {high}) points"


class ScoreZoo(FigureView):
    """A row a score: a dot a seed, the mean, and the difference to the reference, seed by seed.

    Args:
        whole: accuracy of the network before anything goes, shape (seeds,).
        floor: points of accuracy, as a fraction, that the learner is ready to lose.
        date: when all was measured.
    """

    @style.styled
    def __init__(self, whole: np.ndarray, floor: float, date: str):
        figure, (self._ax, self._words) = style.make_figure(900, 385, 1, 2, width_ratios=(1.15, 1))
        super().__init__(figure)
        self._whole, self._floor, self._date, self._choice = whole, float(whole.mean()) - floor, date, None

    @style.styled
    def update(self, result: ScoreChoice) -> None:
        """Show a choice; rows and limits are drawn again only for other curves."""
        if self._choice is None or self._choice.curves != result.curves:
            self._draw_rows(result)
        self._choice = result
        accuracies = result.accuracies
        rows = range(len(accuracies))
        self._dots.set_data(np.concatenate([*accuracies.values()]), np.repeat(rows, len(self._whole)))
        self._means.set_data([values.mean() for values in accuracies.values()], rows)
        self._level.set_xdata([accuracies[result.reference].mean()] * 2)
        for name, label in self._labels.items():
            label.set_text(f"{text.percent(accuracies[name].mean())}   {self._compared(name)}")
        self._caption.set_text(f"without {self._share}; reference: {result.reference}")

    def _draw_rows(self, choice: ScoreChoice) -> None:
        names, best = [curve.family for curve in choice.curves], float(self._whole.mean())
        for ax in (self._ax, self._words):
            ax.clear()
            ax.set_ylim(len(names) - 0.4, -1)
        everything = np.concatenate([[best, self._floor], *(curve.values.ravel() for curve in choice.curves)])
        self._ax.set(yticks=range(len(names)), yticklabels=names, title=f"Accuracy, {choice.kind}")
        self._ax.set_xlim(everything.min() - 0.02, everything.max() + 0.02)
        self._ax.set_xlabel(f"a dot a seed; measured {self._date}; blue: whole network")
        self._ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        self._ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text.percent(value, 0)))
        self._ax.grid(axis="y", color="#e4e4e4")
        self._ax.axvline(best, color=style.BLUE, linewidth=2)
        self._ax.axvline(self._floor, color=style.RED, linestyle=(0, (4, 3)))
        self._ax.annotate(
            "my floor", (self._floor, -0.7), xytext=(-4, 0), textcoords="offset points", color=style.RED,
            ha="right", va="center",
        )  # fmt: skip
        self._words.set_axis_off()
        self._words.set_title("Mean, and difference to the reference")
        self._draw_moving(names)
        self.redraw_background()

    def _draw_moving(self, names: list[str]) -> None:
        self._level = self._ax.axvline(0, color=style.INK, linestyle=":", linewidth=1.5)
        (self._dots,) = self._ax.plot([], [], "o", markersize=7, color=style.GREEN, alpha=0.6)
        (self._means,) = self._ax.plot([], [], "|", markersize=17, markeredgewidth=2.5, color=style.INK)
        self._labels = {name: self._words.text(0, row, "", va="center") for row, name in enumerate(names)}
        self._caption = self._words.text(0, -0.07, "", transform=self._words.transAxes, va="center")
        # Those of other rows went with `clear`.
        self._moving = []
        self.animate([self._level, self._dots, self._means, self._caption, *self._labels.values()])

    def _compared(self, name: str) -> str:
        return "reference" if name == self._choice.reference else _gain_in_words(self._choice.gains[name])

    @property
    def _share(self) -> str:
        return text.percent(self._choice.curves[0].x[self._choice.place], 0)

    @property
    def readout(self) -> str:
        means = {name: values.mean() for name, values in self._choice.accuracies.items()}
        best, above = max(means, key=means.get), sum(mean >= self._floor for mean in means.values())
        return (
            f"measured {self._date}, {len(self._whole)} seeds, without {self._share}: best {best} with "
            f"{text.percent(means[best])}; {above} of {len(means)} scores stay above my floor"
        )

    @property
    def text(self) -> str:
        choice = self._choice
        lines = [
            f"{choice.kind}, without {self._share}; reference: {choice.reference}",
            f"whole network: {seeds_in_words(self._whole)}; my floor: {text.percent(self._floor)}",
        ]
        for name, values in choice.accuracies.items():
            lines.append(f"{name}: {seeds_in_words(values)}, {self._compared(name)}")
        return "\n".join([*lines, self.readout])
