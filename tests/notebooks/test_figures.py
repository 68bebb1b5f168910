"""Mermaid blocks and the SVG beside each."""

from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest

import build
import figures

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SOURCES = sorted((NOTEBOOKS / "source").glob("*.py"))
SVG = "{http://www.w3.org/2000/svg}"

CHART = """
flowchart LR
  accTitle: Teacher & student
  T[teacher] -->|temperature| S("soft targets of the teacher, written out")
  S --> K([student])
  H{hard labels} -- counted --> K -.-> T
  H --- S
"""


def texts(svg: str, kind: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return [" ".join(text.itertext()) for text in root.iter(f"{SVG}text") if text.get("class") == kind]


def boxes(svg: str) -> list[tuple[float, ...]]:
    """Left, top, right, bottom of each node."""
    found = []
    for box in list(ElementTree.fromstring(svg).iter(f"{SVG}rect"))[1:]:
        x, y, width, height = (float(box.get(key)) for key in ("x", "y", "width", "height"))
        found.append((x, y, x + width, y + height))
    return found


def test_nodes_and_edges_are_read():
    chart = figures.parse(CHART)
    assert chart.nodes == {
        "T": "teacher", "S": "soft targets of the teacher, written out", "K": "student", "H": "hard labels",
    }  # fmt: skip
    assert chart.edges == [
        ("T", "S", "temperature", "-->"), ("S", "K", "", "-->"), ("H", "K", "counted", "-->"), ("K", "T", "", "-.->"),
        ("H", "S", "", "---"),
    ]  # fmt: skip


@pytest.mark.parametrize("line", ["A & B --> C", "subgraph one", "A[open --> B", "A --> ", "A ~~~ B"])
def test_line_outside_the_subset_is_an_error_that_quotes_it(line):
    with pytest.raises(ValueError, match="cannot read this line"):
        figures.parse(f"flowchart LR\n accTitle: x\n {line}")


@pytest.mark.parametrize("direction", ["LR", "TD"])
def test_every_label_is_drawn_and_no_box_overlaps_another_or_leaves_the_page(direction):
    svg = figures.to_svg(figures.parse(CHART.replace("LR", direction)))
    assert texts(svg, "node") == list(figures.parse(CHART).nodes.values())
    assert sorted(texts(svg, "label")) == ["counted", "temperature"]
    width, height = map(float, ElementTree.fromstring(svg).get("viewBox").split()[2:])
    found = boxes(svg)
    assert all(left >= 0 and top >= 0 and right <= width and bottom <= height for left, top, right, bottom in found)
    for number, (left, top, right, bottom) in enumerate(found):
        for other in found[:number]:
            assert right <= other[0] or left >= other[2] or bottom <= other[1] or top >= other[3]


def test_svg_has_a_title_and_says_in_words_what_it_shows():
    root = ElementTree.fromstring(figures.to_svg(figures.parse(CHART)))
    assert root.find(f"{SVG}title").text == "Teacher & student"
    assert "hard labels leads to student (counted)" in root.find(f"{SVG}desc").text


def test_own_description_is_preferred():
    svg = figures.to_svg(figures.parse(CHART.replace("student\n", "student\n accDescr: In my words.\n", 1)))
    assert ElementTree.fromstring(svg).find(f"{SVG}desc").text == "In my words."


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_every_figure_of_a_chapter_has_its_svg_up_to_date(source):
    notebook = nbformat.read(NOTEBOOKS / f"{source.stem}.ipynb", as_version=4)
    found = [(block, cell.source) for cell in notebook.cells for block in figures.blocks(cell.source)]
    assert len(build.make_figures(source)) == len(found)
    for block, markdown in found:
        name = figures.figure_name(source.stem, block)
        svg = (NOTEBOOKS / "figures" / name).read_text("utf-8")
        assert f"(figures/{name})" in markdown
        assert svg == build.make_figures(source)[name], "run make notebooks"
        assert texts(svg, "node") == list(figures.parse(block).nodes.values())


def test_no_svg_lies_there_without_its_figure():
    wanted = {name for source in SOURCES for name in build.make_figures(source)}
    assert {path.name for path in (NOTEBOOKS / "figures").glob("*")} == wanted
