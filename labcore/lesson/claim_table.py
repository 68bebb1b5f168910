"""The table of claims and statements on trial: what is said, by whom, and within which bounds it counts as true.

Only what a chapter tests stands here. Bounds are nowhere else.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from labcore import text

__all__ = ["CLAIMS", "STATEMENTS", "Bound", "Claim", "Kind", "Statement", "Trial", "Verdict", "judge"]

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
    """

    condition: str
    measures: str
    bound: Bound
    expected: bool
    show: Callable[[float], str] = _of_before
    exact: bool = True


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


CLAIMS = {
    claim.id: claim
    for claim in (
        Claim(
            "46", 0,
            "A depthwise separable 3x3 convolution with N output channels needs 1/N + 1/9 of the operations of a "
            "standard one.",
            "MobileNets (Howard et al. 2017, arXiv 1704.04861), section 3.1",
            "1/N + 1/9",
            Bound(1, 1), "holds", show=lambda ratio: f"{ratio:g} times the formula", exact=True,
        ),
        Claim(
            "48", 0,
            "On a microcontroller the peak of activation memory is the limit, not the number of parameters: two "
            "networks with equally many parameters need different peaks.",
            "MCUNet (Lin et al. 2020, arXiv 2007.10319)",
            "456 kB of memory beside 1,876 kB of weights",
            Bound(low=1.5), "holds", show=lambda ratio: f"peaks differ {text.times(ratio)}", exact=True,
        ),
    )
}  # fmt: skip

_AT_MOST_A_POINT = Bound(low=-0.01)
_LESS = Bound(high=0.9)

STATEMENTS = {
    statement.id: statement
    for statement in (
        Statement("S1", 0, "Compression makes models smaller, faster and more efficient.", {
            "half_precision_file": Trial("smaller, by 16-bit weights", "bytes of the file", _LESS, True),
            "half_precision_macs": Trial("fewer operations, by 16-bit weights", "MACs", _LESS, False),
            "half_width_file": Trial("smaller, by narrower layers", "bytes of the file", _LESS, True),
            "half_width_macs": Trial("fewer operations, by narrower layers", "MACs", _LESS, True),
        }),
        Statement("S2", 0, "It does so without severely sacrificing accuracy.", {
            f"width_{width}": Trial(
                f"width {width} of 16", "accuracy against width 16, mean of the seeds", _AT_MOST_A_POINT, expected,
                show=text.points, exact=False,
            )
            for width, expected in ((12, True), (8, False), (4, False))
        }),
        Statement("S3", 0, "Storage and computation both fall.", {
            name: Trial(condition, "bytes of the file or MACs (the larger share)", _LESS, expected)
            for name, condition, expected in (
                ("half_width", "narrower layers", True),
                ("half_precision", "16-bit weights", False),
                ("half_zeros", "half of the weights set to zero", False),
            )
        }),
    )
}  # fmt: skip
