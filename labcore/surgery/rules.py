"""What each operation does to channels: one rule for a family of operations, one walk along the graph."""

from collections.abc import Callable

import numpy as np
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from labcore.surgery.graph import TracedModel, UnsupportedOperation, operation_name
from labcore.surgery.labels import FIXED, Channels, Labels
from labcore.surgery.moves import is_written, where_channels_go

__all__ = ["Walk"]

# Operations as `operation_name` calls them.
_ELEMENTWISE = (
    "abs add alphadropout celu clamp clampmax clampmin clone contiguous detach div dropout dropout1d "
    "dropout2d dropout3d elu exp expandas featurealphadropout featuredropout float gelu hardshrink "
    "hardsigmoid hardswish hardtanh iadd identity imul isub itruediv leakyrelu log logsigmoid maximum "
    "minimum mish mul neg pow relu relu6 rrelu rsqrt selu sigmoid silu softplus softshrink softsign sqrt "
    "square stochasticdepth sub tanh tanhshrink threshold to truediv"
)
_SPATIAL = (
    "adaptiveavgpool1d adaptiveavgpool2d adaptiveavgpool3d adaptivemaxpool1d adaptivemaxpool2d "
    "adaptivemaxpool3d avgpool1d avgpool2d avgpool3d constantpad1d constantpad2d interpolate lppool1d "
    "lppool2d maxpool1d maxpool2d maxpool3d pad reflectionpad1d reflectionpad2d replicationpad1d "
    "replicationpad2d upsample upsamplingbilinear2d upsamplingnearest2d zeropad1d zeropad2d"
)
_REDUCTIONS = "amax amin mean sum"
_MOVES = "expand flatten getitem movedim permute reshape squeeze swapaxes transpose unsqueeze view"
_COMPARISONS = "groupnorm layernorm localresponsenorm logsoftmax multiheadattention normalize rmsnorm softmax softmin"
_PLAIN_STATE = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}


