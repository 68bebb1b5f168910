"""Binary and ternary networks without convolutions: alpha with and without batch norm, BinaryConnect."""

import itertools
from collections import OrderedDict
from dataclasses import asdict, replace

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from labcore import binarize, runtime
from labcore.binarize import LatentWeights
from labcore.data import Dataset, load_dataset
from labcore.recipes.binary import BATCH, SEEDS, WEIGHTS, measure_ways
from labcore.recipes.curves import stack_seeds
from labcore.results import Curve
from labcore.search import save_sweep
from labcore.training import TrainConfig, evaluate, fit

__all__ = [
    "CONNECT", "CONNECT_WAYS", "FLAT", "FLAT_WAYS", "make_connect", "make_flat", "make_plain_mlp", "squared_hinge",
    "train_connect", "train_flat",
]  # fmt: skip

FLAT = TrainConfig(epochs=10, learning_rate=1e-3)
FLAT_WAYS = {
    "float": None, "binary weights": WEIGHTS, "binary weights, alpha 1": replace(WEIGHTS, alpha="none"),
    "ternary weights": replace(WEIGHTS, weights="ternary"),
}  # fmt: skip


def make_plain_mlp(norm: bool, *, sizes: tuple[int, ...] = (300, 100), n_inputs: int = 196, seed: int) -> nn.Module:
    """Linear layers with ReLU between them, and batch norm before each ReLU if asked for."""
    with runtime.fork_rng(seed):
        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        for i, (n_in, n_out) in enumerate(itertools.pairwise((n_inputs, *sizes)), start=1):
            layers[f"fc{i}"] = nn.Linear(n_in, n_out)
            if norm:
                layers[f"bn{i}"] = nn.BatchNorm1d(n_out)
            layers[f"relu{i}"] = nn.ReLU()
        layers["last"] = nn.Linear(sizes[-1], 10)
        return nn.Sequential(layers)


def train_flat(way: str, norm: bool, data: Dataset, *, seed: int) -> nn.Module:
    """196-300-100-10; all its layers have binary weights."""
    model, config = make_plain_mlp(norm, seed=seed), FLAT_WAYS[way]
    if config is not None:
        model = binarize.apply_binary(model, config, layers=("fc1", "fc2", "last"))
    after_step = None if config is None else LatentWeights(model)
    batches = data.batches(BATCH, split="train", seed=seed)
    fit(model, batches, replace(FLAT, seed=seed), after_step=after_step, label="without convolutions")
    return model.eval()


def make_flat() -> dict[str, tuple[bytes, dict]]:
    """With and without batch norm, by way."""
    data = load_dataset("fashion14")
    jobs = list(itertools.product(("without batch norm", "with batch norm"), FLAT_WAYS))

    def train(job: tuple[str, str], *, seed: int) -> nn.Module:
        return train_flat(job[1], job[0] == "with batch norm", data, seed=seed)

    curves = [
        Curve(way, norm, np.array([FLAT.epochs]), values, {})
        for (norm, way), values in zip(jobs, measure_ways(jobs, train, data, SEEDS), strict=True)
    ]
    return {"binary_flat.json": (save_sweep(curves), {"seeds": len(SEEDS), "recipe": asdict(FLAT)})}


# --- BinaryConnect as the paper trains it -------------------------------------------------------------

# Batches of 200 and batch norm behind every layer are the paper's; its training is up to forty times longer.
CONNECT, CONNECT_BATCH = TrainConfig(epochs=25, learning_rate=3e-3), 200
CONNECT_WAYS = {
    "float": None, "deterministic": replace(WEIGHTS, alpha="none"),
    "stochastic": replace(WEIGHTS, alpha="none", weights="stochastic"),
}  # fmt: skip


def squared_hinge(outputs: Tensor, labels: Tensor) -> Tensor:
    """Mean of max(0, 1 - t y)^2 with targets t of -1 and +1."""
    targets = 2 * F.one_hot(labels, outputs.shape[1]).to(outputs.dtype) - 1
    return (1 - targets * outputs).clamp(min=0).square().mean()


def train_connect(way: str, data: Dataset, *, seed: int) -> nn.Module:
    """784-256-256-256-10 on digits."""
    model = make_plain_mlp(True, sizes=(256, 256, 256), n_inputs=784, seed=seed)
    model.append(nn.BatchNorm1d(10))
    config = CONNECT_WAYS[way]
    names = ("fc1", "fc2", "fc3", "last")
    if config is not None:
        model = binarize.apply_binary(model, config, layers=names)
    after_step = None if config is None else LatentWeights(model, steps="scaled")
    batches = data.batches(CONNECT_BATCH, split="train", seed=seed)
    rate = CONNECT.learning_rate if config is not None else FLAT.learning_rate
    fit(
        model, batches, replace(CONNECT, seed=seed, learning_rate=rate), loss=squared_hinge, after_step=after_step,
        label=f"BinaryConnect, {way}",
    )  # fmt: skip
    return model.eval()


def make_connect() -> dict[str, tuple[bytes, dict]]:
    """Accuracy on images of the training and of the test."""
    data = load_dataset("mnist5k")

    def run(seed: int) -> list[list[float]]:
        models = [train_connect(way, data, seed=seed) for way in CONNECT_WAYS]
        return [
            [evaluate(model, data.batches(split=split)).accuracy] for model in models for split in ("train", "test")
        ]

    jobs = itertools.product(CONNECT_WAYS, ("training images", "test images"))
    curves = [
        Curve(way, split, np.array([CONNECT.epochs]), values, {})
        for (way, split), values in zip(jobs, stack_seeds(run, SEEDS), strict=True)
    ]
    return {"binary_connect.json": (save_sweep(curves), {"seeds": len(SEEDS), "recipe": asdict(CONNECT)})}
