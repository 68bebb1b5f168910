"""A model of PyTorch as one ONNX file, checked against the original."""

import copy
import os

import onnx
import torch
from torch import Tensor, nn

from labcore.deploy.files import check_path, write_onnx
from labcore.deploy.sessions import make_session
from labcore.results import OnnxFile

__all__ = ["TOLERANCE", "export_onnx"]

TOLERANCE = 1e-4  # largest difference to PyTorch, as a share of the largest output


def export_onnx(model: nn.Module, sample: Tensor, path: str | os.PathLike) -> OnnxFile:
    """Write a model in evaluation mode as one ONNX file that takes any number of samples.

    The file is written when ONNX Runtime gives what PyTorch gives, within `TOLERANCE`, on two batches of different
    length made of the sample. The exporter folds batch norm. The model is left as it was.

    Args:
        model: any module whose `forward` takes one tensor and gives one.
        sample: one batch, shape (N, ...).
        path: of the file; its folder is made where it is missing.

    Returns:
        The file in numbers.

    Raises:
        TypeError: no module, no tensor, no path.
        ValueError: an empty sample; a model that does not give one finite tensor, cannot be exported, takes only some
            numbers of samples, or computes something else in ONNX Runtime.
        OSError: the file cannot be written.
    """
    path = check_path("path", path)
    if not isinstance(model, nn.Module) or not isinstance(sample, Tensor):
        raise TypeError(f"need a module and a tensor, got {type(model).__name__} and {type(sample).__name__}")
    if sample.dim() == 0 or len(sample) == 0:
        raise ValueError(f"expected a batch of at least one sample, got shape {tuple(sample.shape)}")
    twin = copy.deepcopy(model).eval()
    # Two samples at least: the exporter would take an axis of length one for a constant.
    batches = [torch.cat([sample] * n) for n in (2, 4)]
    expected = [_answer(twin, batch) for batch in batches]
    proto = _export(twin, batches[0])
    exported = make_session(proto.SerializeToString(), type(model).__name__)
    for batch, answer in zip(batches, expected, strict=True):
        _check_same(exported(batch), answer, exported.name)
    return write_onnx(proto, path)


def _answer(model: nn.Module, batch: Tensor) -> Tensor:
    name = type(model).__name__
    try:
        with torch.inference_mode():
            answer = model(batch)
    except (RuntimeError, ValueError, TypeError, LookupError) as error:
        raise ValueError(f"{name} cannot take a batch of shape {tuple(batch.shape)}: {error}") from error
    if not isinstance(answer, Tensor):
        raise ValueError(f"{name} must give one tensor, it gives a {type(answer).__name__}")
    if not answer.isfinite().all():
        raise ValueError(f"{name} gives NaN or infinity on the sample, which nothing can be compared with")
    return answer


def _export(model: nn.Module, batch: Tensor) -> onnx.ModelProto:
    free = ({0: torch.export.Dim("batch")},)
    try:
        program = torch.onnx.export(
            model, (batch,), dynamo=True, dynamic_shapes=free, input_names=["input"], output_names=["output"],
            verbose=False,
        )  # fmt: skip
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).split("\n")[0]
        raise ValueError(f"{type(model).__name__} cannot be exported: {reason}") from error
    return program.model_proto


def _check_same(got: Tensor, expected: Tensor, name: str) -> None:
    if got.shape != expected.shape:
        raise ValueError(f"{name} gives shape {tuple(expected.shape)}, exported it gives {tuple(got.shape)}")
    difference, largest = (got - expected).abs().max().item(), expected.abs().max().item()
    if not difference <= TOLERANCE * largest:
        raise ValueError(
            f"{name} computes something else in ONNX Runtime: outputs up to {largest:g} differ by {difference:g}, "
            f"allowed is {TOLERANCE:g} of the largest; is anything in it random?"
        )
