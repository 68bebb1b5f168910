"""The same layer with fewer and fewer weights, in every format: where does each one win?"""

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from labcore.results import Crossing, FormatSweep
from labcore.storage.encodings import ENCODINGS, encoding_sizes

__all__ = ["sweep_formats"]


def sweep_formats(shape: tuple[int, int], densities: Sequence[float], *, seed: int = 0) -> FormatSweep:
    """Bytes of a layer of normal random weights in every encoding, the smallest magnitudes gone.

    Crossings and break-evens lie between two densities of the sweep and are read off straight lines between them. What
    gzip makes of the dense bytes is no format to compute with: it has no crossing.

    Args:
        shape: (rows, columns) of the layer.
        densities: shares of the weights that are left, ascending, in (0, 1].
        seed: of the weights.

    Raises:
        ValueError: densities that are not ascending, or not in (0, 1].
    """
    x = np.asarray(densities, dtype=float)
    if not (len(x) and x[0] > 0 and x[-1] <= 1 and (np.diff(x) > 0).all()):
        raise ValueError(f"densities must ascend within (0, 1], got {list(densities)}")
    weights = torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))
    rows = [encoding_sizes(_largest(weights, density)) for density in x.tolist()]
    sizes = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    break_even = {name: _break_even(x, values, sizes["dense"]) for name, values in sizes.items() if name != "dense"}
    known = {name: density for name, density in break_even.items() if density is not None}
    return FormatSweep(shape, x, sizes, _crossings(x, {name: sizes[name] for name in ENCODINGS}), known, -1)


def _largest(weights: Tensor, density: float) -> Tensor:
    """The weights with only a share of them left, the largest magnitudes."""
    places = weights.abs().flatten().topk(round(density * weights.numel())).indices
    left = torch.zeros(weights.numel())
    left[places] = weights.flatten()[places]
    return left.view(weights.shape)


def _crossings(x: np.ndarray, sizes: dict[str, np.ndarray]) -> tuple[Crossing, ...]:
    names, table = list(sizes), np.stack(list(sizes.values()))
    smallest = table.argmin(0)
    return tuple(
        Crossing(names[a], names[b], *_meet(x[i : i + 2], table[a, i : i + 2], table[b, i : i + 2]))
        for i, (a, b) in enumerate(itertools.pairwise(smallest))
        if a != b
    )


def _break_even(x: np.ndarray, values: np.ndarray, dense: np.ndarray) -> float | None:
    """Where a format that is smaller at first stops being so; None if it never does."""
    larger = np.flatnonzero(values >= dense)
    if not len(larger) or larger[0] == 0:
        return None
    pair = slice(larger[0] - 1, larger[0] + 1)
    return _meet(x[pair], values[pair], dense[pair])[0]


def _meet(x: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Where two straight lines meet: place and height."""
    gap = first - second
    share = float(gap[0] / (gap[0] - gap[1]))
    return float(x[0] + share * (x[1] - x[0])), float(first[0] + share * (first[1] - first[0]))