class Walk:
    """Follows labels from the model's inputs to its outputs.

    Attributes:
        labels: of all channels.
        roles: (layer, "out" | "in" | "norm") -> labels of the layer's channels in that role, in order of execution.
        channels: what each operation gives; None where nothing can go.
    """

    def __init__(self, traced: TracedModel):
        self.labels = Labels()
        self.roles: dict[tuple[str, str], np.ndarray] = {}
        self._traced = traced
        self.channels: dict[fx.Node, Channels | None] = {}
        for node in traced.nodes:
            channels = self._visit(node)
            if channels is not None and not self.labels.resolve(channels.labels).any():
                channels = None
            self.channels[node] = channels

    def _visit(self, node: fx.Node) -> Channels | None:
        if node.op in ("placeholder", "get_attr"):
            return None
        if node.op == "output":
            return self._keep_all(node)
        name = operation_name(self._traced.model, node)
        if node.op == "call_module" and name in _LAYERS:
            return self._layer(node, _LAYERS[name])
        value = self._traced.values[node]
        if not self._live(node) or not any(isinstance(leaf, Tensor) for leaf in tree_leaves(value)):
            return None
        rule = _RULES.get(name)
        if rule is None or (rule is not Walk._keep_all and not isinstance(value, Tensor)):
            raise self._unsupported(node, "cannot follow channels through it")
        return rule(self, node)

    def _live(self, node: fx.Node) -> list[fx.Node]:
        return [each for each in node.all_input_nodes if self.channels[each] is not None]

    def _along(self, user: fx.Node, node: fx.Node, axis: int) -> np.ndarray:
        """Labels of `node` along an axis on which `user` needs its channels."""
        channels = self.channels[node]
        if channels is None:
            return np.full(self._traced.shape(node)[axis], FIXED)
        if channels.axis != axis:
            raise self._unsupported(user, f"it needs channels on axis {axis}, they stand on axis {channels.axis}")
        return channels.labels

    def _unsupported(self, node: fx.Node, reason: str) -> UnsupportedOperation:
        return UnsupportedOperation(f"unsupported operation {self._traced.describe(node)}: {reason}")

    # --- layers with parameters ---------------------------------------------------------------------

    def _layer(self, node: fx.Node, rule: Callable) -> Channels:
        module = self._traced.model.get_submodule(node.target)
        if extra := module.state_dict().keys() - _PLAIN_STATE:
            raise self._unsupported(node, f"it holds more than a plain layer does: {', '.join(sorted(extra))}")
        return rule(self, node, module)

    def _record(self, node: fx.Node, role: str, labels: np.ndarray) -> np.ndarray:
        """Labels of a layer in one role. A layer that is used again meets the labels of its first use."""
        first = self.roles.setdefault((node.target, role), labels)
        self.labels.merge(first, labels)
        return first

    def _linear(self, node: fx.Node, module: nn.Linear) -> Channels:
        source = node.all_input_nodes[0]
        last = len(self._traced.shape(source)) - 1
        self._record(node, "in", self._along(node, source, last))
        return Channels(last, self._record(node, "out", self.labels.fresh(module.out_features)))

    def _convolution(self, node: fx.Node, module: nn.Conv2d) -> Channels:
        inputs = self._along(node, node.all_input_nodes[0], 1)
        outputs = self.labels.fresh(module.out_channels)
        if 1 < module.groups == module.in_channels:
            # Depthwise: a channel is a group of its own, and all that is made of it goes with it.
            self.labels.merge(inputs[:, None], outputs.reshape(module.groups, -1))
            return Channels(1, self._record(node, "out", outputs))
        for labels in (inputs, outputs):
            # Groups must stay alike: the same channels go from each.
            groups = labels.reshape(module.groups, -1)
            self.labels.merge(groups, groups[:1])
        self._record(node, "in", inputs)
        return Channels(1, self._record(node, "out", outputs))

    def _norm(self, node: fx.Node, module: nn.Module) -> Channels:
        return Channels(1, self._record(node, "norm", self._along(node, node.all_input_nodes[0], 1)))

    def _prelu(self, node: fx.Node, module: nn.PReLU) -> Channels | None:
        return self._norm(node, module) if module.num_parameters > 1 else self.channels[node.all_input_nodes[0]]

    # --- operations without parameters --------------------------------------------------------------

    def _keep_all(self, node: fx.Node) -> None:
        """Channels that are compared with each other, or that leave the model, all stay."""
        for each in self._live(node):
            self.labels.merge(self.channels[each].labels, np.array(FIXED))

    def _elementwise(self, node: fx.Node) -> Channels:
        if any(isinstance(self._traced.values[each], int | float) for each in node.all_input_nodes):
            raise self._unsupported(node, "it computes with the size of a tensor, which pruning changes")
        shape = self._traced.shape(node)
        tensors = [each for each in node.all_input_nodes if isinstance(self._traced.values[each], Tensor)]
        # Broadcasting lines shapes up at their ends.
        shifts = {each: len(shape) - len(self._traced.shape(each)) for each in tensors}
        axis = self._common_axis(node, {self.channels[each].axis + shifts[each] for each in self._live(node)})
        whole = [
            self._along(node, each, axis - shifts[each])
            for each in tensors
            if axis >= shifts[each] and self._traced.shape(each)[axis - shifts[each]] == shape[axis]
        ]
        for labels in whole[1:]:
            self.labels.merge(whole[0], labels)
        return Channels(axis, whole[0])

    def _common_axis(self, node: fx.Node, axes: set[int]) -> int:
        if len(axes) > 1:
            raise self._unsupported(node, f"it brings together channels on different axes: {sorted(axes)}")
        return axes.pop()

    def _spatial(self, node: fx.Node) -> Channels:
        source = node.all_input_nodes[0]
        labels = self._along(node, source, 1)
        before, after = self._traced.shape(source), self._traced.shape(node)
        if len(before) < 3 or before[1] != after[1]:
            raise self._unsupported(node, f"it changes the channel axis: {tuple(before)} becomes {tuple(after)}")
        return Channels(1, labels)

    def _reduction(self, node: fx.Node) -> Channels:
        source = node.all_input_nodes[0]
        channels, n_axes = self.channels[source], len(self._traced.shape(source))
        given = _argument(node, 1, "dim")
        axes = {axis % n_axes for axis in (given if isinstance(given, list | tuple) else [given]) if axis is not None}
        if not axes or channels.axis in axes:
            raise self._unsupported(node, "it reduces over channels")
        shift = 0 if _argument(node, 2, "keepdim") else sum(axis < channels.axis for axis in axes)
        return Channels(channels.axis - shift, channels.labels)

    def _concatenation(self, node: fx.Node) -> Channels:
        parts = _argument(node, 0, "tensors")
        axis = self._common_axis(node, {self.channels[each].axis for each in self._live(node)})
        labels = [self._along(node, each, axis) for each in parts]
        if (_argument(node, 1, "dim") or 0) % len(self._traced.shape(node)) == axis:
            return Channels(axis, np.concatenate(labels))
        for each in labels[1:]:
            self.labels.merge(labels[0], each)
        return Channels(axis, labels[0])

    def _move(self, node: fx.Node) -> Channels | None:
        source = node.all_input_nodes[0]
        channels, before, after = self.channels[source], self._traced.shape(source), self._traced.shape(node)
        place = where_channels_go(self._traced, node, channels.axis)
        if place is None:
            raise self._unsupported(node, f"it takes channels apart: {tuple(before)} becomes {tuple(after)}")
        axis, numbers = place
        if not is_written(node, axis):
            return Channels(axis, channels.labels[numbers])
        if len(numbers) == len(channels.labels):
            return self._keep_all(node)
        raise self._unsupported(node, f"the number {len(numbers)} is written in it, a pruned model needs flatten(1)")


def _argument(node: fx.Node, position: int, name: str) -> object:
    return node.args[position] if len(node.args) > position else node.kwargs.get(name)


_RULES = {
    **dict.fromkeys(_ELEMENTWISE.split(), Walk._elementwise),
    **dict.fromkeys(_SPATIAL.split(), Walk._spatial),
    **dict.fromkeys(_REDUCTIONS.split(), Walk._reduction),
    **dict.fromkeys(_MOVES.split(), Walk._move),
    **dict.fromkeys(_COMPARISONS.split(), Walk._keep_all),
    **dict.fromkeys(("cat", "concat", "concatenate"), Walk._concatenation),
}
_LAYERS = {
    "linear": Walk._linear,
    "prelu": Walk._prelu,
    **{f"{kind}{n}d": Walk._convolution for kind in ("conv", "convtranspose") for n in (1, 2, 3)},
    **{f"{kind}{n}d": Walk._norm for kind in ("batchnorm", "instancenorm") for n in (1, 2, 3)},
}
