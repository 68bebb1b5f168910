"""Mermaid flowcharts as SVG files: GitHub, slides and plain HTML do not draw mermaid in notebooks.

Understands what the chapters use: ``flowchart LR`` or ``TD``, ``accTitle`` (names the file) and ``accDescr``, nodes
``A[text]``, ``A(text)``, ``A([text])``, ``A{text}``, and edges ``A --> B``, ``A -- label --> B``, ``A -->|label| B``,
``A -.-> B``, ``A --- B``, also in chains. Anything else is an error, never left out.
"""

import itertools
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

__all__ = ["Flowchart", "blocks", "figure_name", "link_figures", "parse", "to_svg"]

_BLOCK = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NODE = re.compile(r"""(\w+)(?:\(\["?(.+?)"?\]\)|\["?(.+?)"?\]|\("?(.+?)"?\)|\{"?(.+?)"?\})?""")
_EDGE = re.compile(r'\s*(?:--\s+([^-|>]+?)\s+-->|(-->|-\.->|==>|---)(?:\|"?([^|"]+)"?\|)?)\s*')

_FONT, _LINE, _CHAR = 15, 20, 8.6  # pixels: type size, line height, mean width of a character
_GAP, _PAD = 48, 16


@dataclass
class Flowchart:
    """A parsed flowchart: nodes by id with their label, edges as (from, to, label, arrow)."""

    across: bool = True
    title: str = ""
    description: str = ""
    nodes: dict[str, str] = field(default_factory=dict)
    edges: list[tuple[str, str, str, str]] = field(default_factory=list)


def blocks(markdown: str) -> list[str]:
    """The mermaid sources in a markdown text."""
    return _BLOCK.findall(markdown)


def figure_name(chapter: str, mermaid: str) -> str:
    """File name of a figure: number of the chapter and the figure's ``accTitle``.

    >>> figure_name("00_costs", "flowchart LR\\n  accTitle: The course\\n  A --> B")
    '00_the_course.svg'
    """
    return f"{chapter.split('_')[0]}_{re.sub(r'[^a-z0-9]+', '_', parse(mermaid).title.lower()).strip('_')}.svg"


def link_figures(markdown: str, chapter: str, folder: str) -> str:
    """The markdown with a link to its SVG below each mermaid block."""
    return _BLOCK.sub(
        lambda block: f"{block[0]}\n\n[figure as SVG]({folder}/{figure_name(chapter, block[1])})", markdown
    )


# --- reading --------------------------------------------------------------------------------------


def parse(mermaid: str) -> Flowchart:
    """Read a flowchart.

    Raises:
        ValueError: a line outside the subset, or no ``accTitle``.
    """
    chart = Flowchart()
    for line in filter(None, map(str.strip, mermaid.splitlines())):
        if head := re.fullmatch(r"(?:flowchart|graph)\s+(LR|TD|TB)", line):
            chart.across = head[1] == "LR"
        elif words := re.fullmatch(r"acc(Title|Descr)\s*:\s*(.+)", line):
            setattr(chart, {"Title": "title", "Descr": "description"}[words[1]], words[2])
        elif not line.startswith("%%"):
            _read_chain(chart, line.rstrip(";"))
    if not chart.title:
        raise ValueError(f"a flowchart needs a line `accTitle: ...`, which names its SVG; got:\n{mermaid}")
    return chart


def _read_chain(chart: Flowchart, line: str) -> None:
    position, previous, link = 0, None, None
    while node := _NODE.match(line, position):
        name, *labels = node.groups()
        label = next(filter(None, labels), None)
        if label or name not in chart.nodes:
            chart.nodes[name] = re.sub(r"\s*<br\s*/?>\s*", " ", label or name)
        if link:
            chart.edges.append((previous, name, (link[1] or link[3] or "").strip(), link[2] or "-->"))
        position, previous = node.end(), name
        link = _EDGE.match(line, position)
        if not link:
            break
        position = link.end()
    if position != len(line) or previous is None or link:
        raise ValueError(f"cannot read this line of a flowchart: {line!r}; notebooks/figures.py lists what it knows")


