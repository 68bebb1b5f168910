"""Which weights stay, and when they go: `scores_at_init.json`, `gradual.json`, `two_four.json`."""

import itertools
from dataclasses import asdict

import numpy as np
from torch import nn

from labcore import prune, runtime
from labcore.data import load_dataset
from labcore.models import ModelName, make_model
from labcore.prune.masks import Masks
from labcore.prune.scores import Scores
from labcore.recipes.curves import saw, saw_epochs, stack_seeds
from labcore.recipes.weights import RECIPES, train
from labcore.results import Curve
from labcore.search import load_sweep, save_sweep
from labcore.training import evaluate, fit

__all__ = ["make_gradual", "make_scores_at_init", "make_two_four", "run_at_init", "run_gradual", "run_two_four"]

# --- before training --------------------------------------------------------------------------------

INITS = ("Xavier", "PyTorch's default")
SCORES = ("SNIP", "magnitude", "random")
SPARSITIES = (0.9, 0.95, 0.98, 0.99)


def _fresh(init: str, seed: int) -> nn.Module:
    model = make_model("lenet_300_100", seed=seed)
    if init == "Xavier":
        with runtime.fork_rng(seed):
            for name in prune.prunable_parameters(model):
                nn.init.xavier_normal_(model.get_parameter(name))
    return model


def _scores(method: str, model: nn.Module, seed: int) -> Scores:
    if method == "SNIP":
        one = itertools.islice(load_dataset("mnist5k").batches(100, split="train", seed=seed), 1)
        return prune.scores.snip(model, one)
    return prune.scores.magnitude(model) if method == "magnitude" else prune.scores.random(model, seed=seed)


def run_at_init(init: str, method: str, sparsity: float, *, seed: int) -> float:
    """Accuracy of LeNet-300-100 that was cut before it was trained; the lowest scores of all layers together go."""
    recipe, model = RECIPES["lenet_300_100"], _fresh(init, seed)
    data = load_dataset(recipe.dataset)
    masks = prune.masks_global(_scores(method, model, seed), sparsity)
    batches = data.batches(recipe.batch_size, split="train", seed=seed)
    return evaluate(prune.train_masked(model, masks, batches, recipe.config).model, data.batches()).accuracy


def make_scores_at_init() -> dict[str, tuple[bytes, dict]]:
    """The curves by file name: accuracy against sparsity, for each score and each way to draw the first weights."""
    jobs = list(itertools.product(INITS, SCORES))

    def run(seed: int) -> list[list[float]]:
        return [[run_at_init(*job, sparsity, seed=seed) for sparsity in SPARSITIES] for job in jobs]

    curves = [
        Curve(method, init, np.array(SPARSITIES), values, {})
        for (init, method), values in zip(jobs, stack_seeds(run, range(4)), strict=True)
    ]
    recipe = {"seeds": 4, "recipe": asdict(RECIPES["lenet_300_100"]), "snip_images": 100}
    return {"scores_at_init.json": (save_sweep(curves), recipe)}


# --- large and sparse against small and dense -------------------------------------------------------

# Widths of lab_cnn that are pruned, and widths whose number of weights is what they keep.
LARGE, SMALL = (16, 32), (4, 6, 8, 12)
START_EPOCH, END_EPOCH, EVERY = 1, 6, 20


class Gradually:
    """A hook for `training.fit`: every few steps the smallest weights go, up to the sparsity that `cubic` gives."""

    def __init__(self, final: float, steps_per_epoch: int, scope: str):
        self.final, self.start, self.end = final, START_EPOCH * steps_per_epoch, END_EPOCH * steps_per_epoch
        self.select = {"global": prune.masks_global, "layer": prune.masks_per_layer}[scope]
        self.masks: Masks = {}

    def __call__(self, model: nn.Module, step: int) -> None:
        if step % EVERY == 0 or step == self.end:
            target = prune.cubic(step, start=self.start, end=self.end, final=self.final)
            self.masks = self.select(prune.scores.magnitude(model), target, within=self.masks)
        if self.masks:
            prune.hold(self.masks)(model, step)


