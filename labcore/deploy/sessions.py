"""A model in ONNX Runtime, called like any other function of a batch."""

import os

import onnxruntime
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as errors
from torch import Tensor

from labcore import runtime
from labcore.deploy.files import read_onnx

__all__ = ["FAILURES", "OnnxModel", "make_session", "session"]

FAILURES = (
    errors.Fail, errors.InvalidArgument, errors.InvalidGraph, errors.InvalidProtobuf, errors.NotImplemented,
    errors.RuntimeException,
)  # fmt: skip
_TYPES = {"tensor(float)": torch.float32, "tensor(double)": torch.float64, "tensor(float16)": torch.float16}


class OnnxModel:
    """A function from one batch to one tensor, run by ONNX Runtime on the CPU; made by `session`.

    Attributes:
        name: of the file.
        threads: that one call may use.
    """

    def __init__(self, engine: onnxruntime.InferenceSession, name: str, threads: int):
        if (n_in := len(engine.get_inputs())) != 1 or (n_out := len(engine.get_outputs())) != 1:
            n_out = len(engine.get_outputs())
            raise ValueError(f"{name} must take one tensor and give one, it takes {n_in} and gives {n_out}")
        self.name, self.threads = name, threads
        self._engine, self._input = engine, engine.get_inputs()[0]

    def __repr__(self) -> str:
        return f"OnnxModel({self.name!r}, threads={self.threads})"

    def __call__(self, x: Tensor) -> Tensor:
        """What the model gives for a batch, on the device of the batch.

        Raises:
            TypeError: no tensor, or one of another type than the model takes.
            ValueError: a batch of a shape that the model cannot take.
        """
        if not isinstance(x, Tensor):
            raise TypeError(f"expected a batch as one tensor, got {type(x).__name__}")
        expected = _TYPES.get(self._input.type, x.dtype)
        if x.dtype != expected:
            raise TypeError(f"{self.name} takes {expected}, got {x.dtype}; convert with .to({expected})")
        array = x.detach().cpu().numpy()
        try:
            return torch.from_numpy(self._engine.run(None, {self._input.name: array})[0]).to(x.device)
        except FAILURES as error:
            raise ValueError(
                f"{self.name} takes a batch of shape {tuple(self._input.shape)}, got {tuple(x.shape)}: {error}"
            ) from error


def session(path: str | os.PathLike, *, threads: int | None = None) -> OnnxModel:
    """A model from an ONNX file, ready to run; equal batches give equal bits.

    Args:
        path: of the file.
        threads: that one call may use, at least 1; None means those of `runtime.threads`.

    Raises:
        FileNotFoundError, ValueError: see `files.read_onnx`; a model that ONNX Runtime cannot run, or one that does not
            take one tensor and give one.
        TypeError: no path; threads that are no whole number.
    """
    read_onnx(path)
    return make_session(os.fspath(path), os.path.basename(path), threads)


def make_session(source: str | bytes, name: str, threads: int | None = None) -> OnnxModel:
    """The same from a file or from the bytes of one."""
    threads = runtime.threads() if threads is None else threads
    if not isinstance(threads, int) or isinstance(threads, bool):
        raise TypeError(f"threads must be a whole number, got {threads!r}")
    if threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.use_deterministic_compute = True
    options.log_severity_level = 3  # errors only, and those are raised
    # Threads that spin while they wait take the processor from whatever else is measured beside them.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        engine = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except FAILURES as error:
        raise ValueError(f"ONNX Runtime cannot run {name}: {error}") from error
    return OnnxModel(engine, name, threads)
