"""Checks of exercises: run the learner's function on several inputs, and name the mistake when it is a known one.

A mistake is named only when the learner's answers agree with it on every input. Anything else that is wrong is shown
as it is: what came, what was expected, and by how little they differ.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from labcore.lesson import progress
from labcore.lesson.cards import Shown, fold, paragraph
from labcore.lesson.comparison import agrees, describe_difference, first_part, shown
from labcore.lesson.exercises import (
    Exercise,
    Mistake,
    chapter_0,
    chapter_1,
    chapter_1_structure,
    chapter_2,
    chapter_2_home,
    chapter_3,
    chapter_3_home,
    chapter_4,
    chapter_4_home,
)

__all__ = ["EXERCISES", "CheckResult", "Hint", "check", "hint"]

_CHAPTERS = (
    chapter_0, chapter_1, chapter_1_structure, chapter_2, chapter_2_home, chapter_3, chapter_3_home, chapter_4,
    chapter_4_home,
)  # fmt: skip
EXERCISES: dict[str, Exercise] = {exercise.id: exercise for module in _CHAPTERS for exercise in module.EXERCISES}

Status = Literal["passed", "mistake", "wrong", "error", "not attempted"]
# Status, code of a known mistake, and the diagnosis.
Verdict = tuple[Status, str | None, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class CheckResult(Shown):
    """What came of one attempt.

    Attributes:
        exercise_id: for example ``0.1``.
        status: *mistake* is a known wrong answer, *wrong* an unknown one, *error* an exception.
        code: of the known mistake, else None.
        diagnosis: lines that say what happened; empty when passed or not attempted.
        attempt: number of this attempt (0 when not attempted); never shown.
    """

    exercise_id: str
    status: Status
    code: str | None = None
    diagnosis: tuple[str, ...] = ()
    attempt: int = 0

    @property
    def passed(self) -> bool:
        return self.status == "passed"

    @property
    def text(self) -> str:
        outcome = {"passed": "passed", "not attempted": "not attempted yet"}.get(self.status, "not yet")
        return "\n".join([f"Exercise {self.exercise_id}: {outcome}", *self.diagnosis])


@dataclass(frozen=True, eq=False)
class Hint(Shown):
    """One hint; folded where HTML is shown."""

    title: str
    words: str

    @property
    def text(self) -> str:
        return f"{self.title}: {self.words}"

    @property
    def html(self) -> str:
        return fold(self.title, paragraph(self.words))


def check(exercise_id: str, answer: Callable[..., Any]) -> CheckResult:
    """Try the learner's function on every input of the exercise. Never raises for what the function does.

    Args:
        exercise_id: for example ``0.1``.
        answer: the function, not its value; each call gets its own copy of the arguments.

    Raises:
        ValueError: unknown exercise.
    """
    exercise = _find(exercise_id)
    status, code, diagnosis = _judge(exercise, answer)
    attempt = 0 if status == "not attempted" else progress.record_attempt(exercise_id, code or status)
    return CheckResult(exercise_id, status, code, diagnosis, attempt)


def hint(exercise_id: str, step: int) -> Hint:
    """Hint number 1, 2 or 3 of an exercise: each is nearer to the answer."""
    hints = _find(exercise_id).hints
    if step not in range(1, len(hints) + 1):
        raise ValueError(f"step must be from 1 to {len(hints)}, got {step!r}")
    return Hint(f"Exercise {exercise_id}, hint {step} of {len(hints)}", hints[step - 1])


def _find(exercise_id: str) -> Exercise:
    if exercise_id not in EXERCISES:
        raise ValueError(f"unknown exercise {exercise_id!r}; choose one of: {', '.join(EXERCISES)}")
    return EXERCISES[exercise_id]


def _judge(exercise: Exercise, answer: Any) -> Verdict:
    if not callable(answer):
        return "error", None, (f"expected a function, got {shown(answer)}: pass the function without calling it",)
    try:
        outcomes = [_outcome(answer, fixture) for fixture in exercise.fixtures]
    except NotImplementedError:
        return "not attempted", None, ()
    expected = [_outcome(exercise.reference, fixture) for fixture in exercise.fixtures]
    right = [agrees(*pair, exercise.tolerance) for pair in zip(outcomes, expected, strict=True)]
    if all(right):
        return "passed", None, ()
    raised = [isinstance(outcome, Exception) for outcome in outcomes]
    # An exception says more than a wrong number on an input before it.
    place = raised.index(True) if any(raised) else right.index(False)
    return _explain(exercise, outcomes, place, expected[place])


def _outcome(function: Callable[..., Any], fixture: tuple) -> Any:
    """What a function makes of its own copy of an input: a value, or the exception that it raised."""
    try:
        return function(*copy.deepcopy(fixture))
    except Exception as error:
        # PyTorch raises this type too, for an operation that a dtype lacks: that is no stub.
        if isinstance(error, NotImplementedError) and "not implemented for '" not in str(error):
            raise
        return error


def _explain(exercise: Exercise, outcomes: list, place: int, want: Any) -> Verdict:
    """What is said to answers that are not right, shown on the input with this place."""
    inputs, got = _inputs(exercise, exercise.fixtures[place]), outcomes[place]
    if isinstance(got, Exception):
        evidence = f"{inputs}: your function raised {type(got).__name__}: {got}"
    else:
        name, part, wanted = first_part(got, want, exercise.tolerance)
        evidence = f"{inputs}: {name}got {shown(part)}, expected {shown(wanted)}"
    for code, mistake in exercise.mistakes.items():
        wrong = [_outcome(mistake.answer, fixture) for fixture in exercise.fixtures]
        if all(_agrees_with(mistake, *pair, exercise.tolerance) for pair in zip(outcomes, wrong, strict=True)):
            return "mistake", code, (mistake.diagnosis, evidence, mistake.question)
    if isinstance(got, Exception):
        return "error", None, (evidence,)
    return "wrong", None, (evidence, describe_difference(part, wanted, exercise.tolerance))


def _agrees_with(mistake: Mistake, got: Any, wrong: Any, tolerance: float) -> bool:
    return isinstance(got, mistake.raises) if isinstance(wrong, Exception) else agrees(got, wrong, tolerance)


def _inputs(exercise: Exercise, fixture: tuple) -> str:
    pairs = zip(exercise.arguments, fixture, strict=True)
    return "with " + ", ".join(f"{name}={shown(value)}" for name, value in pairs)
