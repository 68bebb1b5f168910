"""Accuracy against what it costs: the chart that every chapter ends on.

matplotlib draws the still; plotly the chart to explore (hover names the network, the legend switches families).
"""

from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from labcore import runtime, text
from labcore.plots import style
from labcore.plots.view import FigureView
from labcore.results import SweepPoint

__all__ = ["AccuracyAgainstCost", "draw_sweep"]

_COSTS = {"n_params": "parameters", "macs": "MACs", "file_bytes": "bytes of the file"}


def _families(points: list[SweepPoint]) -> dict[str, list[SweepPoint]]:
    """Points by family, in order of first appearance; each sorted by size."""
    families = {point.family: [] for point in points}
    for point in sorted(points, key=lambda point: point.n_params):
        families[point.family].append(point)
    return families


def _spread(point: SweepPoint) -> tuple[float, float]:
    return float(point.accuracies.min()), float(point.accuracies.max())


def draw_sweep(ax, points: list[SweepPoint], cost: str, floor: float, date: str) -> None:
    """Each family as a line of means with the spread of its seeds, and the learner's floor below the best."""
    for (color, marker), (family, members) in zip(style.SERIES, _families(points).items(), strict=False):
        x, means = [getattr(p, cost) for p in members], np.array([p.mean for p in members])
        low, high = np.array([_spread(p) for p in members]).T
        ax.errorbar(
            x, means, (means - low, high - means), color=color, marker=marker, markersize=6, capsize=3, label=family
        )  # fmt: skip
    lowest = min(_spread(p)[0] for p in points)
    best = max(p.mean for p in points)
    seeds = len(points[0].accuracies)
    ax.set(xscale="log", ylabel="accuracy", ylim=(lowest - 0.012, best + 0.014))
    ax.set_xlabel(f"{_COSTS[cost]} (log scale); lines measured {date}, {seeds} seeds")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text.percent(value, 0)))
    ticks = sorted({getattr(p, cost) for p in next(iter(_families(points).values()))})
    ax.set_xticks(ticks, [_compact(tick) for tick in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.grid(axis="y", color="#e4e4e4")
    ax.legend(loc="lower right", frameon=False)
    style.add_floor(ax, best, floor)


def _compact(value: float) -> str:
    for unit, factor in (("M", 1e6), ("k", 1e3)):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value:.0f}"


class AccuracyAgainstCost(FigureView):
    """Accuracy against a cost, families of trained networks, the learner's own points, the learner's floor.

    Args:
        points: trained networks; the first family is the bar to beat (plainly narrower dense networks).
        cost: what the horizontal axis shows.
        floor: points of accuracy, as a fraction, that the learner is ready to lose.
        date: when the networks were measured.
    """

    @style.styled
    def __init__(self, points: list[SweepPoint], *, cost: str = "n_params", floor: float, date: str):
        if cost not in _COSTS:
            raise ValueError(f"unknown cost {cost!r}; choose one of: {', '.join(_COSTS)}")
        if not points:
            raise ValueError("need at least one trained network to draw")
        figure, (ax,) = style.make_figure(900, 380)
        super().__init__(figure)
        self.points, self.cost, self.floor, self.mine = list(points), cost, floor, None
        draw_sweep(ax, self.points, cost, floor, date)
        (self._star,) = ax.plot([], [], "*", markersize=17, color=style.RED, markeredgecolor="white")
        self._name = ax.annotate("", (1, 0.8), xytext=(10, -20), textcoords="offset points", color=style.RED)
        self.animate([self._star, self._name])

    @style.styled
    def update(self, result: SweepPoint) -> None:
        """Set the learner's own point."""
        self.mine = result
        x = getattr(result, self.cost)
        self._star.set_data([x], [result.mean])
        self._name.set_text(f"my point: {result.label}")
        self._name.xy = (x, result.mean)

    @property
    def text(self) -> str:
        lines = [f"accuracy against {_COSTS[self.cost]}"]
        for family, members in _families(self.points).items():
            lines.append(f"{family}:")
            lines += [f"  {self._line(point)}" for point in members]
        best = max(point.mean for point in self.points)
        lines.append(f"my floor: {text.percent(best - self.floor)} ({text.points(-self.floor)} below the best)")
        if self.mine is not None:
            shown = text.approx(text.percent(self.mine.mean))
            lines.append(f"my point: {self.mine.label}, {text.count(getattr(self.mine, self.cost))}, {shown}")
        return "\n".join(lines)

    def _line(self, point: SweepPoint) -> str:
        low, high = _spread(point)
        cost = f"{text.count(getattr(point, self.cost))} {_COSTS[self.cost]}"
        return (
            f"{point.label}: {cost}, {text.percent(point.mean)} "
            f"(seeds {text.percent(low)} to {text.percent(high)}, {len(point.accuracies)} seeds)"
        )

    def chart(self) -> go.Figure:
        """The same chart for exploring."""
        figure = go.Figure()
        for (color, _), (family, members) in zip(style.SERIES, _families(self.points).items(), strict=False):
            figure.add_scatter(
                x=[getattr(p, self.cost) for p in members], y=[100 * p.mean for p in members], name=family,
                mode="lines+markers", line_color=color, hovertext=[self._line(p) for p in members], hoverinfo="text",
                error_y={
                    "type": "data", "symmetric": False,
                    "array": [100 * (_spread(p)[1] - p.mean) for p in members],
                    "arrayminus": [100 * (p.mean - _spread(p)[0]) for p in members],
                },
            )  # fmt: skip
        if self.mine is not None:
            figure.add_scatter(
                x=[getattr(self.mine, self.cost)], y=[100 * self.mine.mean], name="my point", mode="markers",
                marker={"symbol": "star", "size": 15, "color": style.RED},
                hovertext=[self.mine.label], hoverinfo="text",
            )  # fmt: skip
        best = 100 * max(point.mean for point in self.points)
        figure.add_hline(best - 100 * self.floor, line_dash="dash", line_color=style.RED, annotation_text="my floor")
        figure.update_layout(
            template="none", width=880, height=380, font_size=14, margin={"l": 70, "r": 20, "t": 20, "b": 60},
            xaxis={"type": "log", "title": f"{_COSTS[self.cost]} (log scale)"}, yaxis={"title": "accuracy, %"},
        )  # fmt: skip
        return figure

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_()
        if not runtime.strict():
            # Live, the chart to explore takes the place of the still (JupyterLab would show the PNG instead of it).
            del bundle["text/html"], bundle["image/png"]
            bundle["application/vnd.plotly.v1+json"] = self.chart().to_plotly_json()
        return bundle
