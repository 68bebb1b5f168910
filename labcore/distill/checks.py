"""What distillation accepts, and how it explains what it does not."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = [
    "check_alpha", "check_apart", "check_features", "check_labels", "check_logits", "check_models", "check_module",
    "check_number", "check_pair", "check_temperature", "holds_probabilities",
]  # fmt: skip


def check_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, got {value!r}")


def check_temperature(temperature: float) -> None:
    check_number("temperature", temperature)
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature must be a finite number above 0, got {temperature}; 1 changes nothing")


def check_alpha(alpha: float) -> None:
    check_number("alpha", alpha)
    if not 0 <= alpha <= 1:
        hint = f"; did you mean {alpha / 100:g}?" if 1 < alpha <= 100 else ""
        raise ValueError(f"alpha, the share of the teacher's term, must be in [0, 1], got {alpha}{hint}")


def check_logits(name: str, logits: Tensor) -> None:
    """Raise unless `logits` are finite floating-point numbers, classes last, and no probabilities."""
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        kind = logits.dtype if isinstance(logits, Tensor) else type(logits).__name__
        raise TypeError(f"{name} must be a floating-point tensor, got {kind}")
    if logits.dim() == 0 or not logits.numel() or logits.shape[-1] < 2:
        raise ValueError(f"{name} need samples and at least 2 classes on the last axis, got {tuple(logits.shape)}")
    if not logits.isfinite().all():
        raise ValueError(f"{name} hold NaN or infinity; for a class that cannot be, use a logit of -1e4")
    if holds_probabilities(logits):
        raise ValueError(
            f"{name} look like probabilities: no value is negative and every row sums to 1; pass the values before "
            "the softmax"
        )


def holds_probabilities(values: Tensor) -> bool:
    sums = values.detach().sum(-1)
    return bool((values >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), rtol=0, atol=1e-3)


def check_pair(student_logits: Tensor, teacher_logits: Tensor) -> None:
    """Raise unless both are logits of shape (N, classes), the same N and classes."""
    for name, logits in (("student_logits", student_logits), ("teacher_logits", teacher_logits)):
        check_logits(name, logits)
        if logits.dim() != 2:
            raise ValueError(
                f"{name} must have shape (N, classes), got {tuple(logits.shape)}; of a sequence, flatten the places "
                "into N"
            )
    if student_logits.shape[1] != teacher_logits.shape[1]:
        raise ValueError(
            f"student and teacher must know the same classes, got {student_logits.shape[1]} and "
            f"{teacher_logits.shape[1]}; cut the teacher's logits to the classes they share, or give the student more"
        )
    if len(student_logits) != len(teacher_logits):
        raise ValueError(
            f"need one row of teacher_logits for each of student_logits, got {len(teacher_logits)} and "
            f"{len(student_logits)}"
        )


def check_labels(labels: Tensor, logits: Tensor) -> None:
    """Raise unless there is one class index for each row of logits."""
    n, n_classes = logits.shape
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64:
        kind = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise TypeError(f"labels must be class indices, an int64 tensor, got {kind}")
    if labels.shape != (n,):
        raise ValueError(f"labels must have shape ({n},), one class index a sample, got {tuple(labels.shape)}")
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(f"labels must be from 0 to {n_classes - 1}, got {labels.min()} to {labels.max()}")


def check_features(student: Tensor, teacher: Tensor, *, dims: int) -> None:
    """Raise unless both are finite, have `dims` axes and the same number of samples."""
    for name, features in (("student", student), ("teacher", teacher)):
        if features.dim() != dims:
            shape = {2: "(N, features)", 4: "(N, C, H, W)"}[dims]
            raise ValueError(f"features of the {name} must have shape {shape}, got {tuple(features.shape)}")
        if not features.isfinite().all():
            raise ValueError(f"features of the {name} hold NaN or infinity")
    if len(student) != len(teacher):
        raise ValueError(f"need features of the same samples, got {len(student)} and {len(teacher)}")


def check_module(name: str, model: object) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"{name} must be a torch.nn.Module, got {type(model).__name__}")


def check_models(name: str, models: object) -> None:
    """Raise unless `models` is a sequence of modules: a single one would be taken for its layers."""
    if isinstance(models, nn.Module) or not isinstance(models, Sequence):
        raise TypeError(f"{name} must be a list of models, got {type(models).__name__}; one model goes in a list too")
    if not models:
        raise ValueError(f"{name} must name at least one model, got none")
    for i, each in enumerate(models):
        check_module(f"{name}[{i}]", each)


def check_apart(student: nn.Module, teacher: nn.Module) -> None:
    """Raise when training the student would change the teacher."""
    if student is teacher:
        raise ValueError("the student is the teacher: it would chase itself; teach a copy.deepcopy, or another model")
    own = {each.untyped_storage().data_ptr() for each in student.parameters() if each.numel()}
    shared = [name for name, each in teacher.named_parameters() if each.untyped_storage().data_ptr() in own]
    if shared:
        raise ValueError(f"student and teacher share weights ({', '.join(shared)}); give the student its own copy")
