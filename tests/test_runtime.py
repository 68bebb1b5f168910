import functools
import hashlib
import os
import random
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from labcore import runtime

ROOT = Path(runtime.__file__).parents[1]


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("LABCORE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


class Counted:
    """A computation that counts its calls."""

    def __init__(self, **arrays):
        self.arrays, self.calls = arrays or {"x": np.arange(3)}, 0

    def __call__(self):
        self.calls += 1
        return self.arrays


def kept(home) -> list:
    return sorted((home / "cache").iterdir())


def test_a_cached_result_is_computed_once_and_comes_back_with_the_same_bits(home):
    arrays = {
        "scalar": np.float64(2.5), "empty": np.zeros((0, 3), np.int8), "flags": np.array([True, False]),
        "turned": np.arange(6.0).reshape(2, 3).T, "nan": np.array([np.nan, -0.0], np.float32),
    }  # fmt: skip
    compute = Counted(**arrays)
    first = runtime.cached(compute, recipe={"name": "r"})
    again = runtime.cached(compute, recipe={"name": "r"})
    assert compute.calls == 1
    for result in (first, again):
        assert result.keys() == arrays.keys()
        for name, expected in arrays.items():
            assert (result[name].dtype, result[name].shape) == (expected.dtype, expected.shape)
            assert result[name].tobytes() == expected.tobytes()
    assert len(kept(home)) == 1
    assert kept(home)[0].name.startswith("r-")


def test_a_change_of_recipe_input_or_source_computes_again(monkeypatch, home):
    compute = Counted()
    calls = [
        {"recipe": {"name": "r", "a": 1}},
        {"recipe": {"name": "r", "a": 2}},
        {"recipe": {"name": "s", "a": 1}},
        {"recipe": {"name": "r", "a": 1}, "inputs": [b"x"]},
        {"recipe": {"name": "r", "a": 1}, "inputs": [b"x", b""]},
        {"recipe": {"name": "r", "a": 1}, "inputs": [b"", b"x"]},
    ]
    for call in calls:
        runtime.cached(compute, **call)
    assert compute.calls == len(calls) == len(kept(home))
    runtime.cached(compute, recipe={"a": 2, "name": "r"})
    assert compute.calls == len(calls)
    monkeypatch.setattr(runtime, "_source_hash", lambda: "another version of labcore")
    runtime.cached(compute, **calls[0])
    assert compute.calls == len(calls) + 1


def test_a_changed_result_does_not_change_what_is_kept():
    compute = Counted()
    runtime.cached(compute, recipe={"name": "r"})
    runtime.cached(compute, recipe={"name": "r"})["x"][:] = 9
    assert runtime.cached(compute, recipe={"name": "r"})["x"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"", lambda b: b[:-1] + bytes([b[-1] ^ 1])])
def test_a_damaged_file_is_computed_again_with_one_warning(home, damage):
    compute = Counted()
    runtime.cached(compute, recipe={"name": "r"})
    path = kept(home)[0]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(RuntimeWarning, match=r"is damaged; computing instead") as caught:
        result = runtime.cached(compute, recipe={"name": "r"})
    assert len(caught) == 1
    assert result["x"].tolist() == [0, 1, 2]
    assert runtime.cached(compute, recipe={"name": "r"})["x"].tolist() == [0, 1, 2]
    assert compute.calls == 2


def full(path, payload=b""):
    """A disk that takes one byte and then no more; the message differs each time."""
    with open(path, "ab") as stream:
        stream.write(payload[:1])
    raise OSError(28, "No space left on device", str(path))


def unreadable(path):
    raise OSError(5, "Input/output error", str(path))


@pytest.mark.parametrize("trouble", ["cannot write", "full", "cannot read"])
def test_a_cache_that_fails_costs_one_warning_and_never_a_result(monkeypatch, home, trouble):
    runtime._source_hash()
    if trouble == "cannot write":
        home.write_text("a file in the folder's place")
    elif trouble == "full":
        monkeypatch.setattr(Path, "write_bytes", full)
    else:
        monkeypatch.setattr(Path, "read_bytes", unreadable)
    compute = Counted()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for n in range(3):
            result = runtime.cached(compute, recipe={"name": "r", "n": n})
            assert result["x"].tolist() == [0, 1, 2]
    assert compute.calls == 3
    assert len(caught) == 1
    assert str(caught[0].message).startswith(f"{trouble.replace('full', 'cannot write')} the cache at {home}")
    assert trouble != "full" or kept(home) == []


def test_an_error_of_the_computation_is_raised_and_nothing_is_kept(home):
    with pytest.raises(ZeroDivisionError):
        runtime.cached(lambda: {"x": 1 / 0}, recipe={"name": "r"})
    assert not (home / "cache").exists()


