"""One JupyterLab and one browser for all browser tests."""

import pytest

from browser.server import open_browser, serve_lab
from labcore import cli


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """Address of a JupyterLab whose `work/` holds fresh copies of the chapters, as `make lab` makes them."""
    root = tmp_path_factory.mktemp("lab")
    (root / "notebooks").symlink_to(cli.ROOT / "notebooks")
    cli.copy_chapters(root)
    with serve_lab(root) as address:
        yield address


@pytest.fixture(scope="session")
def browser():
    with open_browser() as browser:
        yield browser
