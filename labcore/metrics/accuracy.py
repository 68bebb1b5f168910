"""How well a model answers, how sure that is, and what changed between two models on the same images."""

import math
from numbers import Integral
from statistics import NormalDist

import numpy as np

from labcore.results import Evaluation, Interval, PairedDifference

__all__ = ["accuracy_interval", "accuracy_per_class", "compare_paired", "flipped_per_class", "wilson_interval"]


def wilson_interval(n_correct: int, n_images: int, confidence: float = 0.95) -> Interval:
    """Interval for the accuracy behind `n_correct` right answers; it keeps its width when all answers are right.

    With p = n_correct / n and the normal quantile z (1.96 for 95 %):
    (p + z²/2n ± z sqrt(p (1 - p) / n + z²/4n²)) / (1 + z²/n).

    Args:
        n_correct: right answers, from 0 to `n_images`.
        n_images: answers, at least 1.
        confidence: in (0, 1).

    Raises:
        TypeError, ValueError: a count that is not whole or out of range; a confidence outside (0, 1).

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).

    >>> interval = wilson_interval(50, 50)
    >>> round(interval.low, 3), interval.value, interval.high
    (0.929, 1.0, 1.0)
    """
    for name, count in (("n_correct", n_correct), ("n_images", n_images)):
        if not isinstance(count, Integral) or isinstance(count, bool):
            raise TypeError(f"{name} must be a whole number, got {count!r}")
    if n_images < 1:
        raise ValueError(f"n_images must be at least 1, got {n_images}: without images there is no accuracy")
    if not 0 <= n_correct <= n_images:
        raise ValueError(f"n_correct must be from 0 to n_images = {n_images}, got {n_correct}")
    p, z2 = n_correct / n_images, _normal_quantile(confidence) ** 2 / n_images
    centre, half = p + z2 / 2, math.sqrt(p * (1 - p) * z2 + z2**2 / 4)
    # With all answers right the formula gives 1; rounding would miss it by a hair.
    high = 1.0 if n_correct == n_images else (centre + half) / (1 + z2)
    return Interval((centre - half) / (1 + z2), p, high)


def accuracy_interval(evaluation: Evaluation) -> Interval:
    """Accuracy with its 95 % Wilson interval. Raises ValueError for an evaluation without images."""
    _check_evaluation(evaluation)
    return wilson_interval(evaluation.n_correct, evaluation.n_images)


def compare_paired(first: Evaluation, second: Evaluation) -> PairedDifference:
    """Accuracy of the second model minus that of the first on the same images, with its 95 % interval.

    Only images that one model gets right and the other wrong tell the two apart. With b of them for the first model,
    c for the second, p = (b + 1) / (n + 2) and q = (c + 1) / (n + 2), the interval is
    q - p ± z sqrt((p + q - (q - p)²) / (n + 2)), cut off at -1 and 1; the difference itself is (c - b) / n.

    Raises:
        ValueError: there are no images, or the two evaluations are not of the same images.

    Source: D. G. Bonett, R. M. Price, Adjusted Wald confidence interval for a difference of binomial proportions based
        on paired data, J. Educ. Behav. Stat. 37 (2012).
    """
    _check_pair(first, second)
    n = first.n_images
    first_right, second_right = first.predictions == first.labels, second.predictions == second.labels
    only_first, only_second = int((first_right & ~second_right).sum()), int((second_right & ~first_right).sum())
    p, q = (only_first + 1) / (n + 2), (only_second + 1) / (n + 2)
    half = _normal_quantile(0.95) * math.sqrt((p + q - (q - p) ** 2) / (n + 2))
    difference = Interval(max(-1.0, q - p - half), (only_second - only_first) / n, min(1.0, q - p + half))
    flipped = np.flatnonzero(first.predictions != second.predictions)
    return PairedDifference(difference, only_first, only_second, flipped)


def accuracy_per_class(evaluation: Evaluation) -> np.ndarray:
    """Share of right answers among the images of each true class, shape (K,); NaN for a class without images."""
    _check_evaluation(evaluation)
    right = _count_by_class(evaluation, evaluation.predictions == evaluation.labels)
    images = _count_by_class(evaluation, np.ones(evaluation.n_images, dtype=bool))
    return np.divide(right, images, out=np.full(evaluation.n_classes, np.nan), where=images > 0)


def flipped_per_class(first: Evaluation, second: Evaluation) -> np.ndarray:
    """Images of each true class whose predicted class changed from the first model to the second, shape (K,).

    Raises:
        ValueError: there are no images, or the two evaluations are not of the same images.
    """
    _check_pair(first, second)
    return _count_by_class(first, first.predictions != second.predictions)


def _count_by_class(evaluation: Evaluation, chosen: np.ndarray) -> np.ndarray:
    return np.bincount(evaluation.labels[chosen], minlength=evaluation.n_classes)


def _normal_quantile(confidence: float) -> float:
    """Half the width, in standard deviations, of the middle `confidence` of a normal distribution."""
    if not 0 < confidence < 1:
        hint = f"; did you mean {confidence / 100:g}?" if 1 < confidence < 100 else ""
        raise ValueError(f"confidence must be in (0, 1), got {confidence!r}{hint}")
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _check_evaluation(evaluation: Evaluation) -> None:
    predictions, labels = evaluation.predictions, evaluation.labels
    if predictions.shape != labels.shape or labels.ndim != 1:
        raise ValueError(f"need one prediction for each label, got shapes {predictions.shape} and {labels.shape}")
    if not len(labels):
        raise ValueError("this evaluation holds no images; without images there is no accuracy")
    if labels.min() < 0 or labels.max() >= evaluation.n_classes:
        raise ValueError(
            f"labels must be from 0 to n_classes - 1 = {evaluation.n_classes - 1}, got {labels.min()} to {labels.max()}"
        )


def _check_pair(first: Evaluation, second: Evaluation) -> None:
    _check_evaluation(first)
    _check_evaluation(second)
    if not np.array_equal(first.labels, second.labels):
        raise ValueError(
            f"the two evaluations must be of the same images in the same order, got {first.n_images} and "
            f"{second.n_images} images with different labels; evaluate both models on the same batches"
        )
