"""Builds the chapters: ``python notebooks/build.py [NAME ...] [--no-execute | --fresh]``.

``source/NN_name.py`` (jupytext percent format) gives three things: ``NN_name.ipynb``, where each exercise is a stub;
``solutions/NN_name.ipynb``, where it is solved; and one SVG in ``figures/`` for each mermaid block. Both notebooks are
executed. A cell whose source and text did not change keeps its stored output, so that a picture that holds a timing
does not change with every build; ``--fresh`` draws everything anew.

An exercise is one cell tagged ``exercise``. Its first line is ``# Exercise 0.1: title``; its solution stands between
``# BEGIN SOLUTION`` and ``# END SOLUTION`` inside a function.
"""

import argparse
import base64
import hashlib
import io
import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from PIL import Image

import figures

__all__ = ["build", "keep_outputs", "make_figures", "make_notebook", "palette_png", "sanitized", "tidy_outputs"]

HERE = Path(__file__).parent
SANITIZE = HERE.parent / "tests" / "notebooks" / "sanitize.cfg"
KERNEL = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
_SOLUTION = re.compile(r"^([ \t]+)# BEGIN SOLUTION\n(.*?)\n[ \t]*# END SOLUTION$", re.MULTILINE | re.DOTALL)


# --- source to notebook ---------------------------------------------------------------------------


def make_notebook(source: Path, *, solved: bool) -> NotebookNode:
    """The chapter of one source, or its solutions; not executed.

    Raises:
        ValueError: an exercise without title or solution, a figure that cannot be read.
    """
    cells = []
    for cell in jupytext.read(source, fmt="py:percent").cells:
        metadata = {key: cell.metadata[key] for key in ("minutes", "slideshow", "tags") if key in cell.metadata}
        text = cell.source
        if cell.cell_type == "markdown":
            text = figures.link_figures(text, source.stem, "../figures" if solved else "figures")
        elif "exercise" in metadata.get("tags", ()):
            text = _exercise(text, solved=solved)
            if solved:
                metadata["tags"] = ["solution" if tag == "exercise" else tag for tag in metadata["tags"]]
        elif "BEGIN SOLUTION" in text:
            raise ValueError(f"{source.name}: a cell with a solution needs the tag `exercise`:\n{text}")
        make = nbformat.v4.new_markdown_cell if cell.cell_type == "markdown" else nbformat.v4.new_code_cell
        cells.append(make(text, metadata=metadata))
    _number(cells, source.stem)
    return nbformat.v4.new_notebook(cells=cells, metadata=KERNEL)


def _exercise(text: str, *, solved: bool) -> str:
    """The cell of an exercise: its solution without the marker lines, or an error in its place."""
    title = re.match(r"# (Exercise \d+\.\d+: .+)\n", text)
    if not title or len(_SOLUTION.findall(text)) != 1:
        raise ValueError(
            "an exercise starts with `# Exercise 0.1: title` and holds one solution between `# BEGIN SOLUTION` and "
            f"`# END SOLUTION`, indented inside a function; got:\n{text}"
        )
    stub = f"raise NotImplementedError({json.dumps(title[1], ensure_ascii=False)})"
    return _SOLUTION.sub(lambda match: match[2] if solved else match[1] + stub, text)


