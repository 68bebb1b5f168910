"""Every test runs in strict mode with an empty home; so do the kernels and processes that a test starts."""

import os
import tempfile

import pytest
from hypothesis import settings

from chromium import CHROMIUM

# Set before any test module imports labcore: it reads the environment when it is imported.
_HOME = tempfile.TemporaryDirectory(prefix="labcore-tests-")
os.environ["LABCORE_STRICT"] = "1"
os.environ["LABCORE_HOME"] = _HOME.name

settings.register_profile("lab", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("lab")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CHROMIUM is None:
        for item in items:
            if item.get_closest_marker("browser"):
                item.add_marker(pytest.mark.skip(reason="not run: no Chromium; apt-get install chromium"))


def pytest_unconfigure() -> None:
    _HOME.cleanup()
