"""How a model lies on disk: one container file that holds any model, dense or compressed.

Layout: 8 bytes of magic (the last is the format's version), the SHA-256 of everything after it (32 bytes),
then a safetensors payload. The payload's metadata is one JSON text: the version, how each tensor is encoded,
and `meta`, which belongs to whoever saves. Nothing in the file is ever executed.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load as load_arrays
from safetensors.torch import save as save_arrays
from torch import Tensor, nn

from labcore import runtime
from labcore.models import weight_differences
from labcore.storage.encodings import FILE_ENCODINGS

__all__ = ["Container", "ContainerError", "load_model_", "measure_written_bytes", "read_container", "save_model"]

VERSION = 1
_NAME = b"LABCORE"
_PAYLOAD_START = len(_NAME) + 1 + hashlib.sha256().digest_size


class ContainerError(ValueError):
    """A file that is no container, is damaged, or does not fit the model; the message says which."""


@dataclass(frozen=True, eq=False)
class Container:
    """What a container file holds.

    Attributes:
        tensors: parameters and buffers by name, decoded; names that shared storage hold the same tensor.
        meta: as given to `save_model`.
    """

    tensors: dict[str, Tensor]
    meta: dict


def save_model(
    path: str | os.PathLike, model: nn.Module, *, meta: dict | None = None,
    encodings: Mapping[str, str] | None = None,
) -> None:  # fmt: skip
    """Write a model's parameters and buffers to a container file, whole or not at all.

    Args:
        path: the file; an older one is replaced.
        model: not changed. Names of one and the same tensor are written once.
        meta: JSON values to keep with the model.
        encodings: a key of `FILE_ENCODINGS` by tensor name; tensors not named are written dense.

    Raises:
        ValueError: unknown tensor or encoding; an encoding for a name that shares the storage of another.
        TypeError: a tensor or a `meta` that cannot be written.
        OSError: the file cannot be written; an older one is left as it was.
    """
    state, encodings = model.state_dict(), encodings or {}
    _check_state(state)
    aliases = _find_aliases(state)
    _check_encodings(encodings, state, aliases)
    arrays, index = {}, {}
    for name, tensor in state.items():
        if name in aliases:
            index[name] = {"encoding": "alias", "info": {"of": aliases[name]}}
            continue
        encoding = encodings.get(name, "dense")
        parts, info = FILE_ENCODINGS[encoding].encode(tensor)
        index[name] = {"encoding": encoding, "parts": list(parts), "info": info}
        for part, array in parts.items():
            # A clone, as safetensors refuses two views of one storage.
            arrays[f"{name}:{part}"] = array.cpu().clone(memory_format=torch.contiguous_format)
    runtime.write_atomically(Path(path), _pack(arrays, index, {} if meta is None else meta))


def measure_written_bytes(write: Callable[[Path], None]) -> int:
    """Bytes of the file that ``write(path)`` writes; it is written for this, in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        write(path)
        return path.stat().st_size


def _pack(arrays: dict[str, Tensor], index: dict, meta: dict) -> bytes:
    if not isinstance(meta, dict):
        raise TypeError(f"meta must be a dictionary, got {type(meta).__name__}")
    try:
        text = json.dumps({"version": VERSION, "tensors": index, "meta": meta}, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"meta must hold finite JSON values: {error}") from error
    payload = save_arrays(arrays, metadata={"labcore": text})
    return _NAME + bytes([VERSION]) + hashlib.sha256(payload).digest() + payload


def _check_state(state: dict[str, object]) -> None:
    for name, value in state.items():
        plain = type(value) is Tensor and value.layout is torch.strided
        if not plain or value.is_quantized or value.is_meta:
            kind = f"{value.dtype} {value.layout} on {value.device}" if plain else type(value).__name__
            raise TypeError(f"cannot write {name!r}: expected a plain dense tensor with values, got {kind}")


