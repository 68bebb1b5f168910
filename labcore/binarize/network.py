"""A trained binary network that computes with packed bits between its real ends."""

import numpy as np
import torch
from torch import Tensor, fx, nn

from labcore.binarize.convolution import pack_filters, packed_conv2d
from labcore.binarize.layers import FixedLayer, SignActivation
from labcore.binarize.packing import pack_signs
from labcore.binarize.product import packed_matmul
from labcore.binarize.threshold import apply_sign_thresholds, fold_sign_thresholds
from labcore.surgery import copy_model, trace_operations
from labcore.surgery.graph import operation_name

__all__ = ["PackedLayer", "SignThreshold", "pack_network"]

# They keep signs, or the order of sums: a threshold may stand before or after them.
_KEEP = frozenset(("maxpool2d", "identity", "flatten", "dropout"))


class PackedLayer(nn.Module):
    """A `FixedLayer` with binary weights and inputs: sums by XNOR and bit count, then alpha and the bias.

    Args:
        fixed: a linear layer or a convolution in two dimensions.
        scaled: False gives the whole sums: a threshold behind the layer knows alpha.
    """

    def __init__(self, fixed: FixedLayer, *, scaled: bool = True):
        super().__init__()
        self.fixed, self.scaled = fixed, scaled
        codes = fixed.codes.numpy()
        self._weight = pack_signs(codes) if isinstance(fixed.layer, nn.Linear) else pack_filters(codes)

    def forward(self, x: Tensor) -> Tensor:
        sums = torch.from_numpy(self._sums(self.fixed.shifted(x).detach().numpy())).to(x.dtype)
        return self.fixed.finish(sums, self.fixed.alpha, x) if self.scaled else sums

    def _sums(self, x: np.ndarray) -> np.ndarray:
        layer = self.fixed.layer
        if isinstance(layer, nn.Linear):
            return packed_matmul(pack_signs(x.reshape(-1, x.shape[-1])), self._weight).reshape(*x.shape[:-1], -1)
        return packed_conv2d(
            x, self._weight, stride=layer.stride, padding=layer.padding, dilation=layer.dilation, groups=layer.groups
        )


class SignThreshold(nn.Module):
    """Batch norm and sign of whole sums: one comparison a channel; see `fold_sign_thresholds`."""

    def __init__(self, norm: nn.Module, alpha: Tensor):
        super().__init__()
        numbers = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
        scale = alpha.flatten().expand(norm.num_features).numpy()
        self.thresholds = fold_sign_thresholds(*(each.detach().numpy() for each in numbers), norm.eps, scale=scale)

    def forward(self, sums: Tensor) -> Tensor:
        return torch.from_numpy(apply_sign_thresholds(sums.to(torch.int32).numpy(), self.thresholds)).to(sums.dtype)


def pack_network(model: nn.Module) -> fx.GraphModule:
    """The network with packed bits in every layer whose weights and inputs are binary, in evaluation mode.

    Where such a layer feeds batch norm and signs only, both become a threshold on whole sums. All that reads real
    numbers stays as it is, so that the outputs are those of `model`: bit for bit up to the first real layer that
    follows.

    Args:
        model: from `fix_binary`, on the CPU; left as it was.

    Raises:
        ValueError: no layer with binary weights and inputs.
        UnsupportedOperation: `forward` cannot be traced.
    """
    packed = trace_operations(copy_model(model).eval(), leaves=(FixedLayer, SignActivation))
    nodes = [node for node in packed.graph.nodes if _can_pack(_module(packed, node))]
    if not nodes:
        raise ValueError(
            f"{type(model).__name__} has no layer with binary weights and binary inputs; make them with "
            "apply_binary(model, BinaryConfig(activations='binary')), train, and take fix_binary of it"
        )
    for node in nodes:
        fixed = _module(packed, node)
        norm = _norm_behind(packed, node, nodes) if _plain(fixed) else None
        packed.set_submodule(node.target, PackedLayer(fixed, scaled=norm is None))
        if norm is not None:
            packed.set_submodule(norm.target, SignThreshold(_module(packed, norm), fixed.alpha))
    return packed


def _module(model: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return model.get_submodule(node.target) if node.op == "call_module" else None


def _can_pack(module: nn.Module | None) -> bool:
    if not isinstance(module, FixedLayer) or module.config.activations == "real" or (module.codes == 0).any():
        return False
    layer = module.layer
    return isinstance(layer, nn.Linear) or (
        isinstance(layer, nn.Conv2d) and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    )


def _plain(fixed: FixedLayer) -> bool:
    """True where outputs are alpha times sums, and nothing else."""
    return fixed.layer.bias is None and fixed.config.scale_inputs == "none" and bool((fixed.alpha >= 0).all())


def _norm_behind(model: fx.GraphModule, node: fx.Node, packable: list[fx.Node]) -> fx.Node | None:
    """The batch norm that alone reads a layer, if nothing but signs of packed layers read it."""
    while len(node.users) == 1:
        (node,) = node.users
        norm = _module(model, node)
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            fits = norm.affine and norm.track_running_stats and _only_signs_follow(model, node, packable)
            return node if fits else None
        if not _keeps(model, node):
            return None
    return None


def _keeps(model: fx.GraphModule, node: fx.Node) -> bool:
    return node.op.startswith("call") and operation_name(model, node) in _KEEP


def _only_signs_follow(model: fx.GraphModule, node: fx.Node, packable: list[fx.Node]) -> bool:
    def takes_signs(user: fx.Node) -> bool:
        module = _module(model, user)
        if isinstance(module, SignActivation):
            return True
        if user in packable:
            return getattr(module, "fixed", module).shift is None
        return _keeps(model, user) and _only_signs_follow(model, user, packable)

    return bool(node.users) and all(map(takes_signs, node.users))
