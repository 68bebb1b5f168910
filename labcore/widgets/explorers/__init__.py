"""One short function a panel: wires controls, computation and view."""

from labcore.widgets.explorers.budget import budget as budget
from labcore.widgets.explorers.costs import costs as costs
from labcore.widgets.explorers.filters import filters as filters
from labcore.widgets.explorers.pruning import pruning as pruning
