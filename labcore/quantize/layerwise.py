"""A quantized model beside the one it was made from, layer by layer: what methods that repair layers share."""

from collections.abc import Iterable

from torch import Tensor, nn

from labcore.quantize.histogram import NotCalibrated
from labcore.quantize.layers import QuantizedLayer
from labcore.surgery import Tap, tap
from labcore.training import evaluating

__all__ = ["check_finite", "collect_inputs", "pair_layers", "record"]


def collect_inputs(batches: Iterable[tuple[Tensor, ...] | Tensor]) -> list[Tensor]:
    """Inputs of calibration batches, which are (inputs, ...) or inputs alone. Raises NotCalibrated for no batch."""
    inputs = [batch if isinstance(batch, Tensor) else batch[0] for batch in batches]
    if not inputs:
        raise NotCalibrated("the model")
    return inputs


def record(model: nn.Module, names: Iterable[str], inputs: Iterable[Tensor]) -> dict[str, Tap]:
    """What named layers receive and give in evaluation mode, by name; one entry for each call."""
    with tap(model, names) as taps, evaluating(model):
        for each in inputs:
            model(each)
    return taps


def pair_layers(quantized: nn.Module, model: nn.Module, sample: Tensor) -> list[str]:
    """Names of the layers on a grid, in order of execution, after a check that `model` has the same ones in float.

    Raises:
        TypeError: the first one is not quantized.
        ValueError: layers with weights that are more than a step apart: another model, or batch norm folded in one.
    """
    names = list(dict.fromkeys(_calls(quantized, sample)))
    if not names:
        raise TypeError(f"need a quantized model such as that of apply_static, got {type(quantized).__name__} in float")
    parts = dict(model.named_modules(remove_duplicate=False))
    for name in names:
        wrapped, layer = quantized.get_submodule(name), parts.get(name)
        if not isinstance(getattr(layer, "weight", None), Tensor) or not _is_near(wrapped, layer.weight):
            raise ValueError(
                f"the quantized layer {name!r} was not made from this model: there it is "
                f"{'missing' if layer is None else 'of other weights'}; was batch norm folded in only one of the two?"
            )
    return names


def _is_near(wrapped: QuantizedLayer, weight: Tensor) -> bool:
    mine = wrapped.layer.weight
    step = 0 if wrapped.weight_quantizer is None else wrapped.weight_quantizer.grid.scale.max()
    # Learned rounding may have moved it by one step, give or take the last bit.
    return mine.shape == weight.shape and bool((mine - weight).abs().max() <= 1.001 * step)


def check_finite(name: str, values: Tensor) -> None:
    """Raise ValueError where a layer's outputs, or what was computed from them, are not finite."""
    if not values.isfinite().all():
        raise ValueError(
            f"what {name or 'the layer'!r} gives is not finite; look for NaN or infinity in data and weights"
        )


def _calls(model: nn.Module, sample: Tensor) -> list[str]:
    """Names of the layers on a grid, one for each call."""
    names = {each: name for name, each in model.named_modules() if isinstance(each, QuantizedLayer)}
    order: list[str] = []
    handles = [each.register_forward_pre_hook(lambda part, _: order.append(names[part])) for each in names]
    try:
        with evaluating(model):
            model(sample)
    finally:
        for handle in handles:
            handle.remove()
    return order
