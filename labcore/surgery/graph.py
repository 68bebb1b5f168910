"""A model as a graph of operations with the shape of everything that passes through."""

import inspect
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_aggregate
from torch.utils._pytree import tree_leaves

from labcore.surgery.parts import copy_model

__all__ = [
    "TracedModel", "UnsupportedOperation", "layer_kind", "operation_name", "record_values", "trace",
    "trace_operations",
]  # fmt: skip


class UnsupportedOperation(ValueError):
    """A model does something that cannot be followed; the message names the operation and where it stands."""


@dataclass(frozen=True, eq=False)
class TracedModel:
    """One forward pass in evaluation mode.

    Attributes:
        model: a copy in evaluation mode, over the original's parameters: to be read, not changed.
        nodes: the operations, in order of execution.
        values: what each node gave: tensors without their content (on the device ``meta``), numbers as they are.
    """

    model: nn.Module
    nodes: tuple[fx.Node, ...]
    values: dict[fx.Node, Any]

    def shape(self, node: fx.Node) -> torch.Size:
        return self.values[node].shape

    def describe(self, node: fx.Node) -> str:
        """An operation in words: what is called, the node's name in the graph, and the module it stands in."""
        target = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
        what = type(self.model.get_submodule(target)).__name__ if node.op == "call_module" else target
        place = next(reversed(node.meta.get("nn_module_stack", {"": ("",)}).values()))[0]
        return f"{what!r} (node {node.name!r} in {place or type(self.model).__name__!r})"


def layer_kind(module: nn.Module) -> type[nn.Module]:
    """PyTorch's class that defines what a module computes; its own class where that is not PyTorch's."""
    known = next(each for each in type(module).__mro__ if each.__module__.startswith("torch.nn"))
    return known if type(module).forward is known.forward else type(module)


def operation_name(model: nn.Module, node: fx.Node) -> str:
    """One name for layers, functions and methods: MaxPool2d and max_pool2d are both "maxpool2d", relu_ is "relu".

    What calls nothing has the name of its kind: "placeholder", "get_attr", "output".
    """
    if not node.op.startswith("call"):
        return node.op
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    if node.op == "call_module":
        name = layer_kind(model.get_submodule(node.target)).__name__
    return name.replace("_", "").lower()


# Tracing patches `nn.Module` for its time, so that only one model is traced at once.
_TRACING = threading.Lock()


class _Tracer(fx.Tracer):
    """Remembers the innermost module that could not be traced."""

    failed_in = ""

    def __init__(self, leaves: tuple[type[nn.Module], ...] = ()):
        super().__init__()
        self.leaves = leaves

    def create_args_for_root(
        self, root_fn: Callable, is_module: bool, concrete_args: dict | tuple | None = None
    ) -> tuple[Callable, list]:
        # One symbol; all other arguments keep their defaults. The guards of torch.fx on a default of None would make
        # every later trace of the process fail.
        name = next(iter(inspect.signature(self.root.forward).parameters))
        return root_fn, [self.root, self.create_proxy("placeholder", name, (), {})]

    def call_module(self, m: nn.Module, forward: Callable, args: tuple, kwargs: dict) -> Any:
        # A module called on plain values is no part of the graph: a constant, or a model that another thread runs.
        if not any(isinstance(leaf, fx.Proxy) for leaf in tree_leaves((args, kwargs))):
            return forward(*args, **kwargs)
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            self.failed_in = self.failed_in or self.path_of_module(m)
            raise

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        # Also a subclass of a layer that computes the same.
        is_layer = layer_kind(m) not in (nn.Sequential, type(m))
        return is_layer or isinstance(m, self.leaves) or super().is_leaf_module(m, module_qualified_name)


class _Recorder(fx.Interpreter):
    def __init__(self, module: fx.GraphModule):
        super().__init__(module)
        self.values: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        self.values[n] = map_aggregate(result, lambda value: value.to("meta") if isinstance(value, Tensor) else value)
        return result


def trace(model: nn.Module, sample: Tensor) -> TracedModel:
    """The graph of one forward pass in evaluation mode, found by running `forward` on symbols.

    Args:
        model: any module whose `forward` takes one tensor and does not branch on values; left as it was.
        sample: one batch, shape (N, ...).

    Raises:
        TypeError: no module, no tensor.
        UnsupportedOperation: `forward` cannot be traced (the message names the module).
        ValueError: the model cannot be copied, or cannot take the sample.
    """
    if not isinstance(model, nn.Module) or not isinstance(sample, Tensor):
        raise TypeError(f"need a module and a tensor, got {type(model).__name__} and {type(sample).__name__}")
    twin = _copy_to_read(model)
    graph = _trace(twin)
    try:
        values = record_values(fx.GraphModule(twin, graph), sample)
    except Exception as error:
        first_line = str(error).split("\n")[0]
        raise ValueError(
            f"{type(model).__name__} cannot take a batch of shape {tuple(sample.shape)}: {first_line}"
        ) from error
    return TracedModel(twin, tuple(graph.nodes), values)


def record_values(module: fx.GraphModule, sample: Tensor) -> dict[fx.Node, Any]:
    """What each node of a graph gives for one batch, as in `TracedModel.values`."""
    recorder = _Recorder(module)
    with torch.inference_mode():
        recorder.run(sample)
    return recorder.values


def _copy_to_read(model: nn.Module) -> nn.Module:
    # Over the same storage: what is only read need not be copied.
    memo = {id(each): nn.Parameter(each.detach(), requires_grad=False) for each in model.parameters()}
    return copy_model(model, memo).eval()


def trace_operations(model: nn.Module, leaves: tuple[type[nn.Module], ...] = ()) -> fx.GraphModule:
    """The operations of `forward`, found on symbols: a graph over the model's own modules.

    Args:
        model: any module whose `forward` takes one tensor and does not branch on values.
        leaves: classes of modules to keep as one operation each.

    Raises:
        UnsupportedOperation: see `trace`.
    """
    return fx.GraphModule(model, _trace(model, leaves), class_name=type(model).__name__)


def _trace(twin: nn.Module, leaves: tuple[type[nn.Module], ...] = ()) -> fx.Graph:
    tracer = _Tracer(leaves)
    try:
        with _TRACING:
            return tracer.trace(twin)
    except Exception as error:
        raise UnsupportedOperation(
            f"cannot trace {type(twin).__name__}: module {tracer.failed_in or type(twin).__name__!r} does something "
            f"that depends on values, or that symbols cannot do: {error}"
        ) from error
