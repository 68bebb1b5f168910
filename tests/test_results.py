import ast
import dataclasses
import importlib
import inspect
import pkgutil

import numpy as np
import pytest

from labcore import results
from labcore.results import Energy, Evaluation, Interval, Latency, PairedDifference, SweepPoint


def test_an_evaluation_counts_right_answers():
    evaluation = Evaluation(np.array([0, 1, 2, 2]), np.array([0, 1, 1, 2]), 3)
    assert (evaluation.n_images, evaluation.n_correct, evaluation.accuracy) == (4, 3, 0.75)


@pytest.mark.parametrize(
    ("low", "high", "significant"),
    [(-0.02, 0.01, False), (0, 0.02, False), (0.001, 0.02, True), (-0.03, -0.01, True)],
)
def test_a_difference_counts_when_its_interval_leaves_out_zero(low, high, significant):
    difference = PairedDifference(Interval(low, (low + high) / 2, high), 1, 2, np.array([3]))
    assert difference.significant is significant


def test_a_latency_is_its_quantiles_without_the_warm_up():
    latency = Latency(np.array([9.0, 9, 9, 10, 9, 9, 31, 9, 9]), np.array([50.0]), threads=1, batch=1)
    assert (latency.p50_ms, latency.min_ms) == (9, 9)
    # Nine values: the 95 % point lies 0.6 of the way from the eighth, 10, to the ninth, 31.
    assert latency.p95_ms == pytest.approx(10 + 0.6 * 21)


def test_energy_adds_up_and_says_that_it_is_an_estimate():
    assert Energy(2.0, 5.5).total_pj == 7.5
    assert "estimate" in Energy(2.0, 5.5).label


def test_a_sweep_point_means_over_its_seeds():
    point = SweepPoint("narrow", "width 8", 10, 20, 30, np.array([0.8, 0.9, 0.85]), {"width": 8})
    assert point.mean == pytest.approx(0.85)


def test_every_record_is_frozen_and_holds_no_tensor():
    found = pkgutil.iter_modules(results.__path__, "labcore.results.")
    modules = [importlib.import_module(each.name) for each in found]
    names = [name for module in modules for name in module.__all__]
    assert names
    for name in names:
        record = getattr(results, name)
        assert record.__dataclass_params__.frozen, name
        assert not record.__dataclass_params__.eq, name
    with pytest.raises(dataclasses.FrozenInstanceError):
        Interval(0, 1, 2).low = 3
    imported = {
        alias.name
        for module in modules for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Import) for alias in node.names
    }  # fmt: skip
    assert imported == {"numpy"}
