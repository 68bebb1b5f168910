"""The distillation loss on a few logits: softened shares, the two terms, their gradients."""

import numpy as np

from labcore import text
from labcore.plots import style
from labcore.plots.view import FigureView
from labcore.results import LossChoice

__all__ = ["LossBars"]

_WHO = ("teacher", "student")


class LossBars(FigureView):
    """Softened shares of teacher and student; what labels and teacher add to the loss; how hard each of them pulls.

    Args:
        class_names: of the logits.
        largest_share, largest_norm: the longest bars of the two pictures on the right.
    """

    @style.styled
    def __init__(self, class_names: tuple[str, ...], largest_share: float, largest_norm: float):
        figure, axes = style.make_figure(900, 340, 1, 3, width_ratios=(1.15, 1, 1))
        super().__init__(figure)
        self._choice, self._names = None, class_names
        self._draw_softened(axes[0])
        self._terms = self._draw_rows(axes[1], "What each adds to the loss", largest_share)
        self._norms = self._draw_rows(axes[2], "Length of its gradient", largest_norm)

    def _draw_softened(self, ax) -> None:
        looks = zip(_WHO, (-0.2, 0.2), (style.BLUE, style.ORANGE), ("", "///"), strict=True)
        places = np.arange(len(self._names))
        self._softened = {
            who: ax.bar(places + shift, places, 0.38, color=color, hatch=hatch, edgecolor=style.INK, label=who)
            for who, shift, color, hatch in looks
        }
        ax.set(ylim=(0, 1.25), title="Softened shares")
        ax.set_xticks(places, self._names)
        ax.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
        ax.legend(loc="upper right", frameon=False, ncols=2, borderaxespad=0, columnspacing=1)
        self.animate(bar for bars in self._softened.values() for bar in bars)

    def _draw_rows(self, ax, title: str, largest: float) -> list:
        """A bar for the labels and one for the teacher, their words above them."""
        bars = ax.barh((0, 1), (0, 0), color=(style.SKY, style.BLUE), edgecolor=style.INK, height=0.4)
        words = [ax.text(0, row - 0.32, "", va="center") for row in (0, 1)]
        ax.set(xlim=(0, 1.05 * largest), ylim=(1.5, -0.7), yticks=[], title=title)
        self.animate([*bars, *words])
        return list(zip(("labels", "teacher"), bars, words, strict=True))

    @style.styled
    def update(self, result: LossChoice) -> None:
        """Show a choice of alpha, T and the factor."""
        self._choice = result
        for who, bars in self._softened.items():
            for bar, share in zip(bars, getattr(result.terms, who)[0], strict=True):
                bar.set_height(share)
        self._set(self._terms, result.shares)
        self._set(self._norms, result.norms)

    @staticmethod
    def _set(rows: list, values: tuple[float, ...]) -> None:
        for (name, bar, words), value in zip(rows, values, strict=True):
            bar.set_width(value)
            words.set_text(f"{name}: {value:.4f}")

    @property
    def readout(self) -> str:
        hard, soft = self._choice.norms
        loss = sum(self._choice.shares)
        return f"computed now: loss {loss:.4f}; length of the gradient: teacher {soft:.4f}, labels {hard:.4f}"

    @property
    def text(self) -> str:
        choice, terms = self._choice, self._choice.terms
        lines = [
            f"{who} at T = {terms.temperature:g}: "
            + ", ".join(f"{n} {text.percent(p)}" for n, p in zip(self._names, getattr(terms, who)[0], strict=True))
            for who in _WHO
        ]
        hard, soft = choice.shares
        lines.append(f"labels: {1 - terms.alpha:.1f} x {terms.hard:.4f} = {hard:.4f}")
        lines.append(f"teacher: {terms.alpha:.1f} x {choice.factor:g} x {terms.soft:.4f} = {soft:.4f}")
        return "\n".join([*lines, self.readout])
