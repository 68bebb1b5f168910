"""A trained binary network that computes with packed bits between its real ends."""

from collections import Counter

import numpy as np
import torch
from torch import Tensor, fx, nn

from labcore.binarize.convolution import pack_filters, packed_conv2d
from labcore.binarize.layers import FixedLayer, SignActivation
from labcore.binarize.packing import pack_signs
from labcore.binarize.product import packed_matmul
from labcore.binarize.threshold import apply_sign_thresholds, fold_sign_thresholds
from labcore.surgery import copy_model, trace_operations
from labcore.surgery.graph import operation_name, record_values

__all__ = ["PackedLayer", "SignThreshold", "pack_network"]

# They keep channels and the order of sums: batch norm may stand before or after them.
_KEEP_ORDER = frozenset(("maxpool2d", "identity", "dropout"))
# They keep signs.
_KEEP_SIGNS = _KEEP_ORDER | {"flatten"}


class PackedLayer(nn.Module):
    """A `FixedLayer` with binary weights and inputs: sums by XNOR and bit count, then alpha and the bias.

    Args:
        fixed: a linear layer or a convolution in two dimensions.
        scaled: False gives the whole sums: a threshold behind the layer knows alpha.

    The bits are packed once: other weights need another network (`load_state_dict` raises RuntimeError).
    """

    def __init__(self, fixed: FixedLayer, *, scaled: bool = True):
        super().__init__()
        self.fixed, self.scaled = fixed, scaled
        self.register_load_state_dict_pre_hook(_refuse_weights)
        codes = fixed.codes.numpy()
        self._weight = pack_signs(codes) if isinstance(fixed.layer, nn.Linear) else pack_filters(codes)

    def forward(self, x: Tensor) -> Tensor:
        sums = torch.from_numpy(self._sums(self.fixed.shifted(x).detach().numpy())).to(x.dtype)
        return self.fixed.finish(sums, self.fixed.alpha, x) if self.scaled else sums

    def _sums(self, x: np.ndarray) -> np.ndarray:
        layer = self.fixed.layer
        if isinstance(layer, nn.Linear):
            rows = packed_matmul(pack_signs(x.reshape(-1, layer.in_features)), self._weight)
            return rows.reshape(*x.shape[:-1], layer.out_features)
        return packed_conv2d(
            x, self._weight, stride=layer.stride, padding=layer.padding, dilation=layer.dilation, groups=layer.groups
        )


def _refuse_weights(*_: object) -> None:
    raise RuntimeError("a packed network takes no other weights; load them into the model and pack it again")


class SignThreshold(nn.Module):
    """Batch norm and sign of whole sums: one comparison a channel; see `fold_sign_thresholds`."""

    def __init__(self, norm: nn.Module, alpha: Tensor):
        super().__init__()
        numbers = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
        scale = alpha.flatten().expand(norm.num_features).numpy()
        self.thresholds = fold_sign_thresholds(*(each.detach().numpy() for each in numbers), norm.eps, scale=scale)

    def forward(self, sums: Tensor) -> Tensor:
        return torch.from_numpy(apply_sign_thresholds(sums.to(torch.int32).numpy(), self.thresholds)).to(sums.dtype)


def pack_network(model: nn.Module, sample: Tensor) -> fx.GraphModule:
    """The network with packed bits in every layer whose weights and inputs are binary, in evaluation mode.

    Where such a layer feeds batch norm and signs only, both become a threshold on whole sums (in float32). All that
    reads real numbers stays as it is, so that the outputs are those of `model`: bit for bit up to the first real layer
    that follows.

    Args:
        model: from `fix_binary`, on the CPU; left as it was.
        sample: one batch, shape (N, ...), with N of at least 1.

    Raises:
        TypeError: no module, no tensor.
        ValueError: no layer with binary weights and inputs, or a sample that the model cannot take.
        UnsupportedOperation: `forward` cannot be traced.
    """
    if not isinstance(model, nn.Module) or not isinstance(sample, Tensor):
        raise TypeError(f"need a module and a tensor, got {type(model).__name__} and {type(sample).__name__}")
    packed = trace_operations(copy_model(model).eval(), leaves=(FixedLayer, SignActivation))
    nodes = [node for node in packed.graph.nodes if _can_pack(_module(packed, node))]
    if not nodes:
        raise ValueError(
            f"{type(model).__name__} has no layer with binary weights and binary inputs; make them with "
            "apply_binary(model, BinaryConfig(activations='binary')), train, and take fix_binary of it"
        )
    folds = _Folds(packed, nodes, sample)
    found = {node: (_module(packed, node), folds.norm_behind(node)) for node in nodes}
    for node, (fixed, norm) in found.items():
        if not isinstance(_module(packed, node), FixedLayer):
            continue  # called before, and packed then
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


class _Folds:
    """Finds batch norms that become thresholds."""

    def __init__(self, model: fx.GraphModule, packable: list[fx.Node], sample: Tensor):
        self._model, self._packable = model, packable
        self._calls = Counter(_module(model, node) for node in model.graph.nodes if node.op == "call_module")
        try:
            self._values = record_values(model, sample)
        except Exception as error:
            first_line = str(error).split("\n")[0]
            raise ValueError(f"the model cannot take a batch of shape {tuple(sample.shape)}: {first_line}") from error

    def norm_behind(self, node: fx.Node) -> fx.Node | None:
        """The batch norm that alone reads a layer, if nothing but signs of packed layers read it."""
        fixed = _module(self._model, node)
        # One channel for each filter: not in a linear layer over sequences, whose features come last.
        plain = self._values[node].dim() == (2 if isinstance(fixed.layer, nn.Linear) else 4)
        plain &= fixed.layer.bias is None and fixed.config.scale_inputs == "none" and bool((fixed.alpha >= 0).all())
        if not plain or self._calls[fixed] != 1 or fixed.alpha.dtype != torch.float32:
            return None
        while len(node.users) == 1:
            (node,) = node.users
            norm = _module(self._model, node)
            if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                return node if self._can_fold(norm) and self._only_signs_follow(node) else None
            if operation_name(self._model, node) not in _KEEP_ORDER:
                return None
        return None

    def _can_fold(self, norm: nn.Module) -> bool:
        known = norm.affine and norm.track_running_stats and norm.weight.dtype == torch.float32
        return known and self._calls[norm] == 1

    def _only_signs_follow(self, node: fx.Node) -> bool:
        return bool(node.users) and all(map(self._takes_signs, node.users))

    def _takes_signs(self, user: fx.Node) -> bool:
        module = _module(self._model, user)
        if isinstance(module, SignActivation):
            return True
        if user in self._packable:
            return module.shift is None and module.config.scale_inputs == "none"
        return operation_name(self._model, user) in _KEEP_SIGNS and self._only_signs_follow(user)
