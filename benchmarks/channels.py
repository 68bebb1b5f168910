"""Half the channels: does the clock follow the MACs? resnet18 and lab_cnn, one thread, channels last, in turns."""

import torch
import torchvision
from torch import nn

from labcore import metrics, models, prune

__all__ = ["run"]


def _row(name: str, model: nn.Module, batch: torch.Tensor) -> str:
    # Channels in multiples of eight: odd widths leave vector lanes empty.
    plan = prune.channel_plan(model, batch[:1], pruning_ratio=0.5, round_to=8)
    smaller = prune.apply_channel_plan(model, plan)
    before, after = (metrics.count_macs(net, batch[:1]) for net in (model, smaller))
    layout = [net.to(memory_format=torch.channels_last) for net in (model, smaller)]
    whole, half = metrics.compare_latency(*layout, batch, runs=15, warmup=3)
    fewer, faster = before / after, whole.p50_ms / half.p50_ms
    return f"{name:<12}{whole.p50_ms:>10.1f}{half.p50_ms:>10.1f}{fewer:>9.2f}x{faster:>9.2f}x{faster / fewer:>8.2f}"


def run() -> None:
    """Print times, the reduction of MACs, the measured speed-up, and their ratio."""
    print("half the channels removed, batch in brackets, one thread")
    print(f"{'':<12}{'p50, ms':>10}{'half, ms':>10}{'MACs':>10}{'speed':>10}{'ratio':>8}")
    torch.manual_seed(0)
    print(_row("resnet18 (8)", torchvision.models.resnet18(weights=None).eval(), torch.rand(8, 3, 224, 224)))
    print(_row("lab_cnn (50)", models.load_model("lab_cnn"), torch.rand(50, 1, 14, 14)))
