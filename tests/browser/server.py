"""JupyterLab on a copy of the chapters, and headless Chromium in front of it."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from chromium import CHROMIUM
from labcore import cli

__all__ = ["open_browser", "serve_lab"]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(address):
            return
        time.sleep(0.3)
    raise RuntimeError(f"JupyterLab did not answer at {address}:\n{log.read_text()[-3000:]}")


@contextlib.contextmanager
def serve_lab(root: Path) -> Iterator[str]:
    """Address of a JupyterLab on `root`, whose `work/` holds the chapters, started as `labcore lab` starts it."""
    port = _free_port()
    arguments = [
        *cli.lab_arguments(root, browser=False, port=port),
        "--IdentityProvider.token=",
        "--LabApp.expose_app_in_browser=True",
    ]
    environment = {name: value for name, value in os.environ.items() if name != "LABCORE_STRICT"}
    environment |= cli.lab_environment() | {"LABCORE_HOME": str(root / "home"), "IPYTHONDIR": str(root / "ipython")}
    log = root / "lab.log"
    with log.open("w") as stream:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *arguments], cwd=root, env=environment, stdout=stream, stderr=stream
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/api", server, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()  # it would ask its kernels first
            server.wait()


@contextlib.contextmanager
def open_browser() -> Iterator[Browser]:
    """Headless Chromium that talks to this machine only."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"],
        )
        yield browser
        browser.close()
