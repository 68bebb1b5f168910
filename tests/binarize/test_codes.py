import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from torch.nn import functional as F

from labcore.binarize import fit_binary, fit_ternary, k_map, relative_error, ternary_threshold


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


weights = st.lists(st.floats(-4, 4, width=32), min_size=4, max_size=12).map(lambda v: torch.tensor([v]))


def test_alpha_by_hand():
    w = torch.tensor([[0.5, -1.5, 0.2, -0.2]])
    fitted = fit_binary(w)
    assert fitted.codes.tolist() == [[1, -1, 1, -1]]
    assert fitted.alpha.item() == pytest.approx(0.6)
    assert (w - fitted.values).square().sum().item() == pytest.approx(1.14)


@given(weights, st.floats(0.01, 3))
def test_no_other_alpha_is_nearer(w, other):
    fitted = fit_binary(w)
    best = (w - fitted.values).double().square().sum()
    assert best <= (w - other * fitted.codes).double().square().sum() + 1e-5


def test_no_other_signs_are_nearer():
    w = normal(1, 6)
    best = (w - fit_binary(w).values).square().sum()
    for bits in range(2**6):
        signs = torch.tensor([[1.0 if bits >> i & 1 else -1.0 for i in range(6)]])
        alpha = (w * signs).mean()
        assert best <= (w - alpha * signs).square().sum() + 1e-6


def test_each_filter_has_its_alpha_and_a_layer_one():
    w = torch.tensor([[1.0, -1.0], [3.0, 5.0]])
    assert fit_binary(w).alpha.tolist() == [[1], [4]]
    assert fit_binary(w, share="layer").alpha.tolist() == [[2.5]]
    assert fit_binary(normal(5, 2, 3, 3)).alpha.shape == (5, 1, 1, 1)


def test_ternary_by_hand():
    w = torch.tensor([[0.9, -0.6, 0.1, -0.2, 0.3, 0.05]])
    fitted = fit_ternary(w)
    assert ternary_threshold(w).item() == pytest.approx(0.7 * 2.15 / 6)
    assert fitted.codes.tolist() == [[1, -1, 0, 0, 1, 0]]
    assert fitted.alpha.item() == pytest.approx(0.6)


@pytest.mark.case("B-tern")
def test_zeros_give_alpha_zero_and_no_nan():
    for share in ("filter", "layer"):
        fitted = fit_ternary(torch.zeros(2, 3), share=share)
        assert fitted.alpha.tolist() == [[0]] * (2 if share == "filter" else 1)
        assert fitted.values.abs().sum() == 0
    assert fit_binary(torch.zeros(2, 3)).alpha.tolist() == [[0], [0]]


@pytest.mark.case("B-tern")
@given(weights, st.floats(0, 2, width=32))
def test_there_are_three_values_and_one_on_the_threshold_is_zero(w, delta):
    fitted = fit_ternary(w, delta=delta)
    assert set(fitted.codes.unique().tolist()) <= {-1, 0, 1}
    assert not fitted.codes[w.abs() == delta].any()


@given(weights)
def test_with_delta_zero_ternary_is_binary_but_for_zeros(w):
    w = torch.where(w == 0, 0.5, w)
    assert torch.equal(fit_ternary(w, delta=0.0).codes, fit_binary(w).codes)


def test_alpha_is_the_least_squares_fit_of_the_codes():
    w = normal(7, 30)
    fitted = fit_ternary(w)
    for row, codes, alpha in zip(w.numpy(), fitted.codes.numpy(), fitted.alpha.flatten(), strict=True):
        (slope,), *_ = np.linalg.lstsq(codes[:, None], row, rcond=None)
        assert alpha == pytest.approx(slope, rel=1e-5)


def test_relative_error_of_normal_weights():
    """Binary: 1 - 2 / pi. Ternary at its best threshold: about 0.19."""
    w = normal(1, 200_000)
    assert relative_error(w, fit_binary(w).values) == pytest.approx(1 - 2 / np.pi, abs=0.005)
    assert relative_error(w, fit_ternary(w).values) == pytest.approx(0.19, abs=0.01)


def test_relative_error_of_nothing():
    zeros = torch.zeros(1, 3)
    assert relative_error(zeros, zeros) == 0
    assert relative_error(zeros, zeros + 1) == float("inf")
    assert relative_error(torch.ones(1, 3), zeros) == 1


