"""What every chapter keeps to. `complaints` reads one notebook and says what is wrong with it; no complaint, no list.

Names in backticks. A text in backticks that is a dotted name, with or without a call behind it, must resolve: from
``labcore``, from a module of labcore by its last name (`prune.magnitude_masks`), from a public name of labcore
(`Dataset.batches`), from an import of the notebook, or from an installed package. A first part that the notebook
assigns is a variable and is not followed. A plain word is checked only when it ends with ``()``. File names are left
alone.
"""

import ast
import builtins
import functools
import importlib
import importlib.util
import json
import pkgutil
import re
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

import labcore

__all__ = ["RULES", "complaints"]

TAGS = {"core", "deeper", "exercise", "solution", "reveal", "slide", "setup", "check"}
MAX_LINES, MEDIAN_LINES, MAX_CELLS, MAX_BYTES = 12, 4, 45, 1_500_000
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
_FILES = r"\.(cfg|csv|ipynb|json|md|npy|npz|onnx|png|pt|pth|py|safetensors|svg|toml|txt|yml|yaml)$"
_HIDDEN = {"Output", "interact", "interactive", "interactive_output"}

Rule = Callable[[NotebookNode], Iterator[str]]
RULES: list[Rule] = []


def complaints(path: Path) -> list[str]:
    """Everything wrong with the notebook at `path`, in sentences."""
    notebook = nbformat.read(path, as_version=4)
    found = [complaint for rule in RULES for complaint in rule(notebook)]
    if path.stat().st_size >= MAX_BYTES:
        found.append(f"the file has {path.stat().st_size:,} bytes, at most {MAX_BYTES:,} are allowed")
    if not path.stem.endswith("_deeper") and len(notebook.cells) > MAX_CELLS:
        found.append(f"a core chapter has at most {MAX_CELLS} cells, this one has {len(notebook.cells)}")
    return found


def rule(check: Rule) -> Rule:
    """Add a check to `RULES`."""
    RULES.append(check)
    return check


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def start(cell: NotebookNode) -> str:
    """How a complaint names a cell."""
    return repr(cell.source.strip().split("\n")[0][:60])


# --- order and size -------------------------------------------------------------------------------


@rule
def only_known_tags(notebook: NotebookNode) -> Iterator[str]:
    for cell in notebook.cells:
        if unknown := set(tags(cell)) - TAGS:
            yield f"unknown tag {', '.join(sorted(unknown))} on cell {start(cell)}; known are {', '.join(sorted(TAGS))}"


@rule
def title_then_setup(notebook: NotebookNode) -> Iterator[str]:
    first = notebook.cells[0]
    if first.cell_type != "markdown" or not first.source.startswith("# "):
        yield f"the first cell is a markdown cell that starts with a title `# ...`, not {start(first)}"
    setups = [number for number, cell in enumerate(code_cells(notebook)) if "setup" in tags(cell)]
    if setups != [0]:
        yield f"the first code cell, and no other, has the tag setup; found it on code cells {setups}"


@rule
def check_follows_exercise(notebook: NotebookNode) -> Iterator[str]:
    cells = notebook.cells
    for cell, following in zip(cells, [*cells[1:], None], strict=True):
        exercise = cell.cell_type == "code" and {"exercise", "solution"} & set(tags(cell))
        if exercise and (following is None or "check" not in tags(following)):
            yield f"no check cell right after exercise {start(cell)}"


@rule
def sections_have_minutes(notebook: NotebookNode) -> Iterator[str]:
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## ") and not cell.metadata.get("minutes"):
            yield f"no minutes in the metadata of section {start(cell)}"


@rule
def short_cells(notebook: NotebookNode) -> Iterator[str]:
    lengths = [len(cell.source.splitlines()) for cell in code_cells(notebook)]
    for cell, length in zip(code_cells(notebook), lengths, strict=True):
        if length > MAX_LINES:
            yield f"cell {start(cell)} has {length} lines, at most {MAX_LINES}: make it a function of labcore"
    if lengths and statistics.median(lengths) > MEDIAN_LINES:
        yield f"the median of code lines a cell is {statistics.median(lengths):g}, at most {MEDIAN_LINES}"


# --- outputs --------------------------------------------------------------------------------------


@rule
def executed_in_order(notebook: NotebookNode) -> Iterator[str]:
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are not 1 to {len(counts)} in order but {counts}; run make notebooks"


@rule
def outputs_present(notebook: NotebookNode) -> Iterator[str]:
    for cell in code_cells(notebook):
        if shows_something(cell.source) and not cell.outputs:
            yield f"no output stored for cell {start(cell)}; run make notebooks"


def shows_something(source: str) -> bool:
    """Whether a cell ends in an expression, or prints."""
    tree = ast.parse(source)
    calls = (node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name))
    return (bool(tree.body) and isinstance(tree.body[-1], ast.Expr)) or bool({"print", "display"} & set(calls))


