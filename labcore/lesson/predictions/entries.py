"""What a prediction is. The predictions of a chapter stand in its own module."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Prediction", "Quantity", "Reason"]


@dataclass(frozen=True)
class Quantity:
    """A number to predict.

    Attributes:
        key: names it in the learner's record and in `quiz.reveal`.
        label: what it is, with its unit.
        unchanged: where its fields start: the value of "nothing changes".
        smallest, largest: what its fields take.
        shown: the measured number as text.
        unit: one unit of a field as a measured number (0.01 for points, as measurements are fractions).
    """

    key: str
    label: str
    unchanged: float
    smallest: float
    largest: float
    shown: Callable[[float], str]
    unit: float = 1


@dataclass(frozen=True)
class Reason:
    """One of the four answers to "why?": a known misconception, and what the experiment says to it."""

    key: str
    words: str
    reply: str


@dataclass(frozen=True)
class Prediction:
    """A question that the next experiment answers."""

    id: str
    question: str
    quantities: tuple[Quantity, ...]
    reasons: tuple[Reason, Reason, Reason, Reason]
