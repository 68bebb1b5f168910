"""What pruning accepts, and how it explains what it does not."""

import difflib
import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

__all__ = ["by_layer", "check_amount", "check_mask", "check_names", "check_scores", "check_sparsity"]


def check_sparsity(sparsity: float, name: str = "sparsity") -> None:
    """Raise TypeError for anything but a float, ValueError outside 0 <= sparsity < 1."""
    is_number = isinstance(sparsity, int | float) and not isinstance(sparsity, bool)
    hint = f"; did you mean {sparsity / 100:.2f}?" if is_number and 1 < sparsity < 100 else ""
    if not isinstance(sparsity, float):
        raise TypeError(f"{name} must be a float in [0, 1), got {sparsity!r}{hint}")
    if not 0 <= sparsity < 1:
        raise ValueError(f"{name} must be in [0, 1), got {sparsity}{hint}")


def check_names(what: str, names: Iterable[str], known: Iterable[str]) -> None:
    known = list(known)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known
            raise ValueError(f"{what} names {name!r}, which is not there; near it: {', '.join(near)}")


def check_scores(scores: Mapping[str, Tensor]) -> None:
    if not scores:
        raise ValueError("there are no scores to choose from: got an empty dictionary")
    for name, values in scores.items():
        if not values.isfinite().all():
            raise ValueError(f"the scores of {name!r} hold NaN or infinity; look at its weights")


def check_amount(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be a finite number of at least 0, got {value}")


def by_layer(what: str, value: float | Mapping[str, float], names: Iterable[str]) -> Mapping[str, float]:
    if not isinstance(value, Mapping):
        return dict.fromkeys(names, value)
    check_names(what, value, names)
    return value


def check_mask(name: str, mask: Tensor, shape: torch.Size) -> None:
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"the mask of {name!r} must be a boolean tensor (True = stays), got {kind}")
    if mask.shape != shape:
        raise ValueError(f"the mask of {name!r} must have shape {tuple(shape)}, got {tuple(mask.shape)}")
