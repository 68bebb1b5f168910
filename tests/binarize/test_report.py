import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from labcore import binarize, metrics, models
from labcore.binarize import compare_convolutions, report, report_bits, report_partial, report_signs, theory_speedup


def test_signs_of_a_layer_by_hand():
    weight = torch.tensor([[0.9, -0.6, 0.1, -0.2, 0.3, 0.05], [1.0, 1.0, -1.0, 1.0, -1.0, 1.0]])
    binary, ternary = report_signs(weight, "x"), report_signs(weight, "x", factor=0.7)
    assert binary.codes[0].tolist() == [1, -1, 1, -1, 1, 1]
    assert binary.factor is None
    assert not binary.deltas.any()
    assert binary.alphas == pytest.approx([2.15 / 6, 1])
    assert binary.error == binary.binary_error
    assert ternary.codes[0].tolist() == [1, -1, 0, 0, 1, 0]
    assert ternary.alphas == pytest.approx([0.6, 1])
    assert ternary.zeros == pytest.approx(3 / 12)
    assert ternary.deltas == pytest.approx([0.7 * 2.15 / 6, 0.7])
    error = (0.3**2 + 0 + 0.1**2 + 0.2**2 + 0.3**2 + 0.05**2) / (weight.double().square().sum().item())
    assert ternary.error == pytest.approx(error)


def test_the_curve_of_errors_starts_at_the_binary_one_and_passes_the_chosen():
    report = report_signs(models.load_model("lab_cnn").conv3.weight, "conv3", factor=0.7)
    assert report.errors[0] == pytest.approx(report.binary_error, rel=1e-6)
    assert report.error == pytest.approx(np.interp(0.7, report.factors, report.errors), rel=1e-6)
    factor, least = report.best
    assert 0.3 < factor < 1.2
    assert least <= report.error < report.binary_error


def test_bits_by_hand():
    product = report_bits([1, -1, 1, 1, -1], [1, 1, -1, 1, -1])
    assert product.a_bits.tolist() == [0, 1, 0, 0, 1, 0, 0, 0]
    assert product.differ.tolist() == [0, 1, 1, 0, 0, 0, 0, 0]
    assert (product.popcount, product.product, product.padded_product) == (2, 1, 4)


def test_bits_give_the_product_of_any_two_vectors():
    rng = np.random.default_rng(0)
    for length in range(1, 17):
        a, b = (rng.choice([-1, 1], length).tolist() for _ in range(2))
        assert report_bits(a, b, word=16).product == int(np.dot(a, b))


@pytest.mark.parametrize(("a", "b"), [([1], [1, 1]), ([], []), ([1] * 9, [1] * 9), ([1, 0], [1, 1])])
def test_other_vectors_are_named(a, b):
    with pytest.raises(ValueError, match="signs"):
        report_bits(a, b)


@pytest.mark.parametrize(("channels", "positions", "expected"), [(256, 9, 62.27), (3, 1, 2.87), (64, 9, 57.6)])
def test_speed_up_of_the_paper(channels, positions, expected):
    assert theory_speedup(channels, positions) == pytest.approx(expected, abs=0.005)


def test_costs_of_a_partly_binary_network():
    model, sample = models.make_blocks().eval(), torch.zeros(1, 1, 14, 14)
    accuracies = {name: np.full(3, i / 10) for i, name in enumerate(("none", "conv2 + conv3", "conv1 + fc"))}
    none, middle, ends = (
        report_partial(model, names, accuracies, sample=sample) for names in ((), ("conv3", "conv2"), ("conv1", "fc"))
    )
    assert none.binary_macs == 0
    assert none.file_bytes == none.real_bytes == metrics.measure_sizes(model).file_bytes
    assert middle.binary == ("conv2", "conv3")
    assert middle.accuracies[0] == 0.1
    assert middle.all_binary[0] == 0.1
    assert middle.binary_macs == 49 * 16 * 32 * 9 + 9 * 32 * 32 * 9
    assert {each.real_macs + each.binary_macs for each in (none, middle, ends)} == {none.real_macs}
    # The first layer adds real pixels, with signs of its weights; the last one counts.
    assert ends.binary_macs == 288 * 10
    config = binarize.BinaryConfig(activations="binary")
    made = binarize.fix_binary(binarize.apply_binary(model, config, layers=["conv2", "conv3"]))
    assert middle.file_bytes == binarize.measure_file_bytes(made) < none.file_bytes / 3


def test_three_ways_to_compute_one_convolution_are_timed():
    result = compare_convolutions(70, size=6, runs=2)
    assert min(result.packed_ms, result.library_ms, result.naive_ms) > 0
    assert result.formula == pytest.approx(theory_speedup(70, 9))
    assert result.against_naive == pytest.approx(result.naive_ms / result.packed_ms)
    assert compare_convolutions(8, kernel=1, size=4, runs=1).kernel == 1


def test_the_public_layer_of_one_filter_is_reported():
    assert report_signs(nn.Linear(3, 1).weight, "fc").codes.shape == (1, 3)


def test_times_stand_under_the_names_of_their_ways(monkeypatch):
    asked = {}

    def measured(ways, batch, **settings):
        asked.update(settings)
        return [SimpleNamespace(p50_ms=time) for time in (1.0, 2.0, 30.0)]

    monkeypatch.setattr(report.metrics, "measure_in_turn", measured)
    stop = threading.Event()
    result = compare_convolutions(8, size=4, runs=3, stop=stop)
    assert (result.packed_ms, result.library_ms, result.naive_ms) == (1, 2, 30)
    assert (asked["runs"], asked["stop"]) == (3, stop)


def test_ways_that_differ_are_not_timed(monkeypatch):
    monkeypatch.setattr(report, "packed_conv2d", lambda *_, **__: np.zeros((1, 8, 4, 4), np.int32))
    with pytest.raises(ArithmeticError, match="three ways to compute one convolution differ"):
        compare_convolutions(8, size=4, runs=1)


def test_errors_at_hand_are_not_computed_again():
    errors = np.zeros(81)
    assert report_signs(torch.ones(2, 3), "x", errors=errors).errors is errors


def test_every_choice_stands_beside_the_real_network_and_the_middle():
    model, sample = models.make_blocks().eval(), torch.zeros(1, 1, 14, 14)
    accuracies = {name: np.full(3, i / 10) for i, name in enumerate(("none", "conv2 + conv3", "conv1 + fc"))}
    for names, accuracy in (((), 0), (("conv2", "conv3"), 0.1), (("fc", "conv1"), 0.2)):
        shown = binarize.report_partial(model, names, accuracies, sample=sample)
        assert (shown.accuracies[0], shown.real[0], shown.all_binary[0]) == (accuracy, 0, 0.1)
