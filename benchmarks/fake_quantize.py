"""A million values onto a grid of 8 bits and back: labcore against PyTorch's own operation, one thread, in turns."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from labcore import metrics, quantize

__all__ = ["run"]

Operation = Callable[[Tensor], Tensor]


def _operations(x: Tensor, granularity: quantize.Granularity) -> tuple[Operation, Operation]:
    grid = quantize.fit_grid(x, quantize.INT8, granularity=granularity)
    settings = grid.scale, grid.zero_point
    ends = grid.format.qmin, grid.format.qmax

    def theirs(x: Tensor) -> Tensor:
        if granularity == quantize.PER_TENSOR:
            return torch.fake_quantize_per_tensor_affine(x, *settings, *ends)
        return torch.fake_quantize_per_channel_affine(x, *settings, grid.axis, *ends)

    return partial(quantize.fake_quantize, grid=grid), theirs


def _with_gradient(operation: Operation, x: Tensor) -> Tensor:
    with torch.inference_mode(False):
        x = x.detach().requires_grad_()
        return torch.autograd.grad(operation(x), x, torch.ones_like(x))[0]


def run() -> None:
    """Print both times and their ratio, without and with the gradient."""
    x = torch.randn(1000, 1000, generator=torch.Generator().manual_seed(0))
    print("a million values to int8 and back, one thread")
    print(f"{'':<26}{'labcore, ms':>13}{'torch, ms':>13}{'ratio':>8}")
    for granularity in (quantize.PER_TENSOR, quantize.PER_CHANNEL):
        pair = _operations(x, granularity)
        for name, calls in (("", pair), (" + gradient", [partial(_with_gradient, each) for each in pair])):
            ours, theirs = metrics.compare_latency(*calls, x, runs=50, warmup=5)
            ratio = ours.p50_ms / theirs.p50_ms
            print(f"{granularity.name + name:<26}{ours.p50_ms:>13.2f}{theirs.p50_ms:>13.2f}{ratio:>8.2f}")