def _number(cells: list[NotebookNode], chapter: str) -> None:
    """Ids that depend on what a cell says, not on where it stands."""
    seen = Counter()
    for cell in cells:
        digest = hashlib.sha256(f"{chapter}\n{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:10]
        seen[digest] += 1
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"


def make_figures(source: Path) -> dict[str, str]:
    """SVG texts of a source's mermaid blocks, by file name."""
    made = {}
    for cell in jupytext.read(source, fmt="py:percent").cells:
        for block in figures.blocks(cell.source) if cell.cell_type == "markdown" else ():
            name = figures.figure_name(source.stem, block)
            if name in made:
                raise ValueError(f"{source.name}: two figures are named {name}; change the accTitle of one")
            made[name] = figures.to_svg(figures.parse(block))
    return made


# --- execution and outputs ------------------------------------------------------------------------


def execute(notebook: NotebookNode, folder: Path) -> None:
    """Run every cell in a fresh kernel, in strict mode, with an empty home."""
    client = NotebookClient(
        notebook, kernel_name="python3", timeout=600, record_timing=False, store_widget_state=False,
        coalesce_streams=True, resources={"metadata": {"path": str(folder)}},
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="labcore-build-") as home:
        client.execute(env={**os.environ, "LABCORE_STRICT": "1", "LABCORE_HOME": home})


def tidy_outputs(notebook: NotebookNode) -> None:
    """Drop what must not be stored: widget views, widget state, the kernel's version; make PNGs small."""
    notebook.metadata = nbformat.from_dict(KERNEL)
    for output in _outputs(notebook):
        data = output.get("data", {})
        data.pop(WIDGET_VIEW, None)
        if "image/png" in data:
            data["image/png"] = palette_png(data["image/png"])


def palette_png(encoded: str) -> str:
    """A base64 PNG with at most 256 colours, without metadata."""
    image = Image.open(io.BytesIO(base64.b64decode(encoded)))
    if image.mode == "P":
        return encoded
    stream = io.BytesIO()
    image.convert("RGBA").quantize(256, method=Image.Quantize.FASTOCTREE).save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode()


def keep_outputs(notebook: NotebookNode, stored: NotebookNode, *, executed: bool) -> None:
    """Take over the stored output of each cell whose source and text are as they were (source, if not executed)."""
    before = {cell.id: cell for cell in stored.cells if cell.cell_type == "code" and cell.execution_count}
    for count, cell in enumerate((cell for cell in notebook.cells if cell.cell_type == "code"), start=1):
        old = before.get(cell.id)
        if not old or (executed and sanitized(old.outputs) != sanitized(cell.outputs)):
            continue
        cell.outputs, cell.execution_count = old.outputs, count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count


def sanitized(outputs: list[NotebookNode]) -> list[str]:
    """What outputs say, pictures left out, with everything masked that the tests mask."""
    rules = re.findall(r"^regex: (.*)$\n^replace: (.*)$", SANITIZE.read_text("utf-8"), re.MULTILINE)
    texts = []
    for output in outputs:
        data = {mime: value for mime, value in output.get("data", {}).items() if mime != "image/png"}
        text = json.dumps([output.get("text"), data, output.get("metadata")], ensure_ascii=False, sort_keys=True)
        for pattern, replacement in rules:
            text = re.sub(pattern, replacement, text)
        texts.append(text)
    return texts


def _outputs(notebook: NotebookNode) -> Iterator[NotebookNode]:
    for cell in notebook.cells:
        yield from cell.get("outputs", ())


# --- the build ------------------------------------------------------------------------------------


def build(source: Path, *, run: bool = True, fresh: bool = False) -> None:
    """Write figures, chapter and solutions of one source beside its folder.

    Args:
        source: a file of ``notebooks/source``.
        run: execute the notebooks; otherwise only cells with unchanged source have outputs.
        fresh: take over no stored output.

    Raises:
        CellExecutionError: a cell failed; nothing is written then.
    """
    root = source.parent.parent
    texts = {root / "figures" / name: svg for name, svg in make_figures(source).items()}
    for solved, folder in ((False, root), (True, root / "solutions")):
        folder.mkdir(exist_ok=True)
        target = folder / f"{source.stem}.ipynb"
        notebook = make_notebook(source, solved=solved)
        if run:
            execute(notebook, folder)
            tidy_outputs(notebook)
        if target.exists() and not fresh:
            keep_outputs(notebook, nbformat.read(target, as_version=4), executed=run)
        texts[target] = nbformat.writes(notebook) + "\n"
    for path, text in texts.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8", newline="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Build chapters, solutions and figures from notebooks/source.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="such as 00_costs; all when none is given")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--no-execute", action="store_true", help="only text changed: keep outputs, run nothing")
    choice.add_argument("--fresh", action="store_true", help="keep no stored output")
    options = parser.parse_args()
    sources = {path.stem: path for path in sorted((HERE / "source").glob("*.py"))}
    if unknown := set(options.names) - set(sources):
        parser.error(f"no source named {', '.join(sorted(unknown))}; there are: {', '.join(sources)}")
    for name in options.names or sources:
        print(f"building {name}", flush=True)
        try:
            build(sources[name], run=not options.no_execute, fresh=options.fresh)
        except CellExecutionError as error:
            raise SystemExit(f"{name}: a cell failed, nothing written\n{error}") from None


if __name__ == "__main__":
    main()
