"""The bias of one class against trying every bias, and by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labcore import distill


def logits(n, n_classes, seed):
    return 2 * torch.randn(n, n_classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# Margins of class 2: 3, 1, 1, -1 for two members and two others, both others right without it.
Z = torch.tensor([[3.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 2]], dtype=torch.float64)
Y = torch.tensor([2, 2, 1, 2])


def test_bias_by_hand():
    best = distill.fit_bias(Z, Y, 2)
    # Above 3 the members are right and the one other is lost: 3 of 4. Between 1 and 3: 2 of 4. Below 1: 2 of 4.
    assert best.bias == 4
    assert (best.index, best.accuracy, best.recall, best.others) == (2, 0.75, 1, 0)
    now = distill.measure_bias(Z, Y, 2, 0.0)
    assert (now.accuracy, now.recall, now.others) == (0.5, pytest.approx(1 / 3), 1)


def test_a_bias_is_added_to_one_class_of_a_copy():
    before = Z.clone()
    lifted = distill.apply_bias(Z, 2, 1.5)
    assert torch.equal(Z, before)
    assert (lifted - Z).tolist() == [[0, 0, 1.5]] * 4


def test_of_equally_good_biases_the_one_nearest_to_0_is_taken():
    # Margins 1 and 5 of members, 3 of another that is right: two of three between 1 and 3, and above 5.
    z = torch.tensor([[1.0, 0.0], [3.0, 0.0], [5.0, 0.0]], dtype=torch.float64)
    y = torch.tensor([1, 0, 1])
    for values, right, nearest in ((z, y, 2), (z.flip(1), 1 - y, -2)):
        best = distill.fit_bias(values, right, 1)
        assert (best.bias, best.accuracy) == (nearest, pytest.approx(2 / 3))


@settings(max_examples=60)
@given(st.integers(1, 30), st.integers(2, 5), st.integers(0, 10_000), st.booleans())
def test_no_bias_of_a_fine_grid_is_better(n, n_classes, seed, coarse):
    z = logits(n, n_classes, seed)
    z = z.round() - 10 if coarse else z  # many equal margins; never rows of probabilities
    y = torch.randint(n_classes, (n,), generator=torch.Generator().manual_seed(seed))
    index = int(y[0])
    best = distill.fit_bias(z, y, index)
    # Odd steps: ties of rounded logits never fall on the grid.
    tried = [
        float((np.where(np.arange(n_classes) == index, z + bias, z).argmax(1) == y.numpy()).mean())
        for bias in np.arange(-20, 20, 0.0317)
    ]
    assert best.accuracy >= max(tried)
    measured = distill.measure_bias(z, y, index, best.bias)
    assert (measured.accuracy, measured.recall) == (best.accuracy, best.recall)


def test_shares_without_samples_are_nan():
    only_others = distill.measure_bias(Z, torch.tensor([0, 0, 1, 1]), 2, 0.0)
    assert math.isnan(only_others.recall)
    assert math.isnan(distill.measure_bias(Z, torch.full((4,), 2), 2, 0.0).others)


def test_what_is_no_class_is_refused():
    with pytest.raises(ValueError, match="index must be a class from 0 to 2, got 3"):
        distill.fit_bias(Z, Y, 3)
    with pytest.raises(TypeError, match=r"index must be the number of a class, got 2\.0"):
        distill.apply_bias(Z, 2.0, 1)
    with pytest.raises(TypeError, match="bias must be a number"):
        distill.apply_bias(Z, 2, "1")
    with pytest.raises(ValueError, match="no sample has label 0"):
        distill.fit_bias(Z, Y, 0)
    with pytest.raises(ValueError, match=r"logits must have shape \(N, classes\)"):
        distill.apply_bias(Z[0], 2, 1)
    with pytest.raises(ValueError, match="look like probabilities"):
        distill.fit_bias(Z.softmax(1), Y, 2)
