"""The panels of chapter 2 on the shipped network: what is on the screen is what was computed."""

import numpy as np
import pytest
import torch

from labcore import data, models, quantize, search, surgery
from labcore.training import evaluate
from labcore.widgets import explorers
from panel_checks import move_every_control, settings_of


@pytest.fixture(scope="module")
def garments():
    return data.load_dataset("fashion14").subset(600, 500)


@pytest.fixture(scope="module")
def cnn():
    return models.load_model("lab_cnn")


@pytest.fixture(scope="module")
def number_line(cnn):
    return explorers.number_line(cnn.conv3.weight, "weights of conv3")


@pytest.fixture(scope="module")
def clipping(cnn, garments):
    return explorers.clipping(cnn, garments)


@pytest.fixture(scope="module")
def aware(cnn, garments):
    return quantize.load_aware(surgery.fold_batch_norm(cnn, garments.test_images[:1]), garments.test_images[:1])


@pytest.fixture(scope="module")
def network(cnn, garments, aware):
    return explorers.quantization(cnn, garments, aware)


@pytest.fixture(scope="module")
def calibrations():
    return explorers.calibrations()


@pytest.fixture(scope="module")
def all_garments():
    return data.load_dataset("fashion14")


@pytest.fixture(scope="module")
def walk(cnn, all_garments):
    return explorers.integer_walk(cnn, all_garments, ("conv1", "conv2"), (4, 6, 10))


@pytest.mark.case("C-dropdown")
@pytest.mark.parametrize("name", ["number_line", "clipping", "calibrations", "network", "walk"])
def test_every_control_works_at_all_its_values(name, request):
    move_every_control(request.getfixturevalue(name))


# --- number line ---


def test_the_number_line_shows_the_error_of_the_layer_s_own_weights(number_line, cnn):
    number_line.start_again()
    weight = cnn.conv3.weight.detach()
    approximated = quantize.fake_quantize(weight, quantize.fit_grid(weight, quantize.INT4))
    expected = quantize.measure_quality(weight, approximated).sqnr_db
    assert number_line.view._report.sqnr_db == pytest.approx(expected, abs=1e-4)


def test_scenes_of_the_number_line_are_true(number_line):
    ratios = {}
    for scene in number_line.scenes:
        number_line.play(scene.name)
        ratios[scene.name] = number_line.view._report.sqnr_db
    number_line.start_again()
    start = number_line.view._report.sqnr_db
    assert ratios["one bit more"] - start == pytest.approx(6, abs=1.5)
    assert ratios["clip at 2.5 sigma"] > start + 1
    assert ratios["one outlier"] < start - 10
    assert ratios["one outlier"] < ratios["outlier, clipped"] < ratios["clip at 2.5 sigma"]
    assert ratios["8 bits"] > 35


def test_the_magnified_value_walks_along_the_line(number_line):
    number_line.start_again()
    values = []
    for place in range(24):
        number_line.controls["value"].value = place
        report = number_line.view._report
        values.append(report.values[report.index])
    assert values == sorted(values)
    assert (values[0], values[-1]) == (report.values.min(), report.values.max())


# --- clip or round ---


@pytest.mark.case("C-invented")
def test_clip_or_round_shows_the_accuracy_of_the_network_with_these_ranges(clipping, cnn, garments):
    clipping.start_again()
    clipping.play("cut off 1 %")
    config = quantize.QuantConfig(
        activations=quantize.int_format(3), calibration="percentile", percentile=99, after_relu="signed"
    )
    folded = surgery.fold_batch_norm(cnn, garments.test_images[:1])
    net = quantize.apply_static(folded, [garments.train_images[:500]], config)
    assert clipping.view._measurement.accuracy.value == evaluate(net, garments.batches()).accuracy


def test_scenes_of_clip_or_round_are_true(clipping):
    found = {}
    for scene in clipping.scenes:
        clipping.play(scene.name)
        found[scene.name] = clipping.view._measurement.accuracy.value
    assert found["cut off 1 %"] > found["keep all"] + 0.1
    assert found["cut off 10 %"] < found["cut off 1 %"] - 0.02
    assert found["no sign, keep all"] > found["keep all"] + 0.1


def test_the_chosen_threshold_lies_where_its_method_puts_it(clipping):
    clipping.start_again()
    clipping.controls["method"].value = "mse"
    report = clipping.view._report
    assert report.threshold == pytest.approx(report.curve.best, rel=0.05)
    clipping.start_again()
    assert clipping.view._report.clipped == 0
    clipping.controls["percentile"].value = 99.0
    assert clipping.view._report.clipped == pytest.approx(0.01, abs=0.002)


