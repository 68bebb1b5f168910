"""Sensitivity against networks pruned by hand, one layer at a time."""

import copy
import threading

import numpy as np
import pytest
import torch

from labcore.data import Batches
from labcore.models import load_model, make_model
from labcore.results import Sensitivity
from labcore.search import measure_sensitivity
from labcore.training import TrainConfig, evaluate, fit
from toy import bits, network, toy

LEVELS = [0.0, 0.25, 0.5, 0.75]


@pytest.fixture(scope="module")
def garments():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(60, 1, 14, 14, generator=generator)
    # The network's own answers: every prediction that pruning changes shows.
    return Batches((images, load_model("lab_cnn")(images).argmax(1)), 30)


def test_weights_against_layers_cut_by_hand():
    model, batches = network(), toy(seed=None)
    fit(model, toy(), TrainConfig(epochs=20, learning_rate=0.02))
    sensitivity = measure_sensitivity(model, batches, levels=LEVELS)
    assert sensitivity.layers == ("0.weight", "4.weight")
    assert sensitivity.n_weights.tolist() == [32, 32]
    assert sensitivity.baseline == evaluate(model, batches).accuracy
    for i, name in enumerate(sensitivity.layers):
        for j, level in enumerate(LEVELS):
            cut = copy.deepcopy(model)
            weights = cut.get_parameter(name).data.view(-1)
            weights[weights.abs().argsort()[: round(level * len(weights))]] = 0
            assert sensitivity.accuracies[i, j] == evaluate(cut, batches).accuracy
    assert len(np.unique(sensitivity.accuracies)) > 3  # otherwise nothing was compared


def test_a_channel_taken_out_is_a_channel_that_stays_silent(garments):
    model = load_model("lab_cnn")
    sensitivity = measure_sensitivity(model, garments, levels=LEVELS, kind="channels")
    assert sensitivity.layers == ("conv1", "conv2", "conv3")
    assert sensitivity.n_weights.tolist() == [144, 4608, 9216]
    for i, name in enumerate(sensitivity.layers):
        norms = model.get_submodule(name).weight.detach().double().abs().sum((1, 2, 3))
        for j, level in enumerate(LEVELS):
            silent = copy.deepcopy(model)
            gone = norms.argsort()[: round(level * len(norms))]
            norm = silent.get_submodule(name.replace("conv", "bn"))
            norm.weight.data[gone] = norm.bias.data[gone] = 0
            assert sensitivity.accuracies[i, j] == evaluate(silent, garments).accuracy
    assert len(np.unique(sensitivity.accuracies)) > 3


@pytest.mark.case("B-eval-mutates")
@pytest.mark.parametrize("kind", ["weights", "channels"])
def test_the_model_stays_as_it_was_in_its_mode(kind, garments):
    model = make_model("lab_cnn").train()
    before = bits(model)
    first = measure_sensitivity(model, garments, levels=[0.5], kind=kind)
    again = measure_sensitivity(model, garments, levels=[0.5], kind=kind)
    assert bits(model) == before
    assert all(module.training for module in model.modules())
    assert first.accuracies.tolist() == again.accuracies.tolist()


def test_chosen_layers_come_in_the_order_asked_for(garments):
    model = load_model("lab_cnn")
    sensitivity = measure_sensitivity(
        model, garments, levels=[0.5], layers=["conv3", "conv1"], kind="channels", sample=torch.zeros(2, 1, 14, 14)
    )
    both = measure_sensitivity(model, garments, levels=[0.5], kind="channels")
    assert sensitivity.layers == ("conv3", "conv1")
    assert sensitivity.accuracies.tolist() == both.accuracies[[2, 0]].tolist()


def test_stopping_leaves_the_rest_unmeasured():
    shares, stop = [], threading.Event()

    def progress(share):
        shares.append(share)
        if len(shares) == 3:
            stop.set()

    sensitivity = measure_sensitivity(network(), toy(seed=None), levels=LEVELS, stop=stop, progress=progress)
    assert shares == [1 / 8, 2 / 8, 3 / 8]
    assert np.isnan(sensitivity.accuracies).sum() == 5
    assert np.isfinite(sensitivity.accuracies[0, :3]).all()


def test_the_safe_level_is_the_highest_within_the_floor():
    accuracies = np.array([[0.90, 0.88, 0.70], [0.87, 0.60, 0.50], [0.90, np.nan, np.nan], [0.80, 0.89, 0.10]])
    sensitivity = Sensitivity(("a", "b", "c", "d"), np.array([0.1, 0.5, 0.9]), accuracies, np.ones(4), 0.9)
    # 0.90 - 0.88 is more than 0.02 in floating point.
    assert sensitivity.safe_levels(0.02) == {"a": 0.5, "b": 0.0, "c": 0.1, "d": 0.5}
    assert sensitivity.losses["a"] == pytest.approx({0.1: 0, 0.5: 0.02, 0.9: 0.2})


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"levels": [80]}, TypeError, r"every level must be a float in \[0, 1\), got 80; did you mean 0.80"),
        ({"levels": [0.5, 1.0]}, ValueError, "every level must be in"),
        ({"levels": [0.5, 0.5]}, ValueError, "levels must ascend"),
        ({"levels": []}, ValueError, "at least one"),
        ({"levels": [0.5], "kind": "filters"}, ValueError, "choose one of: weights, channels"),
        ({"levels": [0.5], "layers": ["1.weight"]}, ValueError, "near it: 4.weight, 0.weight"),
    ],
)
def test_wrong_settings_say_what_is_right(settings, error, message):
    with pytest.raises(error, match=message):
        measure_sensitivity(network(), toy(seed=None), **settings)
