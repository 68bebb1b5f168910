"""From a model to one whose layers compute with few values, for training."""

import difflib
import warnings
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import fx, nn

from labcore.binarize.config import BinaryConfig
from labcore.binarize.layers import KINDS, BinaryLayer, FixedLayer, SignActivation
from labcore.runtime import NoEffectWarning
from labcore.surgery import copy_model, find_refusals, replace_layer_, trace_operations
from labcore.surgery.graph import operation_name

__all__ = ["all_binary", "apply_binary", "binary_layers", "find_layers", "fix_binary", "middle_layers"]

# Their outputs are never negative: a sign after them is always +1.
_RECTIFIERS = frozenset(("relu", "relu6", "sigmoid", "hardsigmoid", "softplus"))
# What may lie between an activation and the layer that reads it: of positive numbers it makes positive numbers.
_POOLINGS = frozenset((
    "maxpool1d", "maxpool2d", "maxpool3d", "adaptivemaxpool1d", "adaptivemaxpool2d", "adaptivemaxpool3d",
))  # fmt: skip
_MOVES = frozenset((
    "adaptiveavgpool1d", "adaptiveavgpool2d", "adaptiveavgpool3d", "avgpool1d", "avgpool2d", "avgpool3d",
    "channelshuffle", "contiguous", "dropout", "dropout1d", "dropout2d", "dropout3d", "flatten", "identity", "mean",
    "permute", "reshape", "squeeze", "transpose", "unflatten", "unsqueeze", "upsample", "view", "zeropad1d",
    "zeropad2d",
))  # fmt: skip


def find_layers(model: nn.Module) -> list[str]:
    """Names of the layers that can be binary, in order of definition: Linear, Conv1d, Conv2d, Conv3d."""
    _check_model(model)
    return [name for name, reason in find_refusals(model, KINDS, BinaryLayer).items() if not reason]


def middle_layers(model: nn.Module) -> list[str]:
    """`find_layers` without the first and the last one, which papers leave in real numbers."""
    return find_layers(model)[1:-1]


