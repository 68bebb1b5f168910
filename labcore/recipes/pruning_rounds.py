"""LeNet-300-100 cut in rounds: `saw.json` (one cut or several) and `lottery.json` (rewinding to the first weights)."""

import copy
import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from torch import Tensor, nn

from labcore import prune
from labcore.data import Batches, Dataset, load_dataset
from labcore.models import make_model
from labcore.recipes.curves import saw, saw_epochs, stack_seeds
from labcore.recipes.weights import train
from labcore.results import Curve
from labcore.search import save_sweep
from labcore.training import TrainConfig, evaluate

__all__ = ["make_lottery", "make_saw", "run_controls", "run_saw", "run_tickets"]


@functools.cache
def _digits() -> Dataset:
    return load_dataset("mnist5k")


# --- one cut or several -----------------------------------------------------------------------------

# What the layers lose: S. Han et al., Deep Compression, arXiv 1510.00149, table 2; and with about 1/32 left.
FINAL = {
    "1/12 left": {"fc1.weight": 0.92, "fc2.weight": 0.91, "fc3.weight": 0.74},
    "1/32 left": {"fc1.weight": 0.97, "fc2.weight": 0.96, "fc3.weight": 0.85},
}
# Epochs of training after each cut, 40 in all.
SCHEDULES = {
    "one shot": (40,), "3 rounds": (14, 13, 13), "5 rounds": (8,) * 5, "8 rounds": (5,) * 8,
    "gradual": (1,) * 29 + (11,),
}  # fmt: skip
SGD = TrainConfig(40, 0.1, optimizer="sgd")
# The optimizer and rate that trained the network: five epochs a round are too few for it, and one shot wins.
ADAM = TrainConfig(40, 1.2e-3)


def _targets(schedule: str, final: dict[str, float]) -> Sequence[dict[str, float]]:
    n = len(SCHEDULES[schedule])
    if schedule != "gradual":
        return prune.iterative(final, levels=n)
    return [{name: prune.cubic(i, start=0, end=n, final=s) for name, s in final.items()} for i in range(1, n + 1)]


def run_saw(
    model: nn.Module, final: dict[str, float], schedule: str, config: TrainConfig, *, seed: int
) -> list[float]:
    """Accuracies before, after each cut, and after each epoch of one run (see `saw`)."""
    batches, rounds, masks = _digits().batches(64, split="train", seed=seed), [], None
    before = evaluate(model, _digits().batches()).accuracy
    for target, epochs in zip(_targets(schedule, final), SCHEDULES[schedule], strict=True):
        masks = prune.masks_per_layer(prune.scores.magnitude(model), target, within=masks)
        pruned = prune.train_masked(
            model, masks, batches, replace(config, epochs=epochs), evaluation=_digits().batches()
        )  # fmt: skip
        model = pruned.model
        rounds.append(pruned.round)
    return saw(before, rounds)


def make_saw() -> dict[str, tuple[bytes, dict]]:
    """The curves by file name. With Adam only one shot and eight rounds, where the outcome turns round."""
    jobs = [(left, schedule, SGD) for left in FINAL for schedule in SCHEDULES]
    jobs += [("1/32 left", schedule, ADAM) for schedule in ("one shot", "8 rounds")]

    def run(seed: int) -> list[list[float]]:
        model, _ = train("lenet_300_100", seed=seed)
        return [run_saw(model, FINAL[left], schedule, config, seed=seed) for left, schedule, config in jobs]

    curves = []
    for (left, schedule, config), values in zip(jobs, stack_seeds(run, range(6)), strict=True):
        sparsity = prune.sparsity_of(prune.magnitude_masks(make_model("lenet_300_100"), sparsity=FINAL[left]))
        settings = {"sparsity": round(sparsity, 4), "cuts": len(SCHEDULES[schedule])}
        family = schedule if config is SGD else f"{schedule}, Adam"
        curves.append(Curve(family, left, saw_epochs(SCHEDULES[schedule]), values, settings))
    return {"saw.json": (save_sweep(curves), {"seeds": 6, "sgd": asdict(SGD), "adam": asdict(ADAM)})}


# --- lottery tickets --------------------------------------------------------------------------------


@dataclass
class Updates:
    """Batches of which each pass gives the next `n`: training then counts updates."""

    batches: Batches
    n: int
    _stream: Iterator[tuple[Tensor, ...]] = field(init=False, repr=False)

    def __post_init__(self):
        self._stream = itertools.chain.from_iterable(itertools.repeat(self.batches))

    def __copy__(self) -> "Updates":
        return Updates(copy.copy(self.batches), self.n)

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        return itertools.islice(self._stream, self.n)


SHARE = {"fc1.weight": 0.2, "fc2.weight": 0.2, "fc3.weight": 0.1}
TARGETS = (dict.fromkeys(SHARE, 0.0), *prune.remaining(SHARE, levels=16))
# Four passes of 100 updates.
LOTTERY = TrainConfig(4, 1.2e-3, schedule="constant")


def _updates(seed: int) -> Updates:
    return Updates(_digits().batches(60, split="train", seed=seed), 100)


def run_tickets(seed: int, targets: Sequence = TARGETS) -> tuple[prune.PrunedModel, ...]:
    """Round after round: train from the first weights, cut a share of what is left, go back to the first weights."""
    init = make_model("lenet_300_100", seed=seed)
    return prune.prune_iteratively(
        init, _updates(seed), LOTTERY, targets=targets, rewind_to=init, evaluation=_digits().batches()
    )


def run_controls(
    seed: int, tickets: Sequence[prune.PrunedModel], targets: Sequence = TARGETS
) -> dict[str, list[prune.PrunedModel]]:
    """The tickets' masks with other first weights; and as many weights elsewhere with the same first weights."""
    init, other = (make_model("lenet_300_100", seed=each) for each in (seed, seed + 1000))
    random = prune.scores.random(init, seed=seed)
    pairs = {
        "same mask, new weights": [(other, ticket.masks) for ticket in tickets],
        "random mask, first weights": [(init, prune.masks_per_layer(random, target)) for target in targets],
    }
    return {
        family: [prune.train_masked(*each, _updates(seed), LOTTERY, evaluation=_digits().batches()) for each in members]
        for family, members in pairs.items()
    }


def make_lottery() -> dict[str, tuple[bytes, dict]]:
    """The curves by file name: accuracy after 100 and after 400 updates against the share of weights left."""
    families = ("winning ticket", "same mask, new weights", "random mask, first weights")

    def run(seed: int) -> list[np.ndarray]:
        tickets = run_tickets(seed)
        members = {"winning ticket": tickets} | run_controls(seed, tickets)
        left = [1 - each.round.sparsity for each in tickets]
        return [np.round(left, 6), *(np.array([e.round.log.accuracies for e in members[f]]).T for f in families)]

    left, *accuracies = stack_seeds(run, range(4))
    curves = [
        Curve(family, f"after {updates} updates", left[0], values[:, passes - 1], {"updates": updates})
        for family, values in zip(families, accuracies, strict=True)
        for passes, updates in ((1, 100), (4, 400))
    ]
    return {"lottery.json": (save_sweep(curves), {"seeds": 4, "recipe": asdict(LOTTERY)})}
