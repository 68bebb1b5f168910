"""Whole channels of lab_cnn: `filters.json` (which ones go) and `slimming.json` (trained so that some can go)."""

import itertools
from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labcore import prune, surgery
from labcore.data import load_dataset
from labcore.metrics import measure_costs, measure_sizes
from labcore.models import make_model
from labcore.recipes.curves import saw_epochs, stack_seeds
from labcore.recipes.weights import RECIPES, train
from labcore.results import Curve, SweepPoint
from labcore.search import save_sweep
from labcore.training import TrainConfig, evaluate, fit

__all__ = [
    "cut_channels", "cut_under", "make_filters", "make_slimming", "run_filters", "run_slimming", "scoring_batches",
]  # fmt: skip

RECIPE = RECIPES["lab_cnn"]

# --- which channels go ------------------------------------------------------------------------------

METHODS: tuple[prune.FilterMethod, ...] = ("gamma", "l1", "random", "largest")
RATIOS = (0.25, 0.5)
TUNING = TrainConfig(2, 2e-3)
SCORING = 32


def scoring_batches(seed: int) -> Iterator[tuple[Tensor, ...]]:
    """What scores from data look at."""
    batches = load_dataset(RECIPE.dataset).batches(RECIPE.batch_size, split="train", seed=seed)
    return itertools.islice(batches, SCORING)


def cut_channels(model: nn.Module, method: prune.FilterMethod, ratio: float, *, seed: int) -> nn.Module:
    """The model without a share of the channels of each layer."""
    sample = load_dataset(RECIPE.dataset).test_images[:1]
    plan = prune.channel_plan(
        model, sample, pruning_ratio=ratio, method=method, batches=scoring_batches(seed), seed=seed
    )  # fmt: skip
    return prune.apply_channel_plan(model, plan)


def run_filters(model: nn.Module, method: prune.FilterMethod, ratio: float, *, seed: int) -> list[float]:
    """Accuracy right after the cut, and after a short training."""
    data, small = load_dataset(RECIPE.dataset), cut_channels(model, method, ratio, seed=seed)
    at_once = evaluate(small, data.batches()).accuracy
    fit(small, data.batches(RECIPE.batch_size, split="train", seed=seed), TUNING)
    return [at_once, evaluate(small, data.batches()).accuracy]


def make_filters() -> dict[str, tuple[bytes, dict]]:
    """The sweep by file name: each method, at once and after tuning.

    The whole network, and the pruned shapes trained from scratch, are lab_cnn of width 16, 12 and 8 in `widths.json`.
    """
    jobs = list(itertools.product(METHODS, RATIOS))

    def run(seed: int) -> list[list[float]]:
        model, _ = train("lab_cnn", seed=seed)
        return [run_filters(model, *job, seed=seed) for job in jobs]

    points = [
        _point(method, ratio, epochs, values[:, stage])
        for (method, ratio), values in zip(jobs, stack_seeds(run, range(10)), strict=True)
        for stage, epochs in enumerate((0, TUNING.epochs))
    ]
    return {"filters.json": (save_sweep(points), {"seeds": 10, "recipe": asdict(RECIPE), "tuning": asdict(TUNING)})}


def _point(method: prune.FilterMethod, ratio: float, epochs: int, accuracies: np.ndarray) -> SweepPoint:
    small = cut_channels(make_model("lab_cnn").eval(), method, ratio, seed=0)
    costs = measure_costs(small, load_dataset(RECIPE.dataset).test_images[:1])
    return SweepPoint(
        method, f"{method}, {ratio:.0%} of the channels, {f'after {epochs} epochs' if epochs else 'at once'}",
        costs.n_params, costs.macs, measure_sizes(small).file_bytes, accuracies,
        {"pruning_ratio": ratio, "epochs": epochs},
    )  # fmt: skip


# --- a penalty on gamma -----------------------------------------------------------------------------

PENALTIES = (0.0, 0.003, 0.01, 0.03)
# Even steps on a logarithmic axis, so that the shares between two of them make a histogram.
THRESHOLDS = (0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5)
# The optimizer and weight decay of the paper. Without decay a layer answers a smaller gamma with larger weights.
SLIMMING = TrainConfig(12, 0.05, optimizer="sgd", weight_decay=5e-4)
SLIM_TUNING = TrainConfig(4, 0.025, optimizer="sgd", weight_decay=5e-4)


def _gammas(model: nn.Module) -> Tensor:
    return torch.cat([module.weight.abs() for module in model.modules() if isinstance(module, nn.BatchNorm2d)])


def cut_under(model: nn.Module, threshold: float) -> nn.Module:
    """The model without the channels whose |gamma| is below a threshold; the largest of each set stays."""
    couplings = surgery.find_couplings(surgery.trace(model, load_dataset(RECIPE.dataset).test_images[:1]))
    gammas = prune.filter_scores(model, load_dataset(RECIPE.dataset).test_images[:1], "gamma")
    under = {name: np.flatnonzero((each < threshold) & (each < each.max())) for name, each in gammas.items()}
    return surgery.remove_channels(model, couplings, under)


def run_slimming(penalty: float, *, seed: int) -> tuple[list[float], list[float], list[float]]:
    """One network trained with a penalty, and cut in two ways.

    The loss is cross-entropy + penalty * (sum of |gamma|).

    Returns:
        Shares of channels with |gamma| below `THRESHOLDS`; accuracies right after those channels went; accuracies
        before and after another cut, of 40 % of all channels, smallest |gamma| first, and after each epoch of tuning.
    """
    data, model = load_dataset(RECIPE.dataset), make_model("lab_cnn", seed=seed)
    batches = data.batches(RECIPE.batch_size, split="train", seed=seed)
    fit(
        model, batches, SLIMMING,
        loss=lambda logits, labels: F.cross_entropy(logits, labels) + penalty * _gammas(model).sum(),
    )  # fmt: skip
    shares = [float((_gammas(model) < threshold).float().mean()) for threshold in THRESHOLDS]
    cut = [evaluate(cut_under(model, threshold), data.batches()).accuracy for threshold in THRESHOLDS]
    plan = prune.channel_plan(model, data.test_images[:1], pruning_ratio=0.4, method="gamma", scope="global")
    small = prune.apply_channel_plan(model, plan)
    before, after = (evaluate(each, data.batches()).accuracy for each in (model, small))
    log = fit(small, batches, SLIM_TUNING, evaluation=data.batches())
    return [round(share, 4) for share in shares], cut, [before, after, *log.accuracies.tolist()]


def make_slimming() -> dict[str, tuple[bytes, dict]]:
    """The curves by file name: for each penalty how many gammas are small, and what their channels cost."""

    def run(seed: int) -> list[list[float]]:
        return [values for penalty in PENALTIES for values in run_slimming(penalty, seed=seed)]

    axes = {
        "share of channels with |gamma| below x": np.array(THRESHOLDS),
        "accuracy without the channels below x": np.array(THRESHOLDS),
        "accuracy, 40 % of the channels pruned": saw_epochs([SLIM_TUNING.epochs]),
    }
    curves = [
        Curve(f"penalty {penalty:g}", label, axes[label], values, {"penalty": penalty})
        for (penalty, label), values in zip(itertools.product(PENALTIES, axes), stack_seeds(run, range(4)), strict=True)
    ]
    recipe = {"seeds": 4, "recipe": asdict(SLIMMING), "tuning": asdict(SLIM_TUNING)}
    return {"slimming.json": (save_sweep(curves), recipe)}
