"""Where Chromium is, None where it is not installed."""

import shutil

__all__ = ["CHROMIUM"]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
