"""A model as named parts, as a graph of operations, and as channels that hang together."""

from labcore.surgery.coupling import CouplingSet as CouplingSet
from labcore.surgery.coupling import Member as Member
from labcore.surgery.coupling import Place as Place
from labcore.surgery.coupling import find_couplings as find_couplings
from labcore.surgery.coupling import find_places as find_places
from labcore.surgery.folding import fold_batch_norm as fold_batch_norm
from labcore.surgery.folding import folded_parameters as folded_parameters
from labcore.surgery.folding import report_folding as report_folding
from labcore.surgery.graph import TracedModel as TracedModel
from labcore.surgery.graph import UnsupportedOperation as UnsupportedOperation
from labcore.surgery.graph import trace as trace
from labcore.surgery.graph import trace_operations as trace_operations
from labcore.surgery.hessian import inverse_factor as inverse_factor
from labcore.surgery.hessian import layer_hessian as layer_hessian
from labcore.surgery.parts import Tap as Tap
from labcore.surgery.parts import copy_model as copy_model
from labcore.surgery.parts import distinct_parameters as distinct_parameters
from labcore.surgery.parts import named_layers as named_layers
from labcore.surgery.parts import tap as tap
from labcore.surgery.removal import remove_channels as remove_channels
from labcore.surgery.report import executed_layers as executed_layers
from labcore.surgery.report import report_coupling as report_coupling
from labcore.surgery.wrapping import find_refusals as find_refusals
from labcore.surgery.wrapping import find_sharing as find_sharing
from labcore.surgery.wrapping import replace_layer_ as replace_layer_