def test_histograms_hold_what_the_layers_give(cnn, garments):
    folded = surgery.fold_batch_norm(cnn, garments.test_images[:1])
    histograms = quantize.observe_activations(folded, [garments.train_images[:100]])
    assert list(histograms) == ["input", "conv1", "conv2", "conv3"]
    with torch.inference_mode():
        first = torch.relu(folded.conv1(garments.train_images[:100]))
    counts, means = histograms["conv1"].filled()
    assert counts.sum() == first.numel()
    assert histograms["conv1"].max_magnitude == pytest.approx(float(first.max()), rel=1e-3)
    assert (counts * means).sum() == pytest.approx(float(first.double().sum()), rel=1e-3)


def test_the_clipping_sweep_is_computed_once_a_layer(cnn, garments, monkeypatch):
    swept = []
    compute = quantize.sweep_clipping

    def count(histogram, format):
        swept.append(format)
        return compute(histogram, format)

    monkeypatch.setattr(quantize, "sweep_clipping", count)
    panel = explorers.clipping(cnn, garments)
    assert len(swept) == 1
    for name in ("percentile", "method"):
        panel.start_again()
        for option in settings_of(panel.controls[name]):
            panel.controls[name].value = option
    assert len(swept) == 1
    panel.start_again()
    panel.controls["layer"].value = "conv1"
    assert len(swept) == 2
    panel.controls["percentile"].value = 99.0
    panel.controls["layer"].value = "conv3"
    assert len(swept) == 2


# --- the contest of calibrations ---


@pytest.mark.case("C-invented")
@pytest.mark.parametrize(("words", "bits"), [("15 levels (unsigned 4 bits)", 4), ("3 levels (unsigned 2 bits)", 2)])
def test_the_contest_shows_what_the_sweep_holds(calibrations, words, bits):
    calibrations.start_again()
    calibrations.controls["network"].value = "lab_mobile"
    calibrations.controls["levels"].value = words
    choice = calibrations.view._choice
    stored = {
        point.settings["calibration"]: point.accuracies
        for point in search.load_sweep("quantization")
        if point.label.startswith(f"lab_mobile, static, W8 A{bits}, per channel, ")
        and "folded" not in point.label and "signed" not in point.label
    }  # fmt: skip
    assert len(stored) == len(choice.accuracies) == 6
    assert choice.accuracies["largest value"].tolist() == stored["max"].tolist()
    assert choice.accuracies["least squared error"].tolist() == stored["mse"].tolist()
    assert choice.accuracies["99 %"].tolist() == stored["99 %"].tolist()


def test_scenes_of_the_contest_are_true(calibrations):
    means = {}
    for scene in calibrations.scenes:
        calibrations.play(scene.name)
        means[scene.name] = {name: each.mean() for name, each in calibrations.view._choice.accuracies.items()}
    many, few, depthwise = (means[name] for name in ("plain, many levels", "plain, 3 levels", "depthwise"))
    assert max(many.values()) - min(many.values()) < 0.02
    assert few["largest value"] < max(few.values()) - 0.1
    assert max(depthwise.values()) - depthwise["largest value"] > 2 * (max(many.values()) - many["largest value"])


# --- the whole network ---


@pytest.mark.case("C-invented")
@pytest.mark.parametrize("mode", ["static", "dynamic", "weight-only"])
def test_the_network_panel_shows_the_quantized_network_s_accuracy_and_file(network, cnn, garments, mode):
    network.start_again()
    network.controls["weights"].value = 4
    network.controls["mode"].value = mode
    config = quantize.QuantConfig(weights=quantize.INT4, granularity=quantize.PER_TENSOR)
    folded = surgery.fold_batch_norm(cnn, garments.test_images[:1])
    net = {
        "static": lambda: quantize.apply_static(folded, [garments.train_images[:500]], config),
        "dynamic": lambda: quantize.apply_dynamic(folded, config),
        "weight-only": lambda: quantize.apply_weight_only(folded, config),
    }[mode]()
    assert network.view._measurement.accuracy.value == evaluate(net, garments.batches()).accuracy
    assert network.view._report.sizes["file of codes"] == quantize.measure_file_bytes(net)


def test_scenes_of_the_network_panel_are_true(network):
    found, sizes = {}, {}
    for scene in network.scenes:
        network.play(scene.name)
        found[scene.name] = network.view._measurement.accuracy.value
        sizes[scene.name] = network.view._report.sizes
    network.start_again()
    eight = network.view._measurement.accuracy.value
    assert abs(eight - found["weights only"]) < 0.012
    assert sizes["weights only"]["codes and scales"] < 0.26 * sizes["weights only"]["float file"]
    assert found["weights on 3 bits"] < eight - 0.05
    assert found["one scale a channel"] > found["weights on 3 bits"] + 0.02
    assert found["2 bits"] < 0.3
    network.play("weights only")
    assert network.view._report.energy["computing"] > 0.1  # weights only: floating-point arithmetic


