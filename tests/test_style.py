"""Style and layers, by the tools that know: ruff and import-linter."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINT_IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"


@pytest.mark.parametrize(
    "command",
    [["-m", "ruff", "check", "--no-cache", "."], ["-c", LINT_IMPORTS, "--no-cache"]],
    ids=["ruff", "import-linter"],
)
def test_tool_has_no_complaint(command):
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
