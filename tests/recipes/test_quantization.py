"""The shipped sweeps of quantized networks: their shape, and sampled entries computed again."""

import math

import numpy as np
import pytest

from labcore import quantize, runtime
from labcore.data import load_dataset
from labcore.models import load_model
from labcore.quantize import QuantConfig, int_format
from labcore.recipes import aware_weights, quantization
from labcore.recipes.quantization import AWARE, IN_FLOAT, NVIDIA, SEEDS, SETTINGS, Setting
from labcore.search import load_curves, load_sweep
from labcore.surgery import fold_batch_norm

CURVES = ("batch_norm_bits", "partial", "aware")

# One seed on another processor: with few bits, a difference in the last bit of a sum moves whole steps.
POINTS = 0.02


def point(**settings):
    return next(p for p in load_sweep("quantization") if settings.items() <= p.settings.items())


def curve(name, family, label):
    return next(each for each in load_curves(name) if (each.family, each.label) == (family, label))


def folded(name):
    return fold_batch_norm(load_model(name), load_dataset("fashion14").test_images[:1])


# --- shape ------------------------------------------------------------------------------------------


@pytest.mark.case("C-noise")
def test_the_sweep_holds_every_setting_and_seed_of_both_networks():
    points = load_sweep("quantization")
    assert [p.settings["model"] for p in points] == [name for name in SEEDS for _ in SETTINGS]
    assert [p.label for p in points] == [f"{name}, {setting.label}" for name in SEEDS for setting in SETTINGS]
    assert len({p.label for p in points}) == len(points)
    for p in points:
        assert p.accuracies.shape == (SEEDS[p.settings["model"]],)
        assert ((p.accuracies > 0.05) & (p.accuracies < 0.95)).all()
    assert min(SEEDS.values()) >= 3
    assert runtime.read_manifest()["quantization.json"]["seeds"] == SEEDS
    assert len(runtime.read_shipped("quantization.json")) < 150_000


@pytest.mark.case("C-noise")
@pytest.mark.parametrize("name", CURVES)
def test_curves_hold_every_seed_at_every_point(name):
    curves = load_curves(name)
    assert len({(each.family, each.label) for each in curves}) == len(curves) >= 2
    for each in curves:
        assert each.values.shape == (SEEDS[each.family], len(each.x))
        assert ((each.values > 0.05) & (each.values < 0.95)).all()
    assert len(runtime.read_shipped(f"{name}.json")) < 20_000


def test_files_shrink_with_the_bits_and_hold_their_scales():
    common = {"model": "lab_cnn", "mode": "static", "granularity": "per channel", "folded": True, "calibration": "max"}
    sizes = {n: point(**common, weight_bits=n, activation_bits=n).file_bytes for n in (8, 4, 2)}
    n_weights = 16 * 9 + 32 * 144 + 32 * 288 + 10 * 288
    for n, size in sizes.items():
        # 90 biases and 90 scales of four bytes; names and the rest of the container are a few kilobytes.
        assert 0 < size - (math.ceil(n_weights * n / 8) + 8 * 90) < 7000
    assert sizes[8] - sizes[4] == pytest.approx(n_weights / 2, abs=64)


def test_weights_alone_do_the_same_folded_and_not_with_a_scale_for_each_channel():
    for name in SEEDS:
        for n in (8, 6, 4, 3, 2):
            common = {"model": name, "mode": "weight only", "weight_bits": n, "granularity": "per channel"}
            whole, fold = (point(**common, folded=each).accuracies for each in (False, True))
            assert np.array_equal(whole, fold)


def test_labels_name_what_was_done():
    assert Setting("float").label == "float"
    assert Setting("weight only", 4, granularity="per tensor").label == "weight only, W4 A32, per tensor"
    assert Setting("static", 8, 3, folded=True, calibration="99.9 %", after_relu="signed").label == (
        "static, W8 A3, per channel, batch norm folded, 99.9 %, signed after ReLU"
    )


