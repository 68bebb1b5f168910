"""What an exercise is. The exercises of a chapter stand in its own module."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Exercise", "Mistake"]


@dataclass(frozen=True)
class Mistake:
    """A known wrong answer.

    Attributes:
        answer: computes it, from the same arguments as the reference. NaN stands where any number belongs to the
            mistake, infinity where NaN does. An answer that raises belongs to a mistake that raises on this input.
        diagnosis: what the learner did. The check adds how it shows: what came and what was expected.
        question: one question that leads on; never the line of code.
        raises: types of exceptions that count as this mistake, where `answer` raises.
    """

    answer: Callable[..., Any]
    diagnosis: str
    question: str
    raises: tuple[type[Exception], ...] = ()


@dataclass(frozen=True)
class Exercise:
    """A function that the learner writes.

    Attributes:
        id: chapter and number, for example ``0.1``.
        title: what the function gives.
        arguments: names of its arguments, in order.
        fixtures: arguments to try it on. The first is the one the chapter shows; the others confirm.
        reference: a right answer.
        mistakes: known wrong answers by their code, which never changes (``cost.groups_ignored``).
        hints: three steps, each nearer to the answer.
        tolerance: absolute difference that still counts as right.
    """

    id: str
    title: str
    arguments: tuple[str, ...]
    fixtures: tuple[tuple, ...]
    reference: Callable[..., Any]
    mistakes: dict[str, Mistake]
    hints: tuple[str, str, str]
    tolerance: float = 1e-6
