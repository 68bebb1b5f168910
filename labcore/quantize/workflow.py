"""From a trained model to a quantized one that is good enough: the cheapest attempt first, and a report of all."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from torch import Tensor, nn

from labcore.quantize.config import QuantConfig
from labcore.quantize.post_training import apply_static
from labcore.quantize.selection import choose_layers
from labcore.results import QuantizationAttempt, QuantizationTrials
from labcore.surgery import copy_model
from labcore.training import evaluate

__all__ = ["WorkflowResult", "measure_layer_accuracies", "partial_configs", "quantize_workflow"]

_CALIBRATIONS = {
    "max": {"calibration": "max"},
    "entropy": {"calibration": "entropy"},
    "99.99 %": {"calibration": "percentile", "percentile": 99.99},
    "99.999 %": {"calibration": "percentile", "percentile": 99.999},
}


@dataclass(frozen=True, eq=False)
class WorkflowResult:
    """What `quantize_workflow` found.

    Attributes:
        model: of the accepted attempt; where none was, of the most accurate one.
        trials: all attempts, in order.
    """

    model: nn.Module
    trials: QuantizationTrials


def quantize_workflow(
    model: nn.Module, calibration: Iterable[tuple[Tensor, ...]], evaluation: Iterable[tuple[Tensor, Tensor]], *,
    tolerance: float, train: Callable[[nn.Module], object] | None = None, config: QuantConfig | None = None,
) -> WorkflowResult:  # fmt: skip
    """Quantize a model with as little effort as a tolerance allows: the first attempt that loses no more is accepted.

    1. Calibrate the ranges of activations: max, entropy, percentile 99.99, percentile 99.999.
    2. Of the best of these, leave the most sensitive layers in float: one, then two, up to half of them.
    3. Train the best of step 1 on, where `train` is given.

    The images of `evaluation` choose among attempts, so measure the accuracy of the result on others.

    Args:
        model: trained, batch norm folded or not; left as it was.
        calibration: batches for the ranges, as for `apply_static`.
        evaluation: (inputs, labels).
        tolerance: points of accuracy that may be lost, as a fraction.
        train: trains the model that it is given where it stands, such as
            ``lambda static: training.fit(static, batches, quantize.aware_config(settings))``.
        config: formats and granularity; step 1 sets its calibration. Default `QuantConfig()`, 8 bits.

    Raises:
        TypeError, ValueError: a tolerance outside [0, 1); see also `apply_static` and `training.evaluate`.
        NoEffectWarning (a warning): there is no layer to quantize.

    Source: H. Wu et al., arXiv 2004.09602, sections 5 to 7.
    """
    _check_tolerance(tolerance)
    run = _Run(evaluate(model, evaluation).accuracy, evaluation, tolerance)
    for name, settings in _CALIBRATIONS.items():
        each = replace(config or QuantConfig(), **settings)
        if run.accepts(name, each, apply_static(model, calibration, each)):
            return run.result()
    best, calibrated = run.config, run.model
    accuracies = measure_layer_accuracies(model, calibration, evaluation, config=best)
    for n, partial in enumerate(partial_configs(best, accuracies)[: len(accuracies) // 2 + 1]):
        if n and run.accepts(f"{n} in float", partial, apply_static(model, calibration, partial)):
            return run.result()
    if train is not None:
        trained = copy_model(calibrated)
        train(trained)
        run.accepts("trained", best, trained)
    return run.result()


def measure_layer_accuracies(
    model: nn.Module, calibration: Iterable[tuple[Tensor, ...]], evaluation: Iterable[tuple[Tensor, Tensor]], *,
    config: QuantConfig,
) -> dict[str, float]:  # fmt: skip
    """Accuracy with one layer quantized and all others in float, by layer, in order of definition.

    Arguments and errors as for `quantize_workflow`.
    """
    names = choose_layers(model, config)
    accuracies = {}
    for name in names:
        alone = replace(config, overrides={**config.overrides, **dict.fromkeys(each for each in names if each != name)})
        accuracies[name] = evaluate(apply_static(model, calibration, alone), evaluation).accuracy
    return accuracies


def partial_configs(config: QuantConfig, accuracies: Mapping[str, float]) -> list[QuantConfig]:
    """Settings that leave no layer in float, the most sensitive one, the two most sensitive ones, and so on to all.

    Args:
        config: settings of the others.
        accuracies: by layer, from `measure_layer_accuracies`.
    """
    order = sorted(accuracies, key=accuracies.get)
    return [
        replace(config, overrides={**config.overrides, **dict.fromkeys(order[:n])}) for n in range(len(order) + 1)
    ]


class _Run:
    """Keeps what was tried, and the most accurate model so far."""

    def __init__(self, baseline: float, evaluation: Iterable[tuple[Tensor, Tensor]], tolerance: float):
        self._baseline, self._evaluation, self._tolerance = baseline, evaluation, tolerance
        self._attempts: list[QuantizationAttempt] = []
        self.model, self.config, self._accuracy = None, None, -1.0

    def accepts(self, name: str, config: QuantConfig, model: nn.Module) -> bool:
        accuracy = evaluate(model, self._evaluation).accuracy
        # A loss of exactly the tolerance is within, whatever the last bit of the subtraction says.
        accepted = self._baseline - accuracy <= self._tolerance + 1e-9
        in_float = tuple(layer for layer, format in config.overrides.items() if format is None)
        settings = {
            "weights": _name(config.weights), "granularity": config.granularity.name,
            "activations": _name(config.activations), "calibration": config.calibration,
        }  # fmt: skip
        self._attempts.append(QuantizationAttempt(name, settings, in_float, accuracy, accepted))
        if accepted or accuracy > self._accuracy:
            self.model, self.config, self._accuracy = model, config, accuracy
        return accepted

    def result(self) -> WorkflowResult:
        return WorkflowResult(self.model, QuantizationTrials(self._baseline, self._tolerance, tuple(self._attempts)))


def _name(format: object) -> str:
    return "float" if format is None else format.name


def _check_tolerance(tolerance: float) -> None:
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float):
        raise TypeError(f"tolerance must be a number in [0, 1), got {tolerance!r}")
    if not 0 <= tolerance < 1:
        hint = f"; did you mean {tolerance / 100:g}?" if 1 <= tolerance < 100 else ""
        raise ValueError(f"tolerance must be in [0, 1), a fraction; got {tolerance}{hint}")
