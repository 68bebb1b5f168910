"""A trained model on fewer bits: weights alone, activations too by the range of each batch or by calibrated ranges."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch import Tensor, fx, nn

from labcore.quantize.calibration import Observer, make_observer
from labcore.quantize.config import QuantConfig
from labcore.quantize.formats import NumberFormat
from labcore.quantize.granularity import PER_TENSOR
from labcore.quantize.grids import Grid, grid_from_range
from labcore.quantize.histogram import NotCalibrated
from labcore.quantize.layers import DynamicQuantizer, Quantizer
from labcore.quantize.selection import choose_layers, warn_no_layer, wrap_layers_
from labcore.quantize.static import Places, find_input_quantizer
from labcore.surgery import copy_model, trace
from labcore.training import evaluating

__all__ = ["apply_dynamic", "apply_static", "apply_weight_only"]


def apply_weight_only(model: nn.Module, config: QuantConfig) -> nn.Module:
    """A copy whose linear layers and convolutions hold weights on a grid; activations are not touched.

    Args:
        model: any module; left as it was. The copy is in the same mode.
        config: its `weights`, `granularity` and `overrides`.

    Raises:
        TypeError, ValueError: no format for the weights; see also `choose_layers`.
        NoEffectWarning (a warning): there is no layer to quantize.
    """
    if config.weights is None:
        raise ValueError("weights alone need a format, got weights=None")
    return _replace_layers(model, config, lambda name, layer: None)


def apply_dynamic(model: nn.Module, config: QuantConfig) -> nn.Module:
    """A copy whose layers round their inputs too, to a range found anew in each batch; between layers all is float.

    The format of activations is used as it is: an affine one fits itself to batches without negative values.

    Args:
        model: any module; left as it was. The copy is in the same mode.
        config: its `weights`, `activations`, both granularities, and `overrides`.

    Raises:
        TypeError, ValueError: no format for the activations; a scale for each token of a convolution, whose sums run
            over several tokens; see also `choose_layers`.
        NoEffectWarning (a warning): there is no layer to quantize.
    """
    if config.activations is None:
        raise ValueError("the dynamic way needs a format for activations, got None; or use apply_weight_only")

    def make_quantizer(name: str, layer: nn.Module) -> DynamicQuantizer:
        if config.activation_granularity != PER_TENSOR and not isinstance(layer, nn.Linear):
            raise ValueError(
                f"{name!r} is a {type(layer).__name__}, whose sums run over several tokens: it cannot have one scale "
                "a token; use PER_TENSOR, or leave it in float with overrides"
            )
        return DynamicQuantizer(config.activations, config.activation_granularity)

    return _replace_layers(model, config, make_quantizer)


def _replace_layers(model: nn.Module, config: QuantConfig, make_input_quantizer: Callable) -> nn.Module:
    names = choose_layers(model, config)
    return wrap_layers_(copy_model(model), names, config, make_input_quantizer)


def apply_static(model: nn.Module, batches: Iterable[tuple[Tensor, ...]], config: QuantConfig) -> nn.Module:
    """A copy as a graph in which values lie on grids, fixed by calibration data: all that an integer network needs.

    Layers, sums, concatenations and averages read quantized values. Each is rounded once, where it is made,
    behind its ReLU; so is the output: a `Quantizer` named `quantizers.` and the node's name. Biases are rounded to the
    step of the sums they are added to. What has no rule computes in float (see `report_quantization`). Trained with
    `training.fit`, the result learns with its rounding: quantization-aware training, ranges fixed.

    Args:
        model: one that `surgery.trace` follows, batch norm folded or not; left as it was. It is calibrated in
            evaluation mode; the copy is in the mode of the model.
        batches: calibration data as for training, or inputs alone; a few hundred samples.
        config: all of it.

    Raises:
        NotCalibrated: no batch.
        TypeError, ValueError: batches that can be walked through only once; calibration data that are not finite (the
            message names the operation); no format for the activations; see also `choose_layers` and `surgery.trace`.
        NoEffectWarning (a warning): there is no layer to quantize.
    """
    if config.activations is None or config.activation_granularity != PER_TENSOR:
        raise ValueError(
            f"the static way needs a format for activations, per tensor; got {config.activations} "
            f"{config.activation_granularity.name}; or use apply_weight_only"
        )
    if isinstance(batches, Iterator):
        raise TypeError(f"need batches for several passes, got a {type(batches).__name__}; a list of them will do")
    sample = _first(batches)[:1]
    able = choose_layers(model, config)
    traced = trace(model, sample)
    called = {node.target for node in traced.nodes if node.op == "call_module"}
    names = [name for name in able if name in called]
    if not names:
        if able:
            warn_no_layer(model, dict.fromkeys(able, "in evaluation mode it is not called as a module"))
        return copy_model(model)
    static = fx.GraphModule(copy_model(model), traced.nodes[0].graph, class_name=type(model).__name__)
    grids = _find_grids(static, Places(traced, names), batches, config)
    wrap_layers_(static, names, config, lambda name, layer: None)
    for node, grid in grids.items():
        _insert_(static, node, Quantizer(grid).to(sample.device))
    _set_bias_steps_(static, names)
    for part in static.modules():
        # Of what is new here: quantizers, and what stands for the model's own containers.
        if type(part) in (nn.Module, Quantizer):
            part.training = model.training
    static.recompile()
    return static


def _set_bias_steps_(static: fx.GraphModule, names: Iterable[str]) -> None:
    """Biases become whole numbers of steps of the sums they are added to, where those have one step a channel."""
    for name in names:
        layer, read = static.get_submodule(name), find_input_quantizer(static, name)
        grid = None if layer.weight_quantizer is None else layer.weight_quantizer.grid
        if read is not None and grid is not None and grid.granularity.kind in ("tensor", "channel"):
            layer.bias_step = (read.scale * grid.scale).to(layer.layer.weight.dtype)


def _inputs(batches: Iterable) -> Iterator[Tensor]:
    for batch in batches:
        yield batch if isinstance(batch, Tensor) else batch[0]


def _first(batches: Iterable) -> Tensor:
    for inputs in _inputs(batches):
        return inputs
    raise NotCalibrated("the model")


def _find_grids(
    model: fx.GraphModule, places: Places, batches: Iterable, config: QuantConfig
) -> dict[fx.Node, Grid]:
    """Grids by the node whose value they are for, from what passes there in float and in evaluation mode."""
    formats = dict.fromkeys(places.read, config.activations)
    if config.output is not None:
        formats |= dict.fromkeys(places.outputs, config.output)
    observers = {
        node: make_observer(config.calibration, name=node.name, percentile=config.percentile) for node in formats
    }
    calibrator = _Calibrator(model, observers)
    with evaluating(model):
        for inputs in _inputs(batches):
            calibrator.run(inputs)
    return {node: _fixed_grid(node, format, places, observers[node], config) for node, format in formats.items()}


class _Calibrator(fx.Interpreter):
    def __init__(self, model: fx.GraphModule, observers: dict[fx.Node, Observer]):
        super().__init__(model)
        self._observers = observers

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n in self._observers:
            self._observers[n].observe(value)
        return value


def _fixed_grid(node: fx.Node, format: NumberFormat, places: Places, observer: Observer, config: QuantConfig) -> Grid:
    # Of the model's inputs only the data can tell.
    if places.is_never_negative(node) or (node.op == "placeholder" and observer.bounds(format)[0] >= 0):
        format = config.without_sign(format)
    return grid_from_range(*observer.bounds(format), format)


def _insert_(model: fx.GraphModule, node: fx.Node, quantizer: Quantizer) -> None:
    """Let all who read the node read its rounded value."""
    name = f"quantizers.{node.name}"
    model.add_submodule(name, quantizer)
    with model.graph.inserting_after(node):
        rounded = model.graph.call_module(name, (node,))
    node.replace_all_uses_with(rounded, delete_user_cb=lambda user: user is not rounded)
