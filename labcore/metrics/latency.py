"""How long one call takes. Times belong to this machine at this moment: compare two things by turns."""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labcore.metrics.calls import call, check_batch
from labcore.results import Latency
from labcore.training import evaluating

__all__ = ["compare_latency", "measure_in_turn", "measure_latency"]


def measure_latency(
    model: Callable[[Tensor], Any],
    batch: Tensor,
    *,
    runs: int = 30,
    warmup: int = 5,
    stop: threading.Event | None = None,
) -> Latency:
    """Times of single calls on one batch, warm-up kept apart.

    A module runs in evaluation mode without gradients, on a channels-last batch where that has four dimensions; its
    modes are restored. Any other callable gets the batch as it is.

    Args:
        model: a module, or a function of the batch (a session of a runtime, for instance).
        batch: shape (N, ...).
        runs: calls that count, at least 1.
        warmup: calls before them that do not count.
        stop: when set, measuring ends early, with at least one call that counts.

    Raises:
        TypeError: a model that cannot be called, a batch that is no tensor, counts that are not whole.
        ValueError: an empty batch, one that the model cannot take, counts out of range.
    """
    return measure_in_turn((model,), batch, runs=runs, warmup=warmup, stop=stop)[0]


def compare_latency(
    first: Callable[[Tensor], Any],
    second: Callable[[Tensor], Any],
    batch: Tensor,
    *,
    runs: int = 30,
    warmup: int = 5,
    stop: threading.Event | None = None,
) -> tuple[Latency, Latency]:
    """Times of two models, called by turns, so that whatever else the machine does meets both.

    Arguments and errors are those of `measure_latency`; each model gets `runs` calls that count.
    """
    first_times, second_times = measure_in_turn((first, second), batch, runs=runs, warmup=warmup, stop=stop)
    return first_times, second_times


def measure_in_turn(
    models: Sequence[Callable[[Tensor], Any]],
    batch: Tensor,
    *,
    runs: int = 30,
    warmup: int = 5,
    stop: threading.Event | None = None,
) -> list[Latency]:
    """Times of any number of models, called by turns as in `compare_latency`."""
    check_batch(batch)
    _check_count("runs", runs, 1)
    _check_count("warmup", warmup, 0)
    with contextlib.ExitStack() as stack:
        calls = [_prepared(model, batch, stack) for model in models]
        stack.enter_context(torch.inference_mode())
        warm, measured = _rounds(calls, warmup, stop), _rounds(calls, runs, stop)
    threads = torch.get_num_threads()
    return [Latency(measured[i], warm[i], threads, len(batch)) for i in range(len(models))]


def _prepared(model: Callable, batch: Tensor, stack: contextlib.ExitStack) -> Callable[[], Any]:
    if not callable(model):
        raise TypeError(f"expected a module or a function of the batch, got {type(model).__name__}")
    if isinstance(model, nn.Module):
        stack.enter_context(evaluating(model))
        batch = batch.contiguous(memory_format=torch.channels_last) if batch.dim() == 4 else batch
    return partial(call, model, batch)


def _rounds(calls: list[Callable[[], Any]], n_rounds: int, stop: threading.Event | None) -> np.ndarray:
    """Milliseconds of each callable, shape (callables, rounds); when stopped, after the first round."""
    rounds: list[list[float]] = []
    while len(rounds) < n_rounds and not (rounds and stop is not None and stop.is_set()):
        rounds.append([_milliseconds(run) for run in calls])
    return np.array(rounds).reshape(-1, len(calls)).T


def _milliseconds(run: Callable[[], Any]) -> float:
    started = time.perf_counter_ns()
    run()
    return (time.perf_counter_ns() - started) / 1e6


def _check_count(name: str, value: int, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
