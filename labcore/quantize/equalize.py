"""Cross-layer equalization: ranges of channels made even between layers, while the network computes the same."""

import math
import warnings
from collections import Counter
from collections.abc import Iterator

import torch
from torch import Tensor, fx, nn

from labcore.quantize.config import QuantConfig
from labcore.quantize.granularity import PER_CHANNEL, Blocks, channel_axis, split
from labcore.quantize.selection import choose_layers
from labcore.runtime import NoEffectWarning
from labcore.surgery import TracedModel, copy_model, trace
from labcore.surgery.graph import operation_name

__all__ = ["apply_equalization", "find_chains"]

# Operations f with f(a x) = a f(x) for every a > 0, channel by channel. A ReLU6 is none of them.
_SCALABLE = {"relu", "identity", "dropout", "dropout1d", "dropout2d", "dropout3d"} | {
    f"{kind}pool{n}d" for kind in ("max", "avg", "adaptivemax", "adaptiveavg") for n in (1, 2, 3)
}
_FLATTENING = {"flatten", "view", "reshape"}


def apply_equalization(model: nn.Module, sample: Tensor) -> nn.Module:
    """A copy that computes the same, in which the layers of a chain have weights of one range in each channel.

    A channel multiplied by a > 0 behind one layer and divided by it in the next changes no output, as ReLU lets a
    positive factor through. With the largest magnitudes r_1 ... r_k of a channel's weights in the k layers of a chain,
    layer i is multiplied by R / r_i, where R = (r_1 ... r_k)^(1/k): a square root for two layers, a cube root where a
    depthwise one stands between them. A channel of which some r_i is 0 stays. As chains share layers, they take turns
    until no range moves by more than one percent.

    Args:
        model: one that `surgery.trace` follows, batch norm folded before (`surgery.fold_batch_norm`); left as it was.
        sample: one batch, shape (N, ...).

    Raises:
        TypeError, ValueError: see `surgery.trace`; quantized already.
        NoEffectWarning (a warning): there is no chain; it says what stands behind each layer.

    Source: M. Nagel et al., Data-free quantization, arXiv 1906.04721, section 4.1 and appendix A.
    """
    links, obstacles = _find_links(model, sample)
    equal = copy_model(model)
    if not links:
        warnings.warn(
            f"no two layers of {type(model).__name__} were equalized; looked for pairs with nothing but ReLU, pooling, "
            f"dropout and flattening between them, found behind {'; '.join(obstacles) or 'no layer'}",
            NoEffectWarning,
            stacklevel=2,
        )
    chains = [[equal.get_submodule(name) for name in chain] for chain in _join(links, equal)]
    for _ in range(100):
        moved = [_equalize_(chain) for chain in chains]
        if not any(moved):
            break
    return equal


def find_chains(model: nn.Module, sample: Tensor) -> tuple[tuple[str, ...], ...]:
    """Names of the layers whose channels `apply_equalization` makes even together; same arguments and errors."""
    links, _ = _find_links(model, sample)
    return tuple(_join(links, model))


def _join(links: dict[str, str], model: nn.Module) -> Iterator[tuple[str, ...]]:
    """Chains of links; all their layers but the first and the last are depthwise."""
    for first, following in links.items():
        if _is_depthwise(model.get_submodule(first)) and first in links.values():
            continue
        chain = [first, following]
        while _is_depthwise(model.get_submodule(chain[-1])) and chain[-1] in links:
            chain.append(links[chain[-1]])
        yield tuple(chain)


def _is_depthwise(layer: nn.Module) -> bool:
    return getattr(layer, "groups", 1) > 1 and layer.groups == layer.in_channels == layer.out_channels


# --- which layers follow each other -----------------------------------------------------------------


