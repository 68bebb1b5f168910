"""What a claim, a statement on trial and a bound are. The entries of a chapter stand in its own module."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from labcore import text

__all__ = ["LESS", "MEMORY", "OURS", "Bound", "Claim", "Kind", "Statement", "Trial", "Verdict", "judge", "lost"]

Kind = Literal["holds", "does not reproduce", "timing"]
Verdict = Literal["holds", "holds only if", "not here"]


@dataclass(frozen=True)
class Bound:
    """A closed interval; None leaves one end open.

    >>> 2 in Bound(low=1.5), str(Bound(low=1.5)), str(Bound(0, 3)), str(Bound(1, 1))
    (True, 'at least 1.5', 'from 0 to 3', 'exactly 1')
    """

    low: float | None = None
    high: float | None = None

    def __contains__(self, value: float) -> bool:
        above = self.low is None or value > self.low or _equal(value, self.low)
        below = self.high is None or value < self.high or _equal(value, self.high)
        return above and below

    def __str__(self) -> str:
        if self.low is None:
            return f"at most {self.high:g}"
        if self.high is None:
            return f"at least {self.low:g}"
        return f"exactly {self.low:g}" if self.low == self.high else f"from {self.low:g} to {self.high:g}"


# A share of before that counts as less.
LESS = Bound(high=0.9)
# Sources and footnotes that several chapters name.
OURS = "expectation of this course"
MEMORY = "The paper's figure is quoted from memory; check it before citing."


def lost(fraction: float) -> str:
    """Points of accuracy that went, or came.

    >>> lost(0.012), lost(-0.002)
    ('1.2 points lost', '0.2 points gained')
    """
    return f"{text.points(abs(fraction)).lstrip('+')} {'lost' if fraction >= 0 else 'gained'}"


def _equal(value: float, end: float) -> bool:
    # A ratio of exact counts, such as 1/N + 1/9, is off in its last bit.
    return math.isclose(value, end, rel_tol=1e-12)


@dataclass(frozen=True)
class Claim:
    """What a paper says, and what counts as seeing it here.

    Attributes:
        id: number in the list of claims.
        chapter: where it is tested.
        sentence: the claim in one sentence.
        source: paper and place.
        paper_says: the paper's figure, as text.
        bound: of the measured number. For `does not reproduce`: where the paper would be right.
        kind: what happens outside (inside) the bound; see `labcore.lesson.claims`.
        footnote: shown below, for figures quoted from memory.
        reason: why it does not reproduce.
        show: the measured number as text.
        exact: whether every machine measures the same number.
    """

    id: str
    chapter: int
    sentence: str
    source: str
    paper_says: str
    bound: Bound
    kind: Kind
    footnote: str = ""
    reason: str = ""
    show: Callable[[float], str] = "{:g}".format
    exact: bool = False


def _of_before(ratio: float) -> str:
    return f"{text.percent(ratio, 0)} of before"


@dataclass(frozen=True)
class Trial:
    """One test of a statement.

    Attributes:
        condition: completes "holds only if ...".
        measures: what is measured.
        bound: within it the statement held under this condition.
        expected: whether it held when the chapter was written.
        show, exact: as in `Claim`.
        timing: whether a clock decides: it may come out differently here without raising.
    """

    condition: str
    measures: str
    bound: Bound
    expected: bool
    show: Callable[[float], str] = _of_before
    exact: bool = True
    timing: bool = False


@dataclass(frozen=True)
class Statement:
    """A statement of the course text, with its trials by name."""

    id: str
    chapter: int
    sentence: str
    trials: dict[str, Trial]

    @property
    def expected(self) -> Verdict:
        return judge({name: trial.expected for name, trial in self.trials.items()})


def judge(held: dict[str, bool]) -> Verdict:
    """All trials held: *holds*; none: *not here*; some: *holds only if*."""
    return "holds" if all(held.values()) else "holds only if" if any(held.values()) else "not here"
