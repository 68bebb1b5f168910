"""Which layer can spare how much, and who spends a budget best: you, the same level everywhere, or the machine."""

import numpy as np

from labcore import text
from labcore.plots import style
from labcore.plots.view import FigureView
from labcore.results import BitSensitivity, BudgetReport, Sensitivity

__all__ = ["BudgetGame"]


def _bits(sensitivity: Sensitivity) -> bool:
    return isinstance(sensitivity, BitSensitivity)


def _places(sensitivity: Sensitivity, levels: np.ndarray) -> np.ndarray:
    """Where levels stand on the axis: bits as they are, shares in percent."""
    return levels if _bits(sensitivity) else 100 * levels


def _draw_curves(ax, sensitivity: Sensitivity, floor: float) -> None:
    x = _places(sensitivity, sensitivity.levels)
    for (color, marker), layer, row in zip(style.SERIES, sensitivity.layers, sensitivity.accuracies, strict=False):
        ax.plot(x, row, color=color, marker=marker, markersize=5, label=layer)
    what = "bits of its weights" if _bits(sensitivity) else "share that goes, %"
    ax.set(xlabel=f"this layer alone: {what}", ylabel="accuracy", ylim=(0, 1.02))
    if _bits(sensitivity):
        # As in pruning, less is left to the right.
        ax.set(xlim=(x.max() + 0.5, x.min() - 0.5), xticks=x)
    ax.set_title("Which layer bears it?")
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1], [text.percent(tick, 0) for tick in (0, 0.25, 0.5, 0.75, 1)])
    ax.axhline(sensitivity.baseline - floor, color=style.RED, linestyle=(0, (4, 3)), linewidth=1.2)
    ax.text(x[0], sensitivity.baseline - floor - 0.05, "my floor", color=style.RED, va="top")
    ax.legend(loc="lower left", frameon=False)


class BudgetGame(FigureView):
    """The curves with the player's levels on them, beside cost and measured accuracy of every player.

    Args:
        sensitivity: of the network, by the share that goes or by bits.
        floor: points of accuracy, as a fraction, that the learner is ready to lose.
        players: names, in the order of the bars.
    """

    @style.styled
    def __init__(self, sensitivity: Sensitivity, floor: float, players: tuple[str, ...]):
        figure, (curves, costs, right) = style.make_figure(900, 360, 1, 3, width_ratios=(1.5, 1, 1))
        super().__init__(figure)
        self._sensitivity, self._floor, self._players = sensitivity, floor, players
        self._report, self._accuracies = None, None
        _draw_curves(curves, sensitivity, floor)
        (self._marks,) = curves.plot([], [], "o", markersize=15, markerfacecolor="none", color=style.INK)
        self._costs, self._cost_texts = self._draw_bars(costs, "Cost (line: budget)", 1.15)
        self._budget = costs.axvline(0, color=style.RED, linewidth=2)
        self._right, self._right_texts = self._draw_bars(right, "Accuracy", 1.35)
        right.axvline(sensitivity.baseline, color=style.BLUE, linewidth=2)
        right.axvline(sensitivity.baseline - floor, color=style.RED, linestyle=(0, (4, 3)))
        right.tick_params(labelleft=False)
        moving = [self._marks, self._budget, *self._costs, *self._right, *self._cost_texts, *self._right_texts]
        self.animate(moving)

    def _draw_bars(self, ax, title: str, reach: float):
        bars = ax.barh(self._players, [0] * len(self._players), color=style.SKY, edgecolor=style.INK, height=0.6)
        texts = [ax.text(0.02, bar.get_y() + 0.3, "", va="center", fontsize=10) for bar in bars]
        ax.set(xlim=(0, reach), xticks=[], title=title)
        ax.invert_yaxis()
        ax.tick_params(left=False)
        return list(bars), texts

    def update(self, result: BudgetReport) -> None:
        """Show a move; the accuracies follow with `measured`."""
        self._report, self._accuracies = result, None
        you = result.players[self._players[0]]
        rows = dict(zip(self._sensitivity.layers, self._sensitivity.accuracies, strict=True))
        levels = self._sensitivity.levels.tolist()
        heights = [rows[layer][levels.index(level)] for layer, level in you.levels.items()]
        self._marks.set_data(_places(self._sensitivity, np.array(list(you.levels.values()))), heights)
        longest = max(result.budget, *(player.cost for player in result.players.values()))
        self._budget.set_xdata([result.budget / longest] * 2)
        for name, bar, words in zip(self._players, self._costs, self._cost_texts, strict=True):
            cost = result.players[name].cost
            bar.set_width(cost / longest)
            over = cost > result.budget
            bar.set(hatch="//" if over else "", facecolor=style.ORANGE if over else style.SKY)
            words.set_text(f"{text.count(cost)}{' over' if over else ''}")

    def measured(self, measurement: dict[str, float]) -> None:
        """Show the measured accuracy of every player."""
        self._accuracies = measurement
        for name, bar, words in zip(self._players, self._right, self._right_texts, strict=True):
            bar.set_width(measurement[name])
            words.set_text(text.percent(measurement[name]))

    def _level(self, level: float) -> str:
        return f"{level} bits" if _bits(self._sensitivity) else text.percent(level, 0)

    @property
    def readout(self) -> str:
        if self._accuracies is None:
            return "accuracy not measured yet"
        rows = (f"{name} {text.approx(text.percent(value))}" for name, value in self._accuracies.items())
        over = self._report.players[self._players[0]].cost > self._report.budget
        return f"measured now: {', '.join(rows)}{'; you are over the budget' if over else ''}"

    @property
    def text(self) -> str:
        report = self._report
        lines = [f"budget {text.count(report.budget)} {report.unit}"]
        for name, player in report.players.items():
            # The others read levels off measured curves, which may differ by a hair between machines.
            mark = str if name == self._players[0] else text.approx
            levels = ", ".join(f"{layer} {mark(self._level(level))}" for layer, level in player.levels.items())
            lines.append(f"{name}: {levels}; cost {mark(text.count(player.cost))}")
        return "\n".join([*lines, self.readout])