def _find_aliases(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Names of the same view of the same storage as an earlier name -> that earlier name."""
    first, aliases = {}, {}
    for name, tensor in tensors.items():
        view = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        # All empty tensors have address zero; they share nothing.
        if tensor.numel() and first.setdefault(view, name) != name:
            aliases[name] = first[view]
    return aliases


def _check_encodings(encodings: Mapping[str, str], state: dict, aliases: dict[str, str]) -> None:
    for name, encoding in encodings.items():
        if name not in state:
            raise ValueError(f"encodings names {name!r}, which the model lacks; it has: {', '.join(state)}")
        if encoding not in FILE_ENCODINGS:
            raise ValueError(f"unknown encoding {encoding!r}; choose one of: {', '.join(FILE_ENCODINGS)}")
        if name in aliases:
            raise ValueError(f"{name!r} shares storage: name the encoding of {aliases[name]!r} instead")


def load_model_(model: nn.Module, path: str | os.PathLike) -> dict:
    """Load a container file into a model of the same architecture.

    Args:
        model: filled in place; what it shares stays shared.
        path: written by `save_model`.

    Returns:
        The file's `meta`.

    Raises:
        ContainerError: the file is refused (see `read_container`) or does not fit: every difference in name,
            shape, type and sharing is named, and the model is as it was.
        OSError: the file cannot be read.
    """
    container = read_container(path)
    wrong = weight_differences(model, container.tensors) + _sharing_differences(model, container.tensors)
    if wrong:
        raise ContainerError(f"{path} does not fit {type(model).__name__}: {'; '.join(wrong)}")
    model.load_state_dict(container.tensors)
    return container.meta


def _sharing_differences(model: nn.Module, tensors: dict[str, Tensor]) -> list[str]:
    state = model.state_dict()
    common = sorted(state.keys() & tensors.keys())
    ours = _find_aliases({name: state[name] for name in common})
    stored = _find_aliases({name: tensors[name] for name in common})
    return [
        f"{name}: shared with {ours.get(name, 'none')} in the model, {stored.get(name, 'none')} in the file"
        for name in common if ours.get(name) != stored.get(name)
    ]  # fmt: skip


def read_container(path: str | os.PathLike) -> Container:
    """Read a container file without a model.

    Raises:
        ContainerError: the file is foreign, of another version, cut off, damaged, or described wrongly.
        OSError: the file cannot be read.
    """
    payload = _read_payload(path)
    # The checksum is right, so what fails now was not written by `save_model`: it may fail in any way.
    try:
        arrays = load_arrays(payload)
        description = json.loads(_header(payload)["__metadata__"]["labcore"])
        if description["version"] != VERSION or not isinstance(description["meta"], dict):
            raise ValueError(f"version {description['version']!r}, meta {description['meta']!r}")
        tensors: dict[str, Tensor] = {}
        for name, entry in description["tensors"].items():
            tensors[name] = _decode(name, entry, arrays, tensors)
        if arrays:
            raise ValueError(f"arrays that no tensor uses: {', '.join(sorted(arrays))}")
    except Exception as error:
        raise ContainerError(f"{path} does not describe its tensors rightly: {error!r}") from error
    return Container(tensors, description["meta"])


def _decode(name: str, entry: dict, arrays: dict[str, Tensor], decoded: dict[str, Tensor]) -> Tensor:
    encoding, info = entry["encoding"], entry["info"]
    if encoding == "alias":
        return decoded[info["of"]]
    if encoding not in FILE_ENCODINGS:
        raise ValueError(f"unknown encoding {encoding!r} of {name!r}; known are: {', '.join(FILE_ENCODINGS)}")
    return FILE_ENCODINGS[encoding].decode({part: arrays.pop(f"{name}:{part}") for part in entry["parts"]}, info)


def _read_payload(path: str | os.PathLike) -> bytes:
    """Everything after the checksum, or why the file is refused."""
    content = Path(path).read_bytes()
    name, version = content[: len(_NAME)], content[len(_NAME) : len(_NAME) + 1]
    if not _NAME.startswith(name):
        raise ContainerError(f"{path} is not a labcore container: starts with {name!r}, not with {_NAME!r}")
    if version and version[0] != VERSION:
        hint = "; a newer labcore wrote it: update labcore" if version[0] > VERSION else ""
        raise ContainerError(f"{path} has format version {version[0]}, expected {VERSION}{hint}")
    payload = content[_PAYLOAD_START:]
    if hashlib.sha256(payload).digest() != content[len(_NAME) + 1 : _PAYLOAD_START]:
        raise ContainerError(f"{path} is damaged: {_diagnose(len(content), payload)}; save it again")
    return payload


def _diagnose(n_bytes: int, payload: bytes) -> str:
    """Why a checksum fails: bytes are missing (as far as the rest tells how many), or were changed."""
    missing = max(_PAYLOAD_START + 8 - n_bytes, _header_end(payload) - len(payload))
    if missing <= 0:
        try:
            entries = [entry for name, entry in _header(payload).items() if name != "__metadata__"]
            missing += max(entry["data_offsets"][1] for entry in entries)
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
            return "its header is not readable"
    # safetensors refuses longer headers: a greater claim is a changed byte, not a cut.
    cut = missing > 0 and _header_end(payload) <= 100_000_000
    return f"cut off, at least {missing:,} bytes are missing" if cut else "its checksum is wrong"


def _header_end(payload: bytes) -> int:
    return 8 + int.from_bytes(payload[:8], "little")


def _header(payload: bytes) -> dict:
    return json.loads(payload[8 : _header_end(payload)])
