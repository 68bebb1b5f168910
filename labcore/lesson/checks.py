"""Checks of exercises: run the learner's function on several inputs, and name the mistake when it is a known one.

A mistake is named only when the learner's answers agree with it on every input. Anything else that is wrong is shown
as it is: what came, what was expected, and by how little they differ.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from labcore.lesson import progress
from labcore.lesson.cards import Shown, fold, paragraph
from labcore.lesson.exercises import Exercise, chapter_0, chapter_1, chapter_1_structure

__all__ = ["EXERCISES", "CheckResult", "Hint", "check", "hint"]

EXERCISES: dict[str, Exercise] = {
    exercise.id: exercise
    for module in (chapter_0, chapter_1, chapter_1_structure)
    for exercise in module.EXERCISES
}

Status = Literal["passed", "mistake", "wrong", "error", "not attempted"]


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


def _call(function: Callable[..., Any], fixture: tuple) -> Any:
    return function(*copy.deepcopy(fixture))


def _judge(exercise: Exercise, answer: Any) -> tuple[Status, str | None, tuple[str, ...]]:
    """Status, code of a known mistake, and the diagnosis."""
    if not callable(answer):
        return "error", None, (f"expected a function, got {_shown(answer)}: pass the function without calling it",)
    answers, failures = [], []
    for fixture in exercise.fixtures:
        try:
            answers.append(_call(answer, fixture))
        except NotImplementedError:
            return "not attempted", None, ()
        except Exception as error:
            failures.append(f"{_inputs(exercise, fixture)}: your function raised {type(error).__name__}: {error}")
    if failures:
        return "error", None, (failures[0],)
    return _compare(exercise, answers)


def _compare(exercise: Exercise, answers: list) -> tuple[Status, str | None, tuple[str, ...]]:
    expected = [_call(exercise.reference, fixture) for fixture in exercise.fixtures]
    right = [_same(*pair, exercise.tolerance) for pair in zip(answers, expected, strict=True)]
    if all(right):
        return "passed", None, ()
    first = right.index(False)
    got, want = answers[first], expected[first]
    evidence = f"{_inputs(exercise, exercise.fixtures[first])}: got {_shown(got)}, expected {_shown(want)}"
    for code, mistake in exercise.mistakes.items():
        wrong = [_call(mistake.answer, fixture) for fixture in exercise.fixtures]
        if all(_same(*pair, exercise.tolerance) for pair in zip(answers, wrong, strict=True)):
            return "mistake", code, (mistake.diagnosis, evidence, mistake.question)
    return "wrong", None, (evidence, _difference(got, want, exercise.tolerance))


def _difference(got: Any, want: Any, tolerance: float) -> str:
    """By how little a wrong answer differs from the right one, or why the two cannot be compared."""
    if got is None:
        return "your function returned nothing"
    numbers, right = _numbers(got), _numbers(want)
    if numbers is None:
        return f"your function returned a {type(got).__name__} that does not hold numbers only"
    if numbers.shape != right.shape:
        return f"the shape is {numbers.shape}, expected {right.shape}"
    differences = np.abs(numbers - right)
    wrong = differences[~(differences <= tolerance)]
    if np.isnan(wrong).any():
        return "your answer holds a value that is not a number (NaN)"
    return f"smallest difference: {_shown(wrong.min())}"


def _same(got: Any, expected: Any, tolerance: float) -> bool:
    numbers, right = _numbers(got), _numbers(expected)
    if numbers is None or numbers.shape != right.shape:
        return False
    return bool(np.isclose(numbers, right, rtol=0, atol=tolerance).all())


def _numbers(value: Any) -> np.ndarray | None:
    """Numbers, tensors and nested sequences as an array, a single number with shape (); None for all else."""
    try:
        found = np.array(_plain(value))
        if found.dtype.kind in "biufO":
            numbers = found.astype(float)
            return numbers.reshape(()) if numbers.size == 1 else numbers
    except Exception:  # a learner may return anything
        pass
    return None


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None:  # numpy would make it NaN
        raise TypeError("not a number")
    return value


def _inputs(exercise: Exercise, fixture: tuple) -> str:
    pairs = zip(exercise.arguments, fixture, strict=True)
    return "with " + ", ".join(f"{name}={_shown(value)}" for name, value in pairs)


def _shown(value: Any) -> str:
    """A value on one line: numbers with few digits, everything else shortened."""
    numbers = None if isinstance(value, bool) else _numbers(value)
    if numbers is None:
        words = repr(value)
        return words if len(words) <= 80 else f"{words[:80]}..."
    if numbers.ndim == 0:
        return _number(numbers.item())
    words = np.array2string(numbers, 10_000, formatter={"float": _number}, separator=", ", threshold=40)
    return words.replace("\n", "")


def _number(value: float) -> str:
    value = value + 0.0  # a mask times a negative number is -0
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"
