"""Packed convolutions equal torch's, number for number; the clock is judged in benchmarks/, not here."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from labcore import binarize
from labcore.binarize import kernels

WAYS = ("lanes", "plain")


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def signs(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.where(values < 0, -1.0, 1.0))


def reference(x: np.ndarray, weight: np.ndarray, *, pad: str = "zero", padding=0, **settings) -> np.ndarray:
    high, wide = padding if isinstance(padding, tuple) else (padding, padding)
    bordered = F.pad(signs(x), (wide, wide, high, high), value=0.0 if pad == "zero" else 1.0)
    return F.conv2d(bordered, signs(weight), **settings).numpy()


BY_HAND = {
    "zero": [[-1, 0, 1], [0, 2, 2], [1, 2, 1]],
    "one": [[2, 2, 4], [2, 2, 4], [4, 4, 4]],
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("pad", BY_HAND)
def test_four_numbers_by_hand(pad, way):
    x = np.array([[[[-1.0, 1.0], [1.0, 1.0]]]])
    filters = binarize.pack_filters(np.ones((1, 1, 2, 2)))
    assert binarize.packed_conv2d(x, filters, padding=1, pad=pad, way=way)[0, 0].tolist() == BY_HAND[pad]


pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))


@given(
    batch=st.integers(0, 3), groups=st.integers(1, 3), channels=st.integers(1, 3), filters=st.integers(1, 10),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)), kernel=pairs, stride=pairs, dilation=pairs,
    padding=st.tuples(st.integers(0, 5), st.integers(0, 5)), pad=st.sampled_from(["zero", "one"]),
    way=st.sampled_from(WAYS), threads=st.integers(1, 3), seed=st.integers(0, 99),
)  # fmt: skip
def test_every_setting_equals_torch(
    batch, groups, channels, filters, size, kernel, stride, dilation, padding, pad, way, threads, seed
):
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    size = [max(n, r - 2 * p) for n, r, p in zip(size, reach, padding, strict=True)]
    x = normal(batch, groups * channels, *size, seed=seed)
    weight = normal(groups * filters, channels, *kernel, seed=seed + 1)
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "pad": pad}
    sums = binarize.packed_conv2d(x, binarize.pack_filters(weight), way=way, threads=threads, **settings)
    expected = reference(x, weight, **settings)
    assert sums.dtype == np.int32
    assert sums.shape == expected.shape
    assert (sums == expected).all()


@pytest.mark.case("B-pack")
@pytest.mark.parametrize("channels", [1, 31, 32, 33, 63, 64, 65, 256])
@pytest.mark.parametrize("groups", [1, 2])
def test_channels_need_not_fill_their_words(channels, groups):
    x, weight = normal(2, groups * channels, 7, 6), normal(groups * 9, channels, 3, 3, seed=1)
    sums = binarize.packed_conv2d(x, binarize.pack_filters(weight), padding=1, groups=groups)
    assert (sums == reference(x, weight, padding=1, groups=groups)).all()
    inner = sums[:, :, 1:-1, 1:-1]
    assert ((9 * channels - inner) % 2 == 0).all()


def test_a_layer_of_the_size_that_is_timed():
    x, weight = normal(2, 256, 14, 14), normal(256, 256, 3, 3, seed=1)
    sums = binarize.packed_conv2d(x, binarize.pack_filters(weight), padding=1)
    assert (sums == reference(x, weight, padding=1)).all()


def test_depthwise_and_pointwise():
    x = normal(2, 70, 5, 5)
    depthwise, pointwise = normal(70, 1, 3, 3, seed=1), normal(8, 70, 1, 1, seed=2)
    sums = binarize.packed_conv2d(x, binarize.pack_filters(depthwise), padding=1, groups=70)
    assert (sums == reference(x, depthwise, padding=1, groups=70)).all()
    sums = binarize.packed_conv2d(x, binarize.pack_filters(pointwise), stride=3)
    assert (sums == reference(x, pointwise, stride=3)).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int8, np.int64])
def test_every_type_of_number_gives_the_same_sums(dtype):
    x, weight = np.round(2 * normal(2, 5, 4, 4)).astype(dtype), np.round(2 * normal(3, 5, 2, 2, seed=1)).astype(dtype)
    assert (binarize.packed_conv2d(x, binarize.pack_filters(weight)) == reference(x, weight)).all()


@pytest.mark.case("B-sign0")
def test_zeros_count_as_plus_one_and_denormals_by_their_sign():
    tiny = np.finfo(np.float32).smallest_subnormal
    x = np.array([0.0, -0.0, tiny, -tiny], np.float32).reshape(1, 1, 2, 2)
    filters = binarize.pack_filters(np.ones((1, 1, 1, 1)))
    assert binarize.packed_conv2d(x, filters).ravel().tolist() == [1, 1, 1, -1]
    assert binarize.packed_conv2d(np.array([[[[-5e-324]]]]), filters).item() == -1


def test_arrays_may_lie_in_any_order_and_stay_as_they_are():
    x, weight = normal(6, 7, 5, 2), normal(3, 3, 5, 4, seed=1)
    kept = x.copy(), weight.copy()
    view, filters = x.transpose(3, 2, 1, 0)[:, :, ::2, ::-1], weight.transpose(1, 2, 3, 0)[:, ::-1, ::2]
    sums = binarize.packed_conv2d(view, binarize.pack_filters(filters), padding=1)
    assert (sums == reference(view, filters, padding=1)).all()
    assert (x == kept[0]).all()
    assert (weight == kept[1]).all()


def test_packed_filters_know_their_size():
    filters = binarize.pack_filters(normal(4, 65, 3, 2))
    assert filters.n_products == 65 * 3 * 2
    assert filters.words.shape == (4, 3 * 2 * 2)
    assert (filters.tap_sums == signs(normal(4, 65, 3, 2)).sum(1).numpy()).all()


def test_naive_loop_is_the_same_convolution_in_floats():
    x, weight = (signs(normal(*shape)).float().numpy() for shape in ((2, 3, 7, 8), (4, 3, 2, 3)))
    y = np.empty((2, 4, 3, 3), np.float32)
    kernels.compiled("naive_conv")(x, weight, y, 2, 1)
    assert (y == F.conv2d(torch.from_numpy(x), torch.from_numpy(weight), stride=2).numpy()).all()


# --- wrong arguments ------------------------------------------------------------------------------


@pytest.mark.case("B-sign0")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_nan_has_no_sign(dtype):
    x = np.zeros((2, 3, 4, 5), dtype)
    x[1, 2, 3, 4] = np.nan
    with pytest.raises(ValueError, match="NaN has no sign; look for what made it in inputs"):
        binarize.packed_conv2d(x, binarize.pack_filters(np.ones((1, 3, 1, 1))))
    with pytest.raises(ValueError, match="NaN has no sign"):
        binarize.pack_filters(x)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"stride": 0}, ValueError, "stride must be at least 1, got 0"),
        ({"padding": (0, -1)}, ValueError, r"padding must be at least 0, got \(0, -1\)"),
        ({"dilation": 0}, ValueError, "dilation must be at least 1"),
        ({"stride": 1.5}, TypeError, "stride must be whole, got 1.5"),
        ({"padding": "same"}, TypeError, "padding must be whole, got 'same'"),
        ({"stride": (1, 2, 3)}, ValueError, "stride must be a number or two"),
        ({"dilation": 3}, ValueError, r"larger than the padded image \(4, 5\)"),
        ({"groups": 2}, ValueError, "groups must be a whole number that divides 3 filters, got 2"),
        ({"groups": 0}, ValueError, "groups must be"),
        ({"groups": 3}, ValueError, "3 groups of filters with 6 channels need inputs with 18 channels, got 6"),
        ({"pad": "same"}, ValueError, "pad must be one of zero, one; got 'same'"),
        ({"way": "fast"}, ValueError, "way must be one of lanes, plain; got 'fast'"),
        ({"threads": 0}, ValueError, "threads must be"),
    ],
)
def test_settings_out_of_range_are_named(settings, error, message):
    with pytest.raises(error, match=message):
        binarize.packed_conv2d(normal(1, 6, 4, 5), binarize.pack_filters(normal(3, 6, 3, 3)), **settings)


def test_arrays_of_the_wrong_kind_are_named():
    filters = binarize.pack_filters(normal(3, 6, 3, 3))
    with pytest.raises(TypeError, match="inputs must be a numpy array, got Tensor"):
        binarize.packed_conv2d(torch.zeros(1, 6, 4, 5), filters)
    with pytest.raises(ValueError, match="inputs must have 4 dimensions"):
        binarize.packed_conv2d(np.zeros((6, 4, 5)), filters)
    with pytest.raises(TypeError, match="filters must come from pack_filters, got ndarray"):
        binarize.packed_conv2d(normal(1, 6, 4, 5), normal(3, 6, 3, 3))
    with pytest.raises(ValueError, match="weight must have 4 dimensions"):
        binarize.pack_filters(normal(3, 6))
    with pytest.raises(TypeError, match="weight must hold numbers that can be negative, got bool"):
        binarize.pack_filters(np.ones((1, 1, 1, 1), bool))
    with pytest.raises(ValueError, match="weight must hold weights"):
        binarize.pack_filters(np.ones((1, 0, 1, 1)))


@pytest.mark.parametrize("dtype", [np.float32, np.int8])
def test_images_packed_before_give_the_same(dtype):
    x, weight = (3 * normal(2, 6, 5, 4)).round().astype(dtype), normal(4, 3, 3, 3, seed=1)
    filters, settings = binarize.pack_filters(weight), {"padding": (2, 1), "groups": 2}
    images = binarize.pack_inputs(x, **settings)
    assert images.shape == x.shape
    assert images.groups == 2
    for pad in ("zero", "one"):
        expected = binarize.packed_conv2d(x, filters, pad=pad, stride=2, **settings)
        assert np.array_equal(binarize.packed_conv2d(images, filters, pad=pad, stride=2, **settings), expected)


def test_images_packed_for_another_convolution_are_named():
    images = binarize.pack_inputs(normal(1, 4, 5, 5), padding=1)
    with pytest.raises(ValueError, match=r"packed for padding \(1, 1\) and 1 groups, asked for are \(0, 0\) and 1"):
        binarize.packed_conv2d(images, binarize.pack_filters(normal(2, 4, 3, 3)))
    with pytest.raises(ValueError, match="groups must be a whole number that divides 4 channels, got 3"):
        binarize.pack_inputs(normal(1, 4, 5, 5), groups=3)
    with pytest.raises(ValueError, match="NaN has no sign"):
        binarize.pack_inputs(np.full((1, 1, 2, 2), np.nan, np.float32))
