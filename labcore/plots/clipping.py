"""Clip or round: the values of a layer with the kept range, the error in its two parts, the accuracy."""

import numpy as np

from labcore import text
from labcore.plots import style
from labcore.plots.strip import StripView
from labcore.results import ClippingReport, Evaluation

__all__ = ["ClipOrRound"]


class ClipOrRound(StripView):
    """Histogram with the threshold, the U of the error over thresholds, and the measured accuracy.

    Args:
        whole: answers of the network in floating point.
        floor: points of accuracy, as a fraction, that the learner is ready to lose.
    """

    measured_how = "measured now, all layers this way"

    @style.styled
    def __init__(self, whole: Evaluation, floor: float):
        figure, axes = style.make_figure(900, 375, 2, 2, height_ratios=(2.6, 1))
        super().__init__(figure, axes, whole.accuracy, "float", floor)
        self._report = None
        self._draw_values(axes[0])
        self._draw_errors(axes[1])

    def _draw_values(self, ax) -> None:
        self._bars = ax.stairs([0], [0, 1], fill=True, color=style.SKY)
        (self._levels,) = ax.plot([], [], "|", color=style.INK, markersize=13, markeredgewidth=1.3, clip_on=False)
        self._gone = ax.axvspan(0, 0, **style.GONE)
        ax.set(ylim=(-0.16, 1.05), yticks=[], title="Values above 0, and levels", xlabel="magnitude (shaded: clipped)")
        self._values = ax
        self.animate([self._gone, self._bars, self._levels])

    def _draw_errors(self, ax) -> None:
        ax.set(yscale="log", title="Error = rounding + clipping", xlabel="threshold", ylabel="share of the square")
        (self._rounding,) = ax.plot([], [], "--", color=style.BLUE, label="rounding")
        (self._clipping,) = ax.plot([], [], ":", color=style.RED, linewidth=2.5, label="clipping")
        (self._total,) = ax.plot([], [], color=style.INK, linewidth=2, label="sum")
        (self._chosen,) = ax.plot([], [], "D", color=style.ORANGE, markeredgecolor=style.INK, markersize=10)
        ax.legend(loc="upper right", frameon=False, ncols=3)
        self._errors = ax
        self.animate([self._rounding, self._clipping, self._total, self._chosen])

    @style.styled
    def update(self, result: ClippingReport) -> None:
        """Show a threshold; the accuracy stays as it was until `measured`."""
        before, self._report, self._measurement = self._report, result, None
        if before is None or before.curve is not result.curve:
            self._set_axes(result)
        self._levels.set_data(result.levels, np.full(len(result.levels), -0.08))
        end = result.edges[-1]
        self._gone.set(x=min(result.threshold, end), width=max(end - result.threshold, 0))
        self._chosen.set_data([result.threshold], [sum(result.errors)])

    def _set_axes(self, result: ClippingReport) -> None:
        curve, end = result.curve, result.edges[-1]
        # The many zeros after a ReLU would hide all other values.
        counts = np.where(result.edges[:-1] > 0, result.counts, 0)
        self._bars.set_data(counts / max(counts.max(), 1), result.edges)
        self._values.set_xlim(0, end)
        lines = {self._rounding: curve.rounding, self._clipping: curve.clipping, self._total: curve.total}
        for line, error in lines.items():
            line.set_data(curve.thresholds, np.where(error > 0, error, np.nan))
        self._errors.set_xlim(0, end)
        self._errors.set_ylim(curve.total.min() / 20, 10)
        self.redraw_background()

    @property
    def text(self) -> str:
        report = self._report
        clipping, rounding = (text.approx(text.percent(error, 2)) for error in report.errors)
        return (
            f"{report.layer}, {report.curve.format}: threshold {text.approx(f'{report.threshold:.3f}')}, "
            f"{text.approx(text.percent(report.clipped, 2))} of the values clipped\n"
            f"error, share of the square: clipping {clipping}, rounding {rounding}\n"
            f"least error at {text.approx(f'{report.curve.best:.3f}')}\n{self.readout}"
        )
