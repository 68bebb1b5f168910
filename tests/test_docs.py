"""What the pages say about the project is so."""

import fnmatch
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "tests/README.md")


def section(page: str, heading: str) -> str:
    """The text of a page below one of its ``##`` headings."""
    return re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", (ROOT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)[1]


def first_column(table: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)


def test_layout_table_lists_what_is_there():
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text("utf-8").split()]
    there = {
        path.name + "/" * path.is_dir()
        for path in ROOT.iterdir()
        if path.name not in (".git", ".gitignore") and not any(fnmatch.fnmatch(path.name, rule) for rule in ignored)
    }
    assert set(first_column(section("README.md", "What is where"))) == there | {"work/"}


def test_layers_are_those_that_import_linter_enforces():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    modules = [name.removeprefix("labcore.") for layer in layers for name in re.split(r"\s*[|:]\s*", layer)]
    assert first_column(section("CONTRIBUTING.md", "Layers")) == modules[::-1]
    there = (path for path in (ROOT / "labcore").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists())
    assert set(modules) == {path.stem for path in there} - {"__init__"}


def test_readme_links_every_chapter():
    linked = re.findall(r"\]\(notebooks/(\w+)\.ipynb\)", section("README.md", "Chapters"))
    assert linked == sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("page", PAGES)
def test_every_make_command_in_the_pages_exists(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    quoted = " ".join(re.findall(r"`[^`]+`", (ROOT / page).read_text("utf-8")))
    named = set(re.findall(r"\bmake ([a-z]+(?:-[a-z]+)*)", quoted))
    assert named
    assert named <= targets


@pytest.mark.parametrize("page", PAGES)
def test_every_local_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text("utf-8")):
        assert target.startswith("https://") or (ROOT / page).parent.joinpath(target).exists(), target
