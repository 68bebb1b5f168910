"""One comparison of whole numbers gives the sign of batch norm, for every sum there can be."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from labcore import binarize

LARGEST = 2**31 - 1


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def all_sums(length: int, n_channels: int) -> np.ndarray:
    return np.repeat(np.arange(-length, length + 1, dtype=np.int32)[:, None], n_channels, axis=1)


def test_four_channels_by_hand():
    # y = (sum - 3) / 2, its opposite, and two constants.
    gamma, beta = floats(1, -1, 0, 0), floats(0, 0, -1, 0)
    thresholds = binarize.fold_sign_thresholds(gamma, beta, floats(3, 3, 0, 0), floats(4, 4, 1, 1), 0.0)
    assert thresholds.limit.tolist() == [3, 4, -LARGEST, -LARGEST]
    assert thresholds.flipped.tolist() == [False, True, True, False]
    assert thresholds.limit.dtype == np.int32
    signs = binarize.apply_sign_thresholds(np.repeat(np.int32([[2], [3], [4]]), 4, axis=1), thresholds)
    assert signs.tolist() == [[-1, 1, -1, 1], [1, 1, -1, 1], [1, -1, -1, 1]]
    assert signs.dtype == np.int8


numbers = st.floats(-100, 100, width=32)


@given(
    gamma=numbers, beta=numbers, mean=st.one_of(numbers, st.integers(-90, 90)), variance=st.floats(0, 1000, width=32),
    eps=st.sampled_from([1e-5, 1e-3]), scale=st.sampled_from([0.0, 0.125, 0.3, 1.0, 7.0]), length=st.integers(1, 300),
)  # fmt: skip
def test_every_sum_has_the_sign_of_the_exact_line(gamma, beta, mean, variance, eps, scale, length):
    gamma, beta, mean, variance = (floats(value) for value in (gamma, beta, mean, variance))
    thresholds = binarize.fold_sign_thresholds(gamma, beta, mean, variance, eps, scale=scale)
    sums = all_sums(length, 1)
    slope = gamma * (np.float32(1) / np.sqrt(variance + np.float32(eps)))
    shift = (beta - mean * slope).item()
    x = [(np.float32(scale) * np.float32(s)).item() for s in sums[:, 0]]
    expected = [-1 if Fraction(each) * Fraction(slope.item()) + Fraction(shift) < 0 else 1 for each in x]
    assert binarize.apply_sign_thresholds(sums, thresholds)[:, 0].tolist() == expected


def test_signs_are_those_of_torch_for_every_sum():
    random, n, length = np.random.default_rng(0), 64, 4608
    gamma, beta, mean = (random.normal(size=n).astype(np.float32) for _ in range(3))
    mean, variance = 40 * mean, random.uniform(0.1, 300, n).astype(np.float32)
    sums = all_sums(length, n)
    statistics = (torch.from_numpy(each) for each in (mean, variance, gamma, beta))
    y = F.batch_norm(torch.from_numpy(sums).float(), *statistics, eps=1e-5)
    thresholds = binarize.fold_sign_thresholds(gamma, beta, mean, variance, 1e-5)
    assert (binarize.apply_sign_thresholds(sums, thresholds) == binarize.binary_sign(y).numpy()).all()
    assert thresholds.flipped.any()
    assert not thresholds.flipped.all()


def test_a_packed_layer_needs_no_floats_until_its_sums_are_signs():
    random = np.random.default_rng(0)
    x, weight = (random.normal(size=shape).astype(np.float32) for shape in ((2, 6, 5, 5), (9, 6, 3, 3)))
    gamma, beta, mean = (random.normal(size=9).astype(np.float32) for _ in range(3))
    alpha, variance = np.abs(weight).mean((1, 2, 3)), random.uniform(0.5, 2, 9).astype(np.float32)
    sums = binarize.packed_conv2d(x, binarize.pack_filters(weight), padding=1)
    thresholds = binarize.fold_sign_thresholds(gamma, beta, mean, variance, 1e-5, scale=alpha)
    y = alpha[:, None, None] * sums.astype(np.float32)
    statistics = (torch.from_numpy(each) for each in (mean, variance, gamma, beta))
    expected = F.batch_norm(torch.from_numpy(y), *statistics, eps=1e-5)
    assert (binarize.apply_sign_thresholds(sums, thresholds) == np.where(expected.numpy() < 0, -1, 1)).all()


def test_borders_far_from_every_sum_are_constants():
    gamma, beta = floats(1, 1, -1, -1), floats(1e20, -1e20, 1e20, -1e20)
    thresholds = binarize.fold_sign_thresholds(gamma, beta, floats(0, 0, 0, 0), floats(1, 1, 1, 1), 0.0)
    ends = np.array([[-LARGEST] * 4, [LARGEST] * 4], np.int32)
    assert binarize.apply_sign_thresholds(ends, thresholds).tolist() == [[1, -1, 1, -1]] * 2


GOOD = {name: floats(1, 2) for name in ("gamma", "beta", "mean", "variance")} | {"eps": 1e-5}


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"beta": floats(1)}, ValueError, r"beta must have shape \(channels,\), as gamma with \(2,\); got \(1,\)"),
        ({"mean": [1.0, 2.0]}, TypeError, "mean must be an array of real numbers, got list"),
        ({"gamma": np.array([1, 2])}, TypeError, "gamma must be an array of real numbers, got int64"),
        ({"gamma": floats(1, 2)[:, None]}, ValueError, "gamma must have shape"),
        ({"variance": floats(1, -1)}, ValueError, "variance and scale must be at least 0"),
        ({"variance": floats(1, np.nan)}, ValueError, "variance and scale must be at least 0"),
        ({"scale": -1.0}, ValueError, "a negative scale belongs into gamma"),
        ({"scale": floats(1, 2, 3)}, ValueError, r"one number or have shape \(2,\), got \(3,\)"),
        ({"variance": floats(1, 0), "eps": 0.0}, ValueError, "variance \\+ eps above 0"),
        ({"beta": floats(1, np.nan)}, ValueError, "no finite numbers"),
        ({"mean": floats(1, np.inf)}, ValueError, "no finite numbers"),
        ({"eps": -2.0}, ValueError, "no finite numbers"),
    ],
)
def test_wrong_statistics_are_named(wrong, error, message):
    with pytest.raises(error, match=message):
        binarize.fold_sign_thresholds(**{**GOOD, **wrong})


def test_wrong_sums_are_named():
    thresholds = binarize.fold_sign_thresholds(**GOOD)
    with pytest.raises(TypeError, match="int32, got float64"):
        binarize.apply_sign_thresholds(np.zeros((1, 2)), thresholds)
    with pytest.raises(TypeError, match="int32, got list"):
        binarize.apply_sign_thresholds([[1, 2]], thresholds)
    for shape in ((2,), (1, 3), (2, 3, 2)):
        with pytest.raises(ValueError, match=r"shape \(N, 2, ...\)"):
            binarize.apply_sign_thresholds(np.zeros(shape, np.int32), thresholds)
