"""Rules about neighbours: what stays of four, of eight, of a layer."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from labcore import prune


def linear(rows) -> nn.Linear:
    layer = nn.Linear(len(rows[0]), len(rows), bias=False)
    layer.weight = nn.Parameter(torch.tensor(rows, dtype=torch.float32))
    return layer


ROW = [[4.0, 1.0, -3.0, 2.0, 0.1, 0.2, -0.3, 0.4]]


def reports(model, layer="weight"):
    scores = prune.pattern_scores(model)
    masks = {pattern: prune.pattern_masks(scores, pattern) for pattern in prune.PATTERNS}
    return {pattern: prune.report_pattern(model, masks, pattern, layer) for pattern in prune.PATTERNS}


def test_each_pattern_keeps_what_it_says():
    kept = {pattern: report.kept[0].astype(int).tolist() for pattern, report in reports(linear(ROW)).items()}
    assert kept == {
        "2 of 4": [1, 0, 1, 0, 0, 0, 1, 1],
        "4 of 8": [1, 1, 1, 1, 0, 0, 0, 0],
        "any half": [1, 1, 1, 1, 0, 0, 0, 0],
        "1 of 4": [1, 0, 0, 0, 0, 0, 0, 1],
        "any quarter": [1, 0, 1, 0, 0, 0, 0, 0],
    }


def test_the_share_of_the_magnitude_is_that_of_the_whole_layer():
    found = reports(linear(ROW))
    for report in found.values():
        assert report.kept_l1 == pytest.approx(
            {"2 of 4": 7.7 / 11, "4 of 8": 10 / 11, "any half": 10 / 11, "1 of 4": 4.4 / 11, "any quarter": 7 / 11}
        )
    assert [report.group for report in found.values()] == [4, 8, 0, 4, 0]
    assert [report.sparsity for report in found.values()] == [0.5, 0.5, 0.5, 0.75, 0.75]


@given(st.integers(0, 10**6))
def test_more_freedom_never_keeps_less_of_the_magnitude(seed):
    values = np.random.default_rng(seed).standard_normal((4, 16)).tolist()
    kept = reports(linear(values))["2 of 4"].kept_l1
    assert kept["2 of 4"] <= kept["4 of 8"] + 1e-6 <= kept["any half"] + 2e-6
    assert kept["1 of 4"] <= kept["any quarter"] + 1e-6


def test_a_row_of_the_corner_holds_the_inputs_of_one_output_at_one_place_of_the_kernel():
    conv = nn.Conv2d(16, 2, (1, 2), bias=False)
    report = reports(conv)["2 of 4"]
    expected = torch.stack([conv.weight[0, :, 0, 0], conv.weight[0, :, 0, 1], conv.weight[1, :, 0, 0]])
    assert report.weights[:3] == pytest.approx(expected.detach().numpy())
    assert report.kept.reshape(-1, 4).sum(1).tolist() == [2] * 16
    assert report.weights.shape == (4, 16)


def test_a_large_layer_shows_its_corner_only():
    report = reports(nn.Linear(64, 30))["any half"]
    assert report.weights.shape == report.kept.shape == prune.CORNER


def test_layers_that_some_pattern_does_not_fit_stay_whole():
    model = nn.Sequential(nn.Linear(12, 16), nn.Linear(16, 4))
    assert list(prune.pattern_scores(model)) == ["1.weight"]
    assert reports(model, "1.weight")["2 of 4"].layers == ("1.weight",)


def test_a_model_without_such_a_layer_and_an_unknown_pattern_are_refused():
    with pytest.raises(ValueError, match="no layer has a multiple of 8 inputs: weight has 12"):
        prune.pattern_scores(nn.Linear(12, 4))
    with pytest.raises(ValueError, match="choose one of: 2 of 4, 4 of 8"):
        prune.pattern_masks(prune.pattern_scores(nn.Linear(8, 4)), "3 of 4")