@pytest.mark.case("C-invented")
@pytest.mark.parametrize("bits", quantize.AWARE_BITS)
def test_the_mode_aware_shows_the_network_that_was_trained_on_these_bits(network, garments, aware, bits):
    network.start_again()
    network.controls["mode"].value = "aware"
    network.controls["weights"].value = bits
    report = network.view._report
    assert network.view._measurement.accuracy.value == evaluate(aware[bits], garments.batches()).accuracy
    assert report.sizes["file of codes"] == quantize.measure_file_bytes(aware[bits])
    assert report.sqnr_db.tolist() == [each.sqnr_db for each in quantize.report_quantization(aware[bits]).layers]
    assert network.view.readout.startswith(f"trained on {bits} bits: weights and activations, one scale a channel")


@pytest.mark.case("C-invented")
@pytest.mark.parametrize(("asked", "shown"), [(6, 4), (5, 4)])
def test_bits_that_were_not_trained_are_said_and_fewer_stand_in(network, garments, aware, asked, shown):
    network.start_again()
    network.controls["mode"].value = "aware"
    network.controls["weights"].value = asked
    assert f"not trained on {asked} bits (8, 4, 3, 2); trained on {shown} bits: weights" in network.text
    assert network.view._measurement.accuracy.value == evaluate(aware[shown], garments.batches()).accuracy


def test_training_with_rounding_wins_back_about_half_of_the_loss(cnn, all_garments, aware):
    panel = explorers.quantization(cnn, all_garments, aware)  # all images, as on the learner's screen
    panel.play("trained with rounding")
    trained = panel.view._measurement
    panel.controls["mode"].value = "static"
    calibrated = panel.view._measurement
    won_back = trained.accuracy.value - calibrated.accuracy.value
    assert 0.35 < won_back / -calibrated.pair.difference.value < 0.65


def test_the_other_controls_rest_in_the_mode_aware_and_in_no_other(network):
    network.play("trained with rounding")
    right = network.view._measurement.accuracy.value
    for name, value in {"activations": 8, "granularity": "per tensor", "calibration": "entropy"}.items():
        network.controls[name].value = value
        assert network.view._measurement.accuracy.value == right
    network.controls["mode"].value = "static"
    assert network.view.readout.startswith("measured now")


def test_energy_is_the_share_of_the_float_network(network):
    network.start_again()
    # 45 nm: 8-bit multiply 0.2 and 32-bit add 0.1 pJ, float 4.6 pJ; memory reads a quarter of the bits.
    energy = network.view._report.energy
    macs, params = 339_840, 17_018
    total = macs * 4.6 + params * 640
    assert energy["computing"] == pytest.approx(macs * 0.3 / total)
    assert energy["reading weights"] == pytest.approx(params * 160 / total)


# --- the walk ---


def test_the_walk_ends_where_the_integer_network_does(walk, cnn, all_garments):
    walk.start_again()
    walk.controls["step"].value = 6
    folded = surgery.fold_batch_norm(cnn, all_garments.test_images[:1])
    static = quantize.apply_static(folded, [all_garments.train_images[:250]], quantize.QuantConfig())
    net = quantize.convert(static, all_garments.test_images[:1])
    with torch.inference_mode():
        codes = net.body.conv1(quantize.encode(all_garments.test_images[:1], net.input.grid))
    for channel in range(16):
        walk.controls["channel"].value = channel
        assert walk.view._walk.output_code == int(codes[0, channel, 6, 10])


def test_a_narrow_accumulator_wraps_like_the_type_of_that_width(walk):
    for bits, kind in ((8, np.int8), (16, np.int16), (32, np.int32)):
        walk.start_again()
        walk.controls["step"].value = 4
        walk.controls["accumulator"].value = bits
        report = walk.view._walk
        with np.errstate(over="ignore"):
            products = (report.input_codes.astype(int) - report.input_zero) * report.weight_codes.astype(int)
            assert report.sums.tolist() == np.cumsum(products).astype(kind).tolist()


def test_the_wrong_turn_is_far_off(walk):
    walk.play("the output")
    right = walk.view._walk
    assert abs(right.decoded - right.output) <= right.output_scale
    walk.play("wrong turn: 8 bits")
    wrong = walk.view._walk
    assert abs(wrong.decoded - wrong.output) > 10 * wrong.output_scale
