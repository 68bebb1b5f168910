"""Source to notebook: what is derived, what is stored, and that what lies there is up to date."""

import base64
import io
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from PIL import Image

import build

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SOURCES = sorted((NOTEBOOKS / "source").glob("*.py"))

SOURCE = '''\
# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"}
# # A title

# %% tags=["setup"]
import os, time
from IPython.display import display

# %% [markdown] tags=["core"] minutes=5
# ## A question?
#
# ```mermaid
# flowchart LR
#   accTitle: The way
#   A[large model] --> B[small model]
# ```
#
# A caption.

# %% tags=["core"]
print("took ≈", f"{time.perf_counter():.6f} ms")

# %% tags=["core"]
os.environ["LABCORE_STRICT"]

# %% tags=["core"]
display({"text/plain": "at 7", "application/vnd.jupyter.widget-view+json": {"model_id": "1"}}, raw=True)

# %% tags=["exercise"]
# Exercise 9.1: twice a number
def double(x):
    """Twice `x`."""
    # BEGIN SOLUTION
    result = 2 * x
    return result
    # END SOLUTION

# %% tags=["check"]
try:
    print(double(2))
except NotImplementedError as error:
    print(error)
'''


@pytest.fixture
def source(tmp_path) -> Path:
    (tmp_path / "source").mkdir()
    path = tmp_path / "source" / "90_small.py"
    path.write_text(SOURCE, "utf-8")
    return path


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def described(notebook):
    return [(cell.id, cell.cell_type, cell.source, cell.metadata) for cell in notebook.cells]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_chapter_and_solutions_are_up_to_date(path):
    for solved, folder in ((False, NOTEBOOKS), (True, NOTEBOOKS / "solutions")):
        stored = nbformat.read(folder / f"{path.stem}.ipynb", as_version=4)
        assert described(stored) == described(build.make_notebook(path, solved=solved)), "run make notebooks"


def test_nothing_lies_there_without_source():
    names = [path.stem for path in SOURCES]
    assert [path.stem for path in sorted(NOTEBOOKS.glob("*.ipynb"))] == names
    assert [path.stem for path in sorted((NOTEBOOKS / "solutions").glob("*.ipynb"))] == names


def test_stub_raises_where_the_solution_stood(source):
    stub, solution = (code(build.make_notebook(source, solved=solved))[-2] for solved in (False, True))
    head = '# Exercise 9.1: twice a number\ndef double(x):\n    """Twice `x`."""\n'
    assert stub.source == head + '    raise NotImplementedError("Exercise 9.1: twice a number")'
    assert solution.source == head + "    result = 2 * x\n    return result"
    assert (stub.metadata.tags, solution.metadata.tags) == (["exercise"], ["solution"])


def test_solutions_differ_in_nothing_else(source):
    chapter, solutions = (build.make_notebook(source, solved=solved) for solved in (False, True))
    different = [
        one.metadata.tags
        for one, other in zip(chapter.cells, solutions.cells, strict=True)
        if one.source != other.source.replace("../figures/", "figures/")
    ]
    assert different == [["exercise"]]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("# Exercise 9.1: twice a number", "# Twice", "starts with `# Exercise"),
        ("    # END SOLUTION\n", "", "holds one solution"),
        ("    # BEGIN SOLUTION\n    result", "# BEGIN SOLUTION\n    result", "indented inside a function"),
        ('tags=["exercise"]', 'tags=["core"]', "needs the tag `exercise`"),
        ("#   accTitle: The way\n", "", "accTitle"),
    ],
)
def test_faulty_source_is_refused_with_the_reason(source, old, new, message):
    assert old in SOURCE
    source.write_text(SOURCE.replace(old, new), "utf-8")
    with pytest.raises(ValueError, match=message):
        build.make_notebook(source, solved=False)


def test_ids_depend_on_what_a_cell_says_and_are_unique(source):
    before = {cell.source: cell.id for cell in build.make_notebook(source, solved=False).cells}
    twice = '\n# %% tags=["core"]\n1\n' * 2
    source.write_text("# %% [markdown]\n# # New\n\n" + SOURCE + twice, "utf-8")
    after = build.make_notebook(source, solved=False).cells
    assert before.items() <= {cell.source: cell.id for cell in after}.items()
    assert len({cell.id for cell in after}) == len(after) == len(before) + 3


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    (folder / "source").mkdir()
    (folder / "source" / "90_small.py").write_text(SOURCE, "utf-8")
    build.build(folder / "source" / "90_small.py")
    return folder


