"""Shipped sweeps: networks trained with several seeds, their costs and accuracies as JSON; and shipped arrays."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
from torch import Tensor, nn

from labcore import runtime
from labcore.metrics import measure_costs, measure_sizes
from labcore.results import Curve, Evaluation, SweepPoint

__all__ = ["load_arrays", "load_curves", "load_sweep", "make_point", "save_arrays", "save_sweep", "sweep_date"]


def save_sweep(records: Sequence[SweepPoint | Curve]) -> bytes:
    """A sweep as JSON, one network or curve a line."""
    rows = [json.dumps(asdict(record), default=np.ndarray.tolist) for record in records]
    return ("[\n" + ",\n".join(rows) + "\n]\n").encode()


def load_sweep(name: str) -> list[SweepPoint]:
    """A shipped sweep, for example ``widths``."""
    return [SweepPoint(**row | {"accuracies": np.array(row["accuracies"])}) for row in _rows(name)]


def load_curves(name: str) -> list[Curve]:
    """Shipped curves, for example ``lottery``."""
    return [Curve(**row | {"x": np.array(row["x"]), "values": np.array(row["values"])}) for row in _rows(name)]


def save_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Named arrays as a compressed npz file."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def load_arrays(name: str) -> dict[str, np.ndarray]:
    """Shipped arrays, for example ``unseen_digit``: what networks answered, for panels that go on from there."""
    return dict(np.load(io.BytesIO(runtime.read_shipped(f"{name}.npz"))))


def sweep_date(name: str) -> str:
    """The day a shipped sweep was measured, as YYYY-MM-DD."""
    return runtime.read_manifest()[f"{name}.json"]["date"]


def make_point(
    family: str, label: str, model: nn.Module, sample: Tensor, evaluation: Evaluation, *, file_bytes: int | None = None
) -> SweepPoint:
    """One network trained here, as a point for the charts.

    Args:
        sample: one batch for the costs, shape (N, C, H, W).
        evaluation: its answers on the test images.
        file_bytes: of a file in another format; default as `storage.save_model` writes it.
    """
    costs = measure_costs(model, sample)
    file_bytes = measure_sizes(model).file_bytes if file_bytes is None else file_bytes
    return SweepPoint(
        family, label, costs.n_params, costs.macs, file_bytes, np.array([evaluation.accuracy]), {}
    )  # fmt: skip


def _rows(name: str) -> list[dict]:
    return json.loads(runtime.read_shipped(f"{name}.json"))
