"""A corner of a weight matrix under a rule about neighbours, and what each rule keeps."""

import numpy as np
from matplotlib.patches import Rectangle

from labcore import text
from labcore.plots import style
from labcore.plots.strip import StripView
from labcore.results import Evaluation, PatternReport

__all__ = ["PatternMap"]


class PatternMap(StripView):
    """Weights of a corner (hatched: zero) with the groups of the rule, the magnitude each rule keeps, the accuracy.

    Args:
        whole: answers of the network before the cut.
        rules: names, in the order of the bars.
        shape: (rows, columns) of the largest corner.
        floor: points of accuracy, as a fraction, that the learner is ready to lose.
    """

    measured_how = "measured now, at once"

    @style.styled
    def __init__(self, whole: Evaluation, rules: tuple[str, ...], *, shape: tuple[int, int], floor: float):
        figure, axes = style.make_figure(900, 375, 2, 2, width_ratios=(1.75, 1), height_ratios=(2.5, 1))
        super().__init__(figure, axes, whole.accuracy, "whole", floor)
        self._report = None
        self._draw_map(axes[0], shape)
        self._draw_bars(axes[1], rules)

    def _draw_map(self, ax, shape: tuple[int, int]) -> None:
        rows, columns = shape
        ground = Rectangle((-0.5, -0.5), columns, rows, facecolor="white", edgecolor=style.GREY, hatch="////")
        ax.add_patch(ground)
        self._map = ax.imshow(np.zeros(shape), cmap="Blues", vmin=-0.35, vmax=1, aspect="auto", interpolation="nearest")
        self._groups = [ax.axvline(x - 0.5, color=style.INK, linewidth=2) for x in range(columns + 1)]
        ax.set(xticks=[], yticks=[], title="A corner of the layer (hatched: zero)", xlabel=" ")
        self._caption = ax.text(0, -0.09, "", transform=ax.transAxes, va="center")
        self.animate([ground, self._map, *self._groups, self._caption])

    def _draw_bars(self, ax, rules: tuple[str, ...]) -> None:
        bars = ax.barh(rules, [0] * len(rules), color=style.SKY, edgecolor=style.INK, height=0.7)
        self._bars = dict(zip(rules, bars, strict=True))
        self._shares = {rule: ax.text(0, bar.get_y() + 0.35, "", va="center") for rule, bar in self._bars.items()}
        ax.set(title="Sum of |w| that stays", xlim=(0, 1.3), xticks=[], xlabel=" ")
        ax.invert_yaxis()
        ax.tick_params(left=False)
        self.animate([*bars, *self._shares.values()])

    def update(self, result: PatternReport) -> None:
        """Show a rule; the accuracy stays as it was until `measured`."""
        self._report, self._measurement = result, None
        rows, columns = result.weights.shape
        magnitude = np.abs(result.weights) / np.abs(result.weights).max()
        self._map.set_data(np.ma.masked_array(magnitude, ~result.kept))
        self._map.set_extent((-0.5, columns - 0.5, rows - 0.5, -0.5))
        self._map.axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
        for x, line in enumerate(self._groups):
            line.set_visible(result.group > 0 and x % max(result.group, 1) == 0)
        words = f"groups of {result.group} inputs" if result.group else "no groups"
        self._caption.set_text(f"{result.layer}: {rows} rows of {columns} inputs, {words}")
        for rule, share in result.kept_l1.items():
            chosen = rule == result.rule
            self._bars[rule].set(width=share, hatch="//" if chosen else "")
            self._bars[rule].set_facecolor(style.ORANGE if chosen else style.SKY)
            self._shares[rule].set(x=share + 0.02, text=text.percent(share), fontweight="bold" if chosen else "normal")

    @property
    def text(self) -> str:
        report = self._report
        kept = ", ".join(f"{rule} {text.percent(share)}" for rule, share in report.kept_l1.items())
        zeros = f"{text.percent(report.sparsity)} zeros in {', '.join(report.layers)}"
        return f"{report.rule}: {zeros}\nsum of |w| of {report.layer} that stays: {kept}\n{self.readout}"
