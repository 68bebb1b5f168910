"""A network that computes with whole numbers only, made from one whose values lie on grids."""

import copy
import math
import os

from torch import Tensor, fx, nn

from labcore import storage
from labcore.quantize.grids import Grid, decode, encode
from labcore.quantize.integer_layers import (
    RELU,
    RELU6,
    IntegerAverage,
    IntegerConcat,
    IntegerLayer,
    IntegerMaxPool,
    IntegerReLU,
    IntegerSum,
    Limits,
)  # fmt: skip
from labcore.quantize.layers import QuantizedLayer, Quantizer
from labcore.surgery import UnsupportedOperation
from labcore.surgery.graph import operation_name, record_values

__all__ = ["IntegerNetwork", "convert", "save_integer"]

_LIMITS: dict[str, Limits] = {"relu": RELU, "relu6": RELU6}
_FREE: Limits = (-math.inf, math.inf)
_ON_CODES = frozenset((
    "contiguous", "dropout", "dropout2d", "flatten", "getattr", "getitem", "identity", "permute", "reshape", "size",
    "squeeze", "transpose", "unsqueeze", "view",
))  # fmt: skip


class IntegerNetwork(nn.Module):
    """Codes in, codes out; only the first and the last step of `forward` see real numbers.

    Attributes:
        body: a graph of the operations of `labcore.quantize.integer_layers`.
        input, output: hold the grids at both ends.
    """

    def __init__(self, body: fx.GraphModule, input_grid: Grid, output_grid: Grid):
        super().__init__()
        self.body, self.input, self.output = body, Quantizer(input_grid), Quantizer(output_grid)

    def forward(self, x: Tensor) -> Tensor:
        return decode(self.body(encode(x, self.input.grid)), self.output.grid)


def convert(model: nn.Module, sample: Tensor) -> IntegerNetwork:
    """The integer-only network of a statically quantized model.

    Weights stay codes; sums have 32 bits; a multiplier and a shift bring them to the grid of the output. On the same
    input codes every operation agrees with the model to one step of its output grid.

    Args:
        model: from `apply_static`, everything quantized (also after training); left as it was.
        sample: one batch, shape (N, ...).

    Raises:
        TypeError: something else than a model from `apply_static`.
        UnsupportedOperation: something is in float, or has no rule for whole numbers; every such place is named.
        ValueError: a layer whose sums may not fit 32 bits, or weights with zero points or groups (it is named).
    """
    if not isinstance(model, fx.GraphModule) or not any(isinstance(each, Quantizer) for each in model.modules()):
        raise TypeError(f"need a model from quantize.apply_static, got {type(model).__name__}")
    return _Converter(model, sample).network()


