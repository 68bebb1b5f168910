import dataclasses
import json

import numpy as np

from labcore import runtime
from labcore.results import Curve, SweepPoint
from labcore.search import load_arrays, load_curves, load_sweep, save_arrays, save_sweep

CURVE = Curve("3 rounds", "1/12 left", np.array([0, 0, 1]), np.array([[0.9, 0.5, 0.8], [0.8, 0.4, 0.7]]), {"cuts": 3})
POINT = SweepPoint("narrow", "width 8", 10, 20, 30, np.array([0.8, 0.9]), {"width": 8})


def test_what_was_saved_comes_back(monkeypatch):
    for record, load in ((CURVE, load_curves), (POINT, load_sweep)):
        payload = save_sweep([record, record])
        assert len(json.loads(payload)) == 2
        monkeypatch.setattr(runtime, "read_shipped", lambda name, payload=payload: payload)
        for loaded in load("any"):
            for field in dataclasses.fields(record):
                assert np.array_equal(getattr(loaded, field.name), getattr(record, field.name)), field.name


def test_arrays_come_back_with_their_types(monkeypatch):
    arrays = {"logits": np.arange(6, dtype=np.float16).reshape(2, 3), "labels": np.array([0, 1])}
    monkeypatch.setattr(runtime, "read_shipped", lambda name: {"any.npz": save_arrays(arrays)}[name])
    loaded = load_arrays("any")
    assert loaded.keys() == arrays.keys()
    for name, values in arrays.items():
        assert (loaded[name].dtype, loaded[name].tolist()) == (values.dtype, values.tolist())


def test_the_mean_of_a_curve_is_over_seeds():
    assert np.allclose(CURVE.mean, [0.85, 0.45, 0.75])
