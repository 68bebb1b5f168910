"""The learner's own record: one JSON file in the learner's folder, shared by all chapters.

Nothing here may stop a chapter: a file that cannot be read or written costs one warning.
"""

import itertools
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

from filelock import FileLock

from labcore import runtime

__all__ = ["DEFAULT_FLOOR", "Kind", "floor", "load_progress", "record", "record_attempt"]

Kind = Literal["attempts", "predictions", "points", "floor"]
DEFAULT_FLOOR = 0.01
_LOCK_SECONDS = 5

# What could not be written, by file: kept for as long as the kernel lives.
_unsaved: dict[Path, dict[str, dict[str, Any]]] = {}


class _Damaged(ValueError):
    """The file is not a record of ours."""


def load_progress() -> dict[str, dict[str, Any]]:
    """Everything recorded: kind -> key -> value. Empty kinds when there is no usable file."""
    path = _path()
    try:
        data = _read(path)
    except (OSError, _Damaged) as error:
        _warn_once(path, error)
        data = _empty()
    return _with_unsaved(data, path)


def record(kind: Kind, key: str, value: Any) -> None:
    """Keep one value (JSON) under kind and key, whole or not at all; other kernels' records stay."""
    _change(kind, key, lambda _: value)


def record_attempt(exercise_id: str, outcome: str) -> int:
    """Add the outcome of one attempt (``passed`` or the code of a mistake); gives the attempt's number."""
    return len(_change("attempts", exercise_id, lambda old: [*(old if isinstance(old, list) else []), outcome]))


def floor() -> float:
    """Accuracy that the learner is ready to lose, as a fraction; 0.01 until the learner has chosen."""
    value = load_progress()["floor"].get("fraction")
    usable = isinstance(value, int | float) and 0 < value < 1
    return float(value) if usable else DEFAULT_FLOOR


def _path() -> Path:
    return runtime.home() / "progress.json"


def _empty() -> dict[str, dict[str, Any]]:
    return {kind: {} for kind in get_args(Kind)}


def _with_unsaved(data: dict[str, dict[str, Any]], path: Path) -> dict[str, dict[str, Any]]:
    return {kind: values | _unsaved.get(path, {}).get(kind, {}) for kind, values in data.items()}


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """The file's content with every kind present."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return _empty()
    except ValueError as error:
        raise _Damaged(f"not JSON: {error}") from error
    if not isinstance(data, dict) or not all(isinstance(data.get(kind, {}), dict) for kind in get_args(Kind)):
        raise _Damaged("not a record of this course")
    return {kind: data.get(kind, {}) for kind in get_args(Kind)}


def _change(kind: Kind, key: str, change: Callable[[Any], Any]) -> Any:
    """Replace one value by ``change(old value)``, alone on the file; gives the new value."""
    if kind not in get_args(Kind):
        raise ValueError(f"unknown kind {kind!r}; choose one of: {', '.join(get_args(Kind))}")
    path = _path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=_LOCK_SECONDS):
            data = _with_unsaved(_read_or_set_aside(path), path)
            value = data[kind][key] = change(data[kind].get(key))
            runtime.write_atomically(path, json.dumps(data, indent=1, sort_keys=True).encode())
        _unsaved.pop(path, None)
    except (OSError, NotImplementedError) as error:  # NotImplementedError: a file system without locks
        _warn_once(path, error)
        value = change(load_progress()[kind].get(key))
        _unsaved.setdefault(path, _empty())[kind][key] = value
    return value


def _read_or_set_aside(path: Path) -> dict[str, dict[str, Any]]:
    """The record; a damaged file moves to the first free ``.bak`` name, it is never written over."""
    try:
        return _read(path)
    except _Damaged as error:
        _warn_once(path, error)
    names = (path.with_name(f"{path.name}.bak{i or ''}") for i in itertools.count())
    os.replace(path, next(name for name in names if not name.exists()))
    return _empty()


_warned: set[Path] = set()


def _warn_once(path: Path, error: Exception) -> None:
    """One warning a file: a learner without a usable folder must not be told in every cell."""
    if path in _warned:
        return
    _warned.add(path)
    outcome = (
        "the file is kept aside as .bak and a new record begins"
        if isinstance(error, _Damaged)
        else "what you do now is kept until the kernel stops"
    )
    warnings.warn(f"your progress at {path} cannot be used ({error}); {outcome}", RuntimeWarning, stacklevel=4)
