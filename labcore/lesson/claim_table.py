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


_HAN = "Learning both weights and connections (Han et al. 2015, arXiv 1506.02626)"
_DEEP = "Deep Compression (Han et al. 2016, arXiv 1510.00149), table 8"
_LOTTERY = "The lottery ticket hypothesis (Frankle and Carbin 2019, arXiv 1803.03635)"
_SNIP = "SNIP (Lee et al. 2019, arXiv 1810.02340)"
_MEMORY = "The paper's figure is quoted from memory; check it before citing."
_RETHINK = "Rethinking the value of network pruning (Liu et al. 2019, arXiv 1810.05270)"


def _lost(fraction: float) -> str:
    return f"{text.points(fraction).lstrip('+')} lost"


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
        Claim(
            "49a", 1, "The smallest 70 % of the weights hardly matter.", _HAN,
            "pruned without loss, after training again",
            Bound(high=0.02), "holds", show=_lost,
        ),
        Claim(
            "49b", 1, "A random 30 % of the weights cost at least 8 points.", "expected by the course",
            "8 points or more",
            Bound(low=0.08), "does not reproduce", show=_lost,
            reason="300 redundant units average the damage out; the same 70 % at random do break the network",
        ),
        Claim(
            "49c", 1, "The largest 1 % of the weights matter most.", _HAN, "large weights are kept",
            Bound(low=0.08), "holds", show=_lost,
        ),
        Claim(
            "37a", 1,
            "Before tuning it matters which filters go: by gamma against at random, a quarter of the filters.",
            "Network slimming (Liu et al. 2017, arXiv 1708.06519)", "gamma tells which channels matter",
            Bound(low=0.03), "holds", show=text.points,
        ),
        Claim(
            "37b", 1, "After two epochs of tuning it hardly matters: best against worst choice.", _RETHINK,
            "the choice of weights is not essential", Bound(high=0.015), "holds", show=text.points,
        ),
        Claim(
            "37c", 1, "The same small shape trained from scratch is as good: from scratch against tuned.", _RETHINK,
            "72.77 to 73.08 from scratch, 72.56 tuned (ResNet-34-A)", Bound(-0.02, 0.02), "holds", show=text.points,
        ),
        Claim(
            "25a", 1, "Pruning to a twelfth in one cut breaks the network.", _HAN,
            "accuracy falls without training again",
            Bound(low=0.15), "holds", show=_lost,
        ),
        Claim(
            "25b", 1, "Training again repairs it.", _HAN, "no loss at 12x", Bound(high=0.015), "holds", show=_lost,
        ),
        Claim(
            "25c", 1, "At a thirty-second, eight rounds beat one cut with the same training (SGD).", _HAN,
            "iterative pruning goes further", Bound(low=0.003), "holds", show=text.points, footnote=_MEMORY,
        ),
        Claim(
            "32a", 1, "With a fifth of the weights, the winning ticket learns faster than new weights under its mask.",
            _LOTTERY, "faster down to about a fifth", Bound(low=0.03), "holds", show=text.points, footnote=_MEMORY,
        ),
        Claim(
            "32b", 1, "It also ends higher.", _LOTTERY, "better test accuracy", Bound(low=0.008), "holds",
            show=text.points, footnote=_MEMORY,
        ),
        Claim(
            "33", 1, "Before training, SNIP beats a random choice by far at 98 %.", _SNIP, "98 % pruned at little loss",
            Bound(low=0.05), "holds", show=text.points, footnote=_MEMORY,
        ),
        Claim(
            "34", 1, "SNIP beats magnitude at initialization at 98 %.", _SNIP, "scores need the data",
            Bound(low=0.02), "does not reproduce", show=text.points,
            reason="with Xavier's initial weights a layer's scale already says how large its share should be",
        ),
        Claim(
            "36", 1, "A large network pruned gradually beats a small dense one with as many nonzero weights.",
            "To prune, or not to prune (Zhu and Gupta 2017, arXiv 1710.01878)", "large-sparse beats small-dense",
            Bound(low=0), "holds", show=text.points,
        ),
        Claim(
            "38", 1, "An L1 penalty pushes the scale of many channels to zero.",
            "Network slimming (Liu et al. 2017, arXiv 1708.06519)", "many scales end near zero",
            Bound(low=0.2), "holds", show=text.percent,
        ),
        Claim(
            "39", 1, "Two of every four weights can go without loss after training again.",
            "Accelerating sparse deep neural networks (Mishra et al. 2021, arXiv 2104.08378)",
            "76.1 before, 76.2 after (ResNet-50)", Bound(-0.007, 0.007), "holds", show=text.points, footnote=_MEMORY,
        ),
        Claim(
            "26a", 1, "For one image, a CSR matrix with 9 % of the weights is at least twice as fast as a dense one.",
            _DEEP, "2.5 to 9.3 times (batch 1)", Bound(low=2), "timing", show=text.times,
        ),
        Claim(
            "26b", 1, "For 64 images together, the advantage is gone.", _DEEP, "slower (batch 64)",
            Bound(high=1.3), "timing", show=text.times,
        ),
        Claim(
            "27", 1, "With half of the weights the sparse format is slower than the dense one.", "measured here",
            "slower", Bound(high=1), "timing", show=text.times,
        ),
        Claim(
            "50", 1, "Without half of its channels resnet18 speeds up by at least 0.75 of the fall in MACs.",
            "measured here", "0.75 or more", Bound(low=0.75), "timing", show=text.times,
        ),
    )
}  # fmt: skip

