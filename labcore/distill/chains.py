"""Students that teach students: assistants and generations."""

from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from labcore.distill.cache import TeacherOutputs
from labcore.distill.checks import check_models
from labcore.distill.train import DistilledModel, distill
from labcore.training import TrainConfig

__all__ = ["distill_chain"]


def distill_chain(
    teacher: nn.Module | TeacherOutputs,
    students: Sequence[nn.Module],
    batches: Iterable[tuple[Tensor, ...]],
    config: TrainConfig,
    *,
    temperature: float,
    alpha: float,
) -> tuple[DistilledModel, ...]:
    """The teacher teaches the first student, which then teaches the second, and so on.

    A middle-sized student before a tiny one is a teacher's assistant. Students of the teacher's own size are
    generations (born-again networks); give each its own initial weights.

    Args:
        teacher: of the first student; see `distill`. An `Ensemble` teaches the first one only.
        students: from first to last; not changed.
        batches, config, temperature, alpha: the same for every student; see `distill`.

    Returns:
        The taught students, in the order of `students`.

    Raises:
        TypeError, ValueError: no list of models; see also `distill`.
        TrainingDiverged: see `training.fit`.

    Source: S. I. Mirzadeh et al., Improved knowledge distillation via teacher assistant, arXiv 1902.03393;
        T. Furlanello et al., Born-again neural networks, arXiv 1805.04770.
    """
    check_models("students", students)
    taught: list[DistilledModel] = []
    for student in students:
        taught.append(distill(student, teacher, batches, config, temperature=temperature, alpha=alpha))
        teacher = taught[-1].model
    return tuple(taught)
