"""Slides: which cell opens one, and figures that need no network."""

import nbformat
import pytest
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
    block = "```mermaid\nflowchart LR\n accTitle: Way\n A --> B\n```\n\n[figure as SVG](figures/90_way.svg)"
    notebook = new_notebook(cells=[new_markdown_cell(f"before\n{block}\nafter")])
    slides.show_figures(notebook, "90_small")
    assert notebook.cells[0].source == "before\n![Way](data:image/svg+xml;base64,PHN2Zy8+)\nafter"
    nbformat.validate(notebook)


def test_local_reveal_needs_no_network_and_a_missing_folder_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(slides, "HERE", tmp_path / "notebooks")
    monkeypatch.setattr(slides, "BUILD", tmp_path / "build")
    for folder in ("notebooks", "reveal"):
        (tmp_path / folder).mkdir()
    nbformat.write(new_notebook(cells=[new_markdown_cell("# A title")]), tmp_path / "notebooks" / "90_small.ipynb")

    slides.main([str(tmp_path / "reveal")])
    page = (tmp_path / "build" / "slides" / "90_small.slides.html").read_text("utf-8")
    assert f'{(tmp_path / "reveal").as_uri()}/dist/reveal.js' in page
    assert "require.min.js" not in page

    slides.main([])
    assert "put reveal.js in build/reveal.js" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="there is none"):
        slides.main([str(tmp_path / "nowhere")])
