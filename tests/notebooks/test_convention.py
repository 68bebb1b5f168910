"""Every chapter keeps to the convention, and the convention notices each way to break it."""

import json
import os
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from convention import complaints

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_keeps_to_the_convention(chapter):
    assert complaints(chapter) == []


def printed(text: str) -> nbformat.NotebookNode:
    return new_output("stream", name="stdout", text=text)


def code(source: str, *outputs, tag: str = "core") -> nbformat.NotebookNode:
    return new_code_cell(source, outputs=list(outputs), metadata={"tags": [tag]})


def good_notebook() -> nbformat.NotebookNode:
    """The smallest chapter with a title, a set-up, a section, a result, an exercise and its check."""
    return new_notebook(
        cells=[
            new_markdown_cell("# A title"),
            code("from labcore import text\nimport numpy as np", tag="setup"),
            new_markdown_cell("## A question?", metadata={"minutes": 5}),
            code("size = 2432\ntext.size(size)", new_output("execute_result", {"text/plain": "'2.43 kB'"})),
            code("def double(x):\n    raise NotImplementedError('Exercise 9.1: double')", tag="exercise"),
            code("double", printed("not attempted yet\n"), tag="check"),
        ]
    )


def check(notebook: nbformat.NotebookNode, folder: Path, *, number: bool = True) -> list[str]:
    if number:
        for count, cell in enumerate((cell for cell in notebook.cells if cell.cell_type == "code"), start=1):
            cell.execution_count = count
    path = folder / "90_small.ipynb"
    path.write_text(json.dumps(notebook), "utf-8")
    return complaints(path)


def test_good_notebook_has_no_complaint(tmp_path):
    assert check(good_notebook(), tmp_path) == []


BREAKS = {
    "unknown tag": lambda cells: cells[3].metadata.tags.append("important"),
    "starts with a title": lambda cells: cells.pop(0),
    "the tag setup": lambda cells: cells[1].metadata.tags.clear(),
    "found it on code cells [0, 1]": lambda cells: cells[3].metadata.tags.append("setup"),
    "no check cell right after exercise": lambda cells: cells.insert(5, new_markdown_cell("In between.")),
    "no minutes": lambda cells: cells[2].metadata.clear(),
    "has 13 lines": lambda cells: cells[1].update(source="\n".join(["import numpy as np"] * 13)),
    "the median of code lines a cell is 5": lambda cells: [cell.update(source="a = 1\n" * 5) for cell in cells[3:]],
    "no output stored for cell 'size = 2432'": lambda cells: cells[3].outputs.clear(),
    "no output stored for cell 'for": lambda cells: cells[3].update(source="for i in 1, 2:\n    print(i)", outputs=[]),
    "an error": lambda cells: cells[3].outputs.append(new_output("error", ename="E", evalue="e", traceback=[])),
    "wrote to stderr": lambda cells: cells[3].outputs.append(new_output("stream", name="stderr", text="hm")),
    "shows a warning": lambda cells: cells[3].outputs.append(printed("UserWarning: slow")),
    "stored a widget view": lambda cells: cells[3].outputs[0].data.update(
        {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}}
    ),
    "a bare widget": lambda cells: cells[3].outputs[0].data.update({"text/plain": "VBox(children=(IntSlider(),))"}),
    "uses fashion14-final": lambda cells: cells[3].update(source="name = 'fashion14-final'"),
    "relative path './": lambda cells: cells[3].update(source="name = './weights'"),
    "relative path 'data/": lambda cells: cells[3].update(source="name = 'data/weights.npz'"),
    "uses interact,": lambda cells: cells[3].update(source="from ipywidgets import interact"),
    "uses Output,": lambda cells: cells[3].update(source="out = ipywidgets.Output()"),
    "`text.sise`": lambda cells: cells[2].update(source="## Is `text.sise` a name?"),
    "`labcore.text.nothing`": lambda cells: cells[2].update(source="## Is `labcore.text.nothing` a name?"),
    "`nothing.at_all`": lambda cells: cells[2].update(source="## Is `nothing.at_all` a name?"),
    "`Evaluation.acuracy`": lambda cells: cells[2].update(source="## Is `Evaluation.acuracy` a name?"),
    "`np.nothing(1)`": lambda cells: cells[2].update(source="## Is `np.nothing(1)` a name?"),
    "`nobody()`": lambda cells: cells[2].update(source="## Is `nobody()` a name?"),
}


@pytest.mark.parametrize("complaint", BREAKS)
@pytest.mark.case("C-empty-ci")
def test_each_way_to_break_it_gives_one_complaint(complaint, tmp_path):
    notebook = good_notebook()
    BREAKS[complaint](notebook.cells)
    found = check(notebook, tmp_path)
    assert len(found) == 1, found
    assert complaint in found[0]


def test_names_that_exist_are_accepted(tmp_path):
    notebook = good_notebook()
    notebook.cells[2].source = (
        "## `labcore.text.size`, `text.size(2432)`, `Evaluation.n_correct`, `TrainingLog.seconds`, `np.linalg.norm`, "
        "`torch.nn.Conv2d`, `size.bit_length()`, `double()`, `len()`, `any words`, `pyproject.toml`, `a/b.py`\n"
        "```python\nnothing.here()\n```"
    )
    assert check(notebook, tmp_path) == []


@pytest.mark.case("C-empty-ci")
def test_stripped_notebook_is_noticed(tmp_path):
    notebook = good_notebook()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    assert any("execution counts" in complaint for complaint in check(notebook, tmp_path, number=False))


def test_cells_run_out_of_order_are_noticed(tmp_path):
    notebook = good_notebook()
    for count, cell in zip((1, 3, 2, 4), (c for c in notebook.cells if c.cell_type == "code"), strict=True):
        cell.execution_count = count
    assert any("execution counts" in complaint for complaint in check(notebook, tmp_path, number=False))


@pytest.mark.case("C-invalid-notebook")
def test_widget_state_is_noticed(tmp_path):
    notebook = good_notebook()
    notebook.metadata.widgets = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    assert check(notebook, tmp_path) == ["the metadata holds widget state; run make notebooks"]


@pytest.mark.case("C-invalid-notebook")
def test_heavy_notebook_is_noticed(tmp_path):
    notebook = good_notebook()
    notebook.cells[3].outputs[0].data["image/png"] = "A" * 1_500_000
    assert ["the file has" in complaint for complaint in check(notebook, tmp_path)] == [True]


def test_long_core_chapter_is_noticed_and_a_deeper_one_is_not(tmp_path):
    notebook = good_notebook()
    notebook.cells += [new_markdown_cell("More.") for _ in range(40)]
    assert check(notebook, tmp_path) == ["a core chapter has at most 45 cells, this one has 46"]
    os.rename(tmp_path / "90_small.ipynb", tmp_path / "90_small_deeper.ipynb")
    assert complaints(tmp_path / "90_small_deeper.ipynb") == []


@pytest.mark.case("C-churn")
@pytest.mark.case("C-gpu")
def test_chapters_stand_on_labcore_and_ask_for_no_graphics_card():
    for path in (Path(__file__).parents[2] / "notebooks" / "source").glob("*.py"):
        source = path.read_text("utf-8")
        assert "torch.ao" not in source, path
        assert "weights=None" in source or "torchvision" not in source, path
        assert "cuda" not in source, path
