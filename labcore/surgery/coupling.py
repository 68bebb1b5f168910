"""Coupled channels: which parts of which layers must be cut together, read from a traced graph.

Every channel of every tensor carries a label. Layers that make channels hand out new labels, operations that bring
channels together make their labels equal, and whatever carries one label is cut as one.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import fx

from labcore.surgery.graph import TracedModel, UnsupportedOperation, operation_name
from labcore.surgery.labels import FIXED
from labcore.surgery.rules import Walk

__all__ = ["CouplingSet", "Member", "Place", "Role", "find_couplings", "find_places"]

Role = Literal["out", "in", "norm"]


@dataclass(frozen=True, eq=False)
class Member:
    """Where the channels of a set stand in one layer.

    Attributes:
        layer: its name.
        role: `out`, the channels that the layer makes; `in`, those that it reads; `norm`, those that it passes on with
            parameters for each channel (batch norm, PReLU).
        indices: shape (channels of the set, positions of each). After flattening 2x2 maps a channel has four positions;
            in a convolution with g groups it has g, one in each group.
        size: all positions of the layer in that role.
    """

    layer: str
    role: Role
    indices: np.ndarray
    size: int


@dataclass(frozen=True, eq=False)
class CouplingSet:
    """Channels that can go one by one; row i of every member goes with channel i.

    Attributes:
        name: the first layer that makes these channels (with a number where one layer makes channels of several sets).
        n_channels: at least 2.
        members: in order of execution.
    """

    name: str
    n_channels: int
    members: tuple[Member, ...]

    def layers(self, role: Role) -> tuple[str, ...]:
        return tuple(member.layer for member in self.members if member.role == role)


def find_couplings(traced: TracedModel) -> tuple[CouplingSet, ...]:
    """Sets of coupled channels, in order of execution; what is in no set can not be removed.

    What stays whole: the channels of the model's inputs and outputs; those that a layer normalises or compares with
    each other (layer norm, group norm, softmax, attention), as without one of them the others would change; those whose
    number is written in `forward`, as in ``x.view(n, 64, -1)``.

    Raises:
        UnsupportedOperation: something in the graph moves or mixes channels in a way that is not followed.
    """
    _refuse_unused(traced)
    walk = Walk(traced)
    _refuse_shared(traced, walk)
    roles = [(layer, role, walk.labels.resolve(labels)) for (layer, role), labels in walk.roles.items()]
    return _group(roles)


def _group(roles: list[tuple[str, Role, np.ndarray]]) -> tuple[CouplingSet, ...]:
    """Channels with the same number of positions in the same layers form one set."""
    places: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for number, (_, _, labels) in enumerate(roles):
        for position in np.flatnonzero(labels != FIXED).tolist():
            places[int(labels[position])][number].append(position)
    alike: dict[tuple, list[dict[int, list[int]]]] = defaultdict(list)
    for where in places.values():
        alike[tuple((number, len(positions)) for number, positions in where.items())].append(where)
    sets, names = [], defaultdict(int)
    for signature, channels in alike.items():
        members = tuple(
            Member(*roles[number][:2], np.array([where[number] for where in channels]), len(roles[number][2]))
            for number, _ in signature
        )
        first = next(member.layer for member in members if member.role == "out")
        names[first] += 1
        name = first if names[first] == 1 else f"{first}[{names[first]}]"
        sets.append(CouplingSet(name, len(channels), members))
    return tuple(each for each in sets if each.n_channels > 1)


@dataclass(frozen=True, eq=False)
class Place:
    """Where the channels of a set stand in what an operation gives.

    Attributes:
        node: the operation.
        axis: of the channels.
        indices: shape (channels of the set, positions of each), along the axis.
    """

    node: fx.Node
    axis: int
    indices: np.ndarray


def find_places(
    traced: TracedModel, couplings: Iterable[CouplingSet], operations: Collection[str]
) -> dict[str, tuple[Place, ...]]:
    """By name of the set: the operations of some kinds that its channels pass, in order of execution.

    Args:
        couplings: of the same traced model.
        operations: as `operation_name` calls them, for example ``relu``.
    """
    walk = Walk(traced)
    given = {node: walk.channels[node] for node in traced.nodes if operation_name(traced.model, node) in operations}
    found = {node: (each.axis, walk.labels.resolve(each.labels)) for node, each in given.items() if each is not None}
    places = {}
    for each in couplings:
        member = each.members[0]
        wanted = walk.labels.resolve(walk.roles[member.layer, member.role])[member.indices[:, 0]]
        rows = {node: [np.flatnonzero(labels == label) for label in wanted] for node, (_, labels) in found.items()}
        places[each.name] = tuple(
            Place(node, found[node][0], np.array(positions))
            for node, positions in rows.items()
            if len(positions[0])
        )
    return places


def _refuse_unused(traced: TracedModel) -> None:
    used = {node.target for node in traced.nodes if node.op in ("call_module", "get_attr")}
    for name, _ in traced.model.named_parameters():
        parts = name.split(".")
        if used.isdisjoint(".".join(parts[:n]) for n in range(1, len(parts) + 1)):
            raise UnsupportedOperation(
                f"{name!r} takes no part in evaluation mode, so its place in the network is unknown; make the model "
                "without that layer, or set the layer to None"
            )


def _refuse_shared(traced: TracedModel, walk: Walk) -> None:
    """Parameters that are used in two ways cannot be cut in one of them."""
    layers = dict.fromkeys(layer for layer, _ in walk.roles)
    for node in traced.nodes:
        if node.op == "get_attr" and node.target.rpartition(".")[0] in layers:
            raise UnsupportedOperation(f"{node.target!r} is used by its layer and on its own; a cut would not fit both")
    owners: dict[int, str] = {}
    for layer in layers:
        for name, parameter in traced.model.get_submodule(layer).named_parameters():
            other = owners.setdefault(parameter.data_ptr(), f"{layer}.{name}")
            if parameter.numel() and other != f"{layer}.{name}":
                raise UnsupportedOperation(f"{other!r} and '{layer}.{name}' share one memory; cutting would part them")