class _Converter:
    """Walks the graph: what stands between two quantizers becomes one operation on codes."""

    def __init__(self, model: fx.GraphModule, sample: Tensor):
        self.model = model
        self.shapes = {
            node: value.shape for node, value in record_values(model, sample).items() if isinstance(value, Tensor)
        }
        self.root, self.graph = nn.Module(), fx.Graph()
        self.codes: dict[fx.Node, fx.Node] = {}
        self.grids: dict[fx.Node, Grid] = {}

    def network(self) -> IntegerNetwork:
        input_grid = None
        for node in self.model.graph.nodes:
            module = self._module(node)
            if isinstance(module, Quantizer):
                source, limits, moves = self._before(node)
                self.grids[source] = module.grid
                if source.op == "placeholder":
                    input_grid, self.codes[source] = module.grid, self.graph.placeholder("codes")
                else:
                    self._add(source, self._operation(source, module.grid, limits), self._tensors(source))
                for move in moves:
                    self._pass_on(move)
                last = moves[-1] if moves else source
                self._need([last], node.name)
                self.codes[node], self.grids[node] = self.codes[last], module.grid
            elif node.op == "output":
                (last,) = node.all_input_nodes
                self._need([last], "the output")
                self.graph.output(self.codes[last])
            elif node.all_input_nodes and all(each in self.codes for each in node.all_input_nodes):
                self._pass_on(node)
        if input_grid is None:
            raise UnsupportedOperation("the input has no quantizer: quantize activations too")
        return IntegerNetwork(fx.GraphModule(self.root, self.graph).eval(), input_grid, self.grids[last])

    def _module(self, node: fx.Node) -> nn.Module | None:
        return self.model.get_submodule(node.target) if node.op == "call_module" else None

    def _name(self, node: fx.Node) -> str:
        return operation_name(self.model, node)

    def _tensors(self, node: fx.Node) -> list[fx.Node]:
        return [each for each in node.all_input_nodes if each in self.shapes]

    def _before(self, node: fx.Node) -> tuple[fx.Node, Limits, list[fx.Node]]:
        """What made the value that a quantizer rounds; limits of rectifiers in between, and operations that only move.

        A rectifier and a maximum may change places, as both keep the order of values.
        """
        (source,), limits, moves = node.all_input_nodes, _FREE, []
        while (name := self._name(source)) in _LIMITS or name in _ON_CODES or name == "maxpool2d":
            if name in _LIMITS:
                limits = max(limits[0], _LIMITS[name][0]), min(limits[1], _LIMITS[name][1])
            else:
                moves.append(source)
            source = source.all_input_nodes[0]
        return source, limits, moves[::-1]

    def _need(self, nodes: list[fx.Node], where: str) -> None:
        missing = [node.name for node in nodes if node not in self.codes]
        if missing:
            raise UnsupportedOperation(
                f"{where} reads {', '.join(missing)} in floating point; fold batch norms (surgery.fold_batch_norm), "
                "and quantize every layer, activation and output"
            )

    def _add(self, node: fx.Node, module: nn.Module, inputs: list[fx.Node]) -> None:
        self.root.add_module(node.name, module)
        self.codes[node] = self.graph.call_module(node.name, tuple(map(self.codes.__getitem__, inputs)))

    def _operation(self, node: fx.Node, grid: Grid, limits: Limits) -> nn.Module:
        """What makes codes on `grid` of the codes that an operation reads."""
        inputs, name, module = self._tensors(node), self._name(node), self._module(node)
        self._need(inputs, f"{name} ({node.name})")
        grids = [self.grids[each] for each in inputs]
        if isinstance(module, QuantizedLayer):
            return self._layer(node, module, grids[0], grid, limits)
        if name == "add" and len(inputs) == 2 and not node.kwargs:
            return IntegerSum(grids, grid, limits)
        if name in ("cat", "concat", "concatenate"):
            dim = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
            return IntegerConcat(grids, grid, limits, dim)
        if (average := self._average(node)) is not None:
            return IntegerAverage(grids[0], grid, limits, **average)
        raise UnsupportedOperation(f"no rule for {name!r} (node {node.name!r}) on whole numbers")

    def _layer(self, node: fx.Node, layer: QuantizedLayer, *grids_and_limits: Grid | Limits) -> IntegerLayer:
        plain = layer.layer
        if layer.weight_quantizer is None:
            raise UnsupportedOperation(f"the weight of {node.target!r} is in floating point")
        if not isinstance(plain, nn.Linear | nn.Conv2d) or getattr(plain, "padding_mode", "zeros") != "zeros":
            raise UnsupportedOperation(f"no rule for {type(plain).__name__} ({node.target!r}) on whole numbers")
        try:
            return IntegerLayer(layer, *grids_and_limits)
        except ValueError as error:
            raise ValueError(f"{node.target!r} cannot be converted: {error}") from error

    def _average(self, node: fx.Node) -> dict | None:
        """Arguments of `IntegerAverage`, or None where the node is no average in two dimensions."""
        name, module = self._name(node), self._module(node)
        shape = self.shapes[self._tensors(node)[0]]
        if len(shape) != 4:
            return None
        whole = {"n": shape[2] * shape[3], "window": None}
        if name == "adaptiveavgpool2d":
            size = module.output_size if module is not None else node.args[1]
            return whole | {"keep_dims": True} if size in (1, (1, 1)) else None
        if name == "mean":
            dims = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
            over_picture = dims is not None and {d % 4 for d in dims} == {2, 3}
            return whole | {"keep_dims": node.kwargs.get("keepdim", False)} if over_picture else None
        if name != "avgpool2d" or module is None or module.ceil_mode or module.divisor_override:
            return None
        kernel, stride, padding = (_pair(each) for each in (module.kernel_size, module.stride, module.padding))
        if any(padding) and not module.count_include_pad:
            return None
        return {"n": math.prod(kernel), "window": (kernel, stride, padding), "keep_dims": True}

    def _pass_on(self, node: fx.Node) -> None:
        """Operations that stay on the grid of their input."""
        name, module, first = self._name(node), self._module(node), node.all_input_nodes[0]
        if name in _LIMITS:
            self._add(node, IntegerReLU(self.grids[first], _LIMITS[name]), [first])
        elif name == "maxpool2d" and module is not None and not module.ceil_mode and not module.return_indices:
            window = module.kernel_size, module.stride, module.padding, module.dilation
            self._add(node, IntegerMaxPool(tuple(map(_pair, window))), [first])
        elif name in _ON_CODES:
            if module is not None:
                self.root.add_module(node.name, copy.deepcopy(module))
            self.codes[node] = self.graph.node_copy(node, self.codes.__getitem__)
            if module is not None:
                self.codes[node].target = node.name
        else:
            return  # whoever needs it says that it is in float
        if first in self.grids:
            self.grids[node] = self.grids[first]


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def save_integer(path: str | os.PathLike, network: IntegerNetwork, *, meta: dict | None = None) -> None:
    """Write an integer-only network to a container file; every weight takes the bits it needs, without gaps.

    Args:
        path: the file; read it back with `storage.load_model_` into a network converted from the same model.
        meta: JSON values to keep with it.
    """
    state = network.state_dict()
    packed = {name: "packed" for name in state if name.endswith(".weight")}
    storage.save_model(path, network, encodings=packed, meta=meta)
