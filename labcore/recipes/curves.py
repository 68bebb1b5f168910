"""What the recipes of curves share: seeds side by side, and accuracies before and after each cut."""

import itertools
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from joblib import Parallel, delayed

from labcore.results import PruningRound

__all__ = ["saw", "saw_epochs", "stack_seeds"]


def stack_seeds(run: Callable[[int], Sequence], seeds: Iterable[int]) -> list[np.ndarray]:
    """For each of the sequences that ``run(seed)`` gives, an array of shape (seeds, ...)."""
    runs = Parallel(n_jobs=2)(delayed(run)(seed) for seed in seeds)
    return [np.array(each) for each in zip(*runs, strict=True)]


def saw(before: float, rounds: Iterable[PruningRound]) -> list[float]:
    """Accuracy before anything was cut; then for each round after the cut, and after each epoch of training."""
    return [before, *(a for each in rounds for a in (each.cut_accuracy, *each.log.accuracies.tolist()))]


def saw_epochs(epochs: Iterable[int]) -> np.ndarray:
    """Where the values of `saw` stand: epochs of training since the first cut, from the epochs of each round.

    >>> saw_epochs((2, 1)).tolist()
    [0, 0, 1, 2, 2, 3]
    """
    ends = [0, *itertools.accumulate(epochs)]
    return np.array([0, *(x for a, b in itertools.pairwise(ends) for x in range(a, b + 1))])
