"""What panels show: an image's soft targets, the loss of one image, a grid of students, a class nobody showed."""

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from labcore.distill.bias import apply_bias, measure_bias
from labcore.distill.checks import check_labels, check_logits
from labcore.distill.losses import entropy, soften
from labcore.metrics import mean_interval
from labcore.results import Curve, SoftTargets, StudentGrid, UnseenClass

__all__ = ["report_soft_targets", "report_students", "report_unseen", "select_between", "select_by_entropy"]


def select_by_entropy(logits: Tensor, labels: Tensor) -> dict[int, tuple[int, int]]:
    """By class, of its rightly answered images the one with the lowest entropy and the one with the highest.

    Args:
        logits: shape (N, classes).
        labels: class indices, shape (N,).

    Returns:
        class -> (surest, most ambiguous), as indices of images; classes without a right answer are left out.
    """
    right = _right(logits, labels)
    uncertainty = entropy(soften(logits.double(), 1))
    chosen = {}
    for label in range(logits.shape[1]):
        members = (right & (labels == label)).nonzero().flatten()
        if len(members):
            values = uncertainty[members]
            chosen[label] = (members[values.argmin()].item(), members[values.argmax()].item())
    return chosen


def select_between(logits: Tensor, labels: Tensor, label: int, second: int) -> int:
    """The rightly answered image of `label` whose second class is `second` with the smallest margin between the two.

    Raises:
        ValueError: there is none.
    """
    first_two = logits.topk(2).indices
    members = (_right(logits, labels) & (labels == label) & (first_two[:, 1] == second)).nonzero().flatten()
    if not len(members):
        raise ValueError(f"no rightly answered image of class {label} has class {second} in the second place")
    margins = logits[members, label] - logits[members, second]
    return members[margins.argmin()].item()


def _right(logits: Tensor, labels: Tensor) -> Tensor:
    check_logits("logits", logits)
    check_labels(labels, logits)
    return logits.argmax(1) == labels


def report_soft_targets(
    name: str, image: Tensor, logits: Tensor, label: int, *, temperature: float
) -> SoftTargets:
    """A teacher's softened answer to one image.

    Args:
        name: of the image, in words.
        image: shape (C, H, W); the first channel is shown.
        logits: shape (classes,).
        label: the right class.
    """
    shares = soften(logits.double(), temperature)
    bits = entropy(shares).item() / math.log(2)
    return SoftTargets(name, image[0].cpu().numpy(), label, temperature, shares.cpu().numpy(), bits)


def report_students(curves: Sequence[Curve], teacher: float) -> StudentGrid:
    """Students taught with many settings, as a grid with an interval for each gain.

    Args:
        curves: first the student of labels alone (one point), then accuracy against temperature for each alpha (in its
            settings), ascending, at the same temperatures. Seeds are paired; those the grid lacks are left out.
        teacher: its accuracy.
    """
    alone, *taught = curves
    accuracies = np.array([curve.values.T for curve in taught])
    baseline = alone.values[: accuracies.shape[-1], 0]
    gains = [[mean_interval(each) for each in row] for row in accuracies - baseline]
    low, high = (np.array([[getattr(each, end) for each in row] for row in gains]) for end in ("low", "high"))
    alphas = np.array([curve.settings["alpha"] for curve in taught])
    return StudentGrid(alphas, taught[0].x, accuracies, baseline, teacher, low, high)


def report_unseen(
    logits: Tensor, labels: Tensor, gallery: Tensor, *, bias: float, recall: Curve, others: Curve
) -> UnseenClass:
    """Answers of a student that never met the class in `recall`'s settings, with a bias on the logit of that class.

    Args:
        logits: of the test images, shape (N, classes).
        labels: class indices, shape (N,).
        gallery: indices of the images whose answers are shown.
        bias: in units of the logits.
        recall, others: measured against the bias; see `UnseenClass`.
    """
    missing = recall.settings["missing"]
    answers = apply_bias(logits[gallery], missing, bias).argmax(1).cpu().numpy()
    return UnseenClass(recall.family, measure_bias(logits, labels, missing, bias), answers, recall, others)
