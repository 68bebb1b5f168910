"""A teacher's answers: asked once, kept as a file, and given to the right image whatever the order of the batches."""

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from labcore import runtime
from labcore.distill.bill import bill_answers
from labcore.distill.checks import check_logits, check_module
from labcore.distill.teachers import Ensemble
from labcore.results import BillItem
from labcore.training import evaluating

__all__ = ["TeacherOutputs", "ask", "cache_teacher", "check_same_temperature", "fingerprint", "match_outputs"]


@dataclass(frozen=True, eq=False)
class TeacherOutputs:
    """What a teacher answered on a set of images.

    Attributes:
        logits: shape (N, classes); row i belongs to the i-th image of the batches that were answered.
        rows: hash of an image -> its row. Images are found by content: shuffled batches get the right rows.
        cost: what the answers cost when they were computed.
        temperature: at which they are the mean of several teachers; None for answers of a single one.
    """

    logits: Tensor
    rows: dict[bytes, int]
    cost: BillItem
    temperature: float | None = None

    def logits_of(self, images: Tensor) -> Tensor:
        """The rows of a batch of these images, in the batch's order.

        Raises:
            ValueError: an image that the teacher did not see.
        """
        rows = [self.rows.get(each, -1) for each in _hashes(images)]
        if -1 in rows:
            raise ValueError(
                f"image {rows.index(-1)} of this batch is not among the {len(self.logits):,} that the teacher "
                "answered: another data set, or changed since (augmented, scaled, another type); run cache_teacher on "
                "these images, or pass the teacher itself"
            )
        return self.logits[rows].to(images.device)


def cache_teacher(teacher: nn.Module, batches: Iterable[tuple[Tensor, ...]]) -> TeacherOutputs:
    """Ask a teacher once about every image; the next call with the same teacher and images reads the file.

    The teacher answers in evaluation mode and is left as it was. The file (safetensors, in the cache of `runtime`)
    is found by the images, their order, the teacher's weights and what it answers on the first batch.

    Args:
        teacher: any classifier that gives logits of shape (N, classes).
        batches: (images, ...), each image as the student will see it.

    Raises:
        TypeError, ValueError: no module; no batch; answers that are no logits.
    """
    check_module("teacher", teacher)
    # Kept from one pass: a second one may come in another order.
    passed = [images for images, *_ in batches]
    if not passed:
        raise ValueError("there is no batch for the teacher to answer")
    hashes = [each for images in passed for each in _hashes(images)]

    def compute() -> dict[str, np.ndarray]:
        started = time.perf_counter()
        logits = torch.cat([ask("teacher", teacher, images) for images in passed])
        return {"logits": logits.cpu().numpy(), "seconds": np.array(time.perf_counter() - started)}

    # Answers tell apart networks that hold the same weights and compute something else.
    inputs = [fingerprint(teacher).encode(), _as_bytes(ask("teacher", teacher, passed[0])), b"".join(hashes)]
    arrays = runtime.cached(compute, recipe={"name": "teacher"}, inputs=inputs)
    cost = bill_answers(
        "teacher: answers", teacher, passed[0][:1], n_images=len(hashes), seconds=float(arrays["seconds"])
    )
    temperature = teacher.temperature if isinstance(teacher, Ensemble) else None
    return TeacherOutputs(torch.from_numpy(arrays["logits"]), _rows(hashes), cost, temperature)


def match_outputs(logits: Tensor, images: Tensor, cost: BillItem) -> TeacherOutputs:
    """Answers that were computed elsewhere, for example shipped ones.

    Args:
        logits: shape (N, classes).
        images: what they answer, in the same order, shape (N, ...).
        cost: see `bill_answers`.

    Raises:
        TypeError, ValueError: no logits; another number of images.
    """
    check_logits("logits", logits)
    if len(logits) != len(images):
        raise ValueError(f"need one row of logits for each image, got {len(logits)} and {len(images)}")
    return TeacherOutputs(logits, _rows(_hashes(images)), cost)


def ask(who: str, model: nn.Module, images: Tensor) -> Tensor:
    """A model's logits in evaluation mode, without gradient; its modes are as they were afterwards.

    Raises:
        TypeError, ValueError: answers that are no logits; `who` names the model.
    """
    with evaluating(model):
        logits = model(images)
    check_logits(f"the {who}'s answers", logits)
    # A tensor born in inference mode cannot take part in a backward pass.
    return logits.clone()


def check_same_temperature(teacher: object, temperature: float) -> None:
    """Raise when an `Ensemble`, or its cached answers, teach at another temperature than they were averaged at."""
    if isinstance(teacher, Ensemble | TeacherOutputs) and teacher.temperature not in (None, temperature):
        raise ValueError(
            f"the ensemble averages at T = {teacher.temperature:g}, the student is taught at T = {temperature:g}; give "
            f"distill.Ensemble the temperature {temperature:g}"
        )


def fingerprint(model: nn.Module) -> str:
    """Hash of all weights and buffers: equal before and after shows that nothing was trained."""
    digest = hashlib.sha256()
    for name, values in model.state_dict().items():
        digest.update(f"{name} {values.dtype} {tuple(values.shape)} ".encode())
        digest.update(_as_bytes(values))
    return digest.hexdigest()


def _rows(hashes: list[bytes]) -> dict[bytes, int]:
    return {each: i for i, each in enumerate(hashes)}


def _hashes(images: Tensor) -> list[bytes]:
    kind = f"{images.dtype} {tuple(images.shape[1:])} ".encode()
    return [hashlib.blake2b(kind + _as_bytes(image), digest_size=16).digest() for image in images]


def _as_bytes(values: Tensor) -> bytes:
    return values.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes() if values.numel() else b""
