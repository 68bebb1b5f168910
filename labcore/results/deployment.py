"""What a model is once it has left PyTorch."""

from dataclasses import dataclass

from labcore.results.costs import Latency

__all__ = ["Ladder", "LadderRung", "OnnxFile"]


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """A model as a file.

    Attributes:
        name: of the file, without its folder.
        file_bytes: of the file, and of the files beside it that hold its tensors.
        operators: how often each operator stands in the graph.
    """

    name: str
    file_bytes: int
    operators: dict[str, int]


@dataclass(frozen=True, eq=False)
class LadderRung:
    """One way to compute the same network.

    Attributes:
        name: of the way.
        bits: of a weight.
        batch: frames computed together.
        share: of the last layer's outputs that are computed, in (0, 1].
        max_error: largest difference to the result in double precision, as a share of the largest output.
        latency: of all frames, one after another or in batches.
    """

    name: str
    bits: int
    batch: int
    share: float
    max_error: float
    latency: Latency

    @property
    def frame_ms(self) -> float:
        """Time of one frame in the fastest run: whatever else the machine does only adds to it."""
        return self.latency.min_ms / self.latency.batch


@dataclass(frozen=True, eq=False)
class Ladder:
    """One network, computed in several ways by turns.

    Attributes:
        widths: of its layers, inputs first.
        macs: of one frame.
        rungs: slowest idea first.
    """

    widths: tuple[int, ...]
    macs: int
    rungs: tuple[LadderRung, ...]

    def rung(self, name: str) -> LadderRung:
        found = {each.name: each for each in self.rungs}
        if name not in found:
            raise ValueError(f"no rung is named {name!r}; choose one of: {', '.join(found)}")
        return found[name]

    def speedup(self, name: str, *, over: str = "naive loop") -> float:
        """How many times faster a frame is than on another rung."""
        return self.rung(over).frame_ms / self.rung(name).frame_ms
