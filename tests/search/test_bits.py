"""Sensitivity by bits against networks quantized by hand, one layer at a time; costs and budgets in bits."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from labcore.data import Batches
from labcore.models import load_model
from labcore.quantize import (
    INT8,
    PER_TENSOR,
    QuantConfig,
    QuantizedLayer,
    apply_static,
    find_input_quantizer,
    fit_weight_grid,
    int_format,
    report_quantization,
)
from labcore.results import BitSensitivity
from labcore.search import allocate_greedy, allocate_uniform, bit_costs, measure_bit_sensitivity, mixed_config
from labcore.surgery import fold_batch_norm
from labcore.training import evaluate
from toy import bits, network, toy

LAYERS = ("conv1", "conv2", "conv3", "fc")
CONFIG = QuantConfig(activations=int_format(6), granularity=PER_TENSOR)


@pytest.fixture(scope="module")
def cnn():
    return fold_batch_norm(load_model("lab_cnn"), torch.zeros(1, 1, 14, 14))


@pytest.fixture(scope="module")
def garments(cnn):
    images = torch.rand(120, 1, 14, 14, generator=torch.Generator().manual_seed(0))
    # The network's own answers: every prediction that rounding changes shows.
    return Batches((images, cnn(images).argmax(1)), 60)


@pytest.fixture(scope="module")
def sensitivity(cnn, garments):
    return measure_bit_sensitivity(cnn, garments, garments, bits=(6, 3, 2), config=CONFIG)


def test_one_layer_is_rounded_at_a_time(cnn, garments, sensitivity):
    assert isinstance(sensitivity, BitSensitivity)
    assert sensitivity.layers == LAYERS
    assert sensitivity.levels.tolist() == [6, 3, 2]
    assert sensitivity.n_weights.tolist() == [144, 4608, 9216, 2880]
    # Weights in float, activations on 6 bits; then one layer's weight is put on a grid by hand.
    static = apply_static(cnn, garments, replace(CONFIG, weights=None))
    assert sensitivity.baseline == evaluate(static, garments).accuracy < 1
    for i, name in enumerate(LAYERS):
        for j, n_bits in enumerate((6, 3, 2)):
            static = apply_static(cnn, garments, replace(CONFIG, weights=None))
            layer = static.get_submodule(name).layer
            grid = fit_weight_grid(layer, int_format(n_bits), granularity=PER_TENSOR)
            scale, highest = grid.scale, 2 ** (n_bits - 1) - 1
            layer.weight.data = (layer.weight.data / scale).round().clamp(-highest, highest) * scale
            step = find_input_quantizer(static, name).scale * scale
            layer.bias.data = (layer.bias.data / step).round() * step
            assert sensitivity.accuracies[i, j] == evaluate(static, garments).accuracy
    assert len(np.unique(sensitivity.accuracies)) > 5


@pytest.mark.case("B-eval-mutates")
def test_the_model_stays_as_it_was_in_its_mode(cnn, garments):
    model = load_model("lab_cnn").train()
    before = bits(model)
    measure_bit_sensitivity(model, garments, garments, bits=(3,))
    assert bits(model) == before
    assert all(module.training for module in model.modules())


def test_stopping_leaves_the_rest_unmeasured(cnn, garments):
    shares, stop = [], threading.Event()

    def progress(share):
        shares.append(share)
        if len(shares) == 3:
            stop.set()

    sensitivity = measure_bit_sensitivity(cnn, garments, garments, bits=(4, 2), stop=stop, progress=progress)
    assert shares == [1 / 8, 2 / 8, 3 / 8]
    assert np.isnan(sensitivity.accuracies).sum() == 5
    assert np.isfinite(sensitivity.accuracies[0]).all()


def test_safe_bits_are_the_fewest_within_the_floor():
    accuracies = np.array([[0.90, 0.88, 0.70], [0.87, 0.60, 0.50], [0.90, np.nan, np.nan], [0.80, 0.89, 0.10]])
    sensitivity = BitSensitivity(("a", "b", "c", "d"), np.array([8, 4, 2]), accuracies, np.ones(4), 0.9)
    assert sensitivity.safe_levels(0.02) == {"a": 4, "b": np.inf, "c": 8, "d": 4}
    assert sensitivity.losses["a"] == pytest.approx({8: 0, 4: 0.02, 2: 0.2})


def test_costs_by_hand():
    sensitivity = BitSensitivity(("a", "b"), np.array([8, 3]), np.zeros((2, 2)), np.array([10, 40]), 0.9)
    assert bit_costs(sensitivity) == {"a": {8: 80, 3: 30}, "b": {8: 320, 3: 120}}
    assert bit_costs(sensitivity, 1 / 8) == {"a": {8: 10, 3: 3.75}, "b": {8: 40, 3: 15}}
    assert bit_costs(sensitivity, {"a": 2, "b": 0.5}) == {"a": {8: 160, 3: 60}, "b": {8: 160, 3: 60}}


def test_an_allocation_of_bits_is_what_the_network_gets(cnn, garments, sensitivity):
    costs = bit_costs(sensitivity)
    for allocate in (allocate_greedy, allocate_uniform):
        allocation = allocate(costs, sensitivity.losses, 60_000)
        static = apply_static(cnn, garments, mixed_config(allocation.levels, CONFIG))
        got = {layer.name: layer.weight_bits for layer in report_quantization(static).layers}
        assert got == allocation.levels
        assert sum(got[name] * int(n) for name, n in zip(LAYERS, sensitivity.n_weights, strict=True)) == allocation.cost
        assert allocation.cost <= 60_000


def test_settings_of_mixed_bits():
    config = QuantConfig(weights=int_format(4, "affine"), granularity=PER_TENSOR, calibration="mse")
    mixed = mixed_config({"a": 2, "b": 8}, config)
    assert mixed == replace(
        config, weights=None, overrides={"a": int_format(2, "affine"), "b": int_format(8, "affine")}
    )
    assert mixed_config({"a": 8}) == QuantConfig(weights=None, overrides={"a": INT8})


def test_layers_without_bits_have_weights_in_float(cnn, garments):
    static = apply_static(cnn, garments, mixed_config({"conv2": 3}, CONFIG))
    wrapped = {name: each for name, each in static.named_modules() if isinstance(each, QuantizedLayer)}
    assert [name for name, each in wrapped.items() if each.weight_quantizer is not None] == ["conv2"]
    assert set(wrapped) == set(LAYERS)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ((2, 4), "bits must descend"),
        ((4, 4), "bits must descend"),
        ((), "at least one"),
        ((8, 1), "1 bit in the scheme 'symmetric'"),
        ((32, 8), "bits must be from 1 to 16"),
    ],
)
def test_wrong_bits_are_refused_before_anything_is_measured(levels, message):
    with pytest.raises(ValueError, match=message):
        measure_bit_sensitivity(network(), toy(seed=None), [None], bits=levels)


def test_bits_that_are_no_whole_numbers_are_refused():
    with pytest.raises(TypeError, match="bits must be a whole number"):
        measure_bit_sensitivity(network(), toy(seed=None), [None], bits=(8.0, 4.0))