@rule
def outputs_clean(notebook: NotebookNode) -> Iterator[str]:
    for cell in code_cells(notebook):
        for output in cell.outputs:
            content = json.dumps(output)
            if output.output_type == "error" or output.get("name") == "stderr":
                yield f"cell {start(cell)} stored an error or wrote to stderr: {content[:120]}"
            elif re.search(r"\b\w*Warning:", content):
                yield f"cell {start(cell)} shows a warning"
            if WIDGET_VIEW in output.get("data", {}):
                yield f"cell {start(cell)} stored a widget view; run make notebooks"
            if re.match(r"\w+\((children|value|description)=", output.get("data", {}).get("text/plain", "")):
                yield f"cell {start(cell)} shows a bare widget: without a kernel its reader sees only its repr"


@rule
def no_widget_state(notebook: NotebookNode) -> Iterator[str]:
    if "widgets" in notebook.metadata:
        yield "the metadata holds widget state; run make notebooks"


# --- code -----------------------------------------------------------------------------------------


@rule
def test_images_untouched(notebook: NotebookNode) -> Iterator[str]:
    for cell in code_cells(notebook):
        if "fashion14-final" in cell.source:
            yield f"cell {start(cell)} uses fashion14-final, which no chapter may see"


@rule
def no_relative_paths(notebook: NotebookNode) -> Iterator[str]:
    for cell in code_cells(notebook):
        for node in ast.walk(ast.parse(cell.source)):
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            if re.match(r"\.{1,2}/", text) or re.fullmatch(r"[\w./-]+" + _FILES, text):
                yield f"cell {start(cell)} has the relative path {text!r}; ship the file with labcore instead"


@rule
def errors_stay_visible(notebook: NotebookNode) -> Iterator[str]:
    for cell in code_cells(notebook):
        for node in ast.walk(ast.parse(cell.source)):
            named = {getattr(node, "id", None), getattr(node, "attr", None)}
            if isinstance(node, ast.ImportFrom):
                named = {alias.name for alias in node.names}
            if found := named & _HIDDEN:
                yield f"cell {start(cell)} uses {', '.join(sorted(found))}, where exceptions vanish; use a panel"


# --- names in backticks ---------------------------------------------------------------------------


@rule
def names_resolve(notebook: NotebookNode) -> Iterator[str]:
    bound = bound_names(notebook)
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            continue
        prose = re.sub(r"^```.*?^```$", "", cell.source, flags=re.MULTILINE | re.DOTALL)
        for quoted in re.findall(r"`([^`\n]+)`", prose):
            match = re.fullmatch(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(\(.*\))?", quoted)
            if not match or re.search(_FILES, match[1]) or not ("." in match[1] or quoted.endswith("()")):
                continue
            if not resolves(match[1], bound):
                yield f"`{quoted}` in cell {start(cell)} names nothing"


_VARIABLE = object()


def bound_names(notebook: NotebookNode) -> dict[str, object]:
    """What the notebook's code binds: imported objects by name; other names as `_VARIABLE`."""
    bound: dict[str, object] = {}
    for cell in code_cells(notebook):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    bound[alias.asname or alias.name] = find(f"{node.module}.{alias.name}")
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    name = alias.asname or alias.name.split(".")[0]
                    bound[name] = find(alias.name if alias.asname else name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                bound[node.id] = _VARIABLE
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                bound[node.name] = _VARIABLE
    return bound


def resolves(name: str, bound: dict[str, object]) -> bool:
    first, *rest = name.split(".")
    if bound.get(first) is _VARIABLE:
        return True
    roots = [bound.get(first), *labcore_names().get(first, ()), getattr(builtins, first, None)]
    if importlib.util.find_spec(first):
        roots.append(find(first))
    return any(follow(root, rest) is not None for root in roots if root is not None)


@functools.cache
def labcore_names() -> dict[str, list[object]]:
    """Modules of labcore by their last name, and its public objects by theirs."""
    names: dict[str, list[object]] = {}
    for found in pkgutil.walk_packages(labcore.__path__, "labcore."):
        if found.name.endswith("__main__"):
            continue
        module = importlib.import_module(found.name)
        names.setdefault(found.name.split(".")[-1], []).append(module)
        for public in getattr(module, "__all__", ()):
            names.setdefault(public, []).append(getattr(module, public))
    return names


def find(name: str) -> object | None:
    """The object with a full dotted name, or None."""
    parts = name.split(".")
    try:
        return follow(importlib.import_module(parts[0]), parts[1:])
    except ImportError:
        return None


def follow(thing: object, parts: list[str]) -> object | None:
    """Attribute by attribute; submodules are imported, fields of a dataclass count."""
    for part in parts:
        if part in getattr(thing, "__dataclass_fields__", ()):
            thing = thing.__dataclass_fields__[part]
        elif hasattr(thing, part):
            thing = getattr(thing, part)
        else:
            try:
                thing = importlib.import_module(f"{thing.__name__}.{part}")
            except (ImportError, AttributeError):
                return None
    return thing
