"""A set of coupled channels in words and numbers."""

from torch import nn

from labcore.results import CoupledLayer, CouplingReport
from labcore.surgery.coupling import CouplingSet
from labcore.surgery.graph import TracedModel
from labcore.surgery.removal import remove_channels

__all__ = ["executed_layers", "report_coupling"]


def executed_layers(traced: TracedModel) -> tuple[str, ...]:
    """Names of the layers with parameters of their own, in order of execution, each once."""
    names = dict.fromkeys(node.target for node in traced.nodes if node.op == "call_module")
    return tuple(name for name in names if list(traced.model.get_submodule(name).parameters(recurse=False)))


def report_coupling(
    model: nn.Module, coupling: CouplingSet, layers: tuple[str, ...], *, network: str
) -> CouplingReport:
    """Where the channels of a set stand, and how many parameters go with one of them, counted by taking it out.

    Args:
        model: the one that the set was found in, or one of the same shapes; it may be on the device ``meta``.
        coupling: from `find_couplings`.
        layers: of the model, from `executed_layers`.
        network: what the model is called.
    """
    members = tuple(
        CoupledLayer(layers.index(each.layer), each.role, each.indices.size, each.size) for each in coupling.members
    )
    smaller = remove_channels(model, [coupling], {coupling.name: [0]})
    n_params, n_left = (sum(each.numel() for each in net.parameters()) for net in (model, smaller))
    return CouplingReport(network, coupling.name, coupling.n_channels, layers, members, n_params, n_params - n_left)
