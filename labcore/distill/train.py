"""A student taught by a frozen teacher: labels, soft answers, features, through the one training loop."""

import contextlib
import copy
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from labcore import runtime
from labcore.distill.bill import bill_answers, bill_training
from labcore.distill.cache import TeacherOutputs, ask, check_same_temperature
from labcore.distill.checks import check_alpha, check_apart, check_module, check_temperature
from labcore.distill.losses import distillation_loss
from labcore.results import BillItem, TrainingLog
from labcore.surgery import tap
from labcore.training import TrainConfig, fit

__all__ = ["DistilledModel", "FeatureMatch", "distill", "train_student"]

# (student's logits, teacher's logits, labels or None) -> scalar
TeacherLoss = Callable[[Tensor, Tensor, Tensor | None], Tensor]


@dataclass(frozen=True)
class FeatureMatch:
    """Two layers whose outputs are compared while training; adds weight * loss(student's, teacher's).

    Attributes:
        student_layer, teacher_layer: names, as in `model.named_modules()`.
        loss: for example `attention_loss` or a `Hint`; parameters of a module are copied and trained too.
        weight: factor.
    """

    student_layer: str
    teacher_layer: str
    loss: Callable[[Tensor, Tensor], Tensor]
    weight: float


@dataclass(frozen=True, eq=False)
class DistilledModel:
    """A student that was taught.

    Attributes:
        model: the trained copy.
        log: of its training.
        costs: of the teacher's answers and of the student's training; a `DistillationBill` adds what the teacher's own
            training cost.
    """

    model: nn.Module
    log: TrainingLog
    costs: tuple[BillItem, ...]


def distill(
    student: nn.Module,
    teacher: nn.Module | TeacherOutputs,
    batches: Iterable[tuple[Tensor, ...]],
    config: TrainConfig,
    *,
    temperature: float,
    alpha: float,
    features: Sequence[FeatureMatch] = (),
    evaluation: Iterable[tuple[Tensor, Tensor]] | None = None,
    stop: threading.Event | None = None,
    progress: Callable[[float], None] | None = None,
    label: str = "distillation",
) -> DistilledModel:
    """Train a copy of the student with `distillation_loss`; the teacher is never trained.

    Args:
        student: not changed.
        teacher: answers each batch as it comes, in evaluation mode, so that it sees what the student sees (augmented
            images too); or its cached outputs, which know the images of `cache_teacher` only.
        batches: a sized re-iterable of (images, labels), or of (images,) without labels and with alpha 1.
        config: settings of the run, see `training.fit`.
        temperature, alpha: see `distillation_loss`. With alpha 0 the student learns from labels alone.
        features: layers to compare besides; they need the teacher itself.
        evaluation, stop, progress: see `training.fit`.

    Raises:
        TypeError, ValueError: a student that is the teacher or shares weights with it; models or batches that do not
            fit each other (found on the first batch, before anything is trained); an `Ensemble` of another temperature;
            see also `distillation_loss`.
        TrainingDiverged: see `training.fit`.

    Source: G. Hinton, O. Vinyals, J. Dean, Distilling the knowledge in a neural network, arXiv 1503.02531.
    """
    check_temperature(temperature)
    check_alpha(alpha)
    check_same_temperature(teacher, temperature)

    def loss(student_logits: Tensor, teacher_logits: Tensor, labels: Tensor | None) -> Tensor:
        return distillation_loss(student_logits, teacher_logits, labels, temperature=temperature, alpha=alpha)

    return train_student(
        student, teacher, batches, config, loss=loss, features=features, evaluation=evaluation, stop=stop,
        progress=progress, label=label,
    )  # fmt: skip


def train_student(
    student: nn.Module,
    teacher: nn.Module | TeacherOutputs,
    batches: Iterable[tuple[Tensor, ...]],
    config: TrainConfig,
    *,
    loss: TeacherLoss,
    features: Sequence[FeatureMatch] = (),
    evaluation: Iterable[tuple[Tensor, Tensor]] | None = None,
    stop: threading.Event | None = None,
    progress: Callable[[float], None] | None = None,
    label: str = "distillation",
) -> DistilledModel:
    """Like `distill`, with any loss.

    Args:
        loss: ``loss(student_logits, teacher_logits, labels) -> scalar``, labels None where there are none; for example
            cross-entropy and `decoupled_loss`.
    """
    check_module("student", student)
    if not isinstance(teacher, TeacherOutputs):
        check_module("teacher", teacher)
        check_apart(student, teacher)
    elif features:
        raise ValueError("features need the teacher itself: of its outputs, only the logits are cached")
    if isinstance(batches, Iterator):
        raise TypeError(f"need batches for several passes, got a {type(batches).__name__}; a list of them will do")
    pupil = _Student(copy.deepcopy(student), copy.deepcopy(tuple(features)), loss)
    lessons = _Lessons(batches, _Answers(teacher, [each.teacher_layer for each in features]))
    with runtime.fork_rng(config.seed):
        sample = pupil.try_on(next(iter(copy.copy(lessons)), None))
    lessons.answers.reset()
    with pupil.watched():
        log = fit(
            pupil, lessons, config, loss=pupil.loss, evaluation=evaluation, stop=stop, progress=progress, label=label
        )
    return DistilledModel(pupil.student, log, _costs(pupil.student, lessons.answers, sample, log))


