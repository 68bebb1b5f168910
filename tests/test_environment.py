"""environment.yml and pyproject.toml name the same packages with the same bounds."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base"}


def bounds(requirement: str) -> tuple[str, str]:
    """Name and version bounds, without spaces."""
    name, version = re.fullmatch(r"([A-Za-z0-9_-]+)\s*(.*)", requirement).groups()
    return name, version.replace(" ", "")


def environment() -> dict:
    return yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))


def test_environment_agrees_with_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    expected = {"python": project["requires-python"], "pip": ""}
    for requirement in project["dependencies"]:
        name, version = bounds(requirement)
        expected[CONDA_NAMES.get(name, name)] = version
    assert dict(bounds(entry) for entry in environment()["dependencies"] if isinstance(entry, str)) == expected


def test_environment_installs_the_package_itself():
    assert environment()["dependencies"][-1] == {"pip": ["-e ."]}


def test_every_dependency_has_an_upper_bound():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for requirement in [*project["dependencies"], *project["optional-dependencies"]["test"]]:
        assert "<" in requirement, requirement


def test_small_download_in_the_readme_stays_within_the_bounds():
    command = re.search(r"pip install (.*) --index-url", (ROOT / "README.md").read_text("utf-8"))[1]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    upper = {bounds(entry)[0]: bounds(entry)[1].split(",")[-1] for entry in project["dependencies"]}
    assert command == f'"torch{upper["torch"]}" "torchvision{upper["torchvision"]}"'
