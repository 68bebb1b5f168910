"""What a model costs: layer by layer, in bytes, in time, in energy."""

from dataclasses import dataclass

import numpy as np

from labcore.results.accuracy import Interval

__all__ = ["BoardMeasurement", "CostBoard", "CostTable", "Energy", "Latency", "LayerCost", "Sizes"]


@dataclass(frozen=True, eq=False)
class LayerCost:
    """One layer. MACs are per sample; activation bytes are those of its output, per sample.

    `peak_bytes`: activations alive at once while this layer runs, per sample.
    """

    name: str
    kind: str
    n_params: int
    macs: int
    activation_bytes: int
    peak_bytes: int


@dataclass(frozen=True, eq=False)
class CostTable:
    """Costs of a model for one sample, layer by layer, in the order of execution."""

    layers: tuple[LayerCost, ...]
    n_params: int
    n_nonzero: int
    macs: int
    peak_activation_bytes: int


@dataclass(frozen=True, eq=False)
class Sizes:
    """A model's size, three ways.

    Attributes:
        dense_bytes: every parameter at its stored width, shared ones once.
        theoretical_bits: nonzero values times their bits: the figure papers quote; it forgets indices and headers.
        file_bytes: what lies on disk.
    """

    dense_bytes: int
    theoretical_bits: int
    file_bytes: int


@dataclass(frozen=True, eq=False)
class Latency:
    """Measured times of one call, in milliseconds, warm-up left out.

    Attributes:
        samples_ms: shape (runs,), in the order measured.
        warmup_ms: shape (warmup,), the calls that do not count.
        threads: threads in use.
        batch: samples in one call.
    """

    samples_ms: np.ndarray
    warmup_ms: np.ndarray
    threads: int
    batch: int

    @property
    def p50_ms(self) -> float:
        return float(np.percentile(self.samples_ms, 50))

    @property
    def p95_ms(self) -> float:
        return float(np.percentile(self.samples_ms, 95))

    @property
    def min_ms(self) -> float:
        return float(self.samples_ms.min())


@dataclass(frozen=True, eq=False)
class Energy:
    """Estimated energy of one sample, from a published table for a 45 nm chip; never a measurement."""

    compute_pj: float
    memory_pj: float

    label = "estimate, 45 nm"

    @property
    def total_pj(self) -> float:
        return self.compute_pj + self.memory_pj


@dataclass(frozen=True, eq=False)
class CostBoard:
    """Four currencies of one network, layer by layer.

    Attributes:
        label: names the network.
        layers: names, in order of execution.
        values: currency -> shape (layers,), each layer's value in that currency's own unit.
        totals: currency -> the network's total as text.
        n_params: total parameters.
        focus: the currency to look at: a key of `values`, ``time`` or ``all``.
    """

    label: str
    layers: tuple[str, ...]
    values: dict[str, np.ndarray]
    totals: dict[str, str]
    n_params: int
    focus: str = "all"


@dataclass(frozen=True, eq=False)
class BoardMeasurement:
    """What a network of a `CostBoard` did on this machine.

    Attributes:
        accuracy: on the test images, with its 95 % interval.
        layer_ms: shape (layers,), median time of each layer.
        total_ms: median time of the whole network.
        batch: images in one timed call.
    """

    accuracy: Interval
    n_correct: int
    n_images: int
    layer_ms: np.ndarray
    total_ms: float
    batch: int
