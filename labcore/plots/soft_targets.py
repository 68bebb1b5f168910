"""One image, and the teacher's softened answer to it."""

import math

import numpy as np

from labcore import text
from labcore.plots import style
from labcore.plots.view import FigureView
from labcore.results import SoftTargets

__all__ = ["SoftTargetBars"]


class SoftTargetBars(FigureView):
    """The image with its entropy; a bar and a number for each class, the right class hatched.

    Args:
        class_names: one a bar.
    """

    @style.styled
    def __init__(self, class_names: tuple[str, ...]):
        figure, (left, right) = style.make_figure(900, 370, 1, 2, width_ratios=(1, 2.1))
        super().__init__(figure)
        self._names, self._shown, self._label = class_names, None, None
        self._draw_image(left)
        self._draw_bars(right)

    def _draw_image(self, ax) -> None:
        # Extent in shares of the side, so that images of any size fill the same square.
        self._image = ax.imshow(np.zeros((2, 2)), cmap="gray_r", vmin=0, vmax=1, extent=(0, 1, 0, 1))
        ax.set_axis_off()
        self._name = ax.text(0.5, 1.05, "", ha="center", va="bottom", fontweight="bold")
        self._entropy = ax.text(0.5, -0.05, "", ha="center", va="top", linespacing=1.5)
        self.animate([self._image, self._name, self._entropy])

    def _draw_bars(self, ax) -> None:
        self._bars = ax.barh(self._names, [0] * len(self._names), color=style.SKY, edgecolor=style.INK, height=0.75)
        self._shares = [ax.text(0, bar.get_y() + 0.38, "", va="center") for bar in self._bars]
        ax.set(xlim=(0, 1.55), title="What the teacher says, softened")
        ax.set_xticks(np.linspace(0, 1, 5), [text.percent(tick, 0) for tick in np.linspace(0, 1, 5)])
        ax.invert_yaxis()
        ax.tick_params(left=False)
        self.animate([*self._bars, *self._shares])

    @style.styled
    def update(self, result: SoftTargets) -> None:
        """Show an image at a temperature."""
        self._shown = result
        self._image.set_data(result.image)
        self._name.set_text(result.name)
        self._entropy.set_text(f"T = {result.temperature:g}\nentropy {self._bits}")
        for i, (bar, share, value) in enumerate(zip(self._bars, self._shares, result.probabilities, strict=True)):
            right = i == result.label
            bar.set_width(value)
            bar.set(hatch="///" if right else "", facecolor=style.ORANGE if right else style.SKY)
            share.set(x=value + 0.015, text=_percent(value) + ("  (the label)" if right else ""))

    @property
    def _bits(self) -> str:
        return f"{self._shown.entropy_bits:.2f} of {math.log2(len(self._names)):.2f} bits"

    @property
    def readout(self) -> str:
        order = np.argsort(-self._shown.probabilities, kind="stable")[:3]
        first = ", ".join(f"{self._names[i]} {text.approx(_percent(self._shown.probabilities[i]))}" for i in order)
        return f"computed now at T = {self._shown.temperature:g}: {first}; entropy {text.approx(self._bits)}"

    @property
    def text(self) -> str:
        shown = self._shown
        shares = zip(self._names, shown.probabilities, strict=True)
        every = ", ".join(f"{name} {text.approx(_percent(value))}" for name, value in shares)
        return f"{shown.name}, label {self._names[shown.label]}\nprobabilities: {every}\n{self.readout}"


def _percent(share: float) -> str:
    return text.percent(share, 2)
