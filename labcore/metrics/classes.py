"""Class by class: how sure each accuracy is, and who pays when one model replaces another."""

import numpy as np

from labcore.metrics.accuracy import accuracy_per_class, compare_paired, flipped_per_class, wilson_interval
from labcore.results import ClassChanges, Evaluation, Interval

__all__ = ["intervals_per_class", "measure_changes"]


def intervals_per_class(evaluation: Evaluation) -> list[Interval]:
    """Accuracy of each class with its 95 % Wilson interval.

    Raises:
        ValueError: a class without images.
    """
    right = evaluation.predictions == evaluation.labels
    return [
        wilson_interval(int(right[members].sum()), int(members.sum()))
        for members in (evaluation.labels == label for label in range(evaluation.n_classes))
    ]


def measure_changes(before: Evaluation, after: Evaluation) -> ClassChanges:
    """What changes for each class when the second model replaces the first, on the same images."""
    pair = compare_paired(before, after)
    was_right, is_right = before.predictions == before.labels, after.predictions == after.labels
    return ClassChanges(
        accuracy_per_class(before), accuracy_per_class(after), flipped_per_class(before, after),
        np.flatnonzero(was_right & ~is_right), pair,
    )  # fmt: skip
