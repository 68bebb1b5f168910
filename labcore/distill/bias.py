"""A class that the student never met: how far its logit must be lifted."""

import numpy as np
import torch
from torch import Tensor

from labcore.distill.checks import check_labels, check_logits, check_number
from labcore.results import ClassBias

__all__ = ["apply_bias", "fit_bias", "measure_bias"]


def apply_bias(logits: Tensor, index: int, bias: float) -> Tensor:
    """Logits with `bias` added to one class; a new tensor."""
    _check(logits, index)
    check_number("bias", bias)
    logits = logits.clone()
    logits[:, index] += bias
    return logits


def measure_bias(logits: Tensor, labels: Tensor, index: int, bias: float) -> ClassBias:
    """Accuracy, recall of one class and of all others, with `bias` added to its logit.

    Args:
        logits: shape (N, classes).
        labels: class indices, shape (N,).
        index: the class.
        bias: in units of the logits.
    """
    right = apply_bias(logits, index, bias).argmax(1) == _checked(labels, logits)
    members = labels == index
    recall, others = (right[which].double().mean().item() for which in (members, ~members))
    return ClassBias(index, bias, right.double().mean().item(), recall, others)


def fit_bias(logits: Tensor, labels: Tensor, index: int) -> ClassBias:
    """The bias of one class that gives the best accuracy on validation logits, found exactly.

    With the margin m = (largest other logit) - (logit of the class), a sample is answered with the class as soon as the
    bias exceeds m. Accuracy therefore changes at margins only: all of them are tried, in the middle between neighbours.
    Of several best, the one nearest to 0.

    Args:
        logits: shape (N, classes), of samples that are not those of the final test.
        labels: class indices, shape (N,).
        index: the class.

    Raises:
        TypeError, ValueError: see `distillation_loss`; no such class; no sample of it.

    Source: G. Hinton, O. Vinyals, J. Dean, arXiv 1503.02531, section 3 (the bias of the class 3, +3.5).
    """
    _check(logits, index)
    members = _checked(labels, logits) == index
    if not members.any():
        raise ValueError(f"no sample has label {index}: without one, the best bias is minus infinity")
    others = logits.double()
    own, others = others[:, index], torch.cat([others[:, :index], others[:, index + 1 :]], 1)
    best, second = others.max(1)
    margins, order = (best - own).sort()
    # What crossing each margin changes: +1 for a member, -1 for another that was right before.
    was_right = (second + (second >= index)) == labels
    change = members.int() - (was_right & ~members).int()
    edges = torch.cat([margins[:1] - 2, margins, margins[-1:] + 2])
    candidates = (edges[:-1] + edges[1:]) / 2
    correct = torch.cat([change.new_zeros(1), change[order].cumsum(0)])
    # Between equal margins there is no room for a bias.
    correct[edges.diff() == 0] = correct.min() - 1
    winners = candidates[correct == correct.max()]
    return measure_bias(logits, labels, index, winners[winners.abs().argmin()].item())


def _check(logits: Tensor, index: int) -> None:
    check_logits("logits", logits)
    if logits.dim() != 2:
        raise ValueError(f"logits must have shape (N, classes), got {tuple(logits.shape)}")
    if isinstance(index, bool) or not isinstance(index, int | np.integer):
        raise TypeError(f"index must be the number of a class, got {index!r}")
    if not 0 <= index < logits.shape[1]:
        raise ValueError(f"index must be a class from 0 to {logits.shape[1] - 1}, got {index}")


def _checked(labels: Tensor, logits: Tensor) -> Tensor:
    check_labels(labels, logits)
    return labels