def test_build_executes_in_strict_mode_and_in_order(built):
    cells = code(nbformat.read(built / "90_small.ipynb", as_version=4))
    assert [cell.execution_count for cell in cells] == [1, 2, 3, 4, 5, 6]
    assert cells[2].outputs[0].data["text/plain"] == "'1'"
    assert cells[5].outputs[0].text == "Exercise 9.1: twice a number\n"
    assert code(nbformat.read(built / "solutions" / "90_small.ipynb", as_version=4))[5].outputs[0].text == "4\n"


@pytest.mark.case("C-invalid-notebook")
def test_build_stores_no_widget_view_no_state_and_no_version(built):
    notebook = nbformat.read(built / "90_small.ipynb", as_version=4)
    assert code(notebook)[3].outputs[0].data == {"text/plain": "at 7"}
    assert notebook.metadata == build.KERNEL
    assert {key for cell in notebook.cells for key in cell.metadata} == {"tags", "minutes", "slideshow"}


def test_second_build_changes_nothing_although_the_timing_did(built):
    before = {path: path.read_bytes() for path in built.rglob("*") if path.is_file()}
    build.build(built / "source" / "90_small.py")
    assert {path: path.read_bytes() for path in built.rglob("*") if path.is_file()} == before


def test_fresh_build_keeps_no_output(built):
    timing = code(nbformat.read(built / "90_small.ipynb", as_version=4))[1].outputs[0].text
    build.build(built / "source" / "90_small.py", fresh=True)
    assert code(nbformat.read(built / "90_small.ipynb", as_version=4))[1].outputs[0].text != timing


def test_build_without_running_keeps_outputs_of_unchanged_cells_only(built):
    source = built / "source" / "90_small.py"
    changed = SOURCE.replace("A caption.", "A better caption.").replace('["LABCORE_STRICT"]', '["LABCORE_HOME"]')
    source.write_text(changed, "utf-8")
    build.build(source, run=False)
    cells = code(nbformat.read(built / "90_small.ipynb", as_version=4))
    assert [cell.execution_count for cell in cells] == [1, 2, None, 4, 5, 6]
    assert cells[2].outputs == []


def test_kept_output_gives_way_to_a_changed_number(source):
    stored, new = (build.make_notebook(source, solved=False) for _ in range(2))
    for notebook, number in ((stored, "0.51"), (new, "0.52")):
        for count, cell in enumerate(code(notebook), start=1):
            cell.execution_count = count
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=f"{number} in ≈ {number} ms")]
    build.keep_outputs(new, stored, executed=True)
    assert {output.text for cell in code(new) for output in cell.outputs} == {"0.52 in ≈ 0.52 ms"}


def test_failing_cell_fails_the_build_and_writes_nothing(source):
    source.write_text(SOURCE + '\n# %% tags=["core"]\n1 / 0\n', "utf-8")
    with pytest.raises(CellExecutionError, match="1 / 0"):
        build.build(source)
    assert list(source.parents[1].rglob("*.ipynb")) == []


def test_pictures_are_stored_with_a_palette():
    stream = io.BytesIO()
    Image.linear_gradient("L").convert("RGBA").save(stream, "PNG")
    encoded = build.palette_png(base64.b64encode(stream.getvalue()).decode())
    image = Image.open(io.BytesIO(base64.b64decode(encoded)))
    assert (image.mode, image.size) == ("P", (256, 256))
    assert build.palette_png(encoded) == encoded


def test_outcome_of_a_timing_is_masked_and_every_other_outcome_is_not():
    def masked(words: str) -> list[str]:
        return build.sanitized([nbformat.v4.new_output("stream", text=f"You measured: ≈ 1.91x: {words}\n")])

    assert masked("≈ held on this machine") == masked("≈ not held on this machine")
    assert masked("held") != masked("not held")
    assert masked("held") != masked("≈ held on this machine")
