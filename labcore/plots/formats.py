"""Bytes of a layer in every format, over its density."""

from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, NullLocator

from labcore import text
from labcore.plots import style
from labcore.plots.view import FigureView
from labcore.results import FormatSweep

__all__ = ["FormatCurves"]

_NAMES = {"dense": "dense", "bitmap": "bitmap", "csr": "CSR", "relative": "relative index", "gzip": "gzip of dense"}
_LOOKS = dict(zip(_NAMES, style.SERIES, strict=False))
_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
# Below the 4 bytes of a value there is room for the names of the zones.
_LOWEST, _HIGHEST = 2.2, 9


class FormatCurves(FigureView):
    """Left bytes for each weight that is left, over the density, in zones by the smallest format; right the bytes."""

    @style.styled
    def __init__(self):
        figure, (self._ax, right) = style.make_figure(900, 360, 1, 2, width_ratios=(1.7, 1))
        super().__init__(figure)
        self._sweep, self._shape = None, None
        self._draw_bars(right)

    def _draw_bars(self, ax: Axes) -> None:
        bars = ax.barh(list(_NAMES.values()), [0] * len(_NAMES), edgecolor=style.INK, height=0.7)
        self._bars = dict(zip(_NAMES, bars, strict=True))
        self._bytes = {name: ax.text(0, bar.get_y() + 0.35, "", va="center") for name, bar in self._bars.items()}
        for i, ((color, marker), bar) in enumerate(zip(_LOOKS.values(), bars, strict=True)):
            bar.set_facecolor(color)
            ax.plot([-0.06], [i], marker, color=color, transform=ax.get_yaxis_transform(), clip_on=False)
        ax.set(title="Bytes at the dotted line", xlim=(0, 1.55), xticks=[], xlabel="(gzip is not ranked)")
        ax.invert_yaxis()
        ax.tick_params(left=False, pad=26)

    @style.styled
    def update(self, result: FormatSweep) -> None:
        """Show a density; the curves are drawn again only for another layer."""
        self._sweep = result
        if result.shape != self._shape:
            self._shape = result.shape
            self._draw_curves(result)
        self._here.set_xdata([result.densities[result.place]] * 2)
        at = self._at
        for name, bar in self._bars.items():
            best = name == self._smallest
            bar.set(width=at[name] / max(at.values()), hatch="///" if best else "")
            words = f" {text.size(at[name])}{', smallest' if best else ''}"
            self._bytes[name].set(x=bar.get_width(), text=words)

    def _draw_curves(self, sweep: FormatSweep) -> None:
        ax, (rows, columns) = self._ax, sweep.shape
        ax.clear()
        for name, (color, marker) in _LOOKS.items():
            each = sweep.sizes[name] / (sweep.densities * rows * columns)
            ax.plot(sweep.densities, each, color=color, marker=marker, markersize=5)
        ax.set(xscale="log", xlim=(0.0085, 1.9), ylim=(_LOWEST, _HIGHEST))
        ax.set_xlabel("share of the weights that is left (log scale)")
        ax.set_title(f"{rows} x {columns}: bytes for each weight that is left")
        ax.set_ylabel("bytes (4 hold the value)")
        ax.set_yticks(range(4, _HIGHEST + 1))
        ax.set_xticks(_TICKS, [text.percent(tick, 0) for tick in _TICKS])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_minor_formatter(NullFormatter())
        self._draw_zones(sweep)
        self._here = ax.axvline(1, 0.26, color=style.INK, linestyle=":", linewidth=1.8)
        # The line of before went with `clear`.
        self._moving.clear()
        self.animate([*self._bars.values(), *self._bytes.values(), self._here])
        self.redraw_background()

    def _draw_zones(self, sweep: FormatSweep) -> None:
        """Names of the smallest formats along the bottom, a diamond where one follows the other."""
        ax, n_weights = self._ax, sweep.shape[0] * sweep.shape[1]
        low, high = ax.get_xlim()
        ends = [low, *(crossing.density for crossing in sweep.crossings), high]
        names = [sweep.crossings[0].below, *(crossing.above for crossing in sweep.crossings)]
        for name, left, right in zip(names, ends, ends[1:], strict=False):
            ax.text((left * right) ** 0.5, 2.35, _NAMES[name].replace(" ", "\n"), ha="center", va="bottom")
        for crossing in sweep.crossings:
            y = crossing.n_bytes / (crossing.density * n_weights)
            ax.vlines(crossing.density, _LOWEST, y, color=style.GREY, linewidth=1)
            ax.plot([crossing.density], [y], "D", markersize=11, markerfacecolor="none", color=style.INK)
            ax.text(crossing.density * 0.97, 3.25, text.percent(crossing.density), ha="right", color=style.INK)

    @property
    def _at(self) -> dict[str, int]:
        return {name: int(sizes[self._sweep.place]) for name, sizes in self._sweep.sizes.items()}

    @property
    def _smallest(self) -> str:
        return min((name for name in _NAMES if name != "gzip"), key=self._at.get)

    @property
    def readout(self) -> str:
        density = text.percent(self._sweep.densities[self._sweep.place])
        sizes = (f"{_NAMES[name]} {_exact(name, text.size(size))}" for name, size in self._at.items())
        return f"encoded now, {density} left: {', '.join(sizes)}; smallest, gzip left out: {_NAMES[self._smallest]}"

    @property
    def text(self) -> str:
        sweep = self._sweep
        lines = [f"{sweep.shape[0]} x {sweep.shape[1]} weights of 32 bits"]
        for crossing in sweep.crossings:
            below, above = _NAMES[crossing.below], _NAMES[crossing.above]
            lines.append(f"at {text.percent(crossing.density)}: below it {below} is smallest, above it {above}")
        for name, density in sweep.break_even.items():
            lines.append(f"{_NAMES[name]} is smaller than dense under {_exact(name, text.percent(density))}")
        return "\n".join([*lines, self.readout])


def _exact(name: str, shown: str) -> str:
    """What gzip makes of bytes depends on its version."""
    return text.approx(shown) if name == "gzip" else shown
