"""`widths.json`: narrower and wider networks with several seeds: the bar that every compressed network must beat."""

import time

import numpy as np
from joblib import Parallel, delayed
from safetensors.torch import save

from labcore.data import load_dataset
from labcore.metrics import measure_costs, measure_sizes
from labcore.models import ModelName, make_model
from labcore.recipes.weights import RECIPES, WIDTHS, describe, train
from labcore.results import SweepPoint
from labcore.search import save_sweep

__all__ = ["make_widths"]

SEEDS = range(5)
_FAMILIES: dict[ModelName, tuple[str, tuple[int, ...]]] = {
    "lab_cnn": ("lab_cnn, every layer narrower or wider", WIDTHS),
    "lab_mobile": ("lab_mobile, depthwise separable", (4, 8, 16, 24)),
    "lab_resnet": ("lab_resnet, residual", (4, 8, 16)),
}


def _run(name: ModelName, width: int, seed: int):
    """One training: its answers, and the weights as a file for the first seed of lab_cnn."""
    model, evaluation = train(name, width=width, seed=seed)
    keep = name == "lab_cnn" and seed == 0 and width != 16
    return evaluation, save(model.state_dict()) if keep else None


def _point(name: ModelName, width: int, accuracies: list[float]) -> SweepPoint:
    model = make_model(name, width=width).eval()
    costs = measure_costs(model, load_dataset(RECIPES[name].dataset).test_images[:1])
    return SweepPoint(
        _FAMILIES[name][0], f"{name}, width {width}", costs.n_params, costs.macs, measure_sizes(model).file_bytes,
        np.array(accuracies), {"width": width},
    )  # fmt: skip


def make_widths() -> dict[str, tuple[bytes, dict]]:
    """The sweep, and the weights of lab_cnn at each width, by file name."""
    jobs = [(name, width) for name, (_, widths) in _FAMILIES.items() for width in widths]
    started = time.perf_counter()
    runs = Parallel(n_jobs=2)(delayed(_run)(*job, seed) for job in jobs for seed in SEEDS)
    files, points = {}, []
    for i, (name, width) in enumerate(jobs):
        group = runs[i * len(SEEDS) : (i + 1) * len(SEEDS)]
        points.append(_point(name, width, [evaluation.accuracy for evaluation, _ in group]))
        if group[0][1] is not None:
            files[f"{name}-w{width}.safetensors"] = (group[0][1], describe(name, group[0][0]))
    recipe = {"seeds": len(SEEDS), "seconds_of_training": round(time.perf_counter() - started)}
    return files | {"widths.json": (save_sweep(points), recipe)}
