"""Which layers of a model can compute with weights on a grid, and why the others stay in float."""

import difflib
import warnings
from collections.abc import Callable, Iterable, Mapping

from torch import nn

from labcore.quantize.config import QuantConfig
from labcore.quantize.grids import fit_weight_grid
from labcore.quantize.layers import DynamicQuantizer, QuantizedLayer, Quantizer
from labcore.runtime import NoEffectWarning
from labcore.surgery import find_refusals, find_sharing, replace_layer_
from labcore.surgery.graph import layer_kind

__all__ = ["choose_layers", "parts_in_float", "warn_no_layer", "wrap_layers_"]

_LAYERS = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_BY_CHOICE = "the settings leave it in float"


def wrap_layers_(
    model: nn.Module,
    names: Iterable[str],
    config: QuantConfig,
    make_input_quantizer: Callable[[str, nn.Module], nn.Module | None],
) -> nn.Module:
    """Put a `QuantizedLayer` in the place of each named layer; gives the model, or its wrapper if it is a layer itself.

    Args:
        make_input_quantizer: gives what rounds the inputs of a layer, or None, from the layer's name and the layer.

    Raises:
        ValueError: weights that are not finite, or that the granularity does not fit (the message names the layer).
    """
    parts = dict(model.named_modules(remove_duplicate=False))
    for name in names:
        layer = parts[name]
        wrapped = QuantizedLayer(layer, _weight_quantizer(name, layer, config), make_input_quantizer(name, layer))
        wrapped.train(layer.training)
        model = replace_layer_(model, layer, wrapped)
    return model


def _weight_quantizer(name: str, layer: nn.Module, config: QuantConfig) -> Quantizer | None:
    format = config.weight_format(name)
    if format is None:
        return None
    try:
        return Quantizer(fit_weight_grid(layer, format, granularity=config.granularity))
    except ValueError as error:
        raise ValueError(f"the weight of {name!r} cannot be quantized: {error}") from error


def choose_layers(model: nn.Module, config: QuantConfig) -> list[str]:
    """Names of the layers to quantize, in order of definition. A layer that is used in several places has one name.

    Raises:
        TypeError: no module.
        ValueError: quantized already; overrides for what is no layer to quantize (near names are listed), or that give
            two formats to one shared weight.
        NoEffectWarning (a warning): there is no layer to quantize; it says what was found.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if any(isinstance(each, QuantizedLayer | Quantizer | DynamicQuantizer) for each in model.modules()):
        raise ValueError("the model is quantized already; start again from the one in float")
    reasons = parts_in_float(model)
    able = [name for name, reason in reasons.items() if reason == _BY_CHOICE]
    for name in config.overrides:
        if name not in able:
            near = difflib.get_close_matches(name, able, cutoff=0.4) or able
            raise ValueError(f"overrides name {name!r}, which is no layer to quantize; near it: {', '.join(near)}")
    in_float = {name for name, format in config.overrides.items() if format is None}
    partners = find_sharing(model, able)
    chosen = [name for name in able if not in_float.intersection([name, *partners[name]])]
    for name in chosen:
        for other in partners[name]:
            if config.weight_format(name) != config.weight_format(other):
                raise ValueError(f"{name!r} and {other!r} share one weight; give both the same format")
    if not chosen:
        warn_no_layer(model, reasons)
    return chosen


def warn_no_layer(model: nn.Module, found: Mapping[str, str]) -> None:
    """Say that no layer was quantized, and why, by name."""
    reasons = "; ".join(f"{name!r}: {reason}" for name, reason in found.items()) or "no parameters"
    warnings.warn(
        f"no layer of {type(model).__name__} was quantized; looked for linear layers and convolutions, found {reasons}",
        NoEffectWarning,
        stacklevel=4,
    )


def parts_in_float(model: nn.Module) -> dict[str, str]:
    """Why each part with parameters of its own that is no `QuantizedLayer` is in float, by name."""
    reasons = find_refusals(model, _LAYERS, QuantizedLayer)
    for name, reason in reasons.items():
        kind = layer_kind(model.get_submodule(name))
        if kind in _NORMS:
            reasons[name] = f"no rule for {kind.__name__}; fold it into the layer before it (surgery.fold_batch_norm)"
        elif not reason:
            reasons[name] = _BY_CHOICE
    return reasons