def _find_links(model: nn.Module, sample: Tensor) -> tuple[dict[str, str], list[str]]:
    """Each layer with the one that alone reads its channels; and what stands in the way of the others, in words."""
    able = choose_layers(model, QuantConfig())
    traced = trace(model, sample)
    layers = _free_layers(traced, able)
    links, obstacles = {}, []
    for name, node in layers.items():
        reader = _reader(traced, node)
        if reader is not None and reader.target in layers:
            links[name] = reader.target
        else:
            obstacles.append(f"{name!r}: {traced.describe(reader) if reader else 'a branch, or the output'}")
    return links, obstacles


def _free_layers(traced: TracedModel, names: list[str]) -> dict[str, fx.Node]:
    """Those layers whose parameters nothing else uses, and whose channels stand on axis 1: not so for tokens."""
    calls = Counter(node.target for node in traced.nodes if node.op == "call_module")
    read = {node.target.rpartition(".")[0] for node in traced.nodes if node.op == "get_attr"}
    free = {}
    for node in traced.nodes:
        if node.op == "call_module" and node.target in names and calls[node.target] == 1 and node.target not in read:
            layer = traced.model.get_submodule(node.target)
            n_axes = 2 + len(getattr(layer, "kernel_size", ()))
            if len(traced.shape(node)) == n_axes and not _shares_parameters(traced.model, layer):
                free[node.target] = node
    return free


def _shares_parameters(model: nn.Module, layer: nn.Module) -> bool:
    mine = {each.untyped_storage().data_ptr() for each in layer.parameters(recurse=False)}
    others = (p for each in model.modules() if each is not layer for p in each.parameters(recurse=False))
    return any(each.untyped_storage().data_ptr() in mine for each in others)


def _reader(traced: TracedModel, node: fx.Node) -> fx.Node | None:
    """The first operation behind a layer that does not pass a channel's factor on; None where several read it."""
    while len(users := _users(traced, node)) == 1 and users[0].op != "output":
        source, node = node, users[0]
        name = operation_name(traced.model, node)
        shape = traced.shape(source)
        # Flattened, channel c is the c-th block of columns.
        is_flat = name in _FLATTENING and traced.shape(node) == (shape[0], shape[1:].numel())
        if not is_flat and name not in _SCALABLE:
            return node
    return None


def _users(traced: TracedModel, node: fx.Node) -> list[fx.Node]:
    """Who reads the values of a node; sizes do not matter."""
    return [each for each in node.users if each.op == "output" or isinstance(traced.values[each], Tensor)]


# --- the arithmetic ---------------------------------------------------------------------------------


@torch.no_grad()
def _equalize_(chain: list[nn.Module]) -> bool:
    """Make the ranges of one chain even; whether any channel moved by more than one percent."""
    blocks = [_channels(layer, "in" if i else "out") for i, layer in enumerate(chain)]
    n_channels = len(blocks[0].values)
    # After flattening, the inputs of a channel are several columns.
    values = [each.values.reshape(n_channels, -1) for each in blocks]
    ranges = torch.stack([each.abs().amax(1) for each in values])
    factors = ranges.log().mean(0).exp() / ranges
    factors[:, ~(factors.isfinite() & (factors > 0)).all(0)] = 1
    for layer, each, value, factor in zip(chain, blocks, values, factors, strict=True):
        scaled = (value * factor[:, None]).reshape(each.values.shape)
        layer.weight.copy_(each.restore(scaled))
    # What a layer gives is scaled by its own factor and those before it.
    for layer, factor in zip(chain[:-1], factors.cumprod(0), strict=False):
        if layer.bias is not None:
            layer.bias.mul_(factor.to(layer.bias.dtype))
    return bool((factors.log().abs() > math.log(1.01)).any())


def _channels(layer: nn.Module, side: str) -> Blocks:
    """The weight with one row for each output or input channel."""
    axis = channel_axis(layer) if side == "out" else 1 - channel_axis(layer)
    return split(layer.weight, PER_CHANNEL, axis, getattr(layer, "groups", 1) if axis == 1 else 1)
