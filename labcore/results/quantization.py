"""What quantization did to values and to a model."""

from dataclasses import dataclass

import numpy as np

__all__ = ["ClippingCurve", "Quality"]


@dataclass(frozen=True, eq=False)
class ClippingCurve:
    """Error of quantized values against the threshold at which their magnitude is clipped.

    Attributes:
        format: name of the number format.
        thresholds: shape (N,), in units of the data.
        clipping: shape (N,), squared error of the values that moved by more than half a step, as a share of the sum
            of all squares.
        rounding: shape (N,), the same of the other values.
    """

    format: str
    thresholds: np.ndarray
    clipping: np.ndarray
    rounding: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """Mean squared error over mean square; the SQNR in decibels is -10 log10(total)."""
        return self.clipping + self.rounding

    @property
    def best(self) -> float:
        """Threshold with the smallest total, in units of the data."""
        return float(self.thresholds[self.total.argmin()])


@dataclass(frozen=True, eq=False)
class Quality:
    """How far values moved.

    Attributes:
        sqnr_db: signal-to-quantization-noise ratio 20 log10(|x| / |x - approximated|), in decibels; infinite without
            error.
        mse: mean squared error.
        cosine: of the angle between the two, 1 without error.
        max_error: largest absolute error, in units of x.
    """

    sqnr_db: float
    mse: float
    cosine: float
    max_error: float


@dataclass(frozen=True, eq=False)
class LayerOnGrid:
    """One layer that computes with quantized numbers.

    Attributes:
        name, kind: of the layer.
        weights, activations: names of the formats of its weight and of what it reads; None where that is in float.
        weight_bits, activation_bits: of those formats; 32 in float.
        granularity: of the weight's scales, such as "per channel".
        sqnr_db: of the weight, in decibels; infinite without error.
        n_params: weights and biases; what another layer holds too is counted once, there.
        size_bits: of those, with the scales and zero points of the weight.
    """

    name: str
    kind: str
    weights: str | None
    weight_bits: int
    activations: str | None
    activation_bits: int
    granularity: str
    sqnr_db: float
    n_params: int
    size_bits: int


@dataclass(frozen=True, eq=False)
class PartInFloat:
    """One part of a quantized model that computes in float.

    Attributes:
        name, kind: of the layer, or of the operation in the graph.
        reason: why.
        n_params, size_bits: its parameters; size with the buffers it keeps, such as running statistics.
    """

    name: str
    kind: str
    reason: str
    n_params: int
    size_bits: int


@dataclass(frozen=True, eq=False)
class QuantizationReport:
    """What is on which grid in a quantized model.

    Attributes:
        layers: those on a grid.
        in_float: all else that computes.
        n_ranges: activations with a fixed range, of the output too.
        range_bits: of their scales and zero points.
    """

    layers: tuple[LayerOnGrid, ...]
    in_float: tuple[PartInFloat, ...]
    n_ranges: int
    range_bits: int

    @property
    def n_params(self) -> int:
        return sum(each.n_params for each in (*self.layers, *self.in_float))

    @property
    def size_bits(self) -> int:
        """Of everything that has to be stored."""
        return self.range_bits + sum(each.size_bits for each in (*self.layers, *self.in_float))
