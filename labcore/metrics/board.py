"""One network in four currencies: parameters, MACs, activations, time."""

import threading
import time
from collections.abc import Iterable

import numpy as np
from torch import Tensor, nn

from labcore import text
from labcore.metrics.accuracy import accuracy_interval
from labcore.metrics.costs import measure_costs
from labcore.results import BoardMeasurement, CostBoard
from labcore.surgery import named_layers
from labcore.training import evaluate, evaluating

__all__ = ["make_board", "measure_board", "measure_layer_times"]


def make_board(model: nn.Module, sample: Tensor, *, label: str, focus: str = "all") -> CostBoard:
    """Costs of the layers that multiply, for one sample.

    Args:
        sample: one batch, shape (N, C, H, W); costs are per sample.
        label: names the network.
        focus: the currency to look at, or ``all``.
    """
    costs = measure_costs(model, sample)
    layers = [layer for layer in costs.layers if layer.macs]
    return CostBoard(
        label=label,
        layers=tuple(layer.name for layer in layers),
        values={
            "parameters": np.array([layer.n_params for layer in layers]),
            "macs": np.array([layer.macs for layer in layers]),
            "activations": np.array([layer.activation_bytes // 4 for layer in layers]),
        },
        totals={
            "parameters": f"{text.count(costs.n_params)} in all",
            "macs": f"{text.count(costs.macs)} an image",
            "activations": f"peak {text.size(costs.peak_activation_bytes)} an image",
        },
        n_params=costs.n_params,
        focus=focus,
    )


def measure_layer_times(
    model: nn.Module, batch: Tensor, layers: tuple[str, ...], *, runs: int = 15
) -> tuple[np.ndarray, float]:
    """Median time of each named layer, and of the whole call, in milliseconds; two calls of warm-up.

    Returns:
        times of shape (layers,), and the median of the whole.
    """
    samples = np.zeros((runs + 2, len(layers) + 1))
    modules, started, run = named_layers(model), {}, 0
    hooks = []
    for i, name in enumerate(layers):

        def begin(module, inputs, i=i):
            started[i] = time.perf_counter_ns()

        def end(module, inputs, output, i=i):
            samples[run, i] += time.perf_counter_ns() - started[i]

        hooks += [modules[name].register_forward_pre_hook(begin), modules[name].register_forward_hook(end)]
    try:
        with evaluating(model):
            for run in range(runs + 2):
                begun = time.perf_counter_ns()
                model(batch)
                samples[run, -1] = time.perf_counter_ns() - begun
    finally:
        for hook in hooks:
            hook.remove()
    medians = np.median(samples[2:], axis=0) / 1e6
    return medians[:-1], float(medians[-1])


def measure_board(
    model: nn.Module,
    board: CostBoard,
    batches: Iterable[tuple[Tensor, Tensor]],
    timed: Tensor,
    *,
    stop: threading.Event | None = None,
) -> BoardMeasurement | None:
    """Accuracy on `batches` and times of one call on `timed`, shape (N, C, H, W); None once `stop` is set."""
    evaluation = evaluate(model, batches, stop=stop)
    if stop is not None and stop.is_set():
        return None
    layer_ms, total_ms = measure_layer_times(model, timed, board.layers)
    return BoardMeasurement(
        accuracy_interval(evaluation), evaluation.n_correct, evaluation.n_images, layer_ms, total_ms, len(timed)
    )
