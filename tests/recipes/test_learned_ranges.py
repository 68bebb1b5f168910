"""The shipped sweep of learned ranges: its shape, its starting points, and a sampled entry trained again."""

from dataclasses import replace

import numpy as np
import pytest

from labcore import quantize, runtime
from labcore.data import load_dataset
from labcore.quantize import PER_CHANNEL, PER_TENSOR, int_format
from labcore.recipes import learned_ranges
from labcore.search import load_curves
from labcore.training import evaluate

CURVES = {(each.label, each.family): each for each in load_curves("learned_ranges")}


@pytest.mark.case("C-noise")
def test_the_sweep_holds_every_seed_of_every_way_at_all_bits():
    assert set(CURVES) == {(what, how) for what, ways in learned_ranges.RUNS.items() for how in ways}
    seeds = runtime.read_manifest()["learned_ranges.json"]["seeds"]
    for each in CURVES.values():
        assert each.x.tolist() == list(learned_ranges.BITS)
        assert each.values.shape == (seeds, 3)
        assert (each.values > 0.6).all()
        assert (each.values < 0.9).all()
        assert len(np.unique(each.values)) > 6


@pytest.mark.parametrize(
    ("what", "weights", "granularity"),
    [("activations", int_format(4), PER_CHANNEL), ("weights and activations", int_format(2), PER_TENSOR)],
)
def test_what_has_few_bits_before_training(what, weights, granularity):
    config = learned_ranges.quantize_start(what, 2, "mse")
    assert (config.weights, config.granularity) == (weights, granularity)
    assert (config.activations, config.calibration, config.output) == (int_format(2), "mse", None)


@pytest.mark.parametrize("what", learned_ranges.RUNS)
def test_at_two_bits_learned_ranges_win_with_every_seed(what):
    fixed = CURVES[what, "largest value"].values[:, 0]
    assert (CURVES[what, "LSQ"].values[:, 0] > fixed + 0.01).all()


@pytest.mark.parametrize(("how", "kind"), [("PACT", quantize.ClippedRange), ("largest value", quantize.Quantizer)])
def test_each_way_trains_ranges_of_its_kind(how, kind, monkeypatch):
    monkeypatch.setattr(learned_ranges, "CONFIG", replace(learned_ranges.CONFIG, epochs=1))
    data = load_dataset("fashion14").subset(600, 200)
    model = learned_ranges.train_ranges("activations", how, 2, data, seed=0)
    ranges = [model.get_submodule(f"quantizers.{name}") for name in ("x", "relu", "relu_1", "relu_2")]
    assert {type(each) for each in ranges} == {kind}
    if how == "PACT":
        # Nothing but the penalty lets a range shrink that clips nothing.
        start = quantize.apply_static(
            learned_ranges.load_model("lab_cnn"), [data.train_images[:500]],
            learned_ranges.quantize_start("activations", 2, "max"),
        )  # fmt: skip
        before = [start.get_submodule(f"quantizers.{name}").scale * 3 for name in ("relu", "relu_1", "relu_2")]
        assert all(each.alpha < first for each, first in zip(ranges[1:], before, strict=True))


@pytest.mark.slow
def test_learned_ranges_again():
    data = load_dataset("fashion14")
    model = learned_ranges.train_ranges("weights and activations", "LSQ", 2, data, seed=0)
    stored = CURVES["weights and activations", "LSQ"].values[0, 0]
    # Two bits are a rough road: rounding on another processor leads elsewhere.
    assert evaluate(model, data.batches()).accuracy == pytest.approx(stored, abs=0.03)
