"""What a teacher passes on to a student, and what it costs."""

from dataclasses import dataclass

import numpy as np

from labcore.results.sweeps import Curve

__all__ = [
    "BillItem", "ClassBias", "DistillationBill", "LossChoice", "LossTerms", "SoftTargets", "StudentChoice",
    "StudentGrid", "UnseenClass",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class LossTerms:
    """The distillation loss of one batch, term by term: loss = (1 - alpha) hard + alpha T² soft.

    Attributes:
        temperature, alpha: of the loss.
        teacher, student: probabilities at that temperature, shape (N, classes).
        hard: cross-entropy with the labels, at temperature 1.
        soft: KL divergence of the two softened distributions, without the factor T².
        hard_gradient, soft_gradient: of `hard` and `soft` with respect to the student's logits, shape (N, classes).
    """

    temperature: float
    alpha: float
    teacher: np.ndarray
    student: np.ndarray
    hard: float
    soft: float
    hard_gradient: np.ndarray
    soft_gradient: np.ndarray

    @property
    def loss(self) -> float:
        return (1 - self.alpha) * self.hard + self.alpha * self.temperature**2 * self.soft

    @property
    def loss_without_factor(self) -> float:
        """The loss when T² is forgotten."""
        return (1 - self.alpha) * self.hard + self.alpha * self.soft

    @property
    def hard_norm(self) -> float:
        return float(np.linalg.norm(self.hard_gradient))

    @property
    def soft_norm(self) -> float:
        """Of the gradient of T² `soft`."""
        return self.temperature**2 * self.soft_norm_without_factor

    @property
    def soft_norm_without_factor(self) -> float:
        """Of the gradient of `soft`."""
        return float(np.linalg.norm(self.soft_gradient))


@dataclass(frozen=True, eq=False)
class BillItem:
    """One thing that was paid for.

    Attributes:
        what: in words, for example ``student: training``.
        n_images: images that passed; one that passes in ten epochs counts ten times.
        seconds: wall time.
        forward_macs, backward_macs: of all these images together.
    """

    what: str
    n_images: int
    seconds: float
    forward_macs: int
    backward_macs: int

    @property
    def macs(self) -> int:
        return self.forward_macs + self.backward_macs


@dataclass(frozen=True, eq=False)
class DistillationBill:
    """All that a student cost: put the teacher's own training on it, or the bill is too small."""

    items: tuple[BillItem, ...]

    @property
    def seconds(self) -> float:
        return sum(item.seconds for item in self.items)

    @property
    def macs(self) -> int:
        return sum(item.macs for item in self.items)


@dataclass(frozen=True, eq=False)
class ClassBias:
    """What is added to the logit of one class, and what becomes of the answers.

    Attributes:
        index: the class.
        bias: added to its logit.
        accuracy: of all samples.
        recall: share of right answers among the samples of that class; NaN when there are none.
        others: share of right answers among all other samples; NaN when there are none.
    """

    index: int
    bias: float
    accuracy: float
    recall: float
    others: float


@dataclass(frozen=True, eq=False)
class SoftTargets:
    """What a teacher says of one image.

    Attributes:
        name: of the image, in words.
        image: shape (H, W), values in [0, 1].
        label: the right class.
        temperature: of the softmax.
        probabilities: shape (classes,).
        entropy_bits: of the probabilities; 0 when sure, log2(classes) when all are equal.
    """

    name: str
    image: np.ndarray
    label: int
    temperature: float
    probabilities: np.ndarray
    entropy_bits: float


@dataclass(frozen=True, eq=False)
class LossChoice:
    """The distillation loss with its factor T², or with the factor forgotten.

    Attributes:
        terms: of the loss.
        squared: whether the soft term is multiplied by T².
    """

    terms: LossTerms
    squared: bool

    @property
    def factor(self) -> float:
        return self.terms.temperature**2 if self.squared else 1.0

    @property
    def shares(self) -> tuple[float, float]:
        """What the labels and what the teacher add to the loss; their sum is the loss."""
        return (1 - self.terms.alpha) * self.terms.hard, self.terms.alpha * self.factor * self.terms.soft

    @property
    def norms(self) -> tuple[float, float]:
        """Length of the gradient of each share with respect to the student's logits."""
        soft = self.terms.soft_norm_without_factor
        return (1 - self.terms.alpha) * self.terms.hard_norm, self.terms.alpha * self.factor * soft


@dataclass(frozen=True, eq=False)
class StudentGrid:
    """Students taught with many settings of alpha and T, beside the same student taught by labels alone.

    Attributes:
        alphas, temperatures: shape (A,) and (K,), ascending.
        accuracies: shape (A, K, seeds).
        baseline: shape (seeds,), the student of labels alone with the same seeds.
        teacher: its accuracy.
        low, high: shape (A, K), 95 % interval of the mean gain over the baseline, seed by seed.
    """

    alphas: np.ndarray
    temperatures: np.ndarray
    accuracies: np.ndarray
    baseline: np.ndarray
    teacher: float
    low: np.ndarray
    high: np.ndarray

    @property
    def gains(self) -> np.ndarray:
        """Mean gain of each setting over the baseline, shape (A, K)."""
        return (self.accuracies - self.baseline).mean(-1)

    @property
    def undecided(self) -> np.ndarray:
        """Settings whose interval holds 0: they cannot be told from the baseline; shape (A, K)."""
        return (self.low <= 0) & (self.high >= 0)


@dataclass(frozen=True, eq=False)
class StudentChoice:
    """One setting of a `StudentGrid`, as indices."""

    row: int
    column: int


@dataclass(frozen=True, eq=False)
class UnseenClass:
    """A student that never met one of the classes, with a bias on the logit of that class.

    Attributes:
        taught: by whom, in words; the family of the two curves.
        now: recall of the class and of all others, measured on all test images.
        answers: shape (N,), what the student says of the images of that class in the gallery.
        recall, others: the same two shares against the bias, several seeds.
    """

    taught: str
    now: ClassBias
    answers: np.ndarray
    recall: Curve
    others: Curve
