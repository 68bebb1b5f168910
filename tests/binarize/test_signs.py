import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch.nn import functional as F

from labcore import binarize
from labcore.binarize import binary_sign, hard_sigmoid, sign_through, surrogate_slope


@pytest.mark.case("B-sign0")
def test_there_are_two_values_and_zero_is_positive():
    tiny = torch.finfo(torch.float32).smallest_normal / 4
    x = torch.tensor([-0.3, 0.0, -0.0, 0.2, tiny, -tiny, float("inf"), -float("inf")])
    assert binary_sign(x).tolist() == [-1, 1, 1, 1, 1, -1, 1, -1]


@pytest.mark.case("B-sign0")
def test_nan_raises():
    for function in (binary_sign, sign_through):
        with pytest.raises(ValueError, match="NaN has no sign"):
            function(torch.tensor([1.0, float("nan")]))


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int8, torch.int64]
)
def test_type_and_shape_stay(dtype):
    x = torch.tensor([[-2, 0], [3, -1]]).to(dtype).T
    result = binary_sign(x)
    assert result.dtype == dtype
    assert result.tolist() == [[-1, 1], [1, -1]]


def test_empty_gives_empty():
    assert binary_sign(torch.empty(0, 3)).shape == (0, 3)


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        ([1.0], TypeError, "must be a tensor"),
        (torch.tensor([True]), TypeError, "can be negative"),
        (torch.tensor([1], dtype=torch.uint8), TypeError, "can be negative"),
        (torch.tensor([1j]), TypeError, "can be negative"),
    ],
)
def test_what_has_no_sign_is_named(x, error, words):
    with pytest.raises(error, match=words):
        binary_sign(x)


def test_whole_numbers_have_no_gradient():
    with pytest.raises(TypeError, match="real numbers"):
        sign_through(torch.tensor([1, -1]))


def test_hard_sigmoid_by_hand():
    x = torch.tensor([-2.0, -1.0, -0.5, 0.0, 1.0, 3.0])
    assert hard_sigmoid(x).tolist() == [0, 0, 0.25, 0.5, 1, 1]
    assert torch.allclose(hard_sigmoid(x), F.hardtanh(x) / 2 + 0.5)


def test_slopes_by_hand():
    r = torch.tensor([-1.5, -0.2, 0.7, 2.0])
    expected = {
        "window": [0, 1, 1, 0], "identity": [1, 1, 1, 1], "polynomial": [0, 1.6, 0.6, 0], "printed": [0, -0.2, 0.7, 0],
    }  # fmt: skip
    for estimator, slopes in expected.items():
        assert surrogate_slope(r, estimator) == pytest.approx(torch.tensor(slopes, dtype=torch.float32))


def test_the_polynomial_is_the_slope_of_its_own_curve():
    """Bi-Real's curve: 2x + x^2 below 0, 2x - x^2 above, within [-1, 1]."""
    x = torch.linspace(-0.99, 0.99, 31, dtype=torch.float64, requires_grad=True)
    torch.where(x < 0, 2 * x + x**2, 2 * x - x**2).sum().backward()
    assert torch.allclose(surrogate_slope(x.detach(), "polynomial"), x.grad)


@given(st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=8))
def test_the_window_is_the_gradient_of_hardtanh(values):
    # At the edges themselves PyTorch gives 0, papers 1.
    x = torch.tensor([v for v in values if abs(v) != 1.0] or [0.5], requires_grad=True)
    g = torch.arange(1.0, len(x) + 1)
    F.hardtanh(x).backward(g)
    expected, x.grad = x.grad.clone(), None
    sign_through(x).backward(g)
    assert torch.equal(x.grad, expected)


def test_the_gradient_at_the_edge_passes():
    x = torch.tensor([-1.0, 1.0, 1.0001], requires_grad=True)
    sign_through(x).sum().backward()
    assert x.grad.tolist() == [1, 1, 0]


def test_with_the_printed_gradient_a_negative_weight_walks_away():
    """Loss that wants +1: the printed formula pushes -0.2 down, the window pulls it up."""
    moved = {}
    for estimator in ("window", "printed"):
        w = torch.tensor([-0.2], requires_grad=True)
        (1 - sign_through(w, estimator)).sum().backward()
        moved[estimator] = -w.grad.item()
    assert moved["window"] > 0 > moved["printed"]


def test_an_unknown_estimator_is_named():
    for function in (surrogate_slope, sign_through):
        with pytest.raises(ValueError, match="window, identity, polynomial, printed; got 'tanh'"):
            function(torch.ones(1), "tanh")


def test_public_names_are_those_of_the_package():
    assert {"binary_sign", "apply_binary", "fix_binary", "LatentWeights"} <= set(dir(binarize))
