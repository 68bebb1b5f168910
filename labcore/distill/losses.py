"""The loss: labels and the teacher's softened answers, weighed by alpha."""

import torch
from torch import Tensor
from torch.nn import functional as F

from labcore.distill.checks import (
    check_alpha,
    check_labels,
    check_logits,
    check_pair,
    check_temperature,
    holds_probabilities,
)
from labcore.results import LossTerms

__all__ = ["decoupled_loss", "distillation_loss", "entropy", "loss_terms", "soften"]


def soften(logits: Tensor, temperature: float) -> Tensor:
    """Probabilities at a temperature: softmax(z / T). A high T shows what the teacher thinks of the other classes.

    >>> soften(torch.tensor([4.0, 0.0]), 1).round(decimals=3).tolist()
    [0.9819999933242798, 0.017999999225139618]

    Args:
        logits: values before the softmax, shape (..., classes).
        temperature: above 0; 1 changes nothing, infinity would make all classes alike.

    Raises:
        TypeError, ValueError: no floating-point tensor; NaN or infinity; probabilities; a wrong temperature.

    Source: G. Hinton, O. Vinyals, J. Dean, Distilling the knowledge in a neural network, arXiv 1503.02531, equation 1.
    """
    check_temperature(temperature)
    check_logits("logits", logits)
    return _log_soften(logits, temperature).exp()


def entropy(probabilities: Tensor) -> Tensor:
    """Entropy of each distribution in nats: -sum p log p, with 0 log 0 = 0; from 0 (sure) to log(classes).

    Args:
        probabilities: shape (..., classes), for example from `soften`.

    Returns:
        shape (...).

    Raises:
        ValueError: rows that are not distributions.
    """
    if not holds_probabilities(probabilities):
        raise ValueError("expected probabilities: no value below 0, each row with sum 1; see distill.soften")
    return torch.special.entr(probabilities).sum(-1)


def distillation_loss(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor | None, *, temperature: float, alpha: float
) -> Tensor:
    """L = (1 - alpha) CE(y, p_s) + alpha T² KL(p_t(T) || p_s(T)), with p(T) = softmax(z / T).

    CE is taken at T = 1. KL is summed over classes; both are averaged over the batch. Gradients of the soft term shrink
    like 1 / T²; the factor T² keeps their size, so that alpha means the same at every T.

    Libraries disagree on alpha: here it multiplies the teacher's term; in others it multiplies the labels' term.

    Args:
        student_logits: shape (N, classes).
        teacher_logits: shape (N, classes); no gradient flows there.
        labels: class indices, shape (N,); None for samples without labels, with alpha 1.
        temperature: T, above 0.
        alpha: in [0, 1]; 0 is plain cross-entropy, 1 listens to the teacher alone.

    Returns:
        A scalar; finite for every finite logit.

    Raises:
        TypeError, ValueError: tensors of a wrong type or shape, other class counts, NaN or infinity, probabilities in
            the place of logits, labels out of range; a wrong temperature or alpha.

    Source: G. Hinton, O. Vinyals, J. Dean, Distilling the knowledge in a neural network, arXiv 1503.02531, section 2.
    """
    check_temperature(temperature)
    check_alpha(alpha)
    check_pair(student_logits, teacher_logits)
    if labels is not None:
        check_labels(labels, student_logits)
        hard = F.cross_entropy(student_logits, labels)
    elif alpha == 1:
        hard = 0.0
    else:
        raise ValueError(f"without labels there are soft targets only: alpha must be 1, got {alpha}")
    return (1 - alpha) * hard + alpha * temperature**2 * _soft_term(student_logits, teacher_logits, temperature)


def loss_terms(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, temperature: float, alpha: float
) -> LossTerms:
    """Both terms of `distillation_loss`, their gradients and the softened distributions, as numbers.

    Args:
        See `distillation_loss`; labels are needed.
    """
    check_alpha(alpha)
    _check_labelled(student_logits, teacher_logits, labels, temperature)
    z = student_logits.detach().clone().requires_grad_()
    hard, soft = F.cross_entropy(z, labels), _soft_term(z, teacher_logits, temperature)
    gradients = [torch.autograd.grad(term, z)[0].cpu().numpy() for term in (hard, soft)]
    teacher, student = (_log_soften(each.detach(), temperature).exp().cpu().numpy() for each in (teacher_logits, z))
    return LossTerms(temperature, alpha, teacher, student, hard.item(), soft.item(), *gradients)


def decoupled_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    temperature: float,
    target_weight: float = 1.0,
    others_weight: float = 8.0,
) -> Tensor:
    """The soft term in two: how sure of the right class, and how the rest is shared among the others (DKD).

    L = T² (w_t KL(b_t || b_s) + w_o KL(q_t || q_s)), b = (p_right, 1 - p_right), q = p of the others / (1 - p_right).
    The plain soft term is w_t = 1 and w_o = 1 - p_right of the teacher: a sure teacher silences its second part.

    Args:
        student_logits, teacher_logits, labels, temperature: see `distillation_loss`; labels are needed.
        target_weight, others_weight: w_t and w_o.

    Returns:
        A scalar without the labels' own term; add cross-entropy.

    Source: B. Zhao et al., Decoupled knowledge distillation, arXiv 2203.08679, equation 7.
    """
    _check_labelled(student_logits, teacher_logits, labels, temperature)
    student = _log_soften(student_logits, temperature)
    teacher = _log_soften(teacher_logits.detach(), temperature)
    right = F.one_hot(labels, student.shape[1]).bool()
    target = _kl(_right_or_not(teacher, right), _right_or_not(student, right))
    rest = [each[~right].view(len(labels), -1).log_softmax(1) for each in (teacher, student)]
    return temperature**2 * (target_weight * target + others_weight * _kl(*rest))


def _right_or_not(log_probabilities: Tensor, right: Tensor) -> Tensor:
    """log of (p_right, 1 - p_right), shape (N, 2)."""
    # From the others' logarithms: 1 - p would be 0 for a saturated student, and its logarithm infinite.
    rest = log_probabilities[~right].view(len(right), -1).logsumexp(1)
    return torch.stack([log_probabilities[right], rest], 1)


def _log_soften(logits: Tensor, temperature: float) -> Tensor:
    return (logits / temperature).log_softmax(-1)


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q), summed over classes, averaged over the batch."""
    # In logarithms on both sides: p = 0 gives 0 times a finite number.
    return F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)


def _soft_term(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    return _kl(_log_soften(teacher_logits.detach(), temperature), _log_soften(student_logits, temperature))


def _check_labelled(student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, temperature: float) -> None:
    check_temperature(temperature)
    check_pair(student_logits, teacher_logits)
    check_labels(labels, student_logits)
