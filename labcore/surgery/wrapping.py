"""Layers that another module can take the place of: which, why not the others, and how they are replaced."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from torch import nn

from labcore.surgery.graph import layer_kind

__all__ = ["find_refusals", "find_sharing", "replace_layer_"]

_CONTAINERS = (nn.Module, nn.Sequential, nn.ModuleList, nn.ModuleDict)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def replace_layer_(model: nn.Module, layer: nn.Module, wrapped: nn.Module) -> nn.Module:
    """Put `wrapped` in every place where `layer` stands; gives the model, or `wrapped` if the layer is the model."""
    if layer is model:
        return wrapped
    for alias in [alias for alias, each in model.named_modules(remove_duplicate=False) if each is layer]:
        model.set_submodule(alias, wrapped)
    return model


def find_refusals(model: nn.Module, kinds: tuple[type[nn.Module], ...], wrapped: type[nn.Module]) -> dict[str, str]:
    """By name, every part with parameters of its own: why it cannot be replaced, empty if it can.

    Args:
        model: any module.
        kinds: PyTorch's classes of layers that can be replaced.
        wrapped: class of modules that replaced a layer before; they are left out, with what is in them.
    """
    parts = {name: (module, inside) for name, module, inside in _parts(model, "", "", set(), wrapped)}
    reasons = {name: _why_not(module, inside, kinds) for name, (module, inside) in parts.items()}
    unable = {name for name, reason in reasons.items() if reason}
    for name, partners in find_sharing(model, reasons).items():
        other = next((each for each in partners if each in unable), None)
        if name not in unable and other:
            reasons[name] = f"its weight is also that of {other!r}, which stays in float"
    return reasons


def _parts(
    module: nn.Module, name: str, inside: str, seen: set[nn.Module], wrapped: type[nn.Module]
) -> Iterator[tuple[str, nn.Module, str]]:
    """Modules with parameters of their own, and PyTorch's composite module that each stands in, if any."""
    if module in seen or isinstance(module, wrapped):
        return
    seen.add(module)
    if next(module.parameters(recurse=False), None) is not None:
        yield name, module, inside
    kind = layer_kind(module)
    if kind.__module__.startswith("torch.nn") and kind not in _CONTAINERS:
        inside = inside or kind.__name__
    for child_name, child in module.named_children():
        yield from _parts(child, f"{name}.{child_name}" if name else child_name, inside, seen, wrapped)


def _why_not(module: nn.Module, inside: str, kinds: tuple[type[nn.Module], ...]) -> str:
    if layer_kind(module) not in kinds:
        return f"no rule for {type(module).__name__}"
    if inside:
        return f"it stands in {inside}, whose code reads the weight by itself"
    if any(getattr(module, hooks) for hooks in _HOOKS):
        return "it has hooks"
    if extra := module.state_dict().keys() - {"weight", "bias"}:
        return f"it holds more than a plain layer does: {', '.join(sorted(extra))}"
    return ""


def find_sharing(model: nn.Module, names: Iterable[str]) -> dict[str, list[str]]:
    """By name of a part, the other named parts that hold one of its parameters, or a view of it."""
    names, holders = list(names), defaultdict(list)
    for name in names:
        memory = {each.untyped_storage().data_ptr() for each in model.get_submodule(name).parameters(recurse=False)}
        # What is empty, or on the device meta, has the address 0.
        for place in memory - {0}:
            holders[place].append(name)
    partners: dict[str, list[str]] = {name: [] for name in names}
    for group in holders.values():
        for name in group:
            partners[name] += [other for other in group if other != name]
    return partners