def run_gradual(width: int, n_left: int, scope: str, *, seed: int) -> float:
    """Accuracy of lab_cnn that was trained from the start, by its own recipe, and lost weights on the way.

    Args:
        n_left: parameters that no mask takes, biases and batch norm included.
    """
    recipe, model = RECIPES["lab_cnn"], make_model("lab_cnn", width=width, seed=seed)
    data = load_dataset(recipe.dataset)
    batches = data.batches(recipe.batch_size, split="train", seed=seed)
    n_params = sum(parameter.numel() for parameter in model.parameters())
    n_prunable = sum(each.numel() for each in prune.scores.magnitude(model).values())
    fit(
        model, batches, recipe.config,
        after_step=Gradually((n_params - n_left) / n_prunable, len(batches), scope),
    )  # fmt: skip
    return evaluate(model, data.batches()).accuracy


def make_gradual() -> dict[str, tuple[bytes, dict]]:
    """The curves by file name: accuracy against parameters that are left, as many as narrower networks have.

    The narrower networks, trained as long, stand in `widths.json`.
    """
    dense = {p.settings["width"]: p.n_params for p in load_sweep("widths") if p.label.startswith("lab_cnn")}
    jobs = [(width, "global") for width in LARGE] + [(LARGE[0], "layer")]

    def run(seed: int) -> list[list[float]]:
        return [[run_gradual(width, dense[small], scope, seed=seed) for small in SMALL] for width, scope in jobs]

    curves = [
        Curve(
            f"lab_cnn, width {width}, gradually pruned",
            "all layers together" if scope == "global" else "every layer alike",
            np.array([dense[small] for small in SMALL]), values, {"width": width},
        )
        for (width, scope), values in zip(jobs, stack_seeds(run, range(4)), strict=True)
    ]  # fmt: skip
    recipe = asdict(RECIPES["lab_cnn"])
    ramp = {"start_epoch": START_EPOCH, "end_epoch": END_EPOCH, "every": EVERY}
    return {"gradual.json": (save_sweep(curves), {"seeds": 4, "recipe": recipe, "ramp": ramp})}


# --- two of every four ------------------------------------------------------------------------------

CUTS = {"2 of every 4": 0.5, "any half of a layer": 0.5, "nothing": 0.0}


def run_two_four(name: ModelName, cut: str, model: nn.Module, *, seed: int) -> list[float]:
    """Accuracies before and after the cut, and after each epoch of the same training once more (see `saw`)."""
    recipe = RECIPES[name]
    data = load_dataset(recipe.dataset)
    # The first convolution reads one channel: there are no four neighbours.
    scores = {key: each for key, each in prune.scores.magnitude(model).items() if each.shape[1] % 4 == 0}
    masks = prune.masks_n_m(scores, 2, 4) if cut == "2 of every 4" else prune.masks_per_layer(scores, CUTS[cut])
    batches = data.batches(recipe.batch_size, split="train", seed=seed)
    trained = prune.train_masked(model, masks, batches, recipe.config, evaluation=data.batches())
    return saw(evaluate(model, data.batches()).accuracy, [trained.round])


def make_two_four() -> dict[str, tuple[bytes, dict]]:
    """The curves by file name: accuracy against epochs, two networks, cut in fours, freely, and not at all."""
    names: tuple[ModelName, ...] = ("lenet_300_100", "lab_cnn")
    jobs = list(itertools.product(names, CUTS))

    def run(seed: int) -> list[list[float]]:
        models = {name: train(name, seed=seed)[0] for name in names}
        return [run_two_four(name, cut, models[name], seed=seed) for name, cut in jobs]

    curves = [
        Curve(cut, name, saw_epochs([RECIPES[name].config.epochs]), values, {"sparsity": CUTS[cut]})
        for (name, cut), values in zip(jobs, stack_seeds(run, range(4)), strict=True)
    ]
    return {"two_four.json": (save_sweep(curves), {"seeds": 4, "recipes": {n: asdict(RECIPES[n]) for n in names}})}
