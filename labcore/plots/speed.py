"""How many times faster a convolution of signs is: by counting, against a plain loop, against a tuned library."""

from matplotlib.ticker import FuncFormatter

from labcore import text
from labcore.plots import style
from labcore.plots.view import FigureView
from labcore.results import SpeedComparison

__all__ = ["SpeedBars"]

# M. Rastegari et al., arXiv 1603.05279v4, section 3.2: one convolution on a CPU.
_PAPER = 58
_ROWS = {
    "formula": "by counting operations",
    "naive": "measured against a plain loop",
    "library": "measured against torch",
}
_LOOKS = ((style.SKY, ""), (style.ORANGE, "//"), (style.GREEN, "\\\\"))
_LIMITS = 0.1, 30_000
_WHO = (
    ("counting", "one real product counts as much"),
    ("", "as 64 products of signs"),
    ("plain loop", "floats, one after another"),
    ("torch", "floats, a tuned library"),
    ("the paper", "one convolution on a CPU;"),
    ("", "time for memory is left out"),
)
# Words stand before the dotted line.
_OVER_LINE = {"facecolor": "white", "edgecolor": "none", "pad": 1}


class SpeedBars(FigureView):
    """A bar for each comparison, on a log scale, with the paper's figure; pale bars were not measured yet."""

    @style.styled
    def __init__(self):
        figure, (left, right) = style.make_figure(900, 330, 1, 2, width_ratios=(1.5, 1))
        super().__init__(figure)
        self._formula, self._measurement = None, None
        self._draw_bars(left)
        self._draw_words(right)

    def _draw_bars(self, ax) -> None:
        ax.set(xscale="log", xlim=_LIMITS, ylim=(2.5, -0.95), yticks=[], title="Times faster than the same in floats")
        ax.set_xlabel("times faster (log scale); left of 1: slower")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x" if value < 1 else f"{value:,.0f}x"))
        ax.axvline(1, color=style.INK, linewidth=1.2)
        ax.axvline(_PAPER, color=style.RED, linestyle=":", linewidth=2)
        ax.text(_PAPER * 1.15, -0.75, f"the paper: {_PAPER}x", color=style.RED, va="center")
        self._bars, self._values = {}, {}
        for row, (name, (color, hatch)) in enumerate(zip(_ROWS, _LOOKS, strict=True)):
            (self._bars[name],) = ax.barh(row + 0.15, 0, 0.4, 1, color=color, hatch=hatch, edgecolor=style.INK)
            self._values[name] = ax.text(1.15, row - 0.25, "", va="center", bbox=_OVER_LINE)
            self._values[name].set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
        self.animate([*self._bars.values(), *self._values.values()])

    def _draw_words(self, ax) -> None:
        ax.set(xlim=(0, 1), ylim=(len(_WHO) + 3.6, -0.5), title="Who was compared with whom?")
        ax.axis("off")
        for row, (name, line) in enumerate(_WHO):
            ax.text(0, row, name, va="center", fontweight="bold")
            ax.text(0.27, row, line, va="center")
        self._times = ax.text(0, len(_WHO) + 1.6, "", va="center", linespacing=1.6)
        self.animate([self._times])

    def update(self, result: float) -> None:
        """Show what counting gives; the measured bars turn pale until `measured`.

        Args:
            result: of `binarize.theory_speedup`.
        """
        self._formula, self._measurement = result, None
        self._set("formula", result)
        self._fade(0.3)

    def measured(self, measurement: SpeedComparison) -> None:
        """Show times of this machine."""
        self._measurement = m = measurement
        self._fade(1)
        self._set("naive", m.against_naive)
        self._set("library", m.against_library)
        rows = (("signs", m.packed_ms), ("plain loop", m.naive_ms), ("torch", m.library_ms))
        times = "\n".join(f"{name}: {text.ms(time)}" for name, time in rows)
        self._times.set_text(f"measured now, one image, one thread\n{times}")

    def _fade(self, alpha: float) -> None:
        for name in ("naive", "library"):
            self._bars[name].set_alpha(alpha)
            self._values[name].set_alpha(alpha)
        self._times.set_alpha(alpha)

    def _set(self, name: str, ratio: float) -> None:
        self._bars[name].set_width(ratio - 1)
        self._values[name].set_text(f"{_ROWS[name]}: {text.times(ratio)}")

    @property
    def readout(self) -> str:
        if self._measurement is None:
            return f"by counting {text.times(self._formula)}; not measured yet"
        naive, library = (
            text.approx(text.times(ratio))
            for ratio in (self._measurement.against_naive, self._measurement.against_library)
        )
        return (
            f"measured now, one image, one thread: against a plain loop {naive}, against torch {library}; "
            f"by counting {text.times(self._formula)}"
        )

    @property
    def text(self) -> str:
        m = self._measurement
        if m is None:
            return self.readout
        packed, library, naive = (text.approx(text.ms(each)) for each in (m.packed_ms, m.library_ms, m.naive_ms))
        return (
            f"{m.channels} channels, {m.kernel}x{m.kernel}, image {m.size}x{m.size}: signs {packed}, torch {library}, "
            f"plain loop {naive}\nthe paper says {_PAPER}x for one convolution, time for memory left out\n"
            f"{self.readout}"
        )
