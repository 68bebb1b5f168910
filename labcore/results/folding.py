"""What becomes of the batch norms of a model when they are folded."""

from dataclasses import dataclass

__all__ = ["FoldingReport"]


@dataclass(frozen=True, eq=False)
class FoldingReport:
    """Which batch norms go into the layer before them.

    Attributes:
        folded: batch norm -> the layer that takes it in, by name, in order of execution.
        stayed: batch norm -> why it stays. One that is called as a function stands under its name in the graph.
    """

    folded: dict[str, str]
    stayed: dict[str, str]
