"""ONNX files in eight bits, by ONNX Runtime's own quantizer."""

import contextlib
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor

from labcore.deploy.files import check_path, read_onnx, write_onnx
from labcore.deploy.sessions import FAILURES
from labcore.results import OnnxFile
from labcore.runtime import NoEffectWarning

__all__ = ["quantize_onnx_dynamic", "quantize_onnx_static"]

Scheme = Literal["U8S8", "U8S7", "S8S8"]
Scales = Literal["per channel", "per tensor"]
Layers = Literal["linear", "all"]
_INTEGER = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger")


def quantize_onnx_static(
    path_in: str | os.PathLike,
    path_out: str | os.PathLike,
    batches: Iterable[tuple[Tensor, ...]],
    *,
    scheme: Scheme = "U8S8",
    scales: Scales = "per channel",
) -> OnnxFile:
    """Weights and activations in integers, with ranges fixed beforehand: smallest and largest value in the batches.

    The file holds pairs of QuantizeLinear and DequantizeLinear (QDQ), which ONNX Runtime turns into integer layers.

    Args:
        path_in: a model in float, from `export_onnx`.
        path_out: of the new file.
        batches: for calibration: (inputs, ...) each, of which the inputs are read.
        scheme: type of activations, then of weights. U8S7 keeps weights within 7 bits: processors without VNNI add
            pairs of products in 16 bits, which eight bits overflow.
        scales: of the weights.

    Raises:
        TypeError, ValueError, FileNotFoundError: no model in float; no batch, one that the model cannot take, or one
            with NaN or infinity; unknown settings.
        NoEffectWarning (a warning): nothing was quantized.
    """
    _check_choice("scheme", scheme, Scheme)
    _check_choice("scales", scales, Scales)
    kind = {"U": QuantType.QUInt8, "S": QuantType.QInt8}[scheme[0]]

    def quantize(source: str, target: str) -> None:
        graph = onnx.load(source).graph
        # A norm that could not be folded has no integer kernel, and its scale would get one step for all channels.
        norms = [node.name for node in graph.node if node.op_type.endswith("Normalization")]
        quantize_static(
            source, target, _Reader(graph.input[0].name, batches), quant_format=QuantFormat.QDQ, activation_type=kind,
            weight_type=QuantType.QInt8, per_channel=scales == "per channel", reduce_range=scheme == "U8S7",
            calibrate_method=CalibrationMethod.MinMax, nodes_to_exclude=norms,
        )  # fmt: skip

    return _quantize(path_in, path_out, quantize)


def quantize_onnx_dynamic(
    path_in: str | os.PathLike,
    path_out: str | os.PathLike,
    *,
    layers: Layers = "linear",
    scales: Scales = "per channel",
) -> OnnxFile:
    """Weights in signed integers; the range of activations is found anew in every call.

    Args:
        path_in: a model in float, from `export_onnx`.
        path_out: of the new file.
        layers: which layers; `all` takes convolutions too, and those are slower than in float.
        scales: of the weights.

    Raises:
        TypeError, ValueError, FileNotFoundError: no model in float; unknown settings.
        NoEffectWarning (a warning): nothing was quantized.
    """
    _check_choice("layers", layers, Layers)
    _check_choice("scales", scales, Scales)
    kinds = {"linear": ["MatMul", "Gemm"], "all": ["MatMul", "Gemm", "Conv"]}[layers]

    def quantize(source: str, target: str) -> None:
        quantize_dynamic(
            source, target, op_types_to_quantize=kinds, per_channel=scales == "per channel",
            weight_type=QuantType.QInt8,
        )  # fmt: skip

    return _quantize(path_in, path_out, quantize)


class _Reader(CalibrationDataReader):
    """Hands out inputs as ONNX Runtime wants them, each looked at first."""

    def __init__(self, name: str, batches: Iterable[tuple[Tensor, ...]]):
        self._name, self._batches, self._count = name, iter(batches), 0

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        if batch is None:
            if not self._count:
                raise ValueError("there is no batch to calibrate with")
            return None
        if not isinstance(batch, tuple | list) or not isinstance(batch[0], Tensor):
            raise TypeError(f"expected batches as tuples (inputs, ...), got {type(batch).__name__}")
        if not batch[0].isfinite().all():
            raise ValueError(f"batch {self._count} for calibration holds NaN or infinity; no range can hold those")
        self._count += 1
        return {self._name: batch[0].detach().cpu().numpy()}


def _quantize(path_in: object, path_out: object, quantize: Callable[[str, str], None]) -> OnnxFile:
    path_in, path_out = check_path("path_in", path_in), check_path("path_out", path_out)
    present = {node.op_type for node in read_onnx(path_in).graph.node} & set(_INTEGER)
    if present:
        raise ValueError(f"{path_in.name} is quantized already: it holds {', '.join(sorted(present))}")
    # In a folder of its own, as the quantizer writes more than one file.
    with tempfile.TemporaryDirectory(prefix="labcore-") as folder, _root_logger_as_found():
        prepared, target = str(Path(folder) / "prepared.onnx"), str(Path(folder) / "target.onnx")
        quant_pre_process(str(path_in), prepared, skip_symbolic_shape=True)
        try:
            quantize(prepared, target)
        except FAILURES as error:
            raise ValueError(f"{path_in.name} cannot take a batch for calibration: {error}") from error
        written = write_onnx(onnx.load(target), path_out)
    if not written.operators.keys() & set(_INTEGER):
        warnings.warn(
            f"nothing in {path_in.name} was quantized: its operators are {', '.join(sorted(written.operators))}",
            NoEffectWarning,
            stacklevel=3,
        )
    return written


@contextlib.contextmanager
def _root_logger_as_found() -> Iterator[None]:
    # The quantizer logs through the root logger, which that configures for the whole process.
    root = logging.getLogger()
    handlers = root.handlers[:]
    try:
        yield
    finally:
        root.handlers[:] = handlers


def _check_choice(name: str, value: str, choices: object) -> None:
    if value not in get_args(choices):
        raise ValueError(f"unknown {name} {value!r}; choose one of: {', '.join(get_args(choices))}")
