"""Commands: ``labcore lab`` opens the course, ``labcore check`` tells a teacher whether this machine is ready."""

import argparse
import functools
import importlib
import os
import pkgutil
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import get_args

import torch

import labcore
from labcore import binarize, data, deploy, models, runtime, text, training

__all__ = ["Step", "check_machine", "copy_chapters", "lab_arguments", "lab_environment", "main", "pre_flight_steps"]

ROOT = Path(labcore.__file__).parents[1]
FIRST_CHAPTER = "00_costs.ipynb"
_FREE_BYTES = 500_000_000
_RESTORE = "restore what is shipped: git checkout -- labcore/shipped"


# --- labcore lab ----------------------------------------------------------------------------------


def copy_chapters(root: Path) -> list[str]:
    """Copy chapters and figures to ``work/`` where they are missing; nothing is ever overwritten.

    Returns:
        Names of the chapters that were there already.

    Raises:
        FileNotFoundError: no chapters at `root`.
    """
    chapters = sorted((root / "notebooks").glob("*.ipynb"))
    if not chapters:
        raise FileNotFoundError(
            f"expected the chapters in {root / 'notebooks'}, found none; clone the repository and install it with "
            "python -m pip install --editable ."
        )
    kept = []
    for source in [*chapters, *sorted((root / "notebooks" / "figures").glob("*.svg"))]:
        target = root / "work" / source.relative_to(root / "notebooks")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copyfile(source, target)
        elif target.suffix == ".ipynb":
            kept.append(target.name)
    return kept


def lab_arguments(root: Path, *, browser: bool = True, port: int | None = None) -> list[str]:
    """Arguments of JupyterLab: opens the first chapter, sees the whole project."""
    # The default address, not a file argument: that one is left out of the address printed for other browsers.
    arguments = [f"--ServerApp.root_dir={root}", f"--LabApp.default_url=/lab/tree/work/{FIRST_CHAPTER}"]
    if not browser:
        arguments.append("--no-browser")
    if port is not None:
        arguments.append(f"--ServerApp.port={port}")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--allow-root")  # containers have no other user
    return arguments


