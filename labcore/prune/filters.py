"""How much each channel counts: one score for every set of coupled channels, larger = more important."""

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import numpy as np
from torch import Tensor, nn

from labcore.prune.filters_by_data import mean_activations, share_active, taylor_of_filters
from labcore.prune.filters_by_weight import distances, from_filters, gammas, l1_norms, l2_norms
from labcore.surgery import CouplingSet, TracedModel, find_couplings, trace

__all__ = ["FilterMethod", "filter_scores", "score_channels"]

FilterMethod = Literal[
    "l1", "l2", "gamma", "activation", "fpgm", "apoz", "taylor_sum_abs", "taylor_abs_sum", "taylor_sum_square",
    "random", "largest",
]  # fmt: skip


def filter_scores(
    model: nn.Module,
    sample: Tensor,
    method: FilterMethod = "l1",
    *,
    batches: Iterable[tuple[Tensor, ...]] | None = None,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Scores of all channels that can go, by the name of their set (see `surgery.find_couplings`).

    From the weights w of a channel's filter; where several layers make a channel (both sides of an addition, a
    depthwise convolution after another one), their scores are added:

    - `l1`: sum of |w|; `l2`: root of the sum of w².
    - `fpgm`: sum of the Euclidean distances to all filters of the layer. Who is near to all others can be replaced.
    - `gamma`: |weight| of the batch norms that the channel passes, summed; sets without batch norm are left out.

    From data:

    - `activation`: mean of |x| as the next layers receive it (after batch norm, activation and pooling), summed.
    - `apoz`: 1 - share of zeros after ReLU, summed over the ReLUs that the channel passes, so that channels with many
      zeros go first; sets without ReLU are left out.
    - `taylor_sum_abs`: sum of |w g|; `taylor_abs_sum`: |sum of w g|; `taylor_sum_square`: sum of (w g)². Each sum runs
      over the filter and over the batches; g is the gradient of a batch's cross-entropy. Layers are added as above.

    Controls: `random`: uniform in [0, 1), by `seed`. `largest`: `l1` turned round, so that the largest go first.

    Args:
        model: left as it was; scored in evaluation mode.
        sample: one batch, shape (N, ...), to trace the model with.
        batches: for scores from data, (images, ...); for `taylor_*` (images, labels).

    Returns:
        Non-negative scores in double precision, shape (channels,), in the order of the sets' channels.

    Raises:
        ValueError: an unknown method; weights, activations or gradients that are not finite; `gamma` where no channel
            passes batch norm, `apoz` where none passes ReLU; scores from data without batches, `taylor_*` with
            gradients that are all zero; see also `surgery.trace` and `surgery.find_couplings`.

    Source: l1, H. Li et al., Pruning filters for efficient ConvNets, arXiv 1608.08710; fpgm, Y. He et al., Filter
    pruning via geometric median, arXiv 1811.00250; gamma, Z. Liu et al., Network slimming, arXiv 1708.06519; apoz,
    H. Hu et al., Network trimming, arXiv 1607.03250; taylor_sum_square, P. Molchanov et al., Importance estimation for
    neural network pruning, arXiv 1906.10771.
    """
    traced = trace(model, sample)
    return score_channels(traced, find_couplings(traced), method, batches=batches, seed=seed)


def score_channels(
    traced: TracedModel,
    couplings: Sequence[CouplingSet],
    method: FilterMethod,
    *,
    batches: Iterable[tuple[Tensor, ...]] | None,
    seed: int,
) -> dict[str, np.ndarray]:
    """`filter_scores` of sets that have been found already."""
    model = traced.model
    _check_finite(model, couplings)
    match method:
        case "l1" | "l2" | "fpgm":
            return from_filters(model, couplings, {"l1": l1_norms, "l2": l2_norms, "fpgm": distances}[method])
        case "largest":
            sizes = from_filters(model, couplings, l1_norms)
            return {name: max(map(np.max, sizes.values())) - values for name, values in sizes.items()}
        case "gamma":
            return gammas(model, couplings)
        case "activation":
            return mean_activations(model, couplings, batches or ())
        case "apoz":
            return share_active(traced, couplings, batches or ())
        case "taylor_sum_abs" | "taylor_abs_sum" | "taylor_sum_square":
            return taylor_of_filters(model, couplings, method.removeprefix("taylor_"), batches or ())
        case "random":
            generator = np.random.default_rng(seed)
            return {each.name: generator.random(each.n_channels) for each in couplings}
    raise ValueError(f"unknown method {method!r}; choose one of: {', '.join(get_args(FilterMethod))}")


def _check_finite(model: nn.Module, couplings: Sequence[CouplingSet]) -> None:
    for layer in dict.fromkeys(member.layer for each in couplings for member in each.members):
        for name, parameter in model.get_submodule(layer).named_parameters():
            if not parameter.isfinite().all():
                raise ValueError(f"layer {layer!r} holds NaN or infinity in its {name}: its channels cannot be ranked")
