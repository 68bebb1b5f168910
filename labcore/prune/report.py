"""A pruned network in numbers: what is left, what it weighs, how often it is right."""

import threading
from collections.abc import Iterable, Mapping

import numpy as np
from torch import Tensor, nn

from labcore.metrics import compare_latency, measure_compared, measure_costs
from labcore.prune.apply import apply_masks, sparsity_of
from labcore.prune.structured import ChannelPlan, apply_channel_plan
from labcore.results import Evaluation, FilterReport, MaskReport, PrunedAccuracy, SmallerMeasurement
from labcore.storage import encoded_bytes

__all__ = ["FORMATS", "measure_pruned", "measure_smaller", "report_filters", "report_masks"]

# In a dense format zeros cost as much as any other number; in the others every kept number needs to say where it is.
FORMATS = ("dense", "bitmap", "csr", "relative")


def report_masks(model: nn.Module, masks: Mapping[str, Tensor], layer: str) -> MaskReport:
    """What masks leave of a model, one layer in full.

    Args:
        layer: name of the parameter whose weights are shown; must have a mask.
    """
    if layer not in masks:
        raise ValueError(f"no mask for {layer!r}; choose one of: {', '.join(masks)}")
    pruned = apply_masks(model, masks)
    weights = model.get_parameter(layer).detach().flatten(1).cpu().numpy()
    kept = masks[layer].flatten(1).cpu().numpy()
    gone = np.abs(weights[~kept])
    return MaskReport(
        layer, weights, kept, float(gone.max()) if gone.size else np.nan, sparsity_of(masks),
        {name: sparsity_of({name: mask}) for name, mask in masks.items()},
        {form: sum(encoded_bytes(pruned.get_parameter(name), form) for name in masks) for form in FORMATS},
    )  # fmt: skip


def measure_pruned(
    model: nn.Module,
    whole: Evaluation,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    tuned: bool = False,
    stop: threading.Event | None = None,
) -> PrunedAccuracy | None:
    """How often a pruned model is right, beside the answers of the whole one on the same batches; None once stopped."""
    compared = measure_compared(model, whole, batches, stop=stop)
    if compared is None:
        return None
    return PrunedAccuracy(compared.accuracy, compared.pair, compared.n_images, sparsity_of(model), tuned)


def report_filters(
    model: nn.Module,
    plan: ChannelPlan,
    layer: str,
    sample: Tensor,
    *,
    label: str,
    later: Mapping[str, np.ndarray],
) -> FilterReport:
    """Which filters of a layer go, and which share of parameters, MACs and activations is left.

    Args:
        layer: a convolution that makes channels of the plan.
        sample: one batch, shape (N, ...).
        label: method and share, in words.
        later: accuracies measured beforehand, by what was done after the cut.
    """
    if layer not in plan.removed:
        raise ValueError(f"the plan takes nothing from {layer!r}; choose one of: {', '.join(plan.removed)}")
    before, after = (measure_costs(net, sample) for net in (model, apply_channel_plan(model, plan)))
    filters = model.get_submodule(layer).weight.detach().abs().mean(1).cpu().numpy()
    removed = np.zeros(len(filters), dtype=bool)
    removed[plan.removed[layer]] = True
    costs = {
        "parameters": after.n_params / before.n_params,
        "MACs": after.macs / before.macs,
        "activations": after.peak_activation_bytes / before.peak_activation_bytes,
    }
    return FilterReport(label, layer, filters, removed, costs, dict(later))


def measure_smaller(
    model: nn.Module,
    smaller: nn.Module,
    whole: Evaluation,
    batches: Iterable[tuple[Tensor, Tensor]],
    timed: Tensor,
    *,
    stop: threading.Event | None = None,
) -> SmallerMeasurement | None:
    """Accuracy of a smaller network beside the whole one, and its time on one batch `timed`, measured in turns."""
    accuracy = measure_pruned(smaller, whole, batches, stop=stop)
    if accuracy is None:
        return None
    before, after = compare_latency(model, smaller, timed, runs=15, warmup=3)
    return SmallerMeasurement(accuracy, after.p50_ms / before.p50_ms, len(timed))
