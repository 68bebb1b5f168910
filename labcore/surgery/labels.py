"""Labels of channels: equal labels mean channels that must stay or go together."""

from dataclasses import dataclass

import numpy as np

__all__ = ["FIXED", "Channels", "Labels"]

FIXED = 0  # the label of what never goes: channels of the model's inputs and outputs, and all that equals them


@dataclass(frozen=True, eq=False)
class Channels:
    """Labels of a tensor's channels, one for each index along `axis`."""

    axis: int
    labels: np.ndarray


class Labels:
    """Hands out labels and merges them (union-find); the smaller label of a merged pair stands for both."""

    def __init__(self):
        self._parents = [FIXED]

    def fresh(self, n: int) -> np.ndarray:
        """Labels for n new channels. A single channel can never go, so it is fixed from the start."""
        if n == 1:
            return np.array([FIXED])
        start = len(self._parents)
        self._parents.extend(range(start, start + n))
        return np.arange(start, start + n)

    def merge(self, first: np.ndarray, second: np.ndarray) -> None:
        """Make labels at the same place equal; shapes must broadcast."""
        pairs = zip(*(each.ravel().tolist() for each in np.broadcast_arrays(first, second)), strict=True)
        for one, other in set(pairs):
            low, high = sorted((self._root(one), self._root(other)))
            self._parents[high] = low

    def resolve(self, labels: np.ndarray) -> np.ndarray:
        """The label that now stands for each."""
        return np.fromiter(map(self._root, labels.ravel().tolist()), int, labels.size).reshape(labels.shape)

    def _root(self, label: int) -> int:
        while (parent := self._parents[label]) != label:
            self._parents[label] = self._parents[parent]  # shortens the way for the next search
            label = parent
        return label
