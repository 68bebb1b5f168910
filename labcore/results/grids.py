"""What a grid of a few numbers does to values, and the steps of a product of integers."""

from dataclasses import dataclass

import numpy as np

from labcore.results.quantization import ClippingCurve

__all__ = ["ClippingReport", "GridReport", "IntegerWalk", "NetworkOnGrids", "SumOnGrid"]


@dataclass(frozen=True, eq=False)
class GridReport:
    """Values beside what a grid makes of them.

    Attributes:
        format: name of the number format.
        scale, zero_point: of the grid; value = scale * (code - zero_point).
        levels: every value the grid can hold, ascending.
        values: shape (N,), before.
        codes: shape (N,), the stored whole numbers.
        decoded: shape (N,), scale * (code - zero_point).
        low, high: the range that is kept; values outside are clipped to it.
        sqnr_db: 20 log10(|values| / |values - decoded|), in decibels; infinite without error.
        n_clipped: values outside the range.
        index: the value under the magnifier.
    """

    format: str
    scale: float
    zero_point: int
    levels: np.ndarray
    values: np.ndarray
    codes: np.ndarray
    decoded: np.ndarray
    low: float
    high: float
    sqnr_db: float
    n_clipped: int
    index: int


@dataclass(frozen=True, eq=False)
class IntegerWalk:
    """One output of a layer, computed with whole numbers only, beside the same output in floating point.

    Attributes:
        step: how far the walk has come, from 1.
        inputs, weights: shape (K,), the real numbers.
        bias, output: the real bias; the real output after the activation.
        input_scale, input_zero: grid of the inputs. The weights have the zero point 0.
        weight_scale: of this output channel.
        input_codes, weight_codes: shape (K,), whole numbers.
        sums: shape (K,), the accumulator after each product, in `accumulator_bits`.
        accumulator_bits: 32, or 8 for the wrong turn, where sums wrap around.
        bias_code: the bias in units of input_scale * weight_scale.
        multiplier, shift: input_scale * weight_scale / output_scale is about multiplier / 2**shift.
        output_scale, output_zero, output_code: grid and code of the output.
    """

    step: int
    inputs: np.ndarray
    weights: np.ndarray
    bias: float
    output: float
    input_scale: float
    input_zero: int
    weight_scale: float
    input_codes: np.ndarray
    weight_codes: np.ndarray
    sums: np.ndarray
    accumulator_bits: int
    bias_code: int
    multiplier: int
    shift: int
    output_scale: float
    output_zero: int
    output_code: int

    @property
    def decoded(self) -> float:
        """The output that the code stands for."""
        return self.output_scale * (self.output_code - self.output_zero)


@dataclass(frozen=True, eq=False)
class ClippingReport:
    """The values of one layer, the range that is kept of them, and what other ranges would cost.

    Attributes:
        layer: whose values.
        edges, counts: histogram of their magnitudes, shapes (N + 1,) and (N,).
        threshold: magnitudes beyond it are clipped.
        levels: magnitudes that the format can hold, ascending.
        clipped: share of the values beyond the threshold.
        curve: the error at every threshold.
    """

    layer: str
    edges: np.ndarray
    counts: np.ndarray
    threshold: float
    levels: np.ndarray
    clipped: float
    curve: ClippingCurve

    @property
    def errors(self) -> tuple[float, float]:
        """Clipping and rounding error at the nearest threshold of the curve."""
        nearest = np.abs(self.curve.thresholds - self.threshold).argmin()
        return float(self.curve.clipping[nearest]), float(self.curve.rounding[nearest])


@dataclass(frozen=True, eq=False)
class NetworkOnGrids:
    """A quantized network: how far its weights moved, and what it costs.

    Attributes:
        layers: names of the quantized layers.
        sqnr_db: of their weights, shape (layers,), in decibels; infinite without error.
        sizes: bytes, by what they are of: the file in floating point, codes and scales on paper, the file of codes.
        energy: estimate for one image as a share of the float network's: computing and reading the weights.
        in_float: operations and layers that compute in floating point.
        note: what the weights were trained with, in words; empty when they were trained in floating point.
    """

    layers: tuple[str, ...]
    sqnr_db: np.ndarray
    sizes: dict[str, int]
    energy: dict[str, float]
    in_float: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, eq=False)
class SumOnGrid:
    """A sum of values on different grids, in an integer-only network: how much of its error is its own.

    Attributes:
        name: of the operation in the graph.
        ratios: scales of what is added, each divided by the scale of the sum.
        before: squared error of the exact sum of the rounded values, as a share of the float network's square.
        after: the same of the whole numbers that the sum gives.
    """

    name: str
    ratios: tuple[float, ...]
    before: float
    after: float

    @property
    def added(self) -> float:
        """Error that the sum brings, as a share of the error that was there."""
        return self.after / self.before - 1
