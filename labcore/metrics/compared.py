"""A changed network beside the original, image by image."""

import threading
from collections.abc import Iterable

from torch import Tensor, nn

from labcore.metrics.accuracy import accuracy_interval, compare_paired
from labcore.results import ComparedAccuracy, Evaluation
from labcore.training import evaluate

__all__ = ["measure_compared"]


def measure_compared(
    model: nn.Module,
    whole: Evaluation,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    stop: threading.Event | None = None,
) -> ComparedAccuracy | None:
    """How often a model is right, beside the answers `whole` of the original on the same batches; None once stopped."""
    answers = evaluate(model, batches, stop=stop)
    if stop is not None and stop.is_set():
        return None
    return ComparedAccuracy(accuracy_interval(answers), compare_paired(whole, answers), answers.n_images)
