"""The layers of a network in order, and those that a set of coupled channels touches."""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.patches import Patch, Rectangle

from labcore import text
from labcore.plots import style
from labcore.plots.view import FigureView
from labcore.results import CoupledLayer, CouplingReport

__all__ = ["CouplingMap"]

# What a layer does with the channels; where its part of the box starts and how wide it is; colour and hatch.
_ROLES = {
    "out": ("makes them", 0.5, 0.5, style.ORANGE, "////"),
    "norm": ("passes them on (batch norm)", 0.0, 1.0, style.GREEN, "...."),
    "in": ("reads them", 0.0, 0.5, style.SKY, "\\\\\\\\"),
}
_LINES, _CHARACTERS = 6, 100
_SIDE = 0.86
_LOWEST = 0.2


class CouplingMap(FigureView):
    """A box a layer, row by row; what belongs to the set is filled and hatched, as high as its share of the layer's
    channels. Below, the members by name.
    """

    @style.styled
    def __init__(self):
        figure, (self._ax, words) = style.make_figure(900, 370, 2, 1, height_ratios=(2, 1))
        super().__init__(figure)
        self._report = None
        words.axis("off")
        self._members = words.text(0, 1, "", va="top", linespacing=1.35)
        self._members.set_in_layout(False)
        self.animate([self._members])

    @style.styled
    def update(self, result: CouplingReport) -> None:
        """Show a set."""
        self._report, ax, n = result, self._ax, len(result.layers)
        ax.clear()
        columns = _draw_boxes(ax, n)
        for member in result.members:
            for patch in _fill(member, columns):
                ax.add_patch(patch)
        ax.set_title(f"{result.network}: its {n} layers with parameters, in order; set {result.name}")
        looks = [Patch(fc=color, hatch=hatch, ec=style.INK) for *_, color, hatch in _ROLES.values()]
        names = [label for label, *_ in _ROLES.values()]
        ax.legend(looks, names, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3, frameon=False)
        self._members.set_text("\n".join(_fit(self._by_role)))
        self.redraw_background()

    @property
    def _by_role(self) -> dict[str, list[str]]:
        """Members by what they do."""
        report = self._report
        names = {label: [] for label, *_ in _ROLES.values()}
        for member in report.members:
            each = member.n_positions // report.n_channels
            times = f" ({each} for each)" if each > 1 else ""
            names[_ROLES[member.role][0]].append(f"{report.layers[member.place]}{times}")
        return {label: members for label, members in names.items() if members}

    @property
    def readout(self) -> str:
        report = self._report
        share = text.percent(report.n_gone / report.n_params, 3)
        return (
            f"{text.count(report.n_channels)} channels in {len(report.members)} places; one channel takes "
            f"{text.count(report.n_gone)} parameters with it, {share} of {text.count(report.n_params)}"
        )

    @property
    def text(self) -> str:
        lines = [f"{label}: {', '.join(names)}" for label, names in self._by_role.items()]
        return "\n".join([f"{self._report.network}, set {self._report.name}", *lines, self.readout])


def _draw_boxes(ax: Axes, n: int) -> int:
    """Empty boxes, each row with the number of its first; gives how many stand in a row."""
    # Boxes about as high as wide, on a strip that is four and a half times as wide as high.
    columns = int(np.ceil(np.sqrt(4.5 * n)))
    rows = -(-n // columns)
    boxes = [Rectangle(_corner(i, columns), _SIDE, _SIDE) for i in range(n)]
    ax.add_collection(PatchCollection(boxes, facecolor="white", edgecolor=style.GREY))
    ax.set(xlim=(-0.1, columns), ylim=(rows, -0.1), xticks=[])
    ax.set_yticks([row + _SIDE / 2 for row in range(rows)], [f"{row * columns + 1}" for row in range(rows)])
    ax.tick_params(left=False)
    ax.spines[["left", "bottom"]].set_visible(False)
    return columns


def _corner(place: int, columns: int) -> tuple[float, float]:
    return place % columns, place // columns


def _fill(member: CoupledLayer, columns: int) -> list[Rectangle]:
    """The part of a box that belongs to the set, and a frame around the box."""
    _, start, width, color, hatch = _ROLES[member.role]
    x, y = _corner(member.place, columns)
    height = _SIDE * max(member.n_positions / member.size, _LOWEST)
    place = x + start * _SIDE, y + _SIDE - height
    part = Rectangle(place, width * _SIDE, height, facecolor=color, hatch=hatch, edgecolor=style.INK)
    return [part, Rectangle((x, y), _SIDE, _SIDE, facecolor="none", edgecolor=style.INK, linewidth=1.6)]


def _fit(by_role: dict[str, list[str]]) -> list[str]:
    """Lines of the picture, the same number for each role; names that find no room are counted."""
    room, lines = _LINES // len(by_role), []
    for label, names in by_role.items():
        for n in range(len(names), 0, -1):
            rest = f" and {len(names) - n} more" if n < len(names) else ""
            wrapped = textwrap.wrap(f"{label}: {', '.join(names[:n])}{rest}", _CHARACTERS)
            if len(wrapped) <= room:
                break
        lines += wrapped
    return lines