def test_settings_reach_the_quantized_network():
    data = load_dataset("fashion14")
    batches = quantization.calibration_batches(data)
    assert sum(len(images) for (images,) in batches) == 1000
    model = folded("lab_cnn")
    for setting in (
        Setting("weight only", 3, granularity="per tensor"), Setting("dynamic", 4, 6),
        Setting("static", 8, 3, calibration="mse"),
    ):  # fmt: skip
        layers = quantize.report_quantization(setting.apply(model, batches)).layers
        assert {(each.weight_bits, each.activation_bits, each.granularity) for each in layers} == {
            (setting.weight_bits, setting.activation_bits, setting.granularity)
        }
    static = Setting("static", 8, 3, calibration="99 %", after_relu="signed").apply(model, batches)
    expected = quantize.apply_static(
        model, batches,
        QuantConfig(activations=int_format(3), calibration="percentile", percentile=99.0, after_relu="signed"),
    )  # fmt: skip
    assert all(one.equal(other) for one, other in zip(static.buffers(), expected.buffers(), strict=True))
    assert Setting("float").apply(model, batches) is model


# --- sampled entries, seed 0 ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", SEEDS)
def test_the_sweep_again(name):
    data = load_dataset("fashion14")
    models = {False: load_model(name), True: folded(name)}
    for setting in SETTINGS[:: len(SETTINGS) // 8]:
        stored = next(p for p in load_sweep("quantization") if p.label == f"{name}, {setting.label}")
        accuracy = quantization.run_setting(models[setting.folded], setting, data)
        assert accuracy == pytest.approx(stored.accuracies[0], abs=POINTS), setting.label
        file_bytes = quantization._point(name, setting, stored.accuracies).file_bytes
        assert stored.file_bytes == file_bytes, setting.label


@pytest.mark.slow
def test_partial_again():
    stored = curve("partial", "lab_cnn", "W3 A3, per tensor, x layers in float")
    values = quantization.run_partial(folded("lab_cnn"), 3, load_dataset("fashion14"))
    assert values == pytest.approx(stored.values[0], abs=POINTS)
    assert values[-1] == pytest.approx(point(model="lab_cnn", mode="float").accuracies[0], abs=0.002)


@pytest.mark.slow
def test_batch_norm_bits_again():
    stored = curve("batch_norm_bits", "lab_cnn", "batch norm on x bits")
    assert stored.x.tolist() == [8, 7, 6, 5, 4]
    data = load_dataset("fashion14")
    for n, accuracy in zip(stored.x, stored.values[0], strict=True):
        again = quantization.evaluate(quantize.apply_batch_norm_bits(load_model("lab_cnn"), int(n)), data.batches())
        assert again.accuracy == pytest.approx(accuracy, abs=POINTS)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "schedule"), [(3, NVIDIA), (32, IN_FLOAT)])
def test_aware_again(n, schedule):
    assert (n, schedule) in AWARE
    label = IN_FLOAT if schedule == IN_FLOAT else f"W{n} A{n}, {schedule}"
    stored = curve("aware", "lab_cnn", label)
    _, values = quantization.train_aware(folded("lab_cnn"), "lab_cnn", n, schedule, seed=0)
    assert values == pytest.approx(stored.values[0], abs=POINTS)


@pytest.mark.slow
def test_aware_weights_again():
    files, entries = aware_weights.make_aware_weights(), runtime.read_manifest()
    assert set(files) == {f"lab_cnn-aware-{bits}.safetensors" for bits in quantize.AWARE_BITS}
    assert sum(len(payload) for payload, _ in files.values()) < 300_000
    for name, (_, facts) in files.items():
        assert facts["n_correct"] / facts["n_images"] == pytest.approx(entries[name]["n_correct"] / 5000, abs=POINTS)
        assert facts["recipe"] == entries[name]["recipe"]
        assert entries[name]["recipe"]["learning_rate"] == pytest.approx(4e-5)
