"""How much goes when: at once, in rounds, gradually; and the loop of cutting and training that follows it."""

import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from labcore.prune.apply import apply_masks, hold, sparsity_of
from labcore.prune.checks import check_sparsity
from labcore.prune.masks import Masks, masks_per_layer
from labcore.prune.scores import Scores, magnitude
from labcore.results import PruningRound
from labcore.training import TrainConfig, evaluate, fit

__all__ = ["PrunedModel", "cubic", "iterative", "one_shot", "prune_iteratively", "remaining", "train_masked"]

Sparsity = float | Mapping[str, float]


# --- targets ----------------------------------------------------------------------------------------


def one_shot(final: Sparsity) -> tuple[Sparsity, ...]:
    """Everything in one cut."""
    return iterative(final, levels=1)


def iterative(final: Sparsity, *, levels: int) -> tuple[Sparsity, ...]:
    """Targets of `levels` rounds that take the same share of what remains: s_i = 1 - (1 - final)^(i / levels).

    >>> [round(s, 6) for s in iterative(0.75, levels=2)]
    [0.5, 0.75]

    Args:
        final: sparsity of the last round, met exactly; one for all or one by parameter name.
        levels: rounds, at least 1.
    """
    _check_levels(levels)
    return (*remaining(_each(final, lambda s: 1 - (1 - s) ** (1 / levels)), levels=levels)[:-1], final)


def remaining(share: Sparsity, *, levels: int) -> tuple[Sparsity, ...]:
    """Targets of `levels` rounds that each take `share` of what remains: s_i = 1 - (1 - share)^i.

    Args:
        share: in [0, 1); one for all or one by parameter name.
        levels: rounds, at least 1.

    Source: J. Frankle, M. Carbin, The lottery ticket hypothesis, arXiv 1803.03635 (0.2 a round, last layer 0.1).
    """
    _check_levels(levels)
    return tuple(_each(share, lambda s, i=i: 1 - (1 - s) ** i) for i in range(1, levels + 1))


def cubic(step: float, *, start: float, end: float, initial: float = 0.0, final: float) -> float:
    """Sparsity at one step of gradual pruning: fast first, slow last.

    s(t) = final + (initial - final) (1 - (t - start) / (end - start))³ between `start` and `end`; `initial` up to
    `start`, `final` from `end` on. With start = end it is one jump.

    >>> cubic(5, start=0, end=10, final=0.9)
    0.7875

    Raises:
        TypeError, ValueError: a wrong sparsity; `end` before `start`; `final` below `initial`, as no weight comes back.

    Source: M. Zhu, S. Gupta, To prune, or not to prune, arXiv 1710.01878, equation 1.
    """
    check_sparsity(initial, "initial")
    check_sparsity(final, "final")
    if final < initial:
        raise ValueError(f"final must not be below initial, got {initial} to {final}: no weight comes back")
    if not (math.isfinite(step) and start <= end):
        raise ValueError(f"need a finite step and start <= end, got step {step}, start {start}, end {end}")
    if step >= end:
        return final
    if step <= start:
        return initial
    left = 1 - (step - start) / (end - start)
    return max(initial, final + (initial - final) * left**3)


def _each(value: Sparsity, rule: Callable[[float], float]) -> Sparsity:
    for each in value.values() if isinstance(value, Mapping) else [value]:
        check_sparsity(each)
    return {name: rule(each) for name, each in value.items()} if isinstance(value, Mapping) else rule(value)


def _check_levels(levels: int) -> None:
    if isinstance(levels, bool) or not isinstance(levels, int):
        raise TypeError(f"levels must be a whole number, got {levels!r}")
    if levels < 1:
        raise ValueError(f"levels must be at least 1, got {levels}")


# --- cut and train ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class PrunedModel:
    """What one round gave.

    Attributes:
        model: trained under its masks, with zeros where they are False.
        masks: parameter name -> boolean tensor, True = stays.
        round: the same round in numbers.
    """

    model: nn.Module
    masks: Masks
    round: PruningRound


def train_masked(
    model: nn.Module,
    masks: Masks,
    batches: Iterable[tuple[Tensor, ...]],
    config: TrainConfig,
    *,
    evaluation: Iterable[tuple[Tensor, Tensor]] | None = None,
    stop: threading.Event | None = None,
    progress: Callable[[float], None] | None = None,
    label: str = "training under masks",
) -> PrunedModel:
    """Apply masks to a copy of the model and train it; the masks hold after every step.

    With fresh weights and the masks of a lottery ticket this is the ticket's control.

    Args:
        model: not changed.
        masks: see `apply_masks`.
        batches, config, stop, progress: see `training.fit`.
        evaluation: batches for the accuracy after the cut and after each epoch.
    """
    model = apply_masks(model, masks)
    cut = math.nan if evaluation is None else evaluate(model, evaluation).accuracy
    log = fit(
        model, batches, config, evaluation=evaluation, after_step=hold(masks), stop=stop, progress=progress, label=label
    )
    # An interrupt may have come between a step and its hook.
    model = apply_masks(model, masks)
    return PrunedModel(model, masks, PruningRound(sparsity_of(masks), cut, log))


def prune_iteratively(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, ...]],
    config: TrainConfig,
    *,
    targets: Sequence[Sparsity],
    score: Callable[[nn.Module], Scores] = magnitude,
    select: Callable[..., Masks] = masks_per_layer,
    rewind_to: nn.Module | None = None,
    evaluation: Iterable[tuple[Tensor, Tensor]] | None = None,
    stop: threading.Event | None = None,
    progress: Callable[[float], None] | None = None,
) -> tuple[PrunedModel, ...]:
    """Rounds of scoring, cutting, perhaps rewinding, and training; what is gone never comes back.

    Fine-tuning: a trained model, no `rewind_to`. Gradual pruning: one target of `cubic` for each round of one epoch.
    Lottery ticket: the trained model, and `rewind_to` the model it was trained from (or an early copy of it).
    Its controls: `score` random; `train_masked` with the masks of a round and a freshly made model.

    Args:
        model: what the first cut is made in; not changed.
        batches: training batches, see `training.fit`.
        config: of the training in each round.
        targets: sparsity after each round, for example from `iterative`.
        score: gives the scores of the model as it stands before the cut.
        select: ``select(scores, target, within=masks)``: `masks_per_layer`, `masks_global`.
        rewind_to: the values that survivors, biases and buffers take after each cut; None leaves them as trained.
        evaluation: batches for the accuracies of each round.
        stop: when set, training ends and no further round begins; so does an interrupt.
        progress: receives the share done, in [0, 1].

    Returns:
        One entry for each round.

    Raises:
        ValueError: no target; see also `masks_per_layer` and `training.fit`.
    """
    if not isinstance(targets, Sequence) or not targets:
        raise ValueError(f"targets must be a sequence of sparsities, one a round, got {targets!r}; see one_shot")
    rounds: list[PrunedModel] = []
    for number, target in enumerate(targets):
        before, masks = (rounds[-1].model, rounds[-1].masks) if rounds else (model, None)
        masks = select(score(before), target, within=masks)
        rounds.append(
            train_masked(
                before if rewind_to is None else rewind_to, masks, batches, config, evaluation=evaluation, stop=stop,
                progress=progress and (lambda share, done=number: progress((done + share) / len(targets))),
                label=f"round {number + 1} of {len(targets)}",
            )
        )  # fmt: skip
        if rounds[-1].round.log.interrupted:
            break
    return tuple(rounds)
