"""Operations that only move values: run on the numbers of the channels, they show where each channel goes."""

import numpy as np
import torch
from torch import Tensor, fx

from labcore.surgery.graph import TracedModel

__all__ = ["is_written", "where_channels_go"]


def where_channels_go(traced: TracedModel, node: fx.Node, axis: int) -> tuple[int, np.ndarray] | None:
    """The axis on which the channels of the node's first input, now on `axis`, come out, and their numbers along it.

    None when they do not come out whole and in order on one axis.
    """
    shape = traced.shape(node.all_input_nodes[0])
    n_channels = shape[axis]
    # A view needs real memory, not an expanded tensor.
    numbers = _lay_along(torch.arange(n_channels), axis, len(shape)).expand(shape).contiguous()
    moved = _run(traced, node, numbers)
    for after in range(moved.dim()):
        line = moved[tuple(slice(None) if each == after else 0 for each in range(moved.dim()))]
        if _in_order(line, n_channels) and torch.equal(moved, _lay_along(line, after, moved.dim()).expand_as(moved)):
            return after, line.numpy()
    return None


def is_written(node: fx.Node, axis: int) -> bool:
    """Whether the size of an axis of the result stands in the code as a number."""
    if getattr(node.target, "__name__", node.target) not in ("expand", "reshape", "view"):
        return False
    sizes = node.args[1:] or tuple(node.kwargs.values())
    sizes = sizes[0] if isinstance(sizes[0], list | tuple) else sizes
    return len(sizes) > axis and isinstance(sizes[axis], int) and sizes[axis] != -1


def _run(traced: TracedModel, node: fx.Node, tensor: Tensor) -> Tensor:
    """The node's operation on another tensor in the place of its first input; its other inputs are sizes."""
    source = node.all_input_nodes[0]
    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n: tensor if n is source else traced.values[n])
    if node.op == "call_method":
        return getattr(args[0], node.target)(*args[1:], **kwargs)
    function = traced.model.get_submodule(node.target) if node.op == "call_module" else node.target
    return function(*args, **kwargs)


def _in_order(line: Tensor, n: int) -> bool:
    """Whether every channel came through, each in one block or all of them again and again."""
    if len(line) == 0 or len(line) % n:
        return False
    channels, times = torch.arange(n), len(line) // n
    return torch.equal(line, channels.repeat_interleave(times)) or torch.equal(line, channels.repeat(times))


def _lay_along(line: Tensor, axis: int, n_axes: int) -> Tensor:
    return line.reshape([-1 if each == axis else 1 for each in range(n_axes)])
