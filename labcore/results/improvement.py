"""What was done to lose less in quantization."""

from dataclasses import dataclass

__all__ = ["LearnedRounding", "QuantizationAttempt", "QuantizationTrials"]


@dataclass(frozen=True, eq=False)
class LearnedRounding:
    """The weights of one layer, rounded up or down as its outputs need it.

    Attributes:
        name: of the layer.
        nearest_error: mean squared error of its outputs on the calibration data with weights rounded to nearest.
        learned_error: the same with learned rounding.
        changed: share of the weights that were not rounded to nearest.
    """

    name: str
    nearest_error: float
    learned_error: float
    changed: float


@dataclass(frozen=True, eq=False)
class QuantizationAttempt:
    """One way to quantize a model, and how good it was.

    Attributes:
        name: what was tried, such as "entropy", "2 in float" or "trained".
        config: its settings as text: weights, granularity, activations, calibration.
        in_float: names of the layers that were left in float.
        accuracy: of the quantized model.
        accepted: whether it lost no more than the tolerance.
    """

    name: str
    config: dict[str, str]
    in_float: tuple[str, ...]
    accuracy: float
    accepted: bool


@dataclass(frozen=True, eq=False)
class QuantizationTrials:
    """All attempts to quantize a model, up to the first that was accepted.

    Attributes:
        baseline: accuracy of the model in float.
        tolerance: points of accuracy that may be lost, as a fraction.
        attempts: in order.
    """

    baseline: float
    tolerance: float
    attempts: tuple[QuantizationAttempt, ...]

    @property
    def accepted(self) -> QuantizationAttempt | None:
        """The last attempt where it was good enough, else None."""
        last = self.attempts[-1]
        return last if last.accepted else None
