"""Teachers beside a single trained network: one that knows nothing, and several as one."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from labcore.distill.checks import check_logits, check_models, check_temperature

__all__ = ["Ensemble", "KnowsNothing", "mean_answers"]


class KnowsNothing(nn.Module):
    """A teacher that finds all classes equally likely: taught by it at T = 1, the student learns smoothed labels.

    (1 - alpha) CE + alpha KL(uniform || p_s) is cross-entropy with label smoothing alpha, less alpha log(classes).

    Args:
        n_classes: at least 2.

    Source: L. Yuan et al., Revisiting knowledge distillation via label smoothing regularization, arXiv 1909.11723.
    """

    def __init__(self, n_classes: int):
        super().__init__()
        if n_classes < 2:
            raise ValueError(f"n_classes must be at least 2, got {n_classes}")
        self.n_classes = n_classes

    def forward(self, images: Tensor) -> Tensor:
        return images.new_zeros(len(images), self.n_classes)


class Ensemble(nn.Module):
    """Several teachers as one: its logits, softened at `temperature`, are the mean of what they say at it.

    A student of it is taught at the same temperature; at another one the mean would be another one.

    Args:
        teachers: networks of the same classes; kept as they are, not copied.
        temperature: see `mean_answers`.

    Raises:
        TypeError, ValueError: no teacher, or one that is no module; a wrong temperature.

    Source: G. Hinton, O. Vinyals, J. Dean, Distilling the knowledge in a neural network, arXiv 1503.02531, section 4.
    """

    def __init__(self, teachers: Sequence[nn.Module], *, temperature: float):
        super().__init__()
        check_models("teachers", teachers)
        check_temperature(temperature)
        self.teachers, self.temperature = nn.ModuleList(teachers), temperature

    def forward(self, images: Tensor) -> Tensor:
        return mean_answers([teacher(images) for teacher in self.teachers], self.temperature)


def mean_answers(logits: Sequence[Tensor], temperature: float) -> Tensor:
    """Logits of a teacher who says the mean of what several say: z = T log(1/n sum_i softmax(z_i / T)).

    So softmax(z / T) is the mean of the softened probabilities. The mean of the logits is something else (it gives the
    geometric mean): there a single sure teacher outvotes the others.

    >>> sure, unsure = torch.tensor([9.0, 0.0]), torch.tensor([0.0, 2.0])
    >>> mean_answers([sure, unsure], 1).softmax(0).round(decimals=2).tolist()
    [0.5600000023841858, 0.4399999976158142]

    Args:
        logits: of each teacher, all of shape (..., classes).
        temperature: T, at which the answers are softened and averaged.

    Returns:
        shape (..., classes); of a single teacher, its logits less one number for each row.

    Raises:
        TypeError, ValueError: no teacher; other shapes; see also `soften`.

    Source: G. Hinton, O. Vinyals, J. Dean, Distilling the knowledge in a neural network, arXiv 1503.02531, section 1.
    """
    check_temperature(temperature)
    if isinstance(logits, Tensor):
        raise TypeError("logits must be a list with those of each teacher, got one tensor")
    if not logits:
        raise ValueError("need the logits of at least one teacher, got none")
    for i, each in enumerate(logits):
        check_logits(f"logits of teacher {i}", each)
        if each.shape != logits[0].shape:
            raise ValueError(
                f"teachers must answer the same images with the same classes: teacher 0 has the shape "
                f"{tuple(logits[0].shape)}, teacher {i} {tuple(each.shape)}"
            )
    softened = torch.stack([(each / temperature).log_softmax(-1) for each in logits])
    return temperature * (softened.logsumexp(0) - math.log(len(logits)))