def lab_environment() -> dict[str, str]:
    """Settings that keep JupyterLab from fetching news and updates: a lecture room may have no network."""
    paths = [str(resources.files("labcore") / "shipped" / "jupyter"), os.environ.get("JUPYTER_CONFIG_PATH")]
    return {"JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, paths))}


def _lab(options: argparse.Namespace) -> int:
    kept = copy_chapters(ROOT)
    if kept:
        print(f"kept your copies in work/: {', '.join(kept)}\nfor a clean copy, delete or rename yours and start again")
    os.environ.update(lab_environment())
    from jupyterlab.labapp import LabApp

    LabApp.launch_instance(lab_arguments(ROOT, browser=not options.no_browser, port=options.port))
    return 0


# --- labcore check --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One thing that must work before a lecture.

    Attributes:
        name: what is tried.
        run: does it; gives a few words on the result, raises when it fails.
        mend: what to do then.
    """

    name: str
    run: Callable[[], str]
    mend: str


def pre_flight_steps() -> list[Step]:
    """Everything a chapter needs, in the order it needs it."""
    return [
        Step("imports", _import_everything, "install again: python -m pip install --editable ."),
        Step("folder", _use_home, "free some space, or name a writable folder with LABCORE_HOME"),
        Step("threads", _count_threads, "set LABCORE_THREADS to a whole number, or unset it"),
        Step("shipped files", _read_shipped, _RESTORE),
        *(Step(f"data {name}", functools.partial(_load_data, name), _RESTORE) for name in ("fashion14", "mnist5k")),
        *(Step(f"model {name}", functools.partial(_load_model, name), _RESTORE) for name in get_args(models.ModelName)),
        Step("evaluation", _evaluate, "install again: python -m pip install --editable ."),
        Step("kernels", _compile_kernels, "free some space: compiled code is kept beside the package"),
        Step("compiling packed kernels", _compile_packed_kernels, "free some space, or install numba again"),
    ]


def check_machine(steps: list[Step]) -> bool:
    """Run every step, print each with its seconds, then "ready" or what is not and how to mend it."""
    failed = []
    for step in steps:
        started = time.perf_counter()
        try:
            outcome, mark = step.run(), "ok"
        except Exception as error:
            outcome, mark = f"{type(error).__name__}: {error}", "FAILED"
            failed.append(step)
        print(f"{mark:<6} {time.perf_counter() - started:6.1f} s  {step.name}: {outcome}", flush=True)
    if not failed:
        print("ready")
    for step in failed:
        print(f"not ready: {step.name}\n  {step.mend}")
    return not failed


def _import_everything() -> str:
    # Compiles the modules and builds matplotlib's list of fonts, both slow the first time.
    importlib.import_module("matplotlib.font_manager")
    found = (module.name for module in pkgutil.walk_packages(labcore.__path__, "labcore."))
    names = [name for name in found if not name.endswith("__main__")]
    for name in names:
        importlib.import_module(name)
    return f"{len(names)} modules, torch {torch.__version__}"


def _use_home() -> str:
    home = runtime.home()
    runtime.write_atomically(home / ".check", b"")
    (home / ".check").unlink()
    free = shutil.disk_usage(home).free
    if free < _FREE_BYTES:
        raise OSError(f"{home} has {text.size(free)} free, {text.size(_FREE_BYTES)} are needed")
    return f"{home} is writable, {text.size(free)} free"


def _count_threads() -> str:
    return f"{runtime.threads()} of {os.cpu_count()} processors (LABCORE_THREADS)"


def _read_shipped() -> str:
    names = runtime.read_manifest()
    return f"{len(names)} files, {text.size(sum(len(runtime.read_shipped(name)) for name in names))}"


def _load_data(name: str) -> str:
    dataset = data.load_dataset(name)
    return f"{text.count(len(dataset.train_labels))} + {text.count(len(dataset.test_labels))} images"


def _load_model(name: models.ModelName) -> str:
    return f"{text.count(sum(p.numel() for p in models.load_model(name).parameters()))} parameters"


def _evaluate() -> str:
    answers = training.evaluate(models.load_model("lab_cnn"), data.load_dataset("fashion14").batches())
    expected = runtime.read_manifest()["lab_cnn.safetensors"]["n_correct"]
    # Machines round differently: a few images near a border may fall on its other side.
    if abs(answers.n_correct - expected) > 0.002 * answers.n_images:
        raise ValueError(f"lab_cnn gets {answers.n_correct} of {answers.n_images} images right, expected {expected}")
    return f"lab_cnn gets {text.percent(answers.accuracy)} of {text.count(answers.n_images)} images right"


def _compile_kernels() -> str:
    # Small layers take the same code as large ones.
    ladder = deploy.measure_ladder(widths=(16, 16, 16), frames=2, runs=1)
    return f"{len(ladder.rungs)} ways to compute a network; this processor has {deploy.integer_instructions()}"


def _compile_packed_kernels() -> str:
    names = []
    seconds = binarize.warm_kernels(names.append)
    return f"{len(names)} loops in {seconds:.1f} s"


def _check(options: argparse.Namespace) -> int:
    return 0 if check_machine(pre_flight_steps()) else 1


# --- entrance -------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Run a command; gives the exit code."""
    parser = argparse.ArgumentParser(prog="labcore", description="Model Compression Lab")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    lab = commands.add_parser("lab", help="open the course in JupyterLab, on your own copies in work/")
    lab.add_argument("--no-browser", action="store_true", help="print the address only")
    lab.add_argument("--port", type=int, help="where to listen (default: the first free one from 8888)")
    lab.set_defaults(run=_lab)
    check = commands.add_parser("check", help="is this machine ready for a lecture?")
    check.set_defaults(run=_check)
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except OSError as error:
        parser.error(str(error))


if __name__ == "__main__":
    raise SystemExit(main())
