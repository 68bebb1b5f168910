"""Where values of a network are quantized: behind the operation that makes a value, once for all who read it.

Operations that only choose or move values pass a grid on, so the quantizer stands before them. A ReLU is part of what
makes a value, so the quantizer stands behind it.
"""

from collections.abc import Collection, Iterable

from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from labcore.quantize.layers import QuantizedLayer, Quantizer
from labcore.surgery.graph import TracedModel, operation_name

__all__ = ["Places", "find_input_quantizer", "find_quantizer_before", "operations_in_float"]

# Operations as `surgery.graph.operation_name` calls them.
_MOVES = (
    "adaptivemaxpool1d adaptivemaxpool2d adaptivemaxpool3d amax chunk clone contiguous detach dropout dropout1d "
    "dropout2d dropout3d expand expandas flatten getitem identity maxpool1d maxpool2d maxpool3d movedim narrow permute "
    "pixelshuffle reshape split squeeze stochasticdepth swapaxes transpose unbind unflatten unsqueeze view"
)
_PASSING = frozenset(_MOVES.split())
_AVERAGES = {f"{kind}avgpool{n}d" for kind in ("", "adaptive") for n in (1, 2, 3)} | {"mean"}
_JOINS = {"add", "cat", "concat", "concatenate"}
_RECTIFIERS = {"relu", "relu6"}
_NEVER_NEGATIVE = _RECTIFIERS | {"sigmoid", "hardsigmoid", "softmax"}


class Places:
    """The values of a model that have to be quantized.

    Args:
        traced: the model in float.
        layers: names of the layers that compute with quantized weights.

    Attributes:
        read: nodes whose values quantized operations read: layers, sums, concatenations, averages.
        outputs: nodes whose values leave the model, where they are not among those.
    """

    def __init__(self, traced: TracedModel, layers: Collection[str]):
        self._traced = traced
        found = self._sources(each for node in traced.nodes for each in self._read_by(node, layers))
        # A ReLU of a value that is on a grid already stays on it: a second rounding would only lose.
        self.read = [
            node for node in found
            if self._name(node) != "relu" or self._source(node.all_input_nodes[0]) not in found
        ]  # fmt: skip
        self.outputs = [node for node in self._sources(self._tensors(traced.nodes[-1])) if node not in found]

    def is_never_negative(self, node: fx.Node) -> bool:
        """Whether the operations leave no other choice."""
        name, tensors = self._name(node), self._tensors(node)
        if name in _PASSING | _AVERAGES or _joins(name, node, tensors):
            return bool(tensors) and all(map(self.is_never_negative, tensors))
        return name in _NEVER_NEGATIVE

    def _read_by(self, node: fx.Node, layers: Collection[str]) -> list[fx.Node]:
        tensors = self._tensors(node)
        if node.op == "call_module" and node.target in layers:
            return tensors[:1]
        return tensors if self._name(node) in _AVERAGES or _joins(self._name(node), node, tensors) else []

    def _sources(self, nodes: Iterable[fx.Node]) -> list[fx.Node]:
        return list(dict.fromkeys(map(self._source, nodes)))

    def _source(self, node: fx.Node) -> fx.Node:
        """The first node upstream from which the value comes as it is."""
        source = node
        while self._name(node) in _PASSING:
            node = node.all_input_nodes[0]
            if self._is_real(node):  # not so between a split and its parts
                source = node
        return source

    def _name(self, node: fx.Node) -> str:
        return operation_name(self._traced.model, node)

    def _tensors(self, node: fx.Node) -> list[fx.Node]:
        leaves = tree_leaves((node.args, node.kwargs))
        return [each for each in leaves if isinstance(each, fx.Node) and self._is_real(each)]

    def _is_real(self, node: fx.Node) -> bool:
        value = self._traced.values[node]
        return isinstance(value, Tensor) and value.is_floating_point()


# --- reading a quantized graph ----------------------------------------------------------------------


def find_input_quantizer(model: fx.GraphModule, layer: str) -> Quantizer | None:
    """The quantizer whose grid the inputs of a layer lie on."""
    return find_quantizer_before(model, next(node for node in model.graph.nodes if node.target == layer))


def find_quantizer_before(model: fx.GraphModule, node: fx.Node) -> Quantizer | None:
    """The quantizer whose grid the first value that an operation reads lies on."""
    node = node.all_input_nodes[0]
    while node.op.startswith("call"):
        if isinstance(module := _module(model, node), Quantizer):
            return module
        if operation_name(model, node) not in _PASSING | {"relu"}:
            return None
        node = node.all_input_nodes[0]
    return None


def operations_in_float(model: fx.GraphModule) -> dict[str, str]:
    """Operations that compute with real numbers, as `operation_name` calls them; by name of the module or the node."""
    known = _PASSING | _AVERAGES | _RECTIFIERS
    sizes: set[fx.Node] = set()
    found = {}
    for node in model.graph.nodes:
        if not node.op.startswith("call") or isinstance(_module(model, node), Quantizer | QuantizedLayer):
            continue
        name = operation_name(model, node)
        operands = [each for each in node.all_input_nodes if each not in sizes]
        if name in ("size", "getattr", "dim", "numel") or not operands:
            sizes.add(node)
        elif name not in known and not _joins(name, node, operands):
            found[node.target if node.op == "call_module" else node.name] = name
    return found


def _joins(name: str, node: fx.Node, tensors: list[fx.Node]) -> bool:
    """Whether a node adds two tensors, or lays tensors side by side; a number has no grid of its own."""
    return name in _JOINS and (name != "add" or (len(tensors) > 1 and "alpha" not in node.kwargs))


def _module(model: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return model.get_submodule(node.target) if node.op == "call_module" else None
