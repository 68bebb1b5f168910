"""Filters that can be replaced by others: the sum of distances, against the paper's definition."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from labcore.models import make_model
from labcore.prune import channel_plan, filter_scores
from labcore.prune.filters_by_weight import distances
from topologies import SAMPLE, conv, make


def by_loops(filters: np.ndarray) -> list[float]:
    """The definition, pair by pair."""
    return [math.fsum(math.dist(one, other) for other in filters) for one in filters]


def layer_of(filters: list) -> nn.Sequential:
    model = nn.Sequential(nn.Linear(len(filters[0]), len(filters)), nn.ReLU(), nn.Linear(len(filters), 2))
    model[0].weight.data = torch.tensor(filters)
    return model


def test_distances_by_hand():
    # 5 and 10 from the first, 5 and 5 from the second, 10 and 5 from the third.
    assert filter_scores(layer_of([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]]), torch.rand(1, 2), "fpgm")["0"].tolist() == [
        15.0, 10.0, 15.0,
    ]  # fmt: skip


def test_signs_count():
    # Squared first, or taken without sign, the three would be alike.
    assert distances(np.array([[2.0], [-2.0], [-2.0]])).tolist() == [8.0, 4.0, 4.0]


@given(arrays(float, st.tuples(st.integers(2, 6), st.integers(1, 5)), elements=st.floats(-100, 100)))
def test_distances_are_those_of_the_definition_wherever_the_filters_stand(filters):
    assert distances(filters) == pytest.approx(by_loops(filters), abs=1e-6)
    assert distances(-filters) == pytest.approx(distances(filters), abs=1e-6)
    assert distances(filters + 50) == pytest.approx(distances(filters), abs=1e-6)


def test_whole_filters_of_convolutions_are_compared():
    model = make_model("lab_cnn")
    scores = filter_scores(model, torch.rand(1, 1, 14, 14), "fpgm")
    for name in ("conv1", "conv2", "conv3"):
        filters = model.get_submodule(name).weight.detach().double().flatten(1).numpy()
        assert scores[name] == pytest.approx(by_loops(filters))


@pytest.mark.case("P-residual")
def test_distances_of_all_layers_that_make_a_channel_add_up():
    model = make("residual")
    stem, second = (layer.weight.detach().double().flatten(1).numpy() for layer in (model.stem, model.second))
    expected = np.add(by_loops(stem), by_loops(second))
    assert filter_scores(model, SAMPLE, "fpgm")["stem"] == pytest.approx(expected)


@pytest.mark.case("P-flatten/concat/convT")
def test_a_transposed_layer_is_compared_on_its_second_axis():
    model = make("transposed")
    # Two groups of four channels: channel i is the i-th of both. The layer before makes 12 inputs.
    weight = model.middle.weight.detach().double().reshape(2, 3, 4, 9).permute(2, 0, 1, 3).flatten(1).numpy()
    depthwise = model.last.weight.detach().double().reshape(2, 4, 8).transpose(0, 1).flatten(1).numpy()
    expected = np.add(by_loops(weight), by_loops(depthwise))
    assert filter_scores(model, SAMPLE, "fpgm")["middle"] == pytest.approx(expected)


def test_the_most_replaceable_goes_first_not_the_smallest():
    # Around the third filter stand the others; the dead one stands apart.
    model = layer_of([[0.0, 0.0], [5.0, 4.0], [5.0, 5.0], [5.0, 6.0], [6.0, 5.0]])
    plans = [
        channel_plan(model, torch.rand(1, 2), pruning_ratio=0.2, method=method).removed["0"].tolist()
        for method in ("fpgm", "l1")
    ]
    assert plans == [[2], [0]]


@pytest.mark.case("P-threshold-tie")
def test_equal_filters_score_alike_and_the_lower_index_goes():
    model = nn.Sequential(conv(3, 4), nn.ReLU(), conv(4, 2))
    nn.init.ones_(model[0].weight)
    assert filter_scores(model, SAMPLE, "fpgm")["0"].tolist() == [0.0] * 4
    assert channel_plan(model, SAMPLE, pruning_ratio=0.5, method="fpgm").removed["0"].tolist() == [0, 1]
