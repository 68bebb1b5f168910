"""A binary or ternary network as a file: one bit (or two) for each weight, alpha in float, the rest as it is."""

import os

from torch import Tensor, nn

from labcore import storage
from labcore.binarize.apply import binary_layers
from labcore.binarize.layers import FixedLayer

__all__ = ["layer_bytes", "measure_file_bytes", "save_binary"]


def _encoding(codes: Tensor) -> str:
    return "packed" if (codes == 0).any() else "signs"


def save_binary(path: str | os.PathLike, model: nn.Module, *, meta: dict | None = None) -> None:
    """Write a model of `fix_binary` to a container file, codes without gaps.

    Args:
        path: the file; read it back with `storage.load_model_` into a model made in the same way.
        model: left as it was.
        meta: JSON values to keep with it.

    Raises:
        ValueError: no `FixedLayer`.
        OSError: the file cannot be written.
    """
    layers = {name: each for name, each in binary_layers(model).items() if isinstance(each, FixedLayer)}
    if not layers:
        raise ValueError(f"{type(model).__name__} has no FixedLayer; make one with binarize.fix_binary")
    encodings = {f"{name}.codes".lstrip("."): _encoding(each.codes) for name, each in layers.items()}
    storage.save_model(path, model, encodings=encodings, meta=meta)


def layer_bytes(layer: FixedLayer) -> int:
    """Bytes of one layer on disk: codes without gaps, and in float32 alpha, a shift and the bias.

    The file's header comes on top.
    """
    rest = (each for each in (layer.alpha, layer.shift, layer.layer.bias) if each is not None)
    return storage.encoded_bytes(layer.codes, _encoding(layer.codes)) + sum(each.nbytes for each in rest)


def measure_file_bytes(model: nn.Module) -> int:
    """Bytes of the file that `save_binary` writes."""
    return storage.measure_written_bytes(lambda path: save_binary(path, model))
