"""The solutions solve: set-up, solution and check cells of each chapter, in one kernel."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

SOLUTIONS = sorted((Path(__file__).parents[2] / "notebooks" / "solutions").glob("*.ipynb"))
PASSED = "result = Out[len(In) - 2]\nassert result.passed, result"


@pytest.mark.slow
@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_every_check_passes(path):
    notebook = nbformat.read(path, as_version=4)
    cells = []
    for cell in notebook.cells:
        tags = set(cell.metadata.get("tags", ())) if cell.cell_type == "code" else set()
        if tags & {"setup", "solution", "check"}:
            cells.append(cell)
        if "check" in tags:
            cells.append(nbformat.v4.new_code_cell(PASSED))
    assert any(cell.source == PASSED for cell in cells)
    notebook.cells = cells
    client = NotebookClient(notebook, kernel_name="python3", timeout=120, resources={"metadata": {"path": path.parent}})
    client.execute()
