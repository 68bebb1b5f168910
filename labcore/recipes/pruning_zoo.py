"""Every score beside every other, for weights and for filters of lab_cnn: `score_zoo.json`."""

import itertools
from dataclasses import asdict, replace
from typing import Literal, get_args

import numpy as np
from torch import nn

from labcore import prune
from labcore.data import load_dataset
from labcore.prune.masks import Masks
from labcore.recipes.curves import stack_seeds
from labcore.recipes.pruning_channels import RECIPE, SCORING, TUNING, run_filters, scoring_batches
from labcore.recipes.weights import train
from labcore.results import Curve
from labcore.search import save_sweep

__all__ = ["SCORES", "SHARES", "Kind", "make_score_zoo", "run_score", "weight_masks"]

Kind = Literal["weights", "filters"]
SHARES = (0.25, 0.5, 0.75, 0.9)
SCORES: dict[Kind, tuple[str, ...]] = {
    "weights": (
        "magnitude, all layers", "magnitude, each layer", "lamp", "snip", "taylor_sum_abs", "taylor_abs_sum",
        "taylor_sum_square", "random",
    ),
    "filters": get_args(prune.FilterMethod),
}  # fmt: skip
CONFIGS = {"weights": replace(TUNING, epochs=1), "filters": TUNING}
WHOLE = "whole network"
SEEDS = 5


def weight_masks(model: nn.Module, score: str, share: float, *, seed: int) -> Masks:
    """Masks without the lowest scores, of all layers together or of each layer.

    SNIP is made for networks before training; here it ranks a trained one, by one batch.
    """
    match score.split(", "):
        case ["magnitude", scope]:
            return prune.magnitude_masks(model, sparsity=share, scope="global" if scope == "all layers" else "layer")
        case ["lamp"]:
            scores = prune.scores.lamp(model)
        case ["snip"]:
            scores = prune.scores.snip(model, itertools.islice(scoring_batches(seed), 1))
        case ["random"]:
            scores = prune.scores.random(model, seed=seed)
        case _:
            scores = prune.scores.taylor(model, scoring_batches(seed), variant=score.removeprefix("taylor_"))
    return prune.masks_global(scores, share)


def run_score(model: nn.Module, kind: Kind, score: str, share: float, *, seed: int) -> list[float]:
    """Accuracy right after the cut, and after a short training."""
    if kind == "filters":
        return run_filters(model, score, share, seed=seed)
    data = load_dataset(RECIPE.dataset)
    pruned = prune.train_masked(
        model, weight_masks(model, score, share, seed=seed),
        data.batches(RECIPE.batch_size, split="train", seed=seed), CONFIGS[kind], evaluation=data.batches(),
    )  # fmt: skip
    return [pruned.round.cut_accuracy, float(pruned.round.log.accuracies[-1])]


def make_score_zoo() -> dict[str, tuple[bytes, dict]]:
    """The curves by file name: accuracy against the share removed, for each score, at once and after tuning."""
    jobs = [(kind, score) for kind, scores in SCORES.items() for score in scores]

    def run(seed: int) -> list[np.ndarray]:
        model, whole = train("lab_cnn", seed=seed)
        results = [[run_score(model, *job, share, seed=seed) for share in SHARES] for job in jobs]
        return [np.array([whole.accuracy]), *(stage for result in results for stage in np.array(result).T)]

    whole, *accuracies = stack_seeds(run, range(SEEDS))
    curves = [Curve(WHOLE, "not pruned", np.array([0.0]), whole, {})]
    stages = [(*job, epochs) for job in jobs for epochs in (0, CONFIGS[job[0]].epochs)]
    for (kind, score, epochs), values in zip(stages, accuracies, strict=True):
        label = f"{kind}, {'tuned' if epochs else 'at once'}"
        curves.append(Curve(score, label, np.array(SHARES), values, {"epochs": epochs}))
    recipe = {"seeds": SEEDS, "scoring_batches": SCORING, "recipe": asdict(RECIPE)}
    return {"score_zoo.json": (save_sweep(curves), recipe | {f"tuning_{k}": asdict(c) for k, c in CONFIGS.items()})}
