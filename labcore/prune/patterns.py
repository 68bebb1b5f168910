"""Rules about neighbours beside free choice: what each lets stay of a layer."""

from collections.abc import Mapping

from torch import Tensor, nn

from labcore.prune.apply import sparsity_of
from labcore.prune.masks import Masks, masks_n_m, masks_per_layer
from labcore.prune.scores import Scores, magnitude
from labcore.results import PatternReport

__all__ = ["CORNER", "PATTERNS", "pattern_masks", "pattern_scores", "report_pattern"]

# (n, m): of every m neighbouring inputs n stay. A share: that much of the layer goes, wherever it stands.
PATTERNS: dict[str, tuple[int, int] | float] = {
    "2 of 4": (2, 4), "4 of 8": (4, 8), "any half": 0.5, "1 of 4": (1, 4), "any quarter": 0.75,
}  # fmt: skip
_LARGEST_GROUP = 8
CORNER = (8, 32)


def pattern_scores(model: nn.Module) -> Scores:
    """Magnitudes of the weights of those layers that every pattern fits: their inputs are a multiple of eight.

    Raises:
        ValueError: there is no such layer.
    """
    scores = magnitude(model)
    fitting = {name: each for name, each in scores.items() if each.shape[1] % _LARGEST_GROUP == 0}
    if not fitting:
        shapes = ", ".join(f"{name} has {each.shape[1]}" for name, each in scores.items())
        raise ValueError(f"no layer has a multiple of {_LARGEST_GROUP} inputs: {shapes}")
    return fitting


def pattern_masks(scores: Mapping[str, Tensor], pattern: str) -> Masks:
    """Masks that keep the highest scores which a pattern allows.

    Args:
        scores: from `pattern_scores`.
        pattern: a key of `PATTERNS`.
    """
    if pattern not in PATTERNS:
        raise ValueError(f"unknown pattern {pattern!r}; choose one of: {', '.join(PATTERNS)}")
    rule = PATTERNS[pattern]
    return masks_n_m(scores, *rule) if isinstance(rule, tuple) else masks_per_layer(scores, rule)


def report_pattern(model: nn.Module, masks: Mapping[str, Masks], pattern: str, layer: str) -> PatternReport:
    """A corner of one layer under a pattern, and the share of its magnitudes that each pattern keeps.

    Args:
        masks: by pattern, from `pattern_masks`.
        layer: name of the parameter shown.
    """
    weight, rule = model.get_parameter(layer).detach(), PATTERNS[pattern]
    total = weight.abs().sum()
    corner, kept = (_corner(each).cpu().numpy() for each in (weight, masks[pattern][layer]))
    return PatternReport(
        pattern, rule[1] if isinstance(rule, tuple) else 0, layer, corner, kept,
        {name: float((weight.abs() * each[layer]).sum() / total) for name, each in masks.items()},
        tuple(masks[pattern]), sparsity_of(masks[pattern]),
    )  # fmt: skip


def _corner(weight: Tensor) -> Tensor:
    """The first inputs of the first outputs; of a kernel, each position is a row of its own."""
    rows, columns = CORNER
    return weight.movedim(1, -1).flatten(0, -2)[:rows, :columns]
