"""The workflow: which attempts are made, in which order, and where it stops."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from labcore.data import Batches
from labcore.models import load_model
from labcore.quantize import (
    PER_TENSOR,
    QuantConfig,
    QuantizedLayer,
    apply_static,
    int_format,
    measure_layer_accuracies,
    partial_configs,
    quantize_workflow,
)
from labcore.runtime import NoEffectWarning
from labcore.surgery import fold_batch_norm
from labcore.training import evaluate
from toy import bits, network, toy

CALIBRATIONS = ["max", "entropy", "99.99 %", "99.999 %"]
# 3 bits, one scale a tensor: the network loses much, and each layer its own share.
COARSE = QuantConfig(weights=int_format(3), activations=int_format(3), granularity=PER_TENSOR)


@pytest.fixture(scope="module")
def cnn():
    return fold_batch_norm(load_model("lab_cnn"), torch.zeros(1, 1, 14, 14))


@pytest.fixture(scope="module")
def garments(cnn):
    images = torch.rand(120, 1, 14, 14, generator=torch.Generator().manual_seed(0))
    # The network's own answers: every prediction that quantization changes shows.
    return Batches((images, cnn(images).argmax(1)), 60)


def test_eight_bits_by_the_largest_value_are_enough_and_nothing_else_is_tried(cnn, garments):
    def never(model):
        raise AssertionError("training was not needed")

    before = bits(cnn)
    result = quantize_workflow(cnn, garments, garments, tolerance=0.05, train=never)
    (attempt,) = result.trials.attempts
    assert (attempt.name, attempt.accepted, attempt.in_float) == ("max", True, ())
    assert attempt is result.trials.accepted
    assert attempt.config == {
        "weights": "int8 symmetric", "granularity": "per channel", "activations": "int8 symmetric",
        "calibration": "max",
    }  # fmt: skip
    assert attempt.accuracy == evaluate(apply_static(cnn, garments, QuantConfig()), garments).accuracy
    assert bits(result.model) == bits(apply_static(cnn, garments, QuantConfig()))
    assert bits(cnn) == before


def test_every_attempt_is_what_it_says_and_training_comes_last(cnn, garments):
    trained = []
    result = quantize_workflow(cnn, garments, garments, tolerance=0.0, train=trained.append, config=COARSE)
    trials = result.trials
    assert [each.name for each in trials.attempts] == [*CALIBRATIONS, "1 in float", "2 in float", "trained"]
    assert trials.baseline == 1.0
    assert trials.accepted is None
    assert not any(each.accepted for each in trials.attempts)
    # Calibrations, by hand.
    settings = [{"calibration": "max"}, {"calibration": "entropy"}]
    settings += [{"calibration": "percentile", "percentile": p} for p in (99.99, 99.999)]
    configs = [replace(COARSE, **each) for each in settings]
    by_hand = [evaluate(apply_static(cnn, garments, each), garments).accuracy for each in configs]
    assert [each.accuracy for each in trials.attempts[:4]] == by_hand
    # Partly in float, with the best of them.
    best = configs[by_hand.index(max(by_hand))]
    alone = measure_layer_accuracies(cnn, garments, garments, config=best)
    order = sorted(alone, key=alone.get)
    for n, attempt in ((1, trials.attempts[4]), (2, trials.attempts[5])):
        assert attempt.in_float == tuple(order[:n])
        partial = apply_static(cnn, garments, replace(best, overrides=dict.fromkeys(order[:n])))
        assert attempt.accuracy == evaluate(partial, garments).accuracy
    # What is trained is the best calibrated model, all of it quantized.
    (model,) = trained
    assert bits(model) == bits(apply_static(cnn, garments, best))
    assert trials.attempts[-1].accuracy == max(by_hand)
    # Nothing was good enough: the best of all.
    accuracies = [each.accuracy for each in trials.attempts]
    assert evaluate(result.model, garments).accuracy == max(accuracies)


def test_it_stops_at_the_first_partial_model_that_is_good_enough(cnn, garments):
    everything = quantize_workflow(cnn, garments, garments, tolerance=0.0, config=COARSE).trials
    best = max(each.accuracy for each in everything.attempts[:4])
    one, two = (each.accuracy for each in everything.attempts[4:])
    assert best < one < two  # otherwise there is nothing to see
    result = quantize_workflow(cnn, garments, garments, tolerance=1 - one, config=COARSE)
    assert [each.name for each in result.trials.attempts] == [*CALIBRATIONS, "1 in float"]
    assert result.trials.accepted.accuracy == one
    assert sum(isinstance(each, QuantizedLayer) for each in result.model.modules()) == 3


def test_training_that_helps_is_accepted_and_does_not_touch_the_calibrated_model(cnn, garments):
    given = []

    def train(static: nn.Module) -> None:
        given.append(copy.deepcopy(static))
        for name, each in dict(static.named_modules()).items():
            if isinstance(each, QuantizedLayer):
                each.weight_quantizer = each.bias_step = None
            elif name.startswith("quantizers."):
                static.set_submodule(name, nn.Identity())

    result = quantize_workflow(cnn, garments, garments, tolerance=0.0, train=train, config=COARSE)
    assert result.trials.accepted.name == "trained"
    assert result.trials.accepted.accuracy == evaluate(result.model, garments).accuracy > 0.98
    assert evaluate(given[0], garments).accuracy == max(each.accuracy for each in result.trials.attempts[:4])


def test_layers_are_measured_alone(cnn, garments):
    alone = measure_layer_accuracies(cnn, garments, garments, config=COARSE)
    assert list(alone) == ["conv1", "conv2", "conv3", "fc"]
    for name, accuracy in alone.items():
        others = dict.fromkeys({"conv1", "conv2", "conv3", "fc"} - {name})
        static = apply_static(cnn, garments, replace(COARSE, overrides=others))
        assert [n for n, each in static.named_modules() if isinstance(each, QuantizedLayer)] == [name]
        assert accuracy == evaluate(static, garments).accuracy
    assert len(set(alone.values())) > 2


def test_the_most_sensitive_layers_are_left_in_float_first():
    config = QuantConfig(overrides={"d": int_format(4), "e": None})
    configs = partial_configs(config, {"a": 0.8, "b": 0.3, "d": 0.5})
    left = [{name for name, each in config.overrides.items() if each is None} for config in configs]
    assert left == [{"e"}, {"e", "b"}, {"e", "b", "d"}, {"e", "b", "d", "a"}]
    assert configs[1].overrides["d"] == int_format(4)


def test_layers_that_the_settings_leave_in_float_stay_there(cnn, garments):
    config = replace(COARSE, overrides={"conv1": None})
    alone = measure_layer_accuracies(cnn, garments, garments, config=config)
    assert list(alone) == ["conv2", "conv3", "fc"]
    result = quantize_workflow(cnn, garments, garments, tolerance=0.0, config=config)
    assert [each.name for each in result.trials.attempts] == [*CALIBRATIONS, "1 in float"]
    assert result.trials.attempts[0].in_float == ("conv1",)
    assert len(result.trials.attempts[4].in_float) == 2


@pytest.mark.case("Q-noop")
def test_a_model_without_layers_is_a_warning():
    batches = toy(seed=None)
    with pytest.warns(NoEffectWarning, match="no layer of Sequential was quantized"):
        result = quantize_workflow(nn.Sequential(nn.ReLU()), batches, batches, tolerance=0.0)
    assert result.trials.accepted.name == "max"


@pytest.mark.parametrize(("tolerance", "error", "message"), [
    (1, ValueError, r"must be in \[0, 1\), a fraction; got 1; did you mean 0.01"),
    (-0.1, ValueError, r"must be in \[0, 1\)"),
    (float("nan"), ValueError, r"must be in \[0, 1\)"),
    ("1 %", TypeError, "must be a number"),
    (True, TypeError, "must be a number"),
])  # fmt: skip
def test_a_wrong_tolerance_says_what_is_right(tolerance, error, message):
    with pytest.raises(error, match=message):
        quantize_workflow(network(), toy(seed=None), toy(seed=None), tolerance=tolerance)
