"""The panels of chapter 1 on the shipped networks: what is on the screen is what was measured."""

import numpy as np
import pytest

from labcore import data, models, prune, quantize, search, surgery
from labcore.training import evaluate
from labcore.widgets import explorers


@pytest.fixture(scope="module")
def digits():
    return data.load_dataset("mnist5k")


@pytest.fixture(scope="module")
def lenet():
    return models.load_model("lenet_300_100")


@pytest.fixture(scope="module")
def scalpel(lenet, digits):
    return explorers.pruning(lenet, digits)


@pytest.fixture(scope="module")
def garments():
    return data.load_dataset("fashion14").subset(500, 500)


@pytest.fixture(scope="module")
def cnn():
    return models.load_model("lab_cnn")


@pytest.mark.case("C-invented")
def test_the_scalpel_shows_the_accuracy_of_the_masked_network(scalpel, lenet, digits):
    scalpel.start_again()
    scalpel.controls["sparsity"].value = 0.95
    masks = prune.magnitude_masks(lenet, sparsity=0.95, scope="global")
    accuracy = evaluate(prune.apply_masks(lenet, masks), digits.batches()).accuracy
    assert scalpel.view._measurement.accuracy.value == accuracy
    assert scalpel.view._report.sparsity == pytest.approx(0.95, abs=1e-5)


def test_repair_under_the_mask_keeps_every_zero_and_gains(scalpel):
    scalpel.play("cliff 95 %")
    cut = scalpel.view._measurement
    scalpel.play("cliff, repaired")
    repaired = scalpel.view._measurement
    assert repaired.tuned
    assert repaired.sparsity == cut.sparsity
    assert repaired.accuracy.value > cut.accuracy.value + 0.1


@pytest.mark.case("P-regrow")
def test_a_forgotten_mask_looks_better_and_has_lost_its_zeros(scalpel):
    scalpel.play("cliff, repaired")
    held = scalpel.view._measurement
    scalpel.play("cliff, mask forgotten")
    forgotten = scalpel.view._measurement
    assert forgotten.accuracy.value > held.accuracy.value
    assert forgotten.sparsity < 0.5


def test_the_map_and_the_histogram_show_the_same_zeros(scalpel):
    scalpel.start_again()
    report, view = scalpel.view._report, scalpel.view
    assert (np.asarray(view._map.get_array()) == 0).mean() == pytest.approx(report.by_layer["fc1.weight"], abs=1e-6)
    assert report.cut == pytest.approx(np.abs(report.weights[~report.kept]).max())
    assert report.cut <= np.abs(report.weights[report.kept]).min()


def test_the_scalpel_leaves_its_model_as_it_was(lenet, scalpel):
    assert prune.sparsity_of(lenet) == 0


@pytest.mark.case("C-dropdown")
@pytest.mark.parametrize("control", ["score", "scope", "sparsity", "layer"])
def test_every_option_of_the_scalpel_works(scalpel, control):
    scalpel.start_again()
    for option in scalpel.controls[control].options:
        scalpel.controls[control].value = option[1] if isinstance(option, tuple) else option


def test_the_filter_panel_counts_what_is_left_by_removing_it(cnn, garments):
    panel = explorers.filters(cnn, garments)
    panel.controls["ratio"].value = 0.5
    # Half of every width leaves the network of width 8.
    assert panel.view._report.costs["parameters"] == 5058 / 17_018
    assert panel.view._report.costs["MACs"] == 92_736 / 339_840
    assert panel.view._report.removed.sum() == 8
    assert set(panel.view._report.later) == {"after 2 epochs", "from scratch"}
    panel.controls["ratio"].value = 0.0
    assert panel.view._measurement.accuracy.pair.difference.value == 0


def test_the_budget_game_compares_three_players_on_one_budget(cnn, garments):
    sensitivity = search.measure_sensitivity(cnn, garments.batches(), levels=(0.0, 0.5, 0.8))
    panel = explorers.budget(cnn, garments, sensitivity)
    panel.controls["allowed"].value = "20 %"
    report = panel.view._report
    assert report.players["same share"].levels == dict.fromkeys(sensitivity.layers, 0.8)
    assert report.players["machine"].cost <= report.budget
    pruned = prune.apply_masks(cnn, prune.magnitude_masks(cnn, sparsity=0.8))
    assert panel.view._accuracies["same share"] == evaluate(pruned, garments.batches()).accuracy
    panel.play("half of conv1.weight")
    assert "you are over the budget" in panel.view.readout


def test_the_same_game_plays_with_bits(cnn, garments):
    model = surgery.fold_batch_norm(cnn, garments.test_images[:1])
    config = quantize.QuantConfig(granularity=quantize.PER_TENSOR)
    shown = [garments.train_images[:500]]
    sensitivity = search.measure_bit_sensitivity(model, garments.batches(), shown, bits=(8, 4, 3, 2), config=config)
    panel = explorers.budget_bits(model, garments, sensitivity, config)
    report = panel.view._report
    assert report.unit == "bytes"
    assert report.budget == pytest.approx(1.02 * 16_848 / 2)
    assert report.players["you"].levels == report.players["same bits"].levels == dict.fromkeys(sensitivity.layers, 4)
    assert report.players["you"].cost == 16_848 / 2
    four = quantize.QuantConfig(weights=quantize.INT4, granularity=quantize.PER_TENSOR)
    static = quantize.apply_static(model, shown, four)
    assert panel.view._accuracies["you"] == evaluate(static, garments.batches()).accuracy
    panel.controls["fc"].value = 8
    assert panel.view._report.players["you"].levels["fc"] == 8
    assert "you are over the budget" in panel.view.readout
    for scene in panel.scenes:
        panel.play(scene.name)
        assert panel.view._report.players["machine"].cost <= panel.view._report.budget
    # What the last scene says: the machine's few bytes more win back points.
    assert panel.view._report.players["machine"].cost - panel.view._report.players["you"].cost < 130
    assert panel.view._accuracies["machine"] > panel.view._accuracies["you"] + 0.01
