"""Slides: which cell opens one, and figures that need no network."""

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import slides


def test_headings_open_slides_text_opens_one_below_and_code_follows():
    def tagged(*tags):
        return {"tags": list(tags)}

    cells = [
        new_markdown_cell("# A", metadata={"slideshow": {"slide_type": "slide"}}),
        new_code_cell("1", metadata=tagged("setup")),
        new_markdown_cell("b", metadata=tagged("core")),
        new_code_cell("2", metadata=tagged("core")),
        new_markdown_cell("c", metadata=tagged("core", "slide")),
        new_code_cell("3", metadata=tagged("exercise")),
        new_code_cell("4", metadata=tagged("check")),
    ]
    slides.set_slide_types(new_notebook(cells=cells))
    types = [cell.metadata.slideshow["slide_type"] for cell in cells]
    assert types == ["slide", "skip", "subslide", "-", "slide", "skip", "skip"]


def test_figure_is_embedded_in_the_place_of_mermaid(tmp_path, monkeypatch):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "90_way.svg").write_text("<svg/>", "utf-8")
    monkeypatch.setattr(slides, "HERE", tmp_path)
    notebook = new_notebook(
        cells=[new_markdown_cell("before\n```mermaid\nflowchart LR\n accTitle: Way\n A --> B\n```\nafter")]
    )
    slides.show_figures(notebook, "90_small")
    assert notebook.cells[0].source == "before\n![Way](data:image/svg+xml;base64,PHN2Zy8+)\nafter"
    nbformat.validate(notebook)