def binary_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The binary layers of a model, in training or fixed, by name."""
    return {name: each for name, each in model.named_modules() if isinstance(each, BinaryLayer | FixedLayer)}


def all_binary(model: nn.Module, names: Iterable[str]) -> dict[str, BinaryConfig]:
    """Settings by layer: binary weights and inputs; but the first layer of the model reads what it is given.

    Pixels are not negative, so their signs would all be +1 (BinaryNet leaves them real too).

    Args:
        model: any module.
        names: of the layers that become binary.
    """
    binary, first = BinaryConfig(activations="binary"), find_layers(model)[:1]
    return {name: BinaryConfig() if name in first else binary for name in names}


def apply_binary(
    model: nn.Module,
    config: BinaryConfig | None = None,
    *,
    layers: Iterable[str] | Mapping[str, BinaryConfig] | None = None,
) -> nn.Module:
    """A copy in which each named layer is a `BinaryLayer`; train it with `training.fit`.

    With binary inputs, the sign takes the place of a rectifier before such a layer, as what a rectifier gives has one
    sign only: with a maximum pooling between them, signs are pooled. Shifted signs stand in their layer, after it.

    Args:
        model: any module; left as it was.
        config: default `BinaryConfig()`.
        layers: names, or settings of their own by name; default `middle_layers`.

    Raises:
        TypeError: no module, a single string for `layers`.
        ValueError: binary already; a name that is no layer to binarize (near names are listed, or the reason); inputs
            that a rectifier makes positive and that others read too; K of signs that were pooled.
        UnsupportedOperation: binary inputs, and `forward` cannot be traced.
        NoEffectWarning (a warning): there is no layer to binarize.
    """
    config = BinaryConfig() if config is None else config
    names = _choose(model, layers)
    binary = copy_model(model)
    settings = dict(layers) if isinstance(layers, Mapping) else dict.fromkeys(names, config)
    for rectifier in _rectifiers_before(binary, [name for name in names if settings[name].activations != "real"]):
        first = settings[rectifier.readers[0]]
        pooled = rectifier.pooled and first.activations == "binary"
        binary.set_submodule(rectifier.name, SignActivation(first.estimator) if pooled else nn.Identity())
        if pooled and any(settings[name].scale_inputs == "k_map" for name in rectifier.readers):
            raise ValueError(
                f"{', '.join(rectifier.readers)} would read pooled signs, and K their size, which is 1; pool before "
                "the batch norm (B-A-C-P), or leave K out"
            )
        if pooled:
            # Signs of signs: the gradient was shaped before.
            settings |= {name: replace(settings[name], estimator="identity") for name in rectifier.readers}
    parts = dict(binary.named_modules(remove_duplicate=False))
    for name in names:
        wrapped = BinaryLayer(parts[name], settings[name]).train(parts[name].training)
        binary = replace_layer_(binary, parts[name], wrapped)
    return binary


def fix_binary(model: nn.Module) -> nn.Module:
    """A copy in which each `BinaryLayer` is a `FixedLayer`: codes and alpha, no latent weights.

    It gives what the trained model gives in evaluation; of stochastic weights, real there, it takes the signs. Raises
    ValueError: no binary layer, or see `FixedLayer`.
    """
    _check_model(model)
    fixed = copy_model(model)
    trained = {name: each for name, each in fixed.named_modules() if isinstance(each, BinaryLayer)}
    if not trained:
        raise ValueError(f"{type(model).__name__} has no BinaryLayer; make one with binarize.apply_binary")
    for name, each in trained.items():
        try:
            fixed = replace_layer_(fixed, each, FixedLayer(each).train(each.training))
        except ValueError as error:
            raise ValueError(f"{name!r} cannot be fixed: {error}") from error
    return fixed


def _check_model(model: nn.Module) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")


def _choose(model: nn.Module, layers: Iterable[str] | None) -> list[str]:
    _check_model(model)
    if isinstance(layers, str):
        raise TypeError(f"layers must be a list of names, got the string {layers!r}; did you mean [{layers!r}]?")
    if binary_layers(model):
        raise ValueError("the model is binary already; start again from the real one")
    reasons = find_refusals(model, KINDS, BinaryLayer)
    able = [name for name, reason in reasons.items() if not reason]
    names = able[1:-1] if layers is None else list(dict.fromkeys(layers))
    for name in names:
        if name not in able:
            near = ", ".join(difflib.get_close_matches(name, able, cutoff=0.4) or able) or "none"
            raise ValueError(f"cannot binarize {name!r}: {reasons.get(name, 'no such layer')}; near it: {near}")
    if not names:
        warnings.warn(
            f"no layer of {type(model).__name__} became binary; layers that could be: {', '.join(able) or 'none'}"
            + ("; by default the first and the last one stay real" if layers is None and able else ""),
            NoEffectWarning,
            stacklevel=3,
        )
    return names


@dataclass(frozen=True)
class _Rectifier:
    """A module that makes what binary layers read positive.

    Attributes:
        readers: names of the layers.
        pooled: a maximum pooling lies between it and one of them.
    """

    name: str
    readers: list[str]
    pooled: bool


def _rectifiers_before(model: nn.Module, names: Sequence[str]) -> list[_Rectifier]:
    """Those whose outputs go to the signs of the named layers, and nowhere else."""
    if not names:
        return []
    graph = trace_operations(model)
    modules = dict(graph.named_modules(remove_duplicate=False))
    # A layer that is never called is no part of the graph.
    by_module = {modules[name]: name for name in names if name in modules}
    found: dict[str, _Rectifier] = {}
    for node in graph.graph.nodes:
        if node.op == "call_module" and modules[node.target] in by_module:
            before, pooled = _producer(graph, node)
            if operation_name(graph, before) in _RECTIFIERS:
                _check_rectifier(graph, before, node, by_module)
                earlier = found.get(before.target, _Rectifier(before.target, [], False))
                readers = [*earlier.readers, by_module[modules[node.target]]]
                found[before.target] = _Rectifier(before.target, readers, earlier.pooled or pooled)
    return list(found.values())


def _producer(graph: fx.GraphModule, node: fx.Node) -> tuple[fx.Node, bool]:
    """What made the values that a layer reads, and whether they were pooled since."""
    before, pooled = node.all_input_nodes[0], False
    while (operation := operation_name(graph, before)) in _POOLINGS | _MOVES:
        before, pooled = before.all_input_nodes[0], pooled or operation in _POOLINGS
    return before, pooled


def _check_rectifier(graph: fx.GraphModule, before: fx.Node, reader: fx.Node, binary: Container[nn.Module]) -> None:
    """Taking it out must change nothing but what binary layers read."""
    where = f"{reader.target!r} reads {operation_name(graph, before)} ({before.name!r}): its sign would always be +1"
    if before.op != "call_module":
        raise ValueError(f"{where}; make the activation a module of its own, so that it can be taken out")
    module = graph.get_submodule(before.target)
    calls = [
        node for node in graph.graph.nodes if node.op == "call_module" and graph.get_submodule(node.target) is module
    ]
    if len(calls) > 1:
        raise ValueError(f"{where}; the module stands in {len(calls)} places, give each layer one of its own")
    waiting, others = list(before.users), []
    while waiting:
        user = waiting.pop()
        if operation_name(graph, user) in _POOLINGS | _MOVES:
            waiting += user.users
        elif user.op != "call_module" or graph.get_submodule(user.target) not in binary:
            others.append(user.name)
    if others:
        raise ValueError(f"{where}; it cannot be taken out, as {', '.join(others)} reads it too")
