"""What formats of the file make of a layer with fewer and fewer weights."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Crossing", "FormatSweep"]


@dataclass(frozen=True, eq=False)
class Crossing:
    """Where the smallest format changes: `below` wins with fewer weights, `above` with more.

    Attributes:
        density: share of the weights that is left there.
        n_bytes: of either format.
    """

    below: str
    above: str
    density: float
    n_bytes: float


@dataclass(frozen=True, eq=False)
class FormatSweep:
    """Bytes of one layer in every format, over its density.

    Attributes:
        shape: (rows, columns) of the layer.
        densities: shape (points,), ascending, shares of the weights that are left.
        sizes: bytes by format, shape (points,).
        crossings: from few weights to many.
        break_even: by format, the density from which on downwards it is smaller than the dense one; formats that are
            never larger than it in the sweep are left out.
        place: index of the density in question.
    """

    shape: tuple[int, int]
    densities: np.ndarray
    sizes: dict[str, np.ndarray]
    crossings: tuple[Crossing, ...]
    break_even: dict[str, float]
    place: int
