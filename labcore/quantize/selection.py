"""Which layers of a model can compute with weights on a grid, and why the others stay in float."""

import copy
import difflib
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from torch import nn

from labcore.quantize.config import QuantConfig
from labcore.quantize.grids import fit_weight_grid
from labcore.quantize.layers import DynamicQuantizer, QuantizedLayer, Quantizer
from labcore.runtime import NoEffectWarning
from labcore.surgery.graph import layer_kind

__all__ = ["choose_layers", "copy_model", "parts_in_float", "warn_no_layer", "wrap_layers_"]

_LAYERS = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_CONTAINERS = (nn.Module, nn.Sequential, nn.ModuleList, nn.ModuleDict)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_BY_CHOICE = "the settings leave it in float"



def copy_model(model: nn.Module) -> nn.Module:
    """A copy with parameters of its own. Raises ValueError for one that PyTorch cannot copy."""
    try:
        return copy.deepcopy(model)
    except RuntimeError as error:
        raise ValueError(
            f"{type(model).__name__} cannot be copied, as a tensor in it was computed from its parameters; "
            "if torch.nn.utils.prune made masks, finish with prune.remove first"
        ) from error


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
        if layer is model:
            return wrapped
        for alias in [alias for alias, each in parts.items() if each is layer]:
            model.set_submodule(alias, wrapped)
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
    in_float, partners = {name for name, format in config.overrides.items() if format is None}, _sharing(model, able)
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
    parts = {name: (module, inside) for name, module, inside in _parts(model, "", "", set())}
    reasons = {
        name: _why_not(module, inside)
        for name, (module, inside) in parts.items()
        if not isinstance(module, QuantizedLayer)
    }
    unable = {name for name, reason in reasons.items() if reason}
    for name, partners in _sharing(model, reasons).items():
        if name not in unable:
            other = next((each for each in partners if each in unable), None)
            reasons[name] = f"its weight is also that of {other!r}, which stays in float" if other else _BY_CHOICE
    return reasons


def _parts(module: nn.Module, name: str, inside: str, seen: set[nn.Module]) -> Iterator[tuple[str, nn.Module, str]]:
    """Modules with parameters of their own, and PyTorch's composite module that each stands in, if any."""
    if module in seen:
        return
    seen.add(module)
    if isinstance(module, QuantizedLayer) or next(module.parameters(recurse=False), None) is not None:
        yield name, module, inside
    if isinstance(module, QuantizedLayer):
        return
    kind = layer_kind(module)
    if kind.__module__.startswith("torch.nn") and kind not in _CONTAINERS:
        inside = inside or kind.__name__
    for child_name, child in module.named_children():
        yield from _parts(child, f"{name}.{child_name}" if name else child_name, inside, seen)


def _why_not(module: nn.Module, inside: str) -> str:
    """Empty when the module can be quantized."""
    kind = layer_kind(module)
    if kind in _NORMS:
        return f"no rule for {kind.__name__}; fold it into the layer before it (surgery.fold_batch_norm)"
    if kind not in _LAYERS:
        return f"no rule for {type(module).__name__}"
    if inside:
        return f"it stands in {inside}, whose code reads the weight by itself"
    if any(getattr(module, hooks) for hooks in _HOOKS):
        return "it has hooks"
    if extra := module.state_dict().keys() - {"weight", "bias"}:
        return f"it holds more than a plain layer does: {', '.join(sorted(extra))}"
    return ""


def _sharing(model: nn.Module, names: Iterable[str]) -> dict[str, list[str]]:
    """By name of a part, the other named parts that hold one of its parameters, or a view of it."""
    holders: dict[int, list[str]] = defaultdict(list)
    for name in names:
        memory = {each.untyped_storage().data_ptr() for each in model.get_submodule(name).parameters(recurse=False)}
        for place in memory:
            holders[place].append(name)
    partners: dict[str, list[str]] = {name: [] for name in names}
    for group in holders.values():
        for name in group:
            partners[name] += [other for other in group if other != name]
    return partners
