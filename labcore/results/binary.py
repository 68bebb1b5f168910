"""What one bit did to weights, products and networks."""

from dataclasses import dataclass

import numpy as np

from labcore.results.sweeps import Curve

__all__ = ["BitProduct", "InputSizes", "LadderChoice", "PartialBinary", "SignReport", "SpeedComparison"]


@dataclass(frozen=True, eq=False)
class SignReport:
    """The weights of one layer as alpha times -1, +1, and 0 where they are ternary.

    Attributes:
        layer: its name.
        values: weights, shape (filters, weights of a filter).
        codes: int8, -1, 0, +1; shape of `values`.
        alphas, deltas: shape (filters,); deltas are 0 where weights are binary.
        error: squared error over the sum of squares, in [0, 1].
        factor: Delta over the mean magnitude of the filter; None for binary weights.
        factors, errors: shape (N,), the error of ternary weights for other factors.
        binary_error: the error of binary weights.
    """

    layer: str
    values: np.ndarray
    codes: np.ndarray
    alphas: np.ndarray
    deltas: np.ndarray
    error: float
    factor: float | None
    factors: np.ndarray
    errors: np.ndarray
    binary_error: float

    @property
    def best(self) -> tuple[float, float]:
        """Factor with the smallest error, and that error."""
        place = int(self.errors.argmin())
        return float(self.factors[place]), float(self.errors[place])

    @property
    def zeros(self) -> float:
        """Share of codes that are 0."""
        return float((self.codes == 0).mean())


@dataclass(frozen=True, eq=False)
class BitProduct:
    """The product of two vectors of signs, computed with bits.

    Attributes:
        a, b: int8, -1 and +1, shape (length,).
        a_bits, b_bits: uint8, shape (word,): 1 where the sign is negative, and 0 behind the last sign.
    """

    a: np.ndarray
    b: np.ndarray
    a_bits: np.ndarray
    b_bits: np.ndarray

    @property
    def length(self) -> int:
        """n: real signs."""
        return len(self.a)

    @property
    def word(self) -> int:
        """Bits of a word, padding included."""
        return len(self.a_bits)

    @property
    def differ(self) -> np.ndarray:
        """a xor b, shape (word,)."""
        return self.a_bits ^ self.b_bits

    @property
    def popcount(self) -> int:
        """p: ones in a xor b."""
        return int(self.differ.sum())

    @property
    def product(self) -> int:
        """n - 2 p: what the sum of a * b is."""
        return self.length - 2 * self.popcount

    @property
    def padded_product(self) -> int:
        """word - 2 p: wrong, as it counts the padding."""
        return self.word - 2 * self.popcount


@dataclass(frozen=True, eq=False)
class LadderChoice:
    """One step of the ladder of tasks.

    Attributes:
        curves: accuracy against difficulty, one for each level, the real network first.
        tasks: name of each task, in the order of the curves' points.
        place: index of the task.
        level: family of the curve that is compared with the first one.
        images: examples of the task, values in [0, 1], shape (N, H, W).
        captions: one for each image.
    """

    curves: tuple[Curve, ...]
    tasks: tuple[str, ...]
    place: int
    level: str
    images: np.ndarray
    captions: tuple[str, ...]

    @property
    def gaps(self) -> dict[str, np.ndarray]:
        """By level but the first: accuracy of the real network minus its own, mean over seeds, shape (tasks,)."""
        real, *others = self.curves
        return {curve.family: real.mean - curve.mean for curve in others}


@dataclass(frozen=True, eq=False)
class PartialBinary:
    """A network in which some layers are binary.

    Attributes:
        layers: names of all layers, in order.
        binary: those that are binary.
        accuracies, real, all_binary: accuracy of each seed, shape (seeds,): of this network, without any binary layer,
            and with the middle ones.
        file_bytes, real_bytes: of its file, and of that of the real network.
        real_macs, binary_macs: multiply-accumulates of a pass in real and in binary layers.
    """

    layers: tuple[str, ...]
    binary: tuple[str, ...]
    accuracies: np.ndarray
    real: np.ndarray
    all_binary: np.ndarray
    file_bytes: int
    real_bytes: int
    real_macs: int
    binary_macs: int


@dataclass(frozen=True, eq=False)
class InputSizes:
    """One channel of a convolution beside two computed from signs, for one image.

    Attributes:
        layer, channel: which.
        image: values in [0, 1], shape (H, W).
        magnitude: A, the mean |x| over the channels of what the layer reads, shape (h, w).
        sizes: K, the mean of A over the position of the filter, shape (h', w').
        real, signs, scaled: outputs of the real convolution, of that of signs times alpha, and this one times K,
            shape (h', w').
        errors: relative squared error of `signs` and of `scaled` over all channels of this image.
        fitted_errors: the same over `n_images`, once each channel was multiplied with the factor that is best for it.
        n_images: how many.
    """

    layer: str
    channel: int
    image: np.ndarray
    magnitude: np.ndarray
    sizes: np.ndarray
    real: np.ndarray
    signs: np.ndarray
    scaled: np.ndarray
    errors: tuple[float, float]
    fitted_errors: tuple[float, float]
    n_images: int


@dataclass(frozen=True, eq=False)
class SpeedComparison:
    """One convolution, timed in three ways.

    Attributes:
        channels, kernel, size: of the convolution: channels in and out, side of the kernel, side of the image.
        formula: speed-up by the count of operations.
        packed_ms, library_ms, naive_ms: median time of the packed convolution, of torch, of a plain loop over floats.
    """

    channels: int
    kernel: int
    size: int
    formula: float
    packed_ms: float
    library_ms: float
    naive_ms: float

    @property
    def against_naive(self) -> float:
        return self.naive_ms / self.packed_ms

    @property
    def against_library(self) -> float:
        return self.library_ms / self.packed_ms
