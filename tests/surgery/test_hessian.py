import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from labcore import runtime
from labcore.surgery import inverse_factor, layer_hessian


def inputs(n=40, n_in=6, seed=0):
    with runtime.fork_rng(seed):
        return torch.randn(n, n_in) @ torch.randn(n_in, n_in)


# --- the Hessian ------------------------------------------------------------------------------------


def test_two_samples_by_hand():
    # 2/2 * ([1, 2] outer itself + [3, 0] outer itself)
    assert layer_hessian([torch.tensor([[1.0, 2.0], [3.0, 0.0]])]).tolist() == [[10, 2], [2, 4]]


def test_it_is_the_second_derivative_of_the_squared_error():
    samples = inputs().double()
    with runtime.fork_rng(1):
        weight, target = torch.randn(1, 6, dtype=torch.float64), torch.randn(40, 1, dtype=torch.float64)
    second = torch.autograd.functional.hessian(lambda w: F.mse_loss(samples @ w.T, target), weight)
    torch.testing.assert_close(layer_hessian([samples]), second[0, :, 0, :])


@given(st.lists(st.integers(1, 40), max_size=5))
def test_batches_of_any_sizes_give_the_hessian_of_all_samples(sizes):
    samples = inputs()
    cuts = [0, *sorted({min(size, 39) for size in sizes}), 40]
    batches = [samples[low:high] for low, high in itertools.pairwise(cuts)]
    torch.testing.assert_close(layer_hessian(batches), layer_hessian([samples]))


def test_wrong_inputs_say_what_is_right():
    with pytest.raises(ValueError, match="no inputs"):
        layer_hessian([])
    for wrong in ([torch.ones(3)], [torch.ones(2, 3), torch.ones(2, 4)]):
        with pytest.raises(ValueError, match=r"batches of shape \(n, in\)"):
            layer_hessian(wrong)
    with pytest.raises(ValueError, match="finite"):
        layer_hessian([torch.tensor([[1.0, math.nan]])])


# --- the factor of its inverse ----------------------------------------------------------------------


def test_the_factor_gives_back_the_damped_inverse():
    hessian = layer_hessian([inputs()])
    upper = inverse_factor(hessian, damping=0.05)
    damped = hessian + 0.05 * hessian.diagonal().mean() * torch.eye(6)
    torch.testing.assert_close(upper.T @ upper @ damped, torch.eye(6, dtype=torch.float64))
    assert torch.equal(upper, upper.triu())
    assert torch.equal(hessian, layer_hessian([inputs()]))


def test_its_rows_are_those_of_the_inverse_of_what_is_left():
    hessian = layer_hessian([inputs()])
    upper = inverse_factor(hessian, damping=0.0)
    for j in range(6):
        rest = torch.linalg.inv(hessian[j:, j:])
        torch.testing.assert_close(upper[j, j] ** 2, rest[0, 0])
        torch.testing.assert_close(upper[j, j:] * upper[j, j], rest[0])


@pytest.mark.case("Q-gptq-chol")
def test_dead_inputs_and_too_few_samples_are_damped():
    few = inputs(n=3)
    few[:, 2] = 0
    upper = inverse_factor(layer_hessian([few]))
    assert upper.isfinite().all()
    # A dead input hangs together with no other, and does not lower the mean that damping is a share of.
    assert upper[2].count_nonzero() == upper[:, 2].count_nonzero() == 1
    alive = [0, 1, 3, 4, 5]
    without = inverse_factor(layer_hessian([few[:, alive]]))
    torch.testing.assert_close(upper[alive][:, alive], without)
    assert inverse_factor(torch.zeros(3, 3)).isfinite().all()


@pytest.mark.case("Q-gptq-chol")
def test_damping_grows_until_the_hessian_can_be_inverted():
    # Eigenvalues -0.5 and 2.5 around a mean diagonal of 1: rounding can leave such a matrix, 0.01 cannot mend it.
    indefinite = torch.tensor([[1.0, 1.5], [1.5, 1.0]], dtype=torch.float64)
    with pytest.raises(ValueError, match=r"cannot be inverted with damping 0\.001 to 0\.1"):
        inverse_factor(indefinite, damping=0.001)
    upper = inverse_factor(indefinite, damping=0.01)
    torch.testing.assert_close(torch.linalg.inv(upper.T @ upper), indefinite + torch.eye(2))
