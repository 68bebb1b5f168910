"""What is shipped can be made again."""

import numpy as np
import pytest
import torch

from labcore import data, models, runtime
from labcore.data import Batches
from labcore.metrics import count_params, measure_costs, measure_sizes
from labcore.recipes.__main__ import MAKERS, main
from labcore.recipes.weights import RECIPES, WIDTHS, Flipped, train
from labcore.search import load_sweep


@pytest.mark.slow
@pytest.mark.case("C-nonsense")
def test_training_lab_cnn_again_gives_its_accuracy_within_one_point():
    model, evaluation = train("lab_cnn")
    entry = runtime.read_manifest()["lab_cnn.safetensors"]
    assert evaluation.accuracy == pytest.approx(entry["n_correct"] / entry["n_images"], abs=0.01)
    assert count_params(model) == 17_018


def test_every_shipped_file_names_its_recipe():
    for name, entry in runtime.read_manifest().items():
        assert entry["made_by"].startswith("python -m labcore.recipes "), name
        assert entry["made_by"].split()[-1] in MAKERS


def test_what_is_shipped_stays_small():
    assert sum(len(runtime.read_shipped(name)) for name in runtime.read_manifest()) < 12e6


def test_every_model_has_a_recipe():
    assert set(RECIPES) == {"lab_cnn", "lab_resnet", "lab_mobile", "lenet_300_100", "lenet5"}


@pytest.mark.case("C-noise")
def test_the_sweep_of_widths_has_seven_widths_and_five_seeds():
    points = [point for point in load_sweep("widths") if point.label.startswith("lab_cnn")]
    assert [point.settings["width"] for point in points] == list(WIDTHS)
    assert all(point.accuracies.shape == (5,) for point in points)


def test_the_costs_of_the_sweep_are_those_of_its_networks():
    sample = data.load_dataset("fashion14").test_images[:1]
    for point in load_sweep("widths"):
        model = models.make_model(point.label.split(",")[0], width=int(point.settings["width"]))
        costs = measure_costs(model, sample)
        assert (point.n_params, point.macs) == (costs.n_params, costs.macs), point.label
        assert point.file_bytes == measure_sizes(model).file_bytes


def test_an_unknown_recipe_lists_the_known_ones():
    with pytest.raises(SystemExit, match="choose from: fashion14"):
        main(["nothing"])


def test_mirrored_batches_hold_each_image_as_it_is_or_mirrored_and_repeat():
    images = torch.arange(2.0 * 8 * 9).reshape(16, 1, 3, 3)
    with runtime.fork_rng(0):
        ((mirrored, labels),) = list(Flipped(Batches((images, torch.arange(16)), 16)))
    with runtime.fork_rng(0):
        ((again, _),) = list(Flipped(Batches((images, torch.arange(16)), 16)))
    same = (mirrored == images).flatten(1).all(1)
    assert 0 < same.sum() < 16
    assert (mirrored[~same] == images[~same].flip(3)).all()
    assert torch.equal(mirrored, again)
    assert np.array_equal(labels, np.arange(16))
