"""A quantized model layer by layer: formats, error of the weights, size; and what stayed in float, with the reason."""

from torch import Tensor, fx, nn

from labcore.quantize.layers import QuantizedLayer, Quantizer
from labcore.quantize.quality import measure_quality
from labcore.quantize.selection import parts_in_float
from labcore.quantize.static import find_input_quantizer, operations_in_float
from labcore.results import LayerOnGrid, PartInFloat, QuantizationReport
from labcore.surgery import distinct_parameters

__all__ = ["report_quantization"]

_SCALE_BITS = 32


def report_quantization(model: nn.Module) -> QuantizationReport:
    """What is on which grid in a model of `apply_weight_only`, `apply_dynamic` or `apply_static`.

    Operations without parameters are listed for static models only, whose graph is known.

    Raises:
        TypeError: no module.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    values = distinct_parameters(model)
    wrapped = {name: each for name, each in model.named_modules() if isinstance(each, QuantizedLayer)}
    reasons = parts_in_float(model)
    parts = [_part_in_float(name, model.get_submodule(name), reason, values) for name, reason in reasons.items()]
    ranges = []
    if isinstance(model, fx.GraphModule):
        parts += [
            PartInFloat(name, operation, f"no rule for {operation}", 0, 0)
            for name, operation in operations_in_float(model).items()
            if name not in reasons
        ]
        inside = {id(part) for each in wrapped.values() for part in each.modules()}
        ranges = [each for each in model.modules() if isinstance(each, Quantizer) and id(each) not in inside]
    layers = [_layer_on_grid(model, name, each, values) for name, each in wrapped.items()]
    return QuantizationReport(tuple(layers), tuple(parts), len(ranges), sum(map(_grid_bits, ranges)))


def _layer_on_grid(model: nn.Module, name: str, wrapped: QuantizedLayer, values: dict[str, Tensor]) -> LayerOnGrid:
    layer, on_weight, on_input = wrapped.layer, wrapped.weight_quantizer, wrapped.input_quantizer
    if on_input is None and isinstance(model, fx.GraphModule):
        on_input = find_input_quantizer(model, name)
    own = _own_values(f"{name}.layer" if name else "layer", layer, values)
    n_weights = own["weight"].numel() if "weight" in own else 0
    bits = on_weight.format.bits if on_weight else 8 * layer.weight.element_size()
    others = sum(_bits(each) for key, each in own.items() if key != "weight")
    scales = _grid_bits(on_weight) if on_weight and n_weights else 0
    return LayerOnGrid(
        name, type(layer).__name__,
        on_weight.format.name if on_weight else None, bits,
        on_input.format.name if on_input else None, on_input.format.bits if on_input else 32,
        on_weight.granularity.name if on_weight else "",
        measure_quality(layer.weight, wrapped.quantized_weight()).sqnr_db,
        sum(each.numel() for each in own.values()), n_weights * bits + others + scales,
    )  # fmt: skip


def _part_in_float(name: str, module: nn.Module, reason: str, values: dict[str, Tensor]) -> PartInFloat:
    own = _own_values(name, module, values).values()
    kept = [each for each in module.buffers(recurse=False) if each.is_floating_point()]
    size = sum(_bits(each) for each in (*own, *kept))
    return PartInFloat(name, type(module).__name__, reason, sum(each.numel() for each in own), size)


def _own_values(name: str, module: nn.Module, values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Parameters of one module, without values that stand under an earlier name."""
    names = {key: f"{name}.{key}" if name else key for key, _ in module.named_parameters(recurse=False)}
    return {key: values[full] for key, full in names.items() if full in values}


def _bits(tensor: Tensor) -> int:
    return 8 * tensor.element_size() * tensor.numel()


def _grid_bits(quantizer: Quantizer) -> int:
    """Scales, and zero points where the format lets them be anything."""
    zero = quantizer.format.bits if quantizer.format.scheme == "affine" else 0
    return quantizer.n_scales * (_SCALE_BITS + zero)
