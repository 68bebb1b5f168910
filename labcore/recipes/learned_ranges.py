"""`learned_ranges.json`: lab_cnn trained on few bits, with ranges that stay as calibrated and ranges that learn."""

from dataclasses import asdict, replace
from functools import partial

import numpy as np
from torch import nn
from torch.nn import functional as F

from labcore import quantize
from labcore.data import Dataset, load_dataset
from labcore.models import load_model
from labcore.quantize import PER_CHANNEL, PER_TENSOR, QuantConfig, int_format
from labcore.recipes.curves import stack_seeds
from labcore.results import Curve
from labcore.search import save_sweep
from labcore.training import TrainConfig, evaluate, fit

__all__ = ["BITS", "CONFIG", "RUNS", "make_learned_ranges", "train_ranges"]

BITS = (2, 3, 4)
# Adam would move a range by the learning rate at each step, whatever its gradient.
CONFIG = TrainConfig(epochs=2, learning_rate=0.01, optimizer="sgd")
PENALTY = 0.05

# By what has few bits, then by how ranges come about: calibration of the activations, and what learns.
RUNS = {
    "activations": {
        "largest value": ("max", None), "least squared error": ("mse", None),
        "LSQ": ("max", "lsq"), "PACT": ("max", "pact"),
    },
    "weights and activations": {
        "largest value": ("max", None), "least squared error": ("mse", None),
        "LSQ": ("max", "lsq"), "DoReFa": ("max", "dorefa"),
    },
}  # fmt: skip


def quantize_start(what: str, bits: int, calibration: str) -> QuantConfig:
    """Settings before training; activations alone leave the weights on 4 bits, with one scale a channel."""
    few = int_format(bits)
    start = QuantConfig(weights=few, activations=few, granularity=PER_TENSOR, calibration=calibration, output=None)
    return start if what != "activations" else replace(start, weights=int_format(4), granularity=PER_CHANNEL)


def train_ranges(what: str, how: str, bits: int, data: Dataset, *, seed: int) -> nn.Module:
    """One network, trained on from the shipped weights.

    Args:
        what, how: keys of `RUNS`.
        bits: of the activations, or of weights and activations.
        data: `fashion14`.
        seed: of the order of images.
    """
    calibration, method = RUNS[what][how]
    start = quantize_start(what, bits, calibration)
    model = quantize.apply_static(load_model("lab_cnn"), [data.train_images[:500]], start)
    if method:
        model = quantize.apply_learned_ranges(model, method=method)

    def loss(logits, labels):
        return F.cross_entropy(logits, labels) + (PENALTY * quantize.range_penalty(model) if method == "pact" else 0)

    fit(model, data.batches(64, split="train", seed=seed), CONFIG, loss=loss, label=f"{how}, {bits} bits")
    return model


def make_learned_ranges() -> dict[str, tuple[bytes, dict]]:
    """The curves by file name: accuracy against bits."""
    data = load_dataset("fashion14")
    jobs = [(what, how) for what, ways in RUNS.items() for how in ways]

    def run(seed: int) -> list[list[float]]:
        train = partial(train_ranges, data=data, seed=seed)
        return [[evaluate(train(*job, bits), data.batches()).accuracy for bits in BITS] for job in jobs]

    curves = [
        Curve(how, what, np.array(BITS), values, {})
        for (what, how), values in zip(jobs, stack_seeds(run, range(3)), strict=True)
    ]
    facts = {"seeds": 3, "recipe": asdict(CONFIG), "penalty": PENALTY}
    return {"learned_ranges.json": (save_sweep(curves), facts)}
