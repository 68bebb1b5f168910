"""Bias correction: rounded weights shift the mean of what a layer gives; its bias takes the shift back."""

from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from labcore.quantize.layerwise import check_finite, collect_inputs, pair_layers, record
from labcore.surgery import copy_model

__all__ = ["apply_bias_correction"]


def apply_bias_correction(quantized: nn.Module, model: nn.Module, batches: Iterable[tuple[Tensor, ...]]) -> nn.Module:
    """A copy of a quantized model whose layers give what they gave in float, on average over each output channel.

    b <- b - E[y_q - y], where y is what the layer gives in the float model and y_q what it gives in the quantized one.
    Layer after layer in the order of execution, so that a layer sees what the corrected ones before it give. In the
    static way biases lie on steps, so up to half a step of the shift stays.

    Args:
        quantized: from `apply_weight_only`, `apply_dynamic` or `apply_static`; left as it was.
        model: the one that it was made from.
        batches: calibration data: inputs, or tuples that start with them; a few hundred samples.

    Raises:
        NotCalibrated: no batch.
        TypeError: a model that is not quantized.
        ValueError: it was made from another model; outputs that are not finite (the message names the layer).

    Source: M. Nagel et al., Data-free quantization, arXiv 1906.04721, section 4.2 and appendix D (empirical).
    """
    inputs = collect_inputs(batches)
    corrected = copy_model(quantized)
    names = pair_layers(corrected, model, inputs[0])
    wanted = _mean_outputs(model, names, corrected, inputs)
    for name in names:
        wrapped = corrected.get_submodule(name)
        shift = _mean_outputs(corrected, [name], corrected, inputs)[name] - wanted[name]
        # From the bias as it acts: in the static way it is rounded.
        bias = -shift if wrapped.layer.bias is None else wrapped.quantized_bias().detach() - shift
        weight = wrapped.layer.weight
        wrapped.layer.bias = nn.Parameter(bias.to(weight.dtype), weight.requires_grad)
    return corrected


def _mean_outputs(
    model: nn.Module, names: Sequence[str], quantized: nn.Module, inputs: Sequence[Tensor]
) -> dict[str, Tensor]:
    """Mean of each output channel in float64, by layer."""
    totals, counts = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0)
    for batch in inputs:
        for name, each in record(model, names, [batch]).items():
            # Behind the channels stand the places of a convolution's kernel.
            n_places = len(getattr(quantized.get_submodule(name).layer, "kernel_size", ()))
            for output in each.outputs:
                values = output.double().movedim(-1 - n_places, -1).flatten(0, -2)
                totals[name], counts[name] = totals[name] + values.sum(0), counts[name] + len(values)
    means = {name: totals[name] / counts[name] for name in names}
    for name, mean in means.items():
        check_finite(name, mean)
    return means
