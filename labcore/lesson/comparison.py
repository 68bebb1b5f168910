"""Answers of learners beside the right ones: do they agree, where do they differ, and how are they shown?"""

from typing import Any

import numpy as np
import torch

__all__ = ["agrees", "describe_difference", "first_part", "shown"]

# A tensor with more values than this, inside a dict, is shown by its shape.
_MANY = 8


def agrees(got: Any, expected: Any, tolerance: float) -> bool:
    """Do two answers hold the same numbers? Where `expected` is NaN, any number agrees; where it is infinite, all that
    is not finite.

    Args:
        got: whatever a learner returned.
        expected: numbers, tensors, nested sequences of them, or a dict of these.
        tolerance: largest absolute difference.
    """
    if isinstance(expected, dict):
        same_names = isinstance(got, dict) and got.keys() == expected.keys()
        return same_names and all(agrees(got[name], expected[name], tolerance) for name in expected)
    numbers, right = _numbers(got), _numbers(expected)
    if numbers is None or right is None or numbers.shape != right.shape:
        return False
    not_finite = np.isinf(right) & ~np.isfinite(numbers)
    return bool((np.isclose(numbers, right, rtol=0, atol=tolerance) | np.isnan(right) | not_finite).all())


def first_part(got: Any, expected: Any, tolerance: float) -> tuple[str, Any, Any]:
    """The first entry in which two dicts of the same names differ: its name, and both values.

    Other answers come back whole, with an empty name.
    """
    if isinstance(expected, dict) and isinstance(got, dict) and got.keys() == expected.keys():
        name = next(name for name in expected if not agrees(got[name], expected[name], tolerance))
        return f"{name}: ", got[name], expected[name]
    return "", got, expected


def describe_difference(got: Any, expected: Any, tolerance: float) -> str:
    """By how little a wrong answer differs from the right one, or why the two cannot be compared."""
    if got is None:
        return "your function returned nothing"
    if isinstance(expected, dict):
        held = f" with {', '.join(map(str, got)) or 'nothing'}" if isinstance(got, dict) else ""
        return f"your function returned a {type(got).__name__}{held}, expected a dict with {', '.join(expected)}"
    numbers, right = _numbers(got), _numbers(expected)
    if numbers is None:
        return f"your function returned a {type(got).__name__} that does not hold numbers only"
    if numbers.shape != right.shape:
        return f"the shape is {numbers.shape}, expected {right.shape}"
    differences = np.abs(numbers - right)
    wrong = differences[~(differences <= tolerance)]
    if np.isnan(wrong).any():
        return "your answer holds a value that is not a number (NaN)"
    return f"smallest difference: {shown(wrong.min())}"


def shown(value: Any) -> str:
    """A value on one line: numbers with few digits, everything else shortened."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {_entry(entry)}' for name, entry in value.items())}}}"
    numbers = None if isinstance(value, bool) else _numbers(value)
    if numbers is None:
        return _shortened(value)
    if numbers.ndim == 0:
        return _number(numbers.item())
    words = np.array2string(numbers, 10_000, formatter={"float": _number}, separator=", ", threshold=40)
    return " ".join(words.split())


def _entry(value: Any) -> str:
    numbers = _numbers(value)
    if numbers is None:
        return _shortened(value)
    return shown(value) if numbers.size <= _MANY else f"shape {numbers.shape}"


def _shortened(value: Any) -> str:
    words = repr(value)
    return words if len(words) <= 80 else f"{words[:80]}..."


def _number(value: float) -> str:
    value = value + 0.0  # a mask times a negative number is -0
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"


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
