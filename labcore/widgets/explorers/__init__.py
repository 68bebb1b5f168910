"""One short function a panel: wires controls, computation and view."""

from labcore.widgets.explorers.costs import costs as costs
