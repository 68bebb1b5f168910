"""A product of two vectors of signs by bits: one row a step, padding hatched, and what counting it would give."""

import numpy as np
from matplotlib.patches import Rectangle

from labcore import text
from labcore.plots import style
from labcore.plots.view import FigureView
from labcore.results import BitProduct

__all__ = ["BitRows"]

_ROWS = ("signs of a", "signs of b", "bits of a", "bits of b", "a xor b", "a xnor b")
_XOR = _ROWS.index("a xor b")
# Signs, bits and what comes of them stand apart.
_TOPS = (0.0, 1.0, 2.4, 3.4, 4.8, 5.8)
_LEFT = 2.6
_LINES = ("one by one", "bits that differ", "the product", "with the word")
_REAL = {"facecolor": "white", "hatch": "", "edgecolor": style.INK}
_PADDING = {"facecolor": "#e4e4e4", "hatch": "///", "edgecolor": style.GREY}


class BitRows(FigureView):
    """A table with a column for each bit of a word, and on the right the sums.

    Args:
        word: bits of a word.
    """

    @style.styled
    def __init__(self, word: int):
        figure, (ax,) = style.make_figure(900, 330)
        super().__init__(figure)
        self._product = None
        ax.set(xlim=(0, _LEFT + word + 8.2), ylim=(7.5, -0.5))
        ax.axis("off")
        for name, top in zip(_ROWS, _TOPS, strict=True):
            ax.text(0, top + 0.45, name, va="center")
        self._cells = [[self._draw_cell(ax, _LEFT + column, top) for column in range(word)] for top in _TOPS]
        ax.add_patch(Rectangle((_LEFT, 7.0), 0.92, 0.4, **_PADDING))
        ax.text(_LEFT + 1.1, 7.22, "padding (bit 1: a negative sign)", va="center")
        self._draw_sums(ax, _LEFT + word + 0.7)

    def _draw_cell(self, ax, left: float, top: float) -> tuple:
        box = ax.add_patch(Rectangle((left, top), 0.92, 0.9, **_REAL))
        words = ax.text(left + 0.46, top + 0.47, "", ha="center", va="center", fontsize=12)
        self.animate([box, words])
        return box, words

    def _draw_sums(self, ax, left: float) -> None:
        self._sums = {}
        for line, top in zip(_LINES, (0.3, 2.15, 4.0, 5.85), strict=True):
            heading = ax.text(left, top, "", va="center", fontweight="bold")
            self._sums[line] = heading, ax.text(left, top + 0.75, "", va="center", fontsize=12)
            self.animate(self._sums[line])

    def update(self, result: BitProduct) -> None:
        """Show two vectors."""
        self._product = result
        for row, (cells, shown) in enumerate(zip(self._cells, self._table, strict=True)):
            for column, ((box, words), letter) in enumerate(zip(cells, shown, strict=True)):
                padding = column >= result.length
                box.set(**_PADDING if padding else _REAL)
                words.set(text=letter, color="#666666" if padding else style.INK, fontweight="normal")
                if row == _XOR and letter == "1":
                    box.set_facecolor(style.ORANGE)
                    words.set_fontweight("bold")
        for line, (heading, sum_, color) in self._said.items():
            for artist, said in zip(self._sums[line], (heading, sum_), strict=True):
                artist.set(text=said, color=color)

    @property
    def _table(self) -> list[str]:
        """A letter for each bit of each row; behind the last sign there is none."""
        p = self._product
        signs = ["".join("-" if sign < 0 else "+" for sign in each).ljust(p.word) for each in (p.a, p.b)]
        bits = ["".join(map(str, each)) for each in (p.a_bits, p.b_bits, p.differ, 1 - p.differ)]
        return signs + bits

    @property
    def _said(self) -> dict[str, tuple[str, str, str]]:
        """Heading, sum and colour of each line on the right."""
        p = self._product
        n, word, count = p.length, p.word, p.popcount
        products = " ".join(f"{each:+d}" for each in p.a.astype(int) * p.b)
        full, color = ("no padding: the same", style.INK) if n == word else ("counts the padding", style.RED)
        return {
            "one by one": ("sum of a x b, one by one", f"{products} = {int(np.dot(p.a, p.b))}", style.INK),
            "bits that differ": ("bits that differ: popcount(a xor b)", f"p = {count}", style.INK),
            "the product": ("the product: n - 2 p", f"{n} - 2 x {count} = {p.product}", style.INK),
            "with the word": (f"word - 2 p ({full})", f"{word} - 2 x {count} = {p.padded_product}", color),
        }

    @property
    def readout(self) -> str:
        p = self._product
        return (
            f"computed now: n = {p.length}, p = {p.popcount}: the product is {p.product}; "
            f"with {p.word} in place of n: {p.padded_product}"
        )

    @property
    def text(self) -> str:
        rows = [f"{name}: {' '.join(row).rstrip()}" for name, row in zip(_ROWS, self._table, strict=True)]
        sums = [f"{heading}: {sum_}" for heading, sum_, _ in self._said.values()]
        padding = f"padding: {text.count(self._product.word - self._product.length)} of {self._product.word} bits"
        return "\n".join([*rows, padding, *sums, self.readout])