def test_two_processes_that_compute_at_once_agree(monkeypatch, home, tmp_path):
    monkeypatch.setattr(runtime, "_source_hash", lambda: "source")
    script = f"""
import pathlib, sys, time
import numpy as np
from labcore import runtime
folder, me = pathlib.Path({str(tmp_path)!r}), sys.argv[1]
def compute():
    (folder / f"ready-{{me}}").touch()
    while len(list(folder.glob("ready-*"))) < 2:
        time.sleep(0.01)
    return {{"x": np.arange(100_000)}}
runtime._source_hash = lambda: "source"
print(runtime.cached(compute, recipe={{"name": "both"}})["x"].sum())
"""
    start = functools.partial(subprocess.Popen, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    processes = [start([sys.executable, "-c", script, me]) for me in "ab"]
    assert [process.communicate(timeout=60)[0].strip() for process in processes] == ["4999950000"] * 2
    compute = Counted()
    assert runtime.cached(compute, recipe={"name": "both"})["x"].sum() == 4_999_950_000
    assert compute.calls == 0
    assert len(kept(home)) == 1


def test_a_file_is_written_whole_with_ordinary_rights(tmp_path):
    path = tmp_path / "new" / "folder" / "f"
    for payload in (b"first", b"second"):
        runtime.write_atomically(path, payload)
        assert path.read_bytes() == payload
    assert [each.name for each in path.parent.iterdir()] == ["f"]
    (tmp_path / "plain").touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def interrupt(*args):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("owner", "call", "error"), [(Path, "write_bytes", full), (os, "replace", interrupt)]
)
def test_a_failed_write_leaves_the_old_file_and_nothing_else(monkeypatch, tmp_path, owner, call, error):
    runtime.write_atomically(tmp_path / "f", b"old")
    monkeypatch.setattr(owner, call, error)
    with pytest.raises((OSError, KeyboardInterrupt)):
        runtime.write_atomically(tmp_path / "f", b"new")
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"f": b"old"}


def test_a_shipped_file_is_checked_against_the_manifest(monkeypatch):
    manifest = runtime.read_manifest()
    assert "fashion14.npz" in manifest
    payload = runtime.read_shipped("fashion14.npz")
    assert hashlib.sha256(payload).hexdigest() == manifest["fashion14.npz"]["sha256"]
    monkeypatch.setattr(runtime, "read_manifest", lambda: {"fashion14.npz": {"sha256": "0" * 64}, "b": {}})
    with pytest.raises(ValueError, match=r"'fashion14.npz' is damaged.*expected 000000000000.*install"):
        runtime.read_shipped("fashion14.npz")
    with pytest.raises(FileNotFoundError, match=r"nothing shipped under 'a'; shipped are: b, fashion14.npz"):
        runtime.read_shipped("a")


@pytest.mark.case("C-noise")
def test_a_seeded_block_repeats_and_leaves_every_global_generator_alone():
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    drawn = []
    for seed in (1, 1, 2):
        with runtime.fork_rng(seed):
            drawn.append(torch.rand(3).tolist())
    with pytest.raises(RuntimeError), runtime.fork_rng(3):
        torch.rand(-1)
    assert drawn[0] == drawn[1] != drawn[2]
    after = torch.get_rng_state(), np.random.get_state()[1], random.getstate()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert (before[1] == after[1]).all()
    assert before[2] == after[2]


def test_threads_are_one_unless_told(monkeypatch):
    monkeypatch.delenv("LABCORE_THREADS", raising=False)
    assert runtime.threads() == 1
    monkeypatch.setenv("LABCORE_THREADS", "3")
    assert runtime.threads() == 3
    for wrong in ("0", "-1", "two", "1.5", "", "²"):
        monkeypatch.setenv("LABCORE_THREADS", wrong)
        with pytest.raises(ValueError, match=f"whole number of at least 1, got '{wrong}'"):
            runtime.threads()


def test_progress_shows_a_label_but_is_silent_in_strict_mode(monkeypatch, capsys):
    monkeypatch.setenv("LABCORE_STRICT", "1")
    assert list(runtime.progress(range(3), "training")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("LABCORE_STRICT", "0")
    assert list(runtime.progress(range(3), "training")) == [0, 1, 2]
    assert "training" in capsys.readouterr().err


def test_home_is_the_variable_or_the_users_data_folder(monkeypatch, home):
    assert runtime.home() == home
    monkeypatch.setenv("LABCORE_HOME", "")
    assert runtime.home().name == "labcore"
