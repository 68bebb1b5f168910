"""tests/cases.txt lists the faults that users met elsewhere and that a test here covers."""

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent


def used_ids() -> Iterator[str]:
    """Arguments of every ``pytest.mark.case(...)`` below tests/."""
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.case":
                yield from (argument.value for argument in node.args)


def test_listed_and_used_ids_are_the_same():
    listed = [line.split()[0] for line in (TESTS / "cases.txt").read_text("utf-8").splitlines() if line[:1] not in "#"]
    assert listed == sorted(set(listed))
    assert set(listed) == set(used_ids())
