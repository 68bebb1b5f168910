"""One output of a layer in whole numbers, step by step, beside the same output in floating point."""

import numpy as np

from labcore.plots import style
from labcore.plots.view import FigureView
from labcore.results import IntegerWalk

__all__ = ["IntegerSteps"]

_TITLES = (
    "1 The real numbers", "2 Inputs become codes", "3 Weights become codes", "4 Multiply and add whole numbers",
    "5 Add the bias", "6 Rescale to the output's grid",
)  # fmt: skip
_KNOWN = "#666666"
_ROWS = ("input x", "weight w", "code of x", "code of w", "product", "sum so far")


class IntegerSteps(FigureView):
    """A table with a column for each input, filled row by row, and the outcome in words.

    Args:
        name: which output of which layer.
        n_inputs: columns.
    """

    @style.styled
    def __init__(self, name: str, n_inputs: int):
        figure, (ax,) = style.make_figure(900, 350)
        super().__init__(figure)
        self._name, self._walk = name, None
        ax.set(xlim=(0, 1), ylim=(10, -1.2))
        ax.axis("off")
        left = np.linspace(0.2, 0.97, n_inputs)
        self._title = ax.text(0, -0.7, "", fontsize=13, fontweight="bold", va="center")
        self._labels = [ax.text(0, row + 0.3, label, va="center") for row, label in enumerate(_ROWS)]
        self._cells = [[ax.text(x, row + 0.3, "", va="center", ha="right") for x in left] for row in range(len(_ROWS))]
        self._lines = [ax.text(0, 6.7 + row, "", va="center") for row in range(4)]
        for row in range(1, len(_ROWS)):
            ax.plot([0, 0.98], [row - 0.2] * 2, color="#dddddd", linewidth=0.8)
        self.animate([self._title, *self._labels, *(cell for row in self._cells for cell in row), *self._lines])

    def update(self, result: IntegerWalk) -> None:
        """Show a step: what was known before in grey, what is new in ink."""
        self._walk = result
        self._title.set_text(_TITLES[result.step - 1])
        for row, (numbers, first) in enumerate(self._table):
            new = first == result.step
            for cell, number in zip(self._cells[row], numbers, strict=True):
                cell.set(text=number if first <= result.step else "", color=style.INK if new else _KNOWN)
                cell.set_color(style.RED if new and self._wrong and row == len(_ROWS) - 1 else cell.get_color())
            self._labels[row].set_alpha(1 if first <= result.step else 0.25)
        lines = self._sentences
        for words, line in zip(self._lines, lines + [""] * (len(self._lines) - len(lines)), strict=True):
            words.set(text=line, color=style.RED if self._wrong and result.step >= 4 else style.INK)

    @property
    def _wrong(self) -> bool:
        return self._walk.accumulator_bits != 32

    @property
    def _table(self) -> list[tuple[list[str], int]]:
        """Every row's numbers, and the step at which they are known."""
        w = self._walk
        products = (w.input_codes.astype(int) - w.input_zero) * w.weight_codes.astype(int)
        return [
            ([f"{x:.3f}" for x in w.inputs], 1),
            ([f"{x:+.3f}" for x in w.weights], 1),
            ([f"{q:d}" for q in w.input_codes], 2),
            ([f"{q:d}" for q in w.weight_codes], 3),
            ([f"{q:d}" for q in products], 4),
            ([f"{q:d}" for q in w.sums], 4),
        ]

    @property
    def _sentences(self) -> list[str]:
        """What the step says, with its numbers."""
        w = self._walk
        total, biased = int(w.sums[-1]), int(w.sums[-1]) + w.bias_code
        wrapped = f" (int{w.accumulator_bits}: sums beyond {2 ** (w.accumulator_bits - 1) - 1} wrap around)"
        sentences = {
            1: ["output = ReLU(sum of x w + bias), in floating point",
                f"bias {w.bias:+.4f}, output {w.output:.4f}"],
            2: ["code of x = round(x / scale) + zero point",
                f"scale {w.input_scale:.5f}, zero point {w.input_zero}"],
            3: ["code of w = round(w / scale), zero point 0", f"scale of this channel {w.weight_scale:.6f}"],
            4: ["product = (code of x - zero point) x code of w, all whole numbers",
                f"sum in int{w.accumulator_bits}: {total}{wrapped if self._wrong else ''}",
                f"it stands for {total} x {w.input_scale:.5f} x {w.weight_scale:.6f} = "
                f"{total * w.input_scale * w.weight_scale:+.4f}"],
            5: ["code of the bias = round(bias / (scale of x x scale of w))",
                f"{total} + {w.bias_code} = {biased}"],
            6: [f"{biased} x {w.multiplier} / 2^{w.shift}, rounded, + {w.output_zero}, "
                f"not below {w.output_zero}: code {w.output_code}",
                f"it stands for {w.output_scale:.5f} x ({w.output_code} - {w.output_zero}) = {w.decoded:.4f}",
                f"in floating point: {w.output:.4f}; one step of the grid: {w.output_scale:.4f}"],
        }  # fmt: skip
        return sentences[w.step]

    @property
    def readout(self) -> str:
        return f"{_TITLES[self._walk.step - 1]} ({self._name})"

    @property
    def text(self) -> str:
        rows = [
            f"{label}: {' '.join(numbers)}"
            for label, (numbers, first) in zip(_ROWS, self._table, strict=True) if first <= self._walk.step
        ]  # fmt: skip
        return "\n".join([self.readout, *rows, *self._sentences])
