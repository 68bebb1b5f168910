"""ONNX files: read, measured, and written whole."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from labcore import runtime
from labcore.results import OnnxFile

__all__ = ["check_path", "measure_onnx", "read_onnx", "write_onnx"]


def check_path(name: str, path: object) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{name} must be a path, got {type(path).__name__}")
    return Path(path)


def read_onnx(path: str | os.PathLike, *, name: str = "path") -> onnx.ModelProto:
    """The model in a file, its large tensors left in the files beside it.

    Raises:
        FileNotFoundError: no such file, or one of those beside it is missing.
        ValueError: not an ONNX model.
    """
    path = check_path(name, path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; make one with export_onnx")
    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError as error:
        raise ValueError(f"{path} is not an ONNX model: {error}") from error
    if not model.graph.node:
        raise ValueError(f"{path} is not an ONNX model: it holds no operators")
    for each in _files_beside(path, model):
        if not each.is_file():
            raise FileNotFoundError(f"{path.name} keeps tensors in {each.name}, which is missing in {each.parent}")
    return model


def measure_onnx(path: str | os.PathLike) -> OnnxFile:
    """Bytes and operators of an ONNX model. Bytes are those of all its files: large models keep tensors beside it.

    Raises:
        FileNotFoundError, ValueError, TypeError: see `read_onnx`.
    """
    model, path = read_onnx(path), Path(path)
    file_bytes = sum(each.stat().st_size for each in [path, *_files_beside(path, model)])
    return OnnxFile(path.name, file_bytes, dict(Counter(node.op_type for node in model.graph.node)))


def write_onnx(model: onnx.ModelProto, path: Path) -> OnnxFile:
    """One file, whole or not at all, without what the exporter noted about its source."""
    model = _without_notes(model)
    runtime.write_atomically(path, model.SerializeToString(deterministic=True))
    return measure_onnx(path)


def _without_notes(model: onnx.ModelProto) -> onnx.ModelProto:
    # Stack traces and shapes in between: a seventh of a small network's file, and paths of whoever exported it.
    twin = onnx.ModelProto()
    twin.CopyFrom(model)
    graph = twin.graph
    graph.ClearField("value_info")
    for each in (twin, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        each.ClearField("metadata_props")
        each.ClearField("doc_string")
    return twin


def _files_beside(path: Path, model: onnx.ModelProto) -> list[Path]:
    tensors = (each for each in _tensors(model.graph) if uses_external_data(each))
    return [path.parent / name for name in dict.fromkeys(ExternalDataInfo(each).location for each in tensors)]


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for attribute in (each for node in graph.node for each in node.attribute):
        if attribute.HasField("t"):
            yield attribute.t
        if attribute.HasField("g"):
            yield from _tensors(attribute.g)
