"""A quantized model as a file that holds codes: packed weights, scales, and whatever stayed in float."""

import os

from torch import Tensor, nn

from labcore import storage
from labcore.quantize.grids import encode
from labcore.quantize.layers import QuantizedLayer

__all__ = ["measure_file_bytes", "save_quantized"]


class _Stored(nn.Module):
    """Tensors as a container writes those of a model."""

    def __init__(self, tensors: dict[str, Tensor]):
        super().__init__()
        self.tensors = tensors

    def state_dict(self) -> dict[str, Tensor]:
        return self.tensors


def save_quantized(path: str | os.PathLike, model: nn.Module, *, meta: dict | None = None) -> None:
    """Write a model of `apply_weight_only`, `apply_dynamic` or `apply_static`: its weights as codes, without gaps.

    In the file the weight of a quantized layer is whole numbers; decoded with the scale and zero point beside it, it is
    what the layer computes with. `storage.read_container` reads them.

    Args:
        path: the file; an older one is replaced.
        model: left as it was.
        meta: JSON values to keep with it.

    Raises:
        ValueError: no weight of the model is on a grid.
        OSError: the file cannot be written.
    """
    wrapped = {name: each for name, each in model.named_modules() if isinstance(each, QuantizedLayer)}
    codes = {
        f"{name}.layer.weight".lstrip("."): encode(each.layer.weight.detach(), each.weight_quantizer.grid)
        for name, each in wrapped.items() if each.weight_quantizer is not None
    }  # fmt: skip
    if not codes:
        raise ValueError(f"{type(model).__name__} has no weight on a grid; use storage.save_model")
    stored = _Stored(dict(model.state_dict()) | codes)
    storage.save_model(path, stored, encodings=dict.fromkeys(codes, "packed"), meta=meta)


def measure_file_bytes(model: nn.Module) -> int:
    """Bytes of the file that `save_quantized` writes."""
    return storage.measure_written_bytes(lambda path: save_quantized(path, model))
