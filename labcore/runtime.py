"""The ground: threads, seeds, progress, the cache, shipped files, and the learner's folder.

Environment variables, all optional:

- ``LABCORE_HOME``: folder of the cache, downloads and the learner's progress.
- ``LABCORE_DATA``: folder with data sets put there by hand.
- ``LABCORE_THREADS``: threads for computation (default 1: same bits everywhere).
- ``LABCORE_STRICT``: ``1`` in tests and builds: panels compute inline, exceptions in callbacks raise, no progress bars.
"""

import contextlib
import functools
import hashlib
import json
import os
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import torch
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from tqdm.auto import tqdm

__all__ = [
    "NoEffectWarning", "cached", "compile_kernel", "device", "fork_rng", "home", "progress", "read_manifest",
    "read_shipped", "strict", "threads", "write_atomically",
]


class NoEffectWarning(UserWarning):
    """A call that changed nothing: says what it looked for and what it found."""


def threads() -> int:
    """Threads that computation may use: ``LABCORE_THREADS``, default 1."""
    value = os.environ.get("LABCORE_THREADS", "1")
    if not value.isdecimal() or int(value) < 1:
        raise ValueError(f"LABCORE_THREADS must be a whole number of at least 1, got {value!r}")
    return int(value)


torch.set_num_threads(threads())


def strict() -> bool:
    """True in tests and builds: everything inline and deterministic, exceptions raise."""
    return os.environ.get("LABCORE_STRICT") == "1"


def device() -> torch.device:
    """Where computation runs: ``LABCORE_DEVICE``, default the CPU."""
    return torch.device(os.environ.get("LABCORE_DEVICE", "cpu"))


@contextlib.contextmanager
def fork_rng(seed: int) -> Iterator[None]:
    """Seed torch inside the block; outside, the global generator is as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def progress(items: Iterable, label: str) -> Iterable:
    """Wrap `items` in a progress bar that vanishes when done; silent under builds and tests."""
    return tqdm(items, desc=label, leave=False, disable=strict())


def home() -> Path:
    """Folder of cache, downloads and progress: ``LABCORE_HOME``, default the user's data folder."""
    return Path(os.environ.get("LABCORE_HOME") or platformdirs.user_data_dir("labcore", appauthor=False))


def write_atomically(path: Path, payload: bytes) -> None:
    """Write a file whole or not at all. Raises OSError when the folder cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile: its files are for the owner's eyes only, and this one becomes the real file.
    temporary = path.parent / f".partial-{uuid.uuid4().hex}"
    try:
        temporary.write_bytes(payload)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


# --- what is shipped with the package -------------------------------------------------------------


def read_manifest() -> dict[str, dict]:
    """Shipped files by name: sha256, recipe, seconds it took, versions, and what was measured."""
    return json.loads((resources.files("labcore") / "shipped" / "manifest.json").read_text("utf-8"))


def read_shipped(name: str) -> bytes:
    """Bytes of a shipped file, its hash checked.

    Raises:
        FileNotFoundError: nothing of that name is shipped (the message lists what is).
        ValueError: the file is not the one the manifest describes.
    """
    manifest = read_manifest()
    if name not in manifest:
        raise FileNotFoundError(f"nothing shipped under {name!r}; shipped are: {', '.join(sorted(manifest))}")
    payload = (resources.files("labcore") / "shipped" / name).read_bytes()
    digest = hashlib.sha256(payload).hexdigest()
    if digest != manifest[name]["sha256"]:
        raise ValueError(
            f"shipped file {name!r} is damaged: sha256 is {digest[:12]}..., expected "
            f"{manifest[name]['sha256'][:12]}...; install the package again"
        )
    return payload


# --- the cache ------------------------------------------------------------------------------------


@functools.cache
def _source_hash() -> str:
    """Hash of labcore's own source: a change of code never meets an old result."""
    digest = hashlib.sha256()
    root = resources.files("labcore")
    for path in sorted(Path(str(root)).rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@functools.cache
def _warn_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=4)


def cached(
    compute: Callable[[], Mapping[str, np.ndarray]], *, recipe: Mapping, inputs: Iterable[bytes] = ()
) -> dict[str, np.ndarray]:
    """Result of `compute`, kept on disk under a hash of inputs, recipe and labcore's source.

    Args:
        compute: gives named numpy arrays; called when nothing usable is kept.
        recipe: settings that determine the result (JSON values), with a ``name``.
        inputs: bytes that determine the result.

    A cache that is damaged, unreadable or unwritable costs time, never a result: one warning, then computed.
    """
    key = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode() + _source_hash().encode())
    for payload in inputs:
        key.update(hashlib.sha256(payload).digest())
    path = home() / "cache" / f"{recipe['name']}-{key.hexdigest()[:24]}"
    try:
        content = path.read_bytes()
        if hashlib.sha256(content[32:]).digest() == content[:32]:
            return load_arrays(content[32:])
        _warn_once(f"the cached file {path} is damaged; computing instead")
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        _warn_once(f"cannot read the cache at {path.parent} ({error.strerror or error}); computing instead")
    arrays = {name: np.asarray(array, order="C") for name, array in compute().items()}
    payload = save_arrays(arrays)
    try:
        write_atomically(path, hashlib.sha256(payload).digest() + payload)
    except OSError as error:
        # Without the file's name, which differs each time: the same trouble warns once.
        _warn_once(f"cannot write the cache at {path.parent} ({error.strerror or error}); going on without it")
    return arrays


# --- compiled loops -------------------------------------------------------------------------------


def compile_kernel(kernel: Callable[..., Any], *signature: str, **settings: Any) -> Callable[..., Any]:
    """`kernel` compiled by numba, machine code kept on disk; where it cannot be kept, one warning and no more.

    Args:
        kernel: a loop over arrays.
        signature: types of its arguments, to compile now; none: when it is first called.
        settings: for `numba.njit`.
    """
    import numba  # takes long to load, and little needs it

    try:
        return numba.njit(*signature, cache=True, **settings)(kernel)
    except (RuntimeError, OSError):  # no folder to keep compiled code in, or a full disk
        compiled = numba.njit(*signature, **settings)(kernel)
        _warn_once(
            "compiled code cannot be kept, so every process compiles it again: same results, slower; name a writable "
            "folder with NUMBA_CACHE_DIR"
        )
        return compiled
