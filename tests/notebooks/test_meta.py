"""The comparison of notebooks is itself on trial: small notebooks broken on purpose, each must fail the suite."""

import copy
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import build
from convention import complaints

ROOT = Path(__file__).parents[2]
# The very options of `make test`.
NBVAL = re.search(r"^NBVAL := (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)[1].split()

SETUP = """\
import ipywidgets
import numpy as np
from labcore.plots.view import View, encode_png
from labcore.widgets.panel import Panel, Scene"""

VIEW = """\
class Number(View):
    readout = text = ""
    def update(self, result):
        self.text = f"ten times is {result}"
    def png(self, *, palette=True):
        return encode_png(np.zeros((4, 4), np.uint8))"""

PANEL = """\
def compute(n):
    return 10 * n
slider = ipywidgets.IntSlider(description="n", value=1, max=5)
Panel("Ten times", {"n": slider}, compute, Number(), scenes=(Scene("three", {"n": 3}, "thirty"),))"""

MOVE = "slider.value = 4"
PRINT = 'print("accuracy 0.8714 in ≈ 9.1 ms, at", object())'


def cell_with(notebook: nbformat.NotebookNode, source: str) -> nbformat.NotebookNode:
    return next(cell for cell in notebook.cells if cell.source == source)


def change_number(notebook):
    cell_with(notebook, PRINT).outputs[0].text = cell_with(notebook, PRINT).outputs[0].text.replace("0.8714", "0.8715")


def change_approximate_number(notebook):
    cell_with(notebook, PRINT).outputs[0].text = cell_with(notebook, PRINT).outputs[0].text.replace("9.1 ms", "12 ms")


def change_number_of_a_scene(notebook):
    data = cell_with(notebook, PANEL).outputs[0].data
    assert "ten times is 30" in data["text/plain"]
    data["text/plain"] = data["text/plain"].replace("ten times is 30", "ten times is 31")


def break_callback_of_a_scene(notebook):
    cell_with(notebook, PANEL).source = PANEL.replace("10 * n", "30 // (3 - n) - 5 if n > 1 else 10")


def break_callback_of_a_slider(notebook):
    cell_with(notebook, PANEL).source = PANEL.replace("10 * n", "10 * n * (4 - n) // (4 - n)")


def change_nothing(notebook):
    pass


BROKEN = [change_number, change_number_of_a_scene, break_callback_of_a_scene, break_callback_of_a_slider]
FINE = [change_nothing, change_approximate_number]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> nbformat.NotebookNode:
    cells = [new_code_cell(source) for source in (VIEW, PANEL, MOVE, PRINT)]
    setup = new_code_cell(SETUP, metadata={"tags": ["setup"]})
    notebook = new_notebook(cells=[new_markdown_cell("# A title"), setup, *cells], metadata=build.KERNEL)
    build.execute(notebook, tmp_path_factory.getbasetemp())
    build.tidy_outputs(notebook)
    return notebook


@pytest.fixture(scope="module")
def failed(good, tmp_path_factory) -> dict[str, list[str]]:
    """Failed cells by notebook, all compared in one run of pytest with the options of `make test`."""
    folder = tmp_path_factory.mktemp("meta")
    for change in (*BROKEN, *FINE):
        notebook = copy.deepcopy(good)
        change(notebook)
        nbformat.write(notebook, folder / f"{change.__name__}.ipynb")
    options = [f"--rootdir={folder}", f"--config-file={ROOT / 'pyproject.toml'}", "-p", "no:cacheprovider"]
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", *NBVAL, *options, f"--junitxml={report}", *folder.glob("*.ipynb")]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    cells: dict[str, list[str]] = {change.__name__: [] for change in (*BROKEN, *FINE)}
    cases = list(ElementTree.parse(report).iter("testcase"))
    assert len(cases) == 5 * len(cells)  # every code cell of every notebook ran
    for case in cases:
        cells[case.get("classname").removesuffix(".ipynb")] += [case.get("name")] * len(case)
    return cells


@pytest.mark.case("C-swallowed", "C-empty-ci")
@pytest.mark.parametrize("change", BROKEN)
def test_what_is_broken_on_purpose_fails(change, failed):
    assert len(failed[change.__name__]) == 1


@pytest.mark.parametrize("change", FINE)
def test_what_is_as_stored_passes(change, failed):
    assert failed[change.__name__] == []


@pytest.mark.case("C-empty-ci")
def test_stripped_notebook_fails_by_the_convention(good, tmp_path):
    stripped = copy.deepcopy(good)
    for cell in stripped.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    found = {}
    for name, notebook in {"good": good, "stripped": stripped}.items():
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
        found[name] = [text for text in complaints(tmp_path / f"{name}.ipynb") if "run make notebooks" in text]
    assert found["good"] == []
    assert len(found["stripped"]) == 3
