"""The two commands: the learner's copies are safe, and the pre-flight says exactly what is wrong."""

import json
import os

import pytest

from labcore import cli, runtime
from labcore.cli import Step


@pytest.fixture
def root(tmp_path):
    (tmp_path / "notebooks" / "figures").mkdir(parents=True)
    for name in ("00_costs.ipynb", "01_pruning.ipynb", "figures/00_course.svg", "figures/notes.txt"):
        (tmp_path / "notebooks" / name).write_text(f"clean {name}", "utf-8")
    return tmp_path


def test_chapters_and_figures_are_copied_where_missing(root):
    assert cli.copy_chapters(root) == []
    copied = {str(path.relative_to(root / "work")) for path in (root / "work").rglob("*") if path.is_file()}
    assert copied == {"00_costs.ipynb", "01_pruning.ipynb", os.path.join("figures", "00_course.svg")}


def test_learners_copy_is_never_overwritten(root):
    (root / "work").mkdir()
    (root / "work" / "00_costs.ipynb").write_text("my answers", "utf-8")
    assert cli.copy_chapters(root) == ["00_costs.ipynb"]
    assert (root / "work" / "00_costs.ipynb").read_text("utf-8") == "my answers"
    assert (root / "work" / "01_pruning.ipynb").read_text("utf-8") == "clean 01_pruning.ipynb"


@pytest.mark.case("C-install")
def test_without_chapters_the_error_says_how_to_get_them(tmp_path):
    with pytest.raises(FileNotFoundError, match="clone the repository"):
        cli.copy_chapters(tmp_path)


def test_lab_opens_chapter_0_and_sees_the_project(root):
    arguments = cli.lab_arguments(root, browser=False, port=9999)
    assert arguments[:2] == [f"--ServerApp.root_dir={root}", "--LabApp.default_url=/lab/tree/work/00_costs.ipynb"]
    assert {"--no-browser", "--ServerApp.port=9999"} <= set(arguments)
    assert "--no-browser" not in cli.lab_arguments(root)


@pytest.fixture
def launched(root, monkeypatch):
    """What JupyterLab would be started with."""
    from jupyterlab.labapp import LabApp

    calls = []
    monkeypatch.setattr(cli, "ROOT", root)
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "mine")
    monkeypatch.setattr(LabApp, "launch_instance", lambda arguments: calls.append(arguments))
    return calls


def test_lab_command_turns_news_off_and_keeps_other_settings(launched, root):
    assert cli.main(["lab", "--no-browser"]) == 0
    assert launched == [cli.lab_arguments(root, browser=False)]
    ours, *others = os.environ["JUPYTER_CONFIG_PATH"].split(os.pathsep)
    assert others == ["mine"]
    with open(os.path.join(ours, "labconfig", "default_setting_overrides.json"), encoding="utf-8") as stream:
        settings = json.load(stream)["@jupyterlab/apputils-extension:notification"]
    assert settings == {"checkForUpdates": False, "fetchNews": "false"}


def test_lab_command_says_how_to_get_a_clean_copy(launched, root, capsys):
    cli.main(["lab"])
    assert capsys.readouterr().out == ""
    cli.main(["lab"])
    assert "00_costs.ipynb, 01_pruning.ipynb\nfor a clean copy, delete or rename yours" in capsys.readouterr().out


def test_unwritable_folder_ends_with_a_sentence(launched, root, capsys):
    (root / "work").write_text("a file in the folder's place", "utf-8")
    with pytest.raises(SystemExit) as exit_:
        cli.main(["lab"])
    assert exit_.value.code == 2
    assert "work" in capsys.readouterr().err.splitlines()[-1]


def test_machine_is_ready_when_every_step_is(capsys):
    assert cli.check_machine([Step("one", lambda: "fine", "mend one"), Step("two", lambda: "good", "mend two")])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("s  ")[-1] for line in lines] == ["one: fine", "two: good", "ready"]


def test_failed_step_is_named_with_its_remedy_and_the_others_still_run(capsys):
    def fail():
        raise OSError("disk full")

    assert not cli.check_machine([Step("one", fail, "mend one"), Step("two", lambda: "good", "mend two")])
    out = capsys.readouterr().out
    assert "one: OSError: disk full" in out
    assert "two: good" in out
    assert out.endswith("not ready: one\n  mend one\n")


@pytest.mark.slow
def test_this_machine_is_ready(capsys):
    assert cli.main(["check"]) == 0, capsys.readouterr().out


def run(name: str) -> str:
    return next(step for step in cli.pre_flight_steps() if step.name == name).run()


def test_pre_flight_covers_data_every_model_an_evaluation_and_the_kernels():
    names = [step.name for step in cli.pre_flight_steps()]
    assert names[:4] == ["imports", "folder", "threads", "shipped files"]
    assert {"data fashion14", "data mnist5k", "model lab_cnn", "model lenet5"} <= set(names)
    assert names[-3:] == ["evaluation", "kernels", "compiling packed kernels"]


def test_pre_flight_compiles_the_packed_kernels():
    assert run("compiling packed kernels").startswith("4 loops in ")


def test_pre_flight_notices_an_unwritable_home(tmp_path, monkeypatch):
    (tmp_path / "home").write_text("a file in the folder's place", "utf-8")
    monkeypatch.setenv("LABCORE_HOME", str(tmp_path / "home"))
    with pytest.raises(OSError, match="home"):
        run("folder")


def test_pre_flight_notices_a_full_disk(monkeypatch):
    monkeypatch.setattr(cli, "_FREE_BYTES", 1e18)
    with pytest.raises(OSError, match="are needed"):
        run("folder")


@pytest.mark.parametrize("step", ["shipped files", "model lab_cnn", "data fashion14"])
def test_pre_flight_notices_a_damaged_file(step, monkeypatch):
    damaged = {name: {**entry, "sha256": "0" * 64} for name, entry in runtime.read_manifest().items()}
    monkeypatch.setattr(runtime, "read_manifest", lambda: damaged)
    with pytest.raises(ValueError, match="damaged"):
        run(step)


@pytest.mark.case("C-nonsense")
def test_pre_flight_notices_a_model_that_answers_nonsense(monkeypatch):
    monkeypatch.setattr(cli.models, "load_model", cli.models.make_model)
    with pytest.raises(ValueError, match="expected"):
        run("evaluation")