_AT_MOST_A_POINT = Bound(low=-0.01)
_LESS = Bound(high=0.9)
_SMALL_LOSS = Bound(high=0.02)
_LOST = {"show": _lost, "exact": False}
_WITHOUT_70 = "points lost without 70 % of its weights"
_WITHOUT_FILTERS = "points lost without a quarter of the filters"

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
        Statement("S4", 1, "Many parameters contribute little to the prediction.", {
            "large_net": Trial("the network is large", _WITHOUT_70, _SMALL_LOSS, True, **_LOST),
            "small_net": Trial("the network is small", _WITHOUT_70, _SMALL_LOSS, False, **_LOST),
        }),
        Statement("S5", 1, "Weights under a threshold can be removed.", {
            "threshold": Trial("by hand", "points lost under the threshold", _SMALL_LOSS, True, **_LOST),
        }),
        Statement("S6", 1, "Whole neurons or filters with low contribution can be removed.", {
            "at_once": Trial("nothing is tuned", _WITHOUT_FILTERS, _SMALL_LOSS, False, **_LOST),
            "tuned": Trial("two epochs follow", _WITHOUT_FILTERS, _SMALL_LOSS, True, **_LOST),
        }),
        Statement("S7", 1, "Unstructured sparsity is hard for hardware.", {
            "masked": Trial("the network is only masked", "MACs", Bound(low=1), True),
        }),
        Statement("S8", 1, "Structured pruning is friendly to hardware.", {
            "time": Trial("channels go", "time of a call with half the channels", Bound(high=0.95), True, exact=False),
        }),
        Statement("S9", 1, "Train a large network, identify what is redundant, prune, fine-tune.", {
            "process": Trial("all four steps", "points lost at the end", _SMALL_LOSS, True, **_LOST),
        }),
        Statement("S10", 1, "Pruning reduces size and latency.", {
            "size_dense": Trial("size, zeros stored", "bytes", _LESS, False),
            "size_packed": Trial("size, packed", "bytes", _LESS, True),
            "work_masked": Trial("latency, masked", "MACs", _LESS, False),
            "work_removed": Trial("latency, channels removed", "MACs", _LESS, True),
        }),
        Statement("S11", 1, "Pruning eases deployment on small devices.", {
            "memory": Trial("channels go", "peak of activation memory", _LESS, True),
        }),
        Statement("S12", 1, "Too aggressive pruning costs accuracy.", {
            "cliff": Trial("98 % go", "points lost", Bound(low=0.05), True, **_LOST),
        }),
        Statement("S13", 1, "Fine-tuning must be careful.", {
            "forgotten": Trial("the mask is forgotten", "zeros left", Bound(high=0.5), True, exact=False),
        }),
    )
}  # fmt: skip