# --- placing --------------------------------------------------------------------------------------


@dataclass
class _Box:
    """A node on the page, or the lane of an edge that passes a layer (no lines)."""

    lines: list[str]
    x: float = 0.0
    y: float = 0.0

    def __post_init__(self):
        self.width = max(map(len, self.lines)) * _CHAR + 2 * _PAD if self.lines else _LINE
        self.height = len(self.lines) * _LINE + _PAD if self.lines else _LINE


def _forward(chart: Flowchart) -> tuple[list[tuple], list[tuple]]:
    """Edges that go forward, and those that close a loop."""
    forward, back, open_, done = [], [], set(), set()

    def visit(node: str) -> None:
        open_.add(node)
        for edge in chart.edges:
            if edge[0] == node:
                (back if edge[1] in open_ else forward).append(edge)
                if edge[1] not in open_ | done:
                    visit(edge[1])
        open_.discard(node)
        done.add(node)

    for node in chart.nodes:
        if node not in done:
            visit(node)
    return forward, back


def _ranks(chart: Flowchart, forward: list[tuple]) -> dict[str, int]:
    """Layer of each node: the longest path that leads to it."""
    ranks = dict.fromkeys(chart.nodes, 0)
    for _ in chart.nodes:
        for start, end, *_ in forward:
            ranks[end] = max(ranks[end], ranks[start] + 1)
    return ranks


def _place(chart: Flowchart, forward: list[tuple]) -> tuple[dict[str, _Box], dict[tuple, list[_Box]]]:
    """Boxes by node, and for each forward edge the boxes it passes through, ends included."""
    ranks = _ranks(chart, forward)
    layers: list[list[_Box]] = [[] for _ in range(max(ranks.values()) + 1)]
    boxes = {node: _Box(textwrap.wrap(label, 16)) for node, label in chart.nodes.items()}
    for node, box in boxes.items():
        layers[ranks[node]].append(box)
    routes = {}
    for edge in forward:
        passed = layers[ranks[edge[0]] + 1 : ranks[edge[1]]]
        lanes = [_Box([]) for _ in passed]
        for layer, lane in zip(passed, lanes, strict=True):
            layer.append(lane)
        routes[edge] = [boxes[edge[0]], *lanes, boxes[edge[1]]]
    gaps = [_GAP] * len(layers)
    if chart.across:
        for start, _, label, _ in forward:
            gaps[ranks[start]] = max(gaps[ranks[start]], len(label) * _CHAR + 2 * _PAD)
    _set_positions(layers, gaps, chart.across)
    return boxes, routes


def _set_positions(layers: list[list[_Box]], gaps: list[float], across: bool) -> None:
    """Layers one after the other along the flow; the boxes of a layer centred beside each other."""
    along, beside = ("width", "height") if across else ("height", "width")
    spread = [sum(getattr(box, beside) for box in layer) + _GAP / 2 * (len(layer) - 1) for layer in layers]
    start = float(_PAD)
    for layer, gap, total in zip(layers, gaps, spread, strict=True):
        depth = max(getattr(box, along) for box in layer)
        offset = _PAD + (max(spread) - total) / 2
        for box in layer:
            centre = start + depth / 2, offset + getattr(box, beside) / 2
            box.x, box.y = centre if across else centre[::-1]
            offset += getattr(box, beside) + _GAP / 2
            if not box.lines:
                setattr(box, along, depth)  # a lane runs straight through its layer
        start += depth + gap


# --- drawing --------------------------------------------------------------------------------------


