"""Batch norm folded into the layer before it: in evaluation mode it is one scale and one shift for each channel."""

import copy
import warnings
from collections import defaultdict

import torch
from torch import Tensor, fx, nn

from labcore.results import FoldingReport
from labcore.runtime import NoEffectWarning
from labcore.surgery.graph import TracedModel, layer_kind, operation_name, trace

__all__ = ["fold_batch_norm", "folded_parameters", "report_folding"]

# Layers that can take a batch norm in, and the number of axes of what they give when axis 1 holds their channels.
_AXES = {
    nn.Linear: 2, nn.Conv1d: 3, nn.Conv2d: 4, nn.Conv3d: 5,
    nn.ConvTranspose1d: 3, nn.ConvTranspose2d: 4, nn.ConvTranspose3d: 5,
}  # fmt: skip
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def folded_parameters(
    weight: Tensor,
    bias: Tensor | None,
    *,
    mean: Tensor,
    variance: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    eps: float = 1e-5,
    axis: int = 0,
    groups: int = 1,
) -> tuple[Tensor, Tensor]:
    """Weight and bias of one layer that does the work of a layer and its batch norm.

    For each output channel, with r = gamma / sqrt(variance + eps):  W' = W r,  b' = (b - mean) r + beta.

    Args:
        weight: of the layer, any shape.
        bias: shape (channels,); None means 0.
        mean, variance: running statistics of the batch norm, shape (channels,).
        gamma, beta: its scale and shift, shape (channels,); None means 1 and 0.
        eps: what it adds to the variance.
        axis: of `weight` that counts output channels: 0, in transposed convolutions 1.
        groups: of the layer. With `axis` 1, each group has output channels of its own: channels / groups on that axis.

    Returns:
        weight of the same shape, bias of shape (channels,), both in the type of `weight`.

    Raises:
        ValueError: the numbers of channels differ; a result that is not finite.

    Source: Jacob et al. 2018 (arXiv 1712.05877), section 3.2.
    """
    n_channels = weight.shape[axis] * (groups if axis else 1)
    for name, each in {"bias": bias, "mean": mean, "variance": variance, "gamma": gamma, "beta": beta}.items():
        if each is not None and each.shape != (n_channels,):
            raise ValueError(f"{name} must have shape ({n_channels},), one value a channel, got {tuple(each.shape)}")
    # In double precision, so that each value is rounded once.
    one, zero = torch.ones_like(mean), torch.zeros_like(mean)
    scale = (one if gamma is None else gamma).double() / (variance.double() + eps).sqrt()
    shift = (zero if beta is None else beta).double() - mean.double() * scale
    new_bias = (zero if bias is None else bias).double() * scale + shift
    # Groups first: in a transposed convolution, rows of the weight belong to the group of their input.
    by_group = weight.double().unflatten(0, (groups if axis else 1, -1))
    shape = [1] * by_group.dim()
    shape[0], shape[axis + 1] = by_group.shape[0], weight.shape[axis]
    new_weight = (by_group * scale.view(shape)).flatten(0, 1)
    if not (new_weight.isfinite().all() and new_bias.isfinite().all()):
        raise ValueError(
            f"folding gives values that are not finite: look for NaN or infinity in the parameters, and for a variance "
            f"of 0 where eps is 0; the smallest variance is {variance.min():g}, eps is {eps:g}"
        )
    return new_weight.to(weight.dtype), new_bias.to(weight.dtype)


def fold_batch_norm(model: nn.Module, sample: Tensor) -> nn.Module:
    """A copy in which each batch norm that directly follows a linear layer or a convolution is part of that layer.

    It computes what the model computes in evaluation mode. Names stay: the layer has a bias, and in the place of the
    batch norm stands `nn.Identity`. The original and the mode of every module stay as they are. Without the batch
    norm, training goes on from the running statistics; it does not see those of the batch any more.

    Args:
        model: any module that `trace` follows.
        sample: one batch, shape (N, ...).

    Raises:
        ValueError, TypeError: see `trace`; a batch norm behind a layer keeps no running statistics.
        NoEffectWarning (a warning): nothing could be folded; it says why (see `report_folding`).
    """
    report = report_folding(model, sample)
    folded = copy.deepcopy(model)
    parts = dict(folded.named_modules(remove_duplicate=False))
    for norm_name, layer_name in report.folded.items():
        layer, norm = parts[layer_name], parts[norm_name]
        try:
            _fold_(layer, norm)
        except ValueError as error:
            raise ValueError(f"{norm_name!r} does not fold into {layer_name!r}: {error}") from error
        for alias in [name for name, each in parts.items() if each is norm]:
            # Without the mode of its own an identity would be in training mode.
            folded.set_submodule(alias, nn.Identity().train(norm.training))
    if not report.folded:
        reasons = "; ".join(f"{name!r}: {reason}" for name, reason in report.stayed.items())
        warnings.warn(
            f"no batch norm of {type(model).__name__} was folded; looked for one directly behind a linear layer or a "
            f"convolution, found {reasons or 'no batch norm'}",
            NoEffectWarning,
            stacklevel=2,
        )
    return folded