def test_k_is_the_mean_size_of_what_is_read():
    x = torch.tensor([[[[1.0, -2.0], [3.0, 4.0]], [[-1.0, 2.0], [1.0, 0.0]]]])
    assert k_map(x, (2, 2)).item() == pytest.approx((1 + 2 + 2 + 2) / 4)
    padded = k_map(x, (3, 3), padding=1)
    assert padded.shape == (1, 1, 2, 2)
    assert padded[0, 0, 0, 0].item() == pytest.approx(7 / 9)


def test_k_makes_the_product_of_signs_near_the_real_one():
    x, w = normal(4, 16, 6, 6), normal(8, 16, 3, 3, seed=1)
    true = F.conv2d(x, w)
    codes = fit_binary(w)
    signs = F.conv2d(x.sign(), codes.codes) * codes.alpha.reshape(1, -1, 1, 1)
    assert (true - signs * k_map(x, (3, 3))).square().mean() < true.square().mean() < (true - 9 * signs).square().mean()


@pytest.mark.parametrize("function", [fit_binary, fit_ternary, ternary_threshold])
def test_bad_weights_are_named(function):
    for bad, error, words in (
        ([1.0], TypeError, "real numbers"), (torch.ones(2, 2, dtype=torch.int64), TypeError, "int64"),
        (torch.ones(3), ValueError, "filters"), (torch.ones(0, 3), ValueError, "hold weights"),
    ):  # fmt: skip
        with pytest.raises(error, match=words):
            function(bad)
    with pytest.raises(ValueError, match="'filter' or 'layer', got 'channel'"):
        function(torch.ones(2, 2), share="channel")


@pytest.mark.parametrize("function", [fit_binary, fit_ternary])
def test_nan_raises(function):
    with pytest.raises(ValueError, match="NaN"):
        function(torch.tensor([[1.0, float("nan")]]))


def test_a_negative_threshold_is_named():
    with pytest.raises(ValueError, match=r"delta must be at least 0, got -0\.5"):
        fit_ternary(torch.ones(1, 2), delta=-0.5)
    with pytest.raises(ValueError, match=r"one for each filter, shape \(filters, 1, ...\), got torch.Size\(\[2\]\)"):
        fit_ternary(torch.ones(2, 2), delta=torch.zeros(2))
    with pytest.raises(ValueError, match="delta must be at least 0, got nan"):
        fit_ternary(torch.ones(1, 2), delta=float("nan"))
    with pytest.raises(ValueError, match="factor must be at least 0"):
        ternary_threshold(torch.ones(1, 2), factor=-1)
    with pytest.raises(ValueError, match=r"\(N, C, H, W\)"):
        k_map(torch.ones(3, 4), (1, 1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_types_and_strides_work(dtype):
    w = normal(4, 3).to(dtype).T
    assert fit_binary(w).values.dtype == dtype
    assert torch.equal(fit_ternary(w).values, fit_ternary(w.contiguous()).values)


def test_sums_of_half_precision_do_not_overflow():
    w = 2 * torch.ones(512, 512, dtype=torch.float16)
    for fitted in (fit_binary(w, share="layer"), fit_ternary(w, share="layer")):
        assert fitted.alpha.item() == 2
        assert fitted.alpha.dtype == torch.float16


def test_a_layer_shares_its_threshold_too():
    fitted = fit_ternary(torch.tensor([[1.0, -1.0], [0.1, 0.2]]), share="layer")
    assert fitted.codes.tolist() == [[1, -1], [0, 0]]
    assert fitted.alpha.tolist() == [[1]]


def test_k_reads_where_a_dilated_kernel_reads():
    x = torch.arange(25.0).reshape(1, 1, 5, 5) - 12
    k = k_map(x, (2, 2), dilation=3)
    assert k.shape == (1, 1, 2, 2)
    assert k[0, 0, 0, 0].item() == pytest.approx((12 + 9 + 3 + 6) / 4)


def test_a_layer_may_have_its_delta_as_one_number_in_any_shape():
    w = torch.tensor([[1.0, -0.2], [0.4, 0.6]])
    assert torch.equal(fit_ternary(w, delta=torch.tensor([[0.5]])).codes, fit_ternary(w, delta=0.5).codes)