class _Answers:
    """The teacher's side of every batch, and how many images and seconds it took."""

    def __init__(self, teacher: nn.Module | TeacherOutputs, layers: list[str]):
        self.teacher, self.layers = teacher, layers
        self.reset()

    def reset(self) -> None:
        self.n_images, self.seconds = 0, 0.0

    def __call__(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        started = time.perf_counter()
        if isinstance(self.teacher, TeacherOutputs):
            answer = self.teacher.logits_of(images), []
        else:
            with tap(self.teacher, self.layers) as taps:
                logits = ask("teacher", self.teacher, images)
            answer = logits, [taps[layer].outputs[-1].clone() for layer in self.layers]
        self.n_images, self.seconds = self.n_images + len(images), self.seconds + time.perf_counter() - started
        return answer


@dataclass(frozen=True, eq=False)
class _Lessons:
    """Batches with the teacher's side: (images, labels or None, its logits, its features)."""

    batches: Iterable[tuple[Tensor, ...]]
    answers: _Answers

    def __len__(self) -> int:
        return len(self.batches)

    def __copy__(self) -> "_Lessons":
        return _Lessons(copy.copy(self.batches), self.answers)

    def __iter__(self) -> Iterator[tuple]:
        for images, *rest in self.batches:
            yield images, rest[0] if rest else None, *self.answers(images)


class _Student(nn.Module):
    """The student as `fit` trains it: beside its logits it keeps the features that the losses compare."""

    def __init__(self, student: nn.Module, matches: tuple[FeatureMatch, ...], loss: TeacherLoss):
        super().__init__()
        self.student, self.matches, self.teacher_loss = student, matches, loss
        # As children, so that the optimizer finds their parameters.
        self.losses = nn.ModuleList(each.loss for each in matches if isinstance(each.loss, nn.Module))
        self.features: dict[str, Tensor] = {}

    def forward(self, images: Tensor) -> Tensor:
        return self.student(images)

    def try_on(self, lesson: tuple | None) -> Tensor:
        """Everything on one batch in evaluation mode, so that what does not fit is said early; gives its images."""
        if lesson is None:
            raise ValueError("there is no batch to train on")
        images, labels, logits, features = lesson
        with tap(self.student, [each.student_layer for each in self.matches]) as taps:
            answers = ask("student", self.student, images)
        self.features = {name: each.outputs[-1].clone() for name, each in taps.items()}
        self.loss(answers, labels, logits, features)
        return images

    def loss(self, answers: Tensor, labels: Tensor | None, logits: Tensor, features: list[Tensor]) -> Tensor:
        if not answers.isfinite().all():
            return answers.sum()  # not finite: `fit` says where training diverged
        total = self.teacher_loss(answers, logits, labels)
        for match, taught in zip(self.matches, features, strict=True):
            total = total + match.weight * match.loss(self.features[match.student_layer], taught)
        return total

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Keep the student's features, with their gradients, while the block runs."""
        handles = [
            self.student.get_submodule(match.student_layer).register_forward_hook(
                # Copies: a later layer that works in place would overwrite what was kept.
                lambda _, args, output, name=match.student_layer: self.features.update({name: output.clone()})
            )
            for match in self.matches
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _costs(student: nn.Module, answers: _Answers, sample: Tensor, log: TrainingLog) -> tuple[BillItem, ...]:
    n_images, teacher = answers.n_images, answers.teacher
    if isinstance(teacher, TeacherOutputs):
        taught = teacher.cost
    else:
        taught = bill_answers("teacher: answers", teacher, sample, n_images=n_images, seconds=answers.seconds)
    trained = bill_training(
        "student: training", student, sample, n_images=n_images, seconds=log.seconds - answers.seconds
    )
    return taught, trained
