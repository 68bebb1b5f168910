"""A task that a small network learns in a few steps."""

import torch
from torch import nn

from labcore import runtime
from labcore.data import Batches


def toy(seed: int | None = 0, size: int = 16) -> Batches:
    """Points left and right of a line, 64 of them."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(64, 2, generator=generator)
    return Batches((points, (points[:, 0] > points[:, 1]).long()), size, seed)


def network(seed: int = 0, dropout: float = 0.0) -> nn.Sequential:
    with runtime.fork_rng(seed):
        layers = nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 2)
        return nn.Sequential(*layers)


def bits(model: nn.Module) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}
