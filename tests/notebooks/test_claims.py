"""Every claim and statement of the table is tested once in the chapters, and nothing else is."""

import ast
from collections import Counter
from pathlib import Path

from labcore.lesson.claims import CLAIMS, STATEMENTS

SOURCES = Path(__file__).parents[2] / "notebooks" / "source"
_CALLS = ("holds", "does_not_reproduce", "timing", "verdict")


def ids_in_chapters() -> Counter:
    """First arguments of every ``claims.holds(...)`` and its sisters."""
    found = Counter()
    for path in SOURCES.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {f"claims.{name}" for name in _CALLS}:
                found[ast.literal_eval(node.args[0])] += 1
    return found


def test_each_id_is_called_once():
    assert ids_in_chapters() == Counter([*CLAIMS, *STATEMENTS])