def to_svg(chart: Flowchart) -> str:
    """The flowchart as an SVG with its own background, a title and a description."""
    forward, back = _forward(chart)
    boxes, routes = _place(chart, forward)
    everything = [box for route in routes.values() for box in route] + list(boxes.values())
    width = max(box.x + box.width / 2 for box in everything) + _PAD
    floor = max(box.y + box.height / 2 for box in everything) + _PAD
    height = floor + (2 * _LINE if back else 0)
    drawn = [line for edge, route in routes.items() for line in _draw_edge(edge, route, chart.across)]
    drawn += [line for edge in back for line in _draw_loop(edge, boxes, floor)]
    drawn += [line for box in boxes.values() for line in _draw_box(box)]
    description = chart.description or ". ".join(
        f"{chart.nodes[start]} leads to {chart.nodes[end]}{f' ({label})' if label else ''}"
        for start, end, label, _ in chart.edges
    )
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" aria-labelledby="title desc" font-family="DejaVu Sans, Verdana, sans-serif" '
        f'font-size="{_FONT}" fill="#1a1a1a">',
        f'<title id="title">{escape(chart.title)}</title>',
        f'<desc id="desc">{escape(description)}</desc>',
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="12" markerHeight="12" '
        'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 L10 5 L0 10 z" fill="#33475b"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" rx="8" fill="#ffffff"/>',
        *drawn,
        "</svg>",
    ]) + "\n"  # fmt: skip


def _draw_box(box: _Box) -> Iterator[str]:
    left, top = box.x - box.width / 2, box.y - box.height / 2
    yield (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="6" '
        'fill="#e8f0f8" stroke="#33475b" stroke-width="1.5"/>'
    )
    first = box.y - (len(box.lines) - 1) * _LINE / 2 + _FONT / 3
    spans = "".join(
        f'<tspan x="{box.x:.1f}" y="{first + row * _LINE:.1f}">{escape(line)}</tspan>'
        for row, line in enumerate(box.lines)
    )
    yield f'<text class="node" text-anchor="middle">{spans}</text>'


def _draw_edge(edge: tuple, route: list[_Box], across: bool) -> Iterator[str]:
    """A curve from border to border, straight through the lanes, with its label in the first gap."""
    path, place = "", (0.0, 0.0)
    for box, following in itertools.pairwise(route):
        if across:
            start, end = (box.x + box.width / 2, box.y), (following.x - following.width / 2, following.y)
            middle = (start[0] + end[0]) / 2
            curve = f"C{middle:.1f} {start[1]:.1f} {middle:.1f} {end[1]:.1f} {end[0]:.1f} {end[1]:.1f}"
        else:
            start, end = (box.x, box.y + box.height / 2), (following.x, following.y - following.height / 2)
            middle = (start[1] + end[1]) / 2
            curve = f"C{start[0]:.1f} {middle:.1f} {end[0]:.1f} {middle:.1f} {end[0]:.1f} {end[1]:.1f}"
        place = place if path else ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        path += f"{'L' if path else 'M'}{start[0]:.1f} {start[1]:.1f} {curve} "
    yield _line(path.strip(), edge[3])
    if edge[2]:
        yield _label(*place, edge[2])


def _draw_loop(edge: tuple, boxes: dict[str, _Box], floor: float) -> Iterator[str]:
    """An edge that goes back, drawn below everything."""
    start, end = boxes[edge[0]], boxes[edge[1]]
    y = floor + _LINE / 2
    yield _line(
        f"M{start.x:.1f} {start.y + start.height / 2:.1f} V{y:.1f} H{end.x:.1f} V{end.y + end.height / 2:.1f}", edge[3]
    )
    if edge[2]:
        yield _label((start.x + end.x) / 2, y, edge[2])


def _line(path: str, arrow: str) -> str:
    dashed = ' stroke-dasharray="6 4"' if arrow == "-.->" else ""
    tip = "" if arrow == "---" else ' marker-end="url(#tip)"'
    return f'<path d="{path}" fill="none" stroke="#33475b" stroke-width="{3 if arrow == "==>" else 1.5}"{dashed}{tip}/>'


def _label(x: float, y: float, text: str) -> str:
    # The white rim keeps a label readable where it lies on its line.
    return (
        f'<text class="label" x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle" font-size="13" stroke="#ffffff" '
        f'stroke-width="6" paint-order="stroke">{escape(text)}</text>'
    )
