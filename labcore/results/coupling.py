"""Channels that hang together, in numbers and names."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["CoupledLayer", "CouplingReport"]


@dataclass(frozen=True, eq=False)
class CoupledLayer:
    """What a layer has to do with a set of channels.

    Attributes:
        place: its index among the report's layers.
        role: `out`, it makes them; `in`, it reads them; `norm`, it passes them on with parameters for each.
        n_positions: how many of its channels, columns or scales in that role belong to the set.
        size: how many it has.
    """

    place: int
    role: Literal["out", "in", "norm"]
    n_positions: int
    size: int


@dataclass(frozen=True, eq=False)
class CouplingReport:
    """One set of coupled channels in its network.

    Attributes:
        network: its name.
        name: of the set, the first layer that makes its channels.
        n_channels: that can go one by one.
        layers: names of the network's layers with parameters, in order of execution.
        members: layers that the set touches, in order of execution.
        n_params: parameters of the network.
        n_gone: parameters that go with the first channel of the set.
    """

    network: str
    name: str
    n_channels: int
    layers: tuple[str, ...]
    members: tuple[CoupledLayer, ...]
    n_params: int
    n_gone: int
