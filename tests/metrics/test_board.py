"""Four currencies of one network, class by class changes, and costs against a reference."""

import copy
import threading

import numpy as np
import pytest
import torch
from torch import nn

from labcore import metrics, models
from labcore.metrics.board import measure_layer_times
from labcore.results import Evaluation

SAMPLE = torch.rand(2, 1, 14, 14)
BATCHES = [(torch.rand(4, 1, 14, 14), torch.tensor([0, 1, 2, 3]))]


def test_the_board_holds_each_layer_that_multiplies():
    board = metrics.make_board(models.make_model("lab_cnn"), SAMPLE, label="width 16")
    assert board.layers == ("conv1", "conv2", "conv3", "fc")
    assert board.values["parameters"].tolist() == [144, 4608, 9216, 2890]
    # By hand: output places times weights of a filter times filters.
    assert board.values["macs"].tolist() == [196 * 9 * 16, 49 * 144 * 32, 9 * 288 * 32, 288 * 10]
    assert board.values["activations"].tolist() == [16 * 196, 32 * 49, 32 * 9, 10]
    assert board.totals["parameters"] == "17,018 in all"


def test_the_measurement_is_that_of_the_evaluation():
    model = models.make_model("lab_cnn").eval()
    board = metrics.make_board(model, SAMPLE, label="")
    measured = metrics.measure_board(model, board, BATCHES, SAMPLE)
    with torch.no_grad():
        right = int((model(BATCHES[0][0]).argmax(1) == BATCHES[0][1]).sum())
    assert (measured.n_correct, measured.n_images, measured.batch) == (right, 4, 2)
    assert measured.accuracy.value == right / 4
    assert (measured.layer_ms > 0).all()
    assert measured.layer_ms.sum() < measured.total_ms


def test_a_stopped_measurement_gives_nothing():
    stop = threading.Event()
    stop.set()
    model = models.make_model("lab_cnn").eval()
    board = metrics.make_board(model, SAMPLE, label="")
    assert metrics.measure_board(model, board, BATCHES, SAMPLE, stop=stop) is None


def test_timing_layers_leaves_no_hook_behind():
    model = models.make_model("lab_cnn")
    measure_layer_times(model, SAMPLE, ("conv1",), runs=1)
    assert not model.conv1._forward_hooks
    assert not model.conv1._forward_pre_hooks
    assert model.training


def test_who_pays_on_four_images():
    labels = np.array([0, 0, 1, 1])
    before, after = (Evaluation(np.array(answers), labels, 2) for answers in ([0, 0, 1, 0], [0, 1, 1, 1]))
    changes = metrics.measure_changes(before, after)
    assert changes.before.tolist() == [1.0, 0.5]
    assert changes.after.tolist() == [0.5, 1.0]
    assert changes.flipped.tolist() == [1, 1]
    assert changes.lost.tolist() == [1]


def test_the_interval_of_a_class_is_that_of_its_own_images():
    labels = np.array([0, 0, 0, 1])
    intervals = metrics.intervals_per_class(Evaluation(np.array([0, 0, 1, 1]), labels, 2))
    alone = metrics.wilson_interval(2, 3)
    assert (intervals[0].low, intervals[0].value, intervals[0].high) == (alone.low, alone.value, alone.high)
    assert intervals[1].value == 1


def test_a_class_without_images_has_no_interval():
    with pytest.raises(ValueError, match="at least 1"):
        metrics.intervals_per_class(Evaluation(np.array([0]), np.array([0]), 2))


def test_sixteen_bits_halve_the_weights_and_no_mac():
    model = nn.Linear(500, 400)
    half_file, half_macs = metrics.cost_ratios(copy.deepcopy(model).half(), model, torch.rand(1, 500))
    assert half_file == pytest.approx(0.5, abs=0.01)
    assert half_macs == 1


@pytest.mark.case("C-not-smaller")
def test_zeros_alone_change_neither_file_nor_macs():
    model, zeros = nn.Linear(50, 40), nn.Linear(50, 40)
    nn.init.zeros_(zeros.weight)
    assert metrics.cost_ratios(zeros, model, torch.rand(1, 50)) == (1, 1)
