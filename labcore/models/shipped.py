"""Weights that come with the package, and weights that fit a network or not."""

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from labcore import runtime
from labcore.models.networks import NETWORKS, ModelName, make_model

__all__ = ["BlockLevel", "load_blocks_", "load_model", "load_weights_", "weight_differences"]

BlockLevel = Literal["float", "weights", "all"]


def load_model(name: ModelName, *, width: int | None = None) -> nn.Module:
    """A network with its shipped weights (hash and shapes checked), in evaluation mode.

    `lab_*` were trained on `fashion14`, `lenet_*` on `mnist5k`; `runtime.read_manifest` holds recipe and accuracy.

    Args:
        width: default the network's own; `lab_cnn` is shipped in other widths too.

    Raises:
        FileNotFoundError: no weights are shipped at that width (the message lists what is shipped).
    """
    model = make_model(name, width=width)
    plain = width is None or width == NETWORKS[name][1]
    shipped = f"{name}.safetensors" if plain else f"{name}-w{width}.safetensors"
    load_weights_(model, load_tensors(runtime.read_shipped(shipped)))
    return model.eval()


def load_blocks_(model: nn.Module, level: BlockLevel) -> nn.Module:
    """Fill a network of `make_blocks` with shipped weights, trained on `fashion14`; gives it in evaluation mode.

    Args:
        model: for "float" the network itself; for "weights" and "all" that of `binarize.apply_binary` with binary
            weights, or with binary activations too.
        level: which weights.

    Raises:
        ValueError: an unknown level, or a model that they do not fit (all differences are named).
    """
    if level not in get_args(BlockLevel):
        raise ValueError(f"level must be one of {', '.join(get_args(BlockLevel))}; got {level!r}")
    load_weights_(model, load_tensors(runtime.read_shipped(f"lab_blocks-{level}.safetensors")))
    return model.eval()


def weight_differences(model: nn.Module, weights: Mapping[str, Tensor]) -> list[str]:
    """What keeps weights from fitting a model, in words: names, shapes, types. Empty when they fit."""
    own = model.state_dict()
    wrong = [f"missing {name}" for name in own.keys() - weights.keys()]
    wrong += [f"unexpected {name}" for name in weights.keys() - own.keys()]
    for name in own.keys() & weights.keys():
        for what in ("shape", "dtype"):
            expected, got = getattr(own[name], what), getattr(weights[name], what)
            if expected != got:
                wrong.append(f"{name}: expected {what} {_as_text(expected)}, got {_as_text(got)}")
    return sorted(wrong)


def _as_text(value: torch.Size | torch.dtype) -> str:
    return str(tuple(value)) if isinstance(value, torch.Size) else str(value).removeprefix("torch.")


def load_weights_(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights into a model after checking that they fit; says every difference, changes nothing on error."""
    wrong = weight_differences(model, weights)
    if wrong:
        raise ValueError(f"these weights do not fit {type(model).__name__}: {'; '.join(wrong)}")
    model.load_state_dict(weights)