@torch.no_grad()
def _fold_(layer: nn.Module, norm: nn.Module) -> None:
    weight, bias = folded_parameters(
        layer.weight, layer.bias,
        mean=norm.running_mean, variance=norm.running_var, gamma=norm.weight, beta=norm.bias, eps=norm.eps,
        axis=int(getattr(layer, "transposed", False)), groups=getattr(layer, "groups", 1),
    )  # fmt: skip
    learns = layer.weight.requires_grad
    layer.weight, layer.bias = nn.Parameter(weight, learns), nn.Parameter(bias, learns)


def report_folding(model: nn.Module, sample: Tensor) -> FoldingReport:
    """What `fold_batch_norm` does with each batch norm of the model, and why it leaves some; same arguments and errors.

    A batch norm stays when it does not directly follow a linear layer or a convolution, or when something else reads
    what that layer gives, its weight, or either of the two modules.
    """
    traced = trace(model, sample)
    calls: dict[str, list[fx.Node]] = defaultdict(list)
    for node in traced.nodes:
        if node.op == "call_module":
            calls[node.target].append(node)
    folded, stayed = {}, {}
    for name, module in traced.model.named_modules():
        if isinstance(module, _NORMS) and name not in calls:
            stayed[name] = "it takes no part in evaluation mode"
    for node in traced.nodes:
        if operation_name(traced.model, node) == "batchnorm" and node.op == "call_function":
            stayed[node.name] = "it is called as a function"
    for name, nodes in calls.items():
        norm = traced.model.get_submodule(name)
        if not isinstance(norm, _NORMS):
            continue
        if reason := _why_it_stays(traced, nodes, calls):
            stayed[name] = reason
        elif norm.running_mean is None:
            raise ValueError(
                f"batch norm {name!r} keeps no running statistics, so it has no fixed scale to fold; make it with "
                "track_running_stats=True and run some batches through it in training mode"
            )
        else:
            folded[name] = nodes[0].all_input_nodes[0].target
    return FoldingReport(folded, stayed)


def _why_it_stays(traced: TracedModel, nodes: list[fx.Node], calls: dict[str, list[fx.Node]]) -> str:
    """Empty for a batch norm that can be folded, given every call of it."""
    source = nodes[0].all_input_nodes[0]
    kind = layer_kind(traced.model.get_submodule(source.target)) if source.op == "call_module" else None
    if kind not in _AXES:
        return f"it follows {traced.describe(source)}, which is no linear layer or convolution"
    # A pair that is called several times, always together, folds as one.
    uses = calls[source.target]
    if {node.all_input_nodes[0] for node in nodes} != set(uses) or any(len(each.users) > 1 for each in uses):
        return f"{source.target!r} or the batch norm has other uses than this pair"
    if any(len(traced.shape(each)) != _AXES[kind] for each in uses):
        return f"its channels are not those of {source.target!r}: that gives shape {tuple(traced.shape(source))}"
    return _why_not_plain(traced, source.target, nodes[0].target)


def _why_not_plain(traced: TracedModel, layer_name: str, norm_name: str) -> str:
    layer, norm = traced.model.get_submodule(layer_name), traced.model.get_submodule(norm_name)
    for name, module in ((layer_name, layer), (norm_name, norm)):
        if any(getattr(module, hooks) for hooks in _HOOKS):
            return f"{name!r} has hooks"
    if extra := layer.state_dict().keys() - {"weight", "bias"}:
        return f"{layer_name!r} holds more than a plain layer does: {', '.join(sorted(extra))}"
    direct = {node.target.rpartition(".")[0] for node in traced.nodes if node.op == "get_attr"}
    if direct & {layer_name, norm_name}:
        return f"a parameter of {layer_name!r} or of the batch norm is read on its own"
    mine = {each.untyped_storage().data_ptr() for each in layer.parameters(recurse=False)}
    others = (p for module in traced.model.modules() if module is not layer for p in module.parameters(recurse=False))
    if any(each.untyped_storage().data_ptr() in mine for each in others):
        return f"{layer_name!r} shares its parameters with another layer"
    return ""
