"""Sums of values on different grids, as a residual network needs them: how much error they bring."""

from typing import Any

from torch import Tensor, fx, nn

from labcore.quantize.grids import Grid, encode
from labcore.quantize.integer import convert
from labcore.quantize.integer_layers import IntegerSum
from labcore.quantize.layers import QuantizedLayer, Quantizer
from labcore.results import SumOnGrid
from labcore.surgery import UnsupportedOperation
from labcore.surgery.graph import operation_name
from labcore.training import evaluating

__all__ = ["measure_sums"]


def measure_sums(model: fx.GraphModule, images: Tensor) -> tuple[SumOnGrid, ...]:
    """What the sums of an integer-only network lose, beside the network in floating point.

    Codes are added as round(sum of ratio * (code - zero)), with ratio = scale of the operand / scale of the sum. The
    exact sum of the same codes carries the error of all layers before; the rounding adds the sum's own.

    Args:
        model: from `apply_static`, such that `convert` follows it; left as it was.
        images: what the networks look at, shape (N, ...).

    Raises:
        ValueError: no values are added.
        UnsupportedOperation: something else than a rectifier stands between a sum and its rounding; see also `convert`.
    """
    network = convert(model, images[:1])
    sums = {name: each for name, each in network.body.named_modules() if isinstance(each, IntegerSum)}
    if not sums:
        raise ValueError("no sum in this network: it needs a residual one, such as lab_resnet")
    exact, codes = _InFloat(model), _Recorder(network.body)
    with evaluating(model):
        exact.run(images)
        codes.run(encode(images, network.input.grid))
    nodes = {node.name: node for node in network.body.graph.nodes}
    return tuple(
        _compare(name, each, [codes.values[read.name] for read in nodes[name].all_input_nodes], codes.values[name],
                 *_sum_on_grid(model, exact.values, name))
        for name, each in sums.items()
    )  # fmt: skip


def _sum_on_grid(model: fx.GraphModule, values: dict[str, Tensor], name: str) -> tuple[Tensor, Grid]:
    """The value in floating point where the sum, with the rectifier behind it, is rounded; and the grid there."""
    node = next(each for each in model.graph.nodes if each.name == name)
    while True:
        before, node = node, next(iter(node.users))
        quantizer = model.get_submodule(node.target) if node.op == "call_module" else None
        if isinstance(quantizer, Quantizer):
            return values[before.name], quantizer.grid
        if operation_name(model, node) not in ("relu", "relu6"):
            raise UnsupportedOperation(f"{node.name!r} stands between the sum {name!r} and its rounding")


def _compare(
    name: str, layer: IntegerSum, operands: list[Tensor], output: Tensor, reference: Tensor, grid: Grid
) -> SumOnGrid:  # fmt: skip
    """All in steps of the sum's grid, from zero."""
    zeros, multipliers, shift = layer.parts()
    ratios = multipliers.double() / 2.0 ** shift.double()
    lowest, highest = (layer.numbers[1:3] - layer.numbers[0]).tolist()
    total = sum(ratio * (each.long() - zero) for each, zero, ratio in zip(operands, zeros, ratios, strict=True))
    wanted = reference.double() / grid.scale.double()
    before, after = total.clamp(lowest, highest), output.long() - layer.numbers[0]
    errors = [float((each - wanted).square().sum() / wanted.square().sum()) for each in (before, after)]
    return SumOnGrid(name, tuple(ratios.tolist()), *errors)


class _Recorder(fx.Interpreter):
    """Keeps what every node gives."""

    def __init__(self, module: fx.GraphModule):
        super().__init__(module, garbage_collect_values=False)
        self.values: dict[str, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        self.values[n.name] = super().run_node(n)
        return self.values[n.name]


class _InFloat(_Recorder):
    """Runs a statically quantized model without its rounding."""

    def call_module(self, target: str, args: tuple, kwargs: dict) -> Any:
        module: nn.Module = self.fetch_attr(target)
        if isinstance(module, Quantizer):
            return args[0]
        return (module.layer if isinstance(module, QuantizedLayer) else module)(*args, **kwargs)
