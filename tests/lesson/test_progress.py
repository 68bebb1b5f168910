"""The learner's record: whole, shared by kernels, and never in the way."""

import json
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from labcore import runtime
from labcore.lesson import progress


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LABCORE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_what_is_recorded_is_there_for_the_next_kernel(home):
    progress.record("points", "0", {"n_params": 5000, "accuracy": 0.86})
    assert json.loads((home / "progress.json").read_text())["points"] == {"0": {"n_params": 5000, "accuracy": 0.86}}
    assert progress.load_progress()["points"]["0"]["n_params"] == 5000


def test_without_a_file_every_kind_is_empty(home):
    assert progress.load_progress() == {"attempts": {}, "predictions": {}, "points": {}, "floor": {}}
    assert not home.exists()


def test_a_record_leaves_the_others_alone(home):
    progress.record("points", "0", 1)
    progress.record("points", "1", 2)
    progress.record("predictions", "0", 3)
    progress.record("points", "0", 4)
    kept = progress.load_progress()
    assert (kept["predictions"], kept["points"]) == ({"0": 3}, {"0": 4, "1": 2})


def test_attempts_are_counted_in_order(home):
    assert progress.record_attempt("0.1", "cost.flops") == 1
    assert progress.record_attempt("0.1", "passed") == 2
    assert progress.record_attempt("0.2", "wrong") == 1
    assert progress.load_progress()["attempts"] == {"0.1": ["cost.flops", "passed"], "0.2": ["wrong"]}


def test_two_writers_at_once_lose_no_record(home, monkeypatch):
    write = runtime.write_atomically

    def write_slowly(path, payload):
        time.sleep(0.01)  # long enough for the other to read the old file
        write(path, payload)

    monkeypatch.setattr(runtime, "write_atomically", write_slowly)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: [progress.record_attempt("0.1", name) for _ in range(5)], ["first", "second"]))
    assert sorted(progress.load_progress()["attempts"]["0.1"]) == ["first"] * 5 + ["second"] * 5


def test_unknown_kind_names_the_valid_ones(home):
    with pytest.raises(ValueError, match=r"unknown kind 'scores'; choose one of: attempts, predictions"):
        progress.record("scores", "0", 1)


def test_the_floor_is_one_point_until_the_learner_chooses(home):
    assert progress.floor() == 0.01
    progress.record("floor", "fraction", 0.025)
    assert progress.floor() == 0.025


@pytest.mark.parametrize("nonsense", ["much", None, 5, -0.1, [0.1]])
def test_a_floor_that_is_no_fraction_counts_as_not_chosen(home, nonsense):
    progress.record("floor", "fraction", nonsense)
    assert progress.floor() == 0.01


@pytest.mark.parametrize("damaged", ["{half", "[]", '{"attempts": 5}', "\ufffd"], ids=["cut", "list", "kind", "text"])
def test_a_damaged_file_is_kept_aside_and_warned_of_once(home, damaged):
    home.mkdir()
    (home / "progress.json").write_text(damaged)
    with pytest.warns(RuntimeWarning, match="kept aside as .bak"):
        assert progress.load_progress()["attempts"] == {}
    progress.record("points", "0", 1)  # a second warning would be an error
    assert progress.load_progress()["points"] == {"0": 1}
    assert (home / "progress.json.bak").read_text() == damaged


def test_an_older_damaged_file_is_not_written_over(home):
    home.mkdir()
    for content in ("first", "second"):
        (home / "progress.json").write_text(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            progress.record("points", "0", 1)
    assert [(home / f"progress.json.bak{i}").read_text() for i in ("", "1")] == ["first", "second"]


def test_a_folder_that_cannot_be_written_costs_one_warning_and_keeps_the_session(home):
    home.write_text("a file where the folder should be")
    with pytest.warns(RuntimeWarning, match="until the kernel stops"):
        progress.record("floor", "fraction", 0.02)
    # A second warning would be an error.
    assert progress.record_attempt("0.1", "wrong") == 1
    assert progress.record_attempt("0.1", "passed") == 2
    assert progress.floor() == 0.02
    home.unlink()
    progress.record("points", "0", 1)
    kept = json.loads((home / "progress.json").read_text())
    assert kept["floor"] == {"fraction": 0.02}
    assert kept["points"] == {"0": 1}


def test_a_failing_disk_leaves_the_old_record_whole(home, monkeypatch):
    progress.record("points", "0", 1)

    def full(path, payload):
        raise OSError("no space left on device")

    monkeypatch.setattr(runtime, "write_atomically", full)
    with pytest.warns(RuntimeWarning, match="no space left"):
        progress.record("points", "0", 2)
    assert json.loads((home / "progress.json").read_text())["points"] == {"0": 1}
    assert progress.load_progress()["points"] == {"0": 2}
