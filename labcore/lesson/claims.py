"""Claims and verdicts as calls: the chapter measures, the table says what counts, the closing table lists both.

Kinds of claims, and what raises `ClaimFailed`:

- *holds*: a number outside the bound.
- *does not reproduce*: a number inside the bound (suddenly the paper is right here too).
- *timing*: nothing, as clocks differ; a number outside the bound when ``LABCORE_BENCH=1``.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass

from labcore import text
from labcore.lesson.cards import Shown, table
from labcore.lesson.claim_table import CLAIMS, STATEMENTS, Bound, Claim, Kind, Statement, Trial, Verdict, judge

__all__ = [
    "CLAIMS", "STATEMENTS", "Bound", "Claim", "ClaimFailed", "ClaimResult", "Kind", "Statement", "Table", "Trial",
    "Verdict", "VerdictResult", "does_not_reproduce", "holds", "summary", "timing", "verdict",
]  # fmt: skip


class ClaimFailed(AssertionError):
    """A claim or a verdict came out differently from what its chapter says."""


@dataclass(frozen=True, eq=False)
class ClaimResult(Shown):
    """What a paper says beside what was measured here.

    Attributes:
        claim: its entry in the table.
        measured: the number.
        inside: whether it lies within the claim's bound.
        statement: of the course text, that the same number tests.
    """

    claim: Claim
    measured: float
    inside: bool
    statement: Statement | None = None

    @property
    def outcome(self) -> str:
        word = "held" if self.inside else "not held"
        if self.claim.kind == "timing":
            return f"{_mark(word, True)} on this machine"
        return word if self.claim.kind == "holds" else f"does not reproduce: {self.claim.reason}"

    @property
    def row(self) -> tuple[str, str, str, str]:
        """Cells of the closing table."""
        return self.claim.sentence, self.claim.paper_says, _shown(self.claim, self.measured), self.outcome

    @property
    def text(self) -> str:
        claim = self.claim
        lines = [
            f"Claim {claim.id}: {claim.sentence}",
            f"Paper says: {claim.paper_says} ({claim.source})",
            f"You measured: {_shown(claim, self.measured)}: {self.outcome}",
        ]
        if self.statement:
            lines.append(f"Also tests {self.statement.id}: {self.statement.sentence}")
        return "\n".join([*lines, *filter(None, [claim.footnote])])


@dataclass(frozen=True, eq=False)
class VerdictResult(Shown):
    """The machine's verdict on a statement of the course text.

    Attributes:
        statement: its entry in the table.
        measured: a number for each trial.
    """

    statement: Statement
    measured: Mapping[str, float]

    @property
    def held(self) -> dict[str, bool]:
        """Whether the statement held, by trial."""
        return {name: self.measured[name] in trial.bound for name, trial in self.statement.trials.items()}

    @property
    def verdict(self) -> Verdict:
        return judge(self.held)

    @property
    def outcome(self) -> str:
        conditions = [self.statement.trials[name].condition for name, held in self.held.items() if held]
        words = f"{self.verdict}: {'; '.join(conditions)}" if self.verdict == "holds only if" else self.verdict
        return _mark(words, any(trial.timing for trial in self.statement.trials.values()))

    @property
    def _trials(self) -> list[str]:
        return [
            f"{trial.condition}: {trial.measures} {_shown(trial, self.measured[name])}, "
            f"{_mark('held' if self.held[name] else 'not held', trial.timing)}"
            for name, trial in self.statement.trials.items()
        ]

    @property
    def row(self) -> tuple[str, str, str, str]:
        """Cells of the closing table."""
        return self.statement.sentence, "(course text)", "; ".join(self._trials), self.outcome

    @property
    def text(self) -> str:
        lines = [f"Statement {self.statement.id}: {self.statement.sentence}", *self._trials]
        return "\n".join([*lines, f"Verdict: {self.outcome}"])


@dataclass(frozen=True, eq=False)
class Table(Shown):
    """*Paper says / you measured*, in the order of the calls."""

    chapter: int
    results: tuple[ClaimResult | VerdictResult, ...]

    @property
    def text(self) -> str:
        rows = (
            f"{sentence}\n  paper says: {paper}\n  you measured: {measured}\n  outcome: {outcome}"
            for sentence, paper, measured, outcome in self._rows
        )
        return "\n".join(rows) or f"No claim of chapter {self.chapter} was tested yet: run its cells first."

    @property
    def html(self) -> str:
        return table(("claim", "paper says", "you measured", "outcome"), self._rows) if self.results else super().html

    @property
    def _rows(self) -> list[tuple[str, str, str, str]]:
        return [result.row for result in self.results]


# The calls of this kernel; a cell that runs again keeps its place.
_calls: dict[str, ClaimResult | VerdictResult] = {}


def holds(id: str, measured: float, *, statement: str | None = None) -> ClaimResult:
    """A claim that must hold.

    Args:
        id: number in the list of claims, as text.
        measured: what its bound limits.
        statement: id of a statement of the course text that the same number tests.

    Raises:
        ClaimFailed: the number is outside the bound.
        ValueError: unknown id, a claim of another kind, or a number that is not finite.
    """
    return _test(id, "holds", measured, statement)


def does_not_reproduce(id: str, measured: float, *, statement: str | None = None) -> ClaimResult:
    """A claim that does not show at this scale; raises `ClaimFailed` if it suddenly does. Arguments as in `holds`."""
    return _test(id, "does not reproduce", measured, statement)


def timing(id: str, measured: float, *, statement: str | None = None) -> ClaimResult:
    """A claim about time, shown as held or not held on this machine. Arguments as in `holds`."""
    return _test(id, "timing", measured, statement)


def verdict(statement_id: str, measured: Mapping[str, float]) -> VerdictResult:
    """The machine's verdict on a statement.

    Args:
        statement_id: for example ``S1``.
        measured: a number for each trial of the statement, by name; a boolean counts as 1 or 0.

    Raises:
        ClaimFailed: a trial came out differently from what the chapter says.
        ValueError: unknown statement, trials missing or unknown, or a number that is not finite.
    """
    statement = _look_up(STATEMENTS, statement_id, "statement")
    if measured.keys() != statement.trials.keys():
        raise ValueError(f"{statement_id} needs {', '.join(statement.trials)}; got {', '.join(measured) or 'nothing'}")
    numbers = {name: _finite(value, f"{statement_id}, {name}") for name, value in measured.items()}
    result = VerdictResult(statement, numbers)
    changed = [
        f"{trial.condition}: {trial.measures} {_shown(trial, numbers[name])}, bound {trial.bound}"
        for name, trial in statement.trials.items()
        if result.held[name] != trial.expected and (not trial.timing or _clocks_count())
    ]
    if changed:
        raise ClaimFailed(
            f"the verdict on {statement_id} changed from {statement.expected!r} to {result.verdict!r}: "
            f"{statement.sentence!r}. Differently from the chapter: {'; '.join(changed)}"
        )
    _calls[statement_id] = result
    return result


def summary(chapter: int) -> Table:
    """The closing table of a chapter, from the calls made in this kernel."""
    results = (result for result in _calls.values() if _entry(result).chapter == chapter)
    return Table(chapter, tuple(results))


def _entry(result: ClaimResult | VerdictResult) -> Claim | Statement:
    return result.claim if isinstance(result, ClaimResult) else result.statement


def _test(id: str, kind: Kind, measured: float, statement: str | None) -> ClaimResult:
    claim = _look_up(CLAIMS, id, "claim")
    if claim.kind != kind:
        raise ValueError(f"claim {id} is of kind {claim.kind!r}: call claims.{claim.kind.replace(' ', '_')}")
    value = _finite(measured, f"claim {id}")
    tested = None if statement is None else _look_up(STATEMENTS, statement, "statement")
    result = ClaimResult(claim, value, value in claim.bound, tested)
    must_be_inside = kind == "holds" or (kind == "timing" and _clocks_count())
    if (must_be_inside and not result.inside) or (kind == "does not reproduce" and result.inside):
        expected = f"{'outside' if result.inside else ''} {claim.bound}".strip()
        raise ClaimFailed(f"claim {id} ({kind}): {claim.sentence!r} Measured {value:g}, expected {expected}.")
    _calls[id] = result
    return result


def _look_up(entries: Mapping, id: str, what: str):
    if id not in entries:
        raise ValueError(f"unknown {what} {id!r}; choose one of: {', '.join(entries)}")
    return entries[id]


def _finite(value: float, what: str) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{what}: the measured number must be finite, got {value!r}")
    return float(value)


def _clocks_count() -> bool:
    """Whether a claim about time may raise: only when its benchmark runs."""
    return os.environ.get("LABCORE_BENCH") == "1"


def _mark(words: str, may_differ: bool) -> str:
    return text.approx(words) if may_differ else words


def _shown(entry: Claim | Trial, value: float) -> str:
    return entry.show(value) if entry.exact else text.approx(entry.show(value))
