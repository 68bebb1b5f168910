"""One network computed in eleven ways, from a plain loop to eight bits.

After V. Vanhoucke, A. Senior, M. Z. Mao: Improving the speed of neural networks on CPUs, 2011. Activations behind a
sigmoid lie in [0, 1] and become unsigned bytes, weights signed bytes; sums are 32-bit integers. The first layer stays
in float, as its inputs have no fixed range.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor
from torch.nn import functional as F

from labcore import metrics
from labcore.deploy import kernels
from labcore.deploy.sessions import make_session
from labcore.results import Ladder, LadderRung

__all__ = [
    "FLOAT_TOLERANCE", "INTEGER_TOLERANCE", "WIDTHS", "LadderNetwork", "Way", "ladder_ways", "make_ladder_network",
    "measure_ladder",
]  # fmt: skip

WIDTHS = (440, 2000, 2000, 2000, 2000, 7969)  # of the paper: 11 times 40 log energies in, one output a phonetic state
FLOAT_TOLERANCE, INTEGER_TOLERANCE = 1e-5, 0.05  # largest difference, as a share of the largest output
LAZY_SHARE = 0.3  # of the outputs that a decoder asks for, as in the paper


# --- the network ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class LadderNetwork:
    """Layers with sigmoids between them, and the same weights in eight bits.

    Attributes:
        weights: float32, shape (out, in) each.
        biases: float32, shape (out,) each.
        integers: int8 weights of every layer but the first, weight ~ scale * integer.
        scales: one for each of those layers: its largest weight becomes 127.
    """

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    integers: tuple[np.ndarray, ...]
    scales: tuple[np.float32, ...]


def make_ladder_network(widths: Sequence[int] = WIDTHS, *, seed: int = 0) -> LadderNetwork:
    """Random weights, so large that sigmoids use their whole range.

    Raises:
        ValueError: fewer than three widths, or one below 1; sums of so many products would not fit into 32 bits.
    """
    if len(widths) < 3 or min(widths) < 1:
        raise ValueError(f"widths must be at least three numbers of at least 1, inputs first, got {tuple(widths)}")
    if max(widths[1:-1]) * 255 * 127 >= 2**31:
        raise ValueError(f"{max(widths[1:-1])} products of 255 and 127 overflow a 32-bit sum; at most 66,311 fit")
    random = np.random.default_rng(seed)
    shapes = list(zip(widths[1:], widths[:-1], strict=True))
    weights = [random.normal(0, 4 / n_in**0.5, (n_out, n_in)).astype(np.float32) for n_out, n_in in shapes]
    biases = [random.normal(0, 0.5, n_out).astype(np.float32) for n_out, _ in shapes]
    scales = [np.float32(np.abs(weight).max() / 127) for weight in weights[1:]]
    integers = [np.rint(w / scale).astype(np.int8) for w, scale in zip(weights[1:], scales, strict=True)]
    return LadderNetwork(tuple(weights), tuple(biases), tuple(integers), tuple(scales))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _reference(network: LadderNetwork, frames: np.ndarray) -> np.ndarray:
    """Outputs in double precision."""
    x = frames.astype(np.float64)
    for weight, bias in zip(network.weights, network.biases, strict=True):
        y = x @ weight.T.astype(np.float64) + bias
        x = _sigmoid(y)
    return y


# --- ways to compute it: frames (N, in) and the rows of the last layer that are wanted ------------


def _by_float_kernel(network: LadderNetwork, kernel: Callable, frames: np.ndarray, rows: np.ndarray) -> np.ndarray:
    x = frames
    for weight, bias in zip(network.weights, network.biases, strict=True):
        y = np.empty((len(x), len(weight)), np.float32)
        kernels.compiled(kernel)(x, weight, bias, y)
        x = _sigmoid(y)
    return y


def _by_blas(network: LadderNetwork, frames: np.ndarray, rows: np.ndarray) -> np.ndarray:
    x = torch.from_numpy(frames)
    for weight, bias in zip(network.weights, network.biases, strict=True):
        y = F.linear(x, torch.from_numpy(weight), torch.from_numpy(bias))
        x = y.sigmoid()
    return y.numpy()


def _by_integers(network: LadderNetwork, frames: np.ndarray, rows: np.ndarray) -> np.ndarray:
    y = np.empty((len(frames), len(network.weights[0])), np.float32)
    kernels.compiled(kernels.vector)(frames, network.weights[0], network.biases[0], y)
    layers = list(zip(network.integers, network.biases[1:], network.scales, strict=True))
    for number, (weight, bias, scale) in enumerate(layers, 1):
        x = np.rint(255 * _sigmoid(y)).astype(np.uint8)
        wanted = rows if number == len(layers) else np.arange(len(weight))
        y = np.empty((len(x), len(wanted)), np.float32)
        kernels.compiled(kernels.integer)(x, weight, bias, y, wanted, scale / np.float32(255))
    return y


def _integer_graph(network: LadderNetwork) -> onnx.ModelProto:
    """The arithmetic of `_by_integers` as an ONNX graph."""
    tensors = {"step": np.float32(1 / 255), "zero": np.uint8(0), "w0": network.weights[0].T, "b0": network.biases[0]}
    nodes = [helper.make_node("Gemm", ["input", "w0", "b0"], ["y0"])]
    for n, (weight, scale) in enumerate(zip(network.integers, network.scales, strict=True), 1):
        tensors |= {f"w{n}": weight.T, f"s{n}": scale / np.float32(255), f"b{n}": network.biases[n]}
        nodes += [
            helper.make_node("Sigmoid", [f"y{n - 1}"], [f"a{n}"]),
            helper.make_node("QuantizeLinear", [f"a{n}", "step", "zero"], [f"q{n}"]),
            helper.make_node("MatMulInteger", [f"q{n}", f"w{n}"], [f"i{n}"]),
            helper.make_node("Cast", [f"i{n}"], [f"f{n}"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"f{n}", f"s{n}"], [f"m{n}"]),
            helper.make_node("Add", [f"m{n}", f"b{n}"], [f"y{n}"]),
        ]
    ends = (("input", len(network.weights[0].T)), (nodes[-1].output[0], len(network.biases[-1])))
    values = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, ["frames", size])] for name, size in ends]
    constants = [numpy_helper.from_array(np.array(value, order="C"), name) for name, value in tensors.items()]
    graph = helper.make_graph(nodes, "ladder", *values, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@dataclass(frozen=True, eq=False)
class Way:
    """A way to compute the network: called with all frames, it takes `batch` of them at a time.

    `rows` holds, for each frame, the outputs to compute.
    """

    name: str
    bits: int
    batch: int
    compute: Callable[[np.ndarray, np.ndarray], np.ndarray]
    rows: np.ndarray

    def __call__(self, frames: Tensor) -> np.ndarray:
        x = frames.numpy()
        starts = range(0, len(x), self.batch)
        return np.concatenate([self.compute(x[i : i + self.batch], self.rows[i]) for i in starts])


def ladder_ways(network: LadderNetwork, *, frames: int, seed: int = 0) -> tuple[Way, ...]:
    """Eleven ways, slowest idea first; those in batches take all frames at once.

    A lazy way computes what a frame asks for, each frame other outputs. In a batch, what the first frame asks for is
    computed for all, as decoders go on asking for it.
    """
    n_outputs = len(network.biases[-1])
    random, n_lazy = np.random.default_rng(seed), max(1, round(LAZY_SHARE * n_outputs))
    every = np.tile(np.arange(n_outputs), (frames, 1))
    wanted = np.array([np.sort(random.choice(n_outputs, n_lazy, replace=False)) for _ in range(frames)])
    engine = make_session(_integer_graph(network).SerializeToString(), "ladder")
    blas, integers = partial(_by_blas, network), partial(_by_integers, network)

    def by_runtime(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return engine(torch.from_numpy(x)).numpy()

    return (
        Way("naive loop", 32, 1, partial(_by_float_kernel, network, kernels.naive), every),
        Way("four sums", 32, 1, partial(_by_float_kernel, network, kernels.unrolled), every),
        Way("vector float", 32, 1, partial(_by_float_kernel, network, kernels.vector), every),
        Way("BLAS", 32, 1, blas, every),
        Way("BLAS, batch", 32, frames, blas, every),
        Way("int8", 8, 1, integers, every),
        Way("int8, ONNX Runtime", 8, 1, by_runtime, every),
        Way("int8, batch", 8, frames, integers, every),
        Way("int8, ONNX Runtime, batch", 8, frames, by_runtime, every),
        Way("int8, lazy", 8, 1, integers, wanted),
        Way("int8, lazy, batch", 8, frames, integers, np.tile(wanted[0], (frames, 1))),
    )


def measure_ladder(
    *,
    widths: Sequence[int] = WIDTHS,
    frames: int = 8,
    runs: int = 3,
    seed: int = 0,
    stop: threading.Event | None = None,
) -> Ladder:
    """Times of the same network computed in eleven ways by turns, each checked first.

    Args:
        widths: of its layers, inputs first.
        frames: inputs that each way computes in one run.
        runs: that count.
        seed: of weights, inputs, and the outputs that are asked for.
        stop: when set, measuring ends early, with at least one run that counts.

    Raises:
        ArithmeticError: a way gives other numbers than double precision: floats beyond `FLOAT_TOLERANCE`, integers
            beyond `INTEGER_TOLERANCE` of the largest output.
        ValueError, TypeError: widths, frames or runs out of range.
    """
    if frames < 1:
        raise ValueError(f"frames must be at least 1, got {frames}")
    network = make_ladder_network(widths, seed=seed)
    x = np.random.default_rng(seed).normal(size=(frames, widths[0])).astype(np.float32)
    expected, ways = _reference(network, x), ladder_ways(network, frames=frames, seed=seed)
    batch = torch.from_numpy(x)
    errors = [_check(way, way(batch), np.take_along_axis(expected, way.rows, 1)) for way in ways]
    # Twice in a row, and the second call counts: the weights are where a recogniser that keeps running has them.
    twice = [way for way in ways for _ in range(2)]
    latencies = metrics.measure_in_turn(twice, batch, runs=runs, warmup=0, stop=stop)[1::2]
    rungs = tuple(
        LadderRung(way.name, way.bits, way.batch, way.rows.shape[1] / widths[-1], error, latency)
        for way, error, latency in zip(ways, errors, latencies, strict=True)
    )
    return Ladder(tuple(widths), sum(weight.size for weight in network.weights), rungs)


def _check(way: Way, got: np.ndarray, expected: np.ndarray) -> float:
    error = float(np.abs(got - expected).max() / np.abs(expected).max())
    allowed = FLOAT_TOLERANCE if way.bits == 32 else INTEGER_TOLERANCE
    if not error <= allowed:
        raise ArithmeticError(f"{way.name} differs by {error:.2g} of the largest output, allowed is {allowed:g}")
    return error
