import math

import pytest
import torch

from labcore import prune, runtime
from labcore.prune.masks import drop_lowest, keep_n_of_m
from labcore.surgery import layer_hessian


def layer(out=6, n_in=8, n=200, seed=0):
    """A weight and inputs that hang together."""
    with runtime.fork_rng(seed):
        return torch.randn(out, n_in), torch.randn(n, n_in) @ torch.randn(n_in, n_in)


def damped(inputs, damping=0.01):
    hessian = layer_hessian([inputs])
    return hessian + damping * hessian.diagonal().mean() * torch.eye(len(hessian))


def error(weight, pruned, inputs) -> float:
    return float(((inputs @ (weight - pruned).T) ** 2).sum() / ((inputs @ weight.T) ** 2).sum())


def by_plain_surgeon(weight, inputs, sparsity, block_size):
    """One weight at a time, with the inverse of what is left computed afresh."""
    hessian, result = damped(inputs), weight.double().clone()
    rows, columns = weight.shape
    mask = torch.ones(rows, columns, dtype=torch.bool)
    for start in range(0, columns, block_size):
        stop = min(start + block_size, columns)
        costs = {
            (row, j): float(result[row, j] ** 2 / torch.linalg.inv(hessian[j:, j:])[0, 0])
            for row in range(rows) for j in range(start, stop)
        }  # fmt: skip
        for row, j in sorted(costs, key=costs.get)[: round(sparsity * len(costs))]:
            mask[row, j] = False
        for j in range(start, stop):
            inverse = torch.linalg.inv(hessian[j:, j:])
            for row in range(rows):
                if not mask[row, j]:
                    result[row, j:] -= result[row, j] / inverse[0, 0] * inverse[0]
                    result[row, j] = 0
    return result, mask


@pytest.mark.parametrize("block_size", [1, 3, 4, 8, 128])
@pytest.mark.parametrize("sparsity", [0.25, 0.5, 0.8])
def test_it_agrees_with_the_plain_brain_surgeon(block_size, sparsity):
    weight, inputs = layer()
    pruned, mask = prune.apply_sparsegpt(weight, inputs, sparsity=sparsity, block_size=block_size)
    expected, expected_mask = by_plain_surgeon(weight, inputs, sparsity, block_size)
    assert torch.equal(mask, expected_mask)
    torch.testing.assert_close(pruned, expected.float())


def test_two_weights_by_hand():
    # H = 2/4 * [[4, 2], [2, 4]] = [[2, 1], [1, 2]]: without damping the first weight goes (1 * 1.5 < 16 * 2), and the
    # second takes over half of it, as least squares does.
    inputs = torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    weight = torch.tensor([[1.0, 4.0]])
    pruned, mask = prune.apply_sparsegpt(weight, inputs, sparsity=0.5, damping=0.0)
    assert mask.tolist() == [[False, True]]
    assert pruned[0].tolist() == [0, pytest.approx(4.5)]
    best = torch.linalg.lstsq(inputs[:, 1:], inputs @ weight.T).solution
    assert pruned[0, 1].item() == pytest.approx(best.item())


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.5, 0.9])
def test_with_an_identity_hessian_it_is_magnitude_and_repairs_nothing(sparsity):
    weight, _ = layer()
    inputs = 2 * torch.eye(8)  # 2/8 * 4 = 1
    assert torch.equal(layer_hessian([inputs]), torch.eye(8, dtype=torch.float64))
    pruned, mask = prune.apply_sparsegpt(weight, inputs, sparsity=sparsity)
    assert torch.equal(mask, prune.masks_per_layer({"w": weight.abs()}, sparsity)["w"])
    torch.testing.assert_close(pruned, weight * mask)
    # A single row is the rule of magnitude by row.
    _, mask = prune.apply_sparsegpt(weight[2:3], inputs, sparsity=sparsity)
    assert torch.equal(mask, prune.wanda_mask(weight[2:3], inputs, sparsity=sparsity))
    pruned, mask = prune.apply_sparsegpt_n_m(weight, inputs)
    assert torch.equal(mask, keep_n_of_m(weight.abs(), 2, 4))
    torch.testing.assert_close(pruned, weight * mask)


def correlated_layer(seed: int, loud: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weight, inputs and fresh inputs with a few strong directions; four inputs are `loud` times the others."""
    with runtime.fork_rng(seed):
        samples = torch.randn(2000, 16) @ torch.randn(16, 64) / 4 + 0.5 * torch.randn(2000, 64)
        samples[:, torch.randperm(64)[:4]] *= loud
        return torch.randn(32, 64), *samples.split(1000)


@pytest.mark.parametrize(("loud", "least", "most"), [(1, 0.9, 1.1), (10, 1.5, 100)])
def test_wanda_needs_loud_inputs_and_repair_is_best_with_and_without(loud, least, most):
    errors = []
    for seed in range(3):
        weight, inputs, fresh = correlated_layer(seed, loud)
        masks = [drop_lowest(weight.abs(), 32), prune.wanda_mask(weight, inputs, sparsity=0.5)]
        masks.append(keep_n_of_m(prune.wanda_scores(weight, inputs), 2, 4))
        half = prune.apply_sparsegpt(weight, inputs, sparsity=0.5)
        two_of_four = prune.apply_sparsegpt_n_m(weight, inputs)
        assert torch.equal(two_of_four[1].view(32, 16, 4).sum(-1), torch.full((32, 16), 2))
        errors.append([error(weight, each, fresh) for each in (*(weight * m for m in masks), half[0], two_of_four[0])])
    magnitude, wanda, wanda_groups, repaired, repaired_groups = torch.tensor(errors).mean(0).tolist()
    assert least < magnitude / wanda < most
    assert repaired < 0.8 * min(magnitude, wanda)
    assert repaired_groups < 0.8 * wanda_groups


def test_no_repair_of_the_same_mask_is_better_than_least_squares():
    weight, inputs = layer()
    pruned, mask = prune.apply_sparsegpt(weight, inputs, sparsity=0.5, damping=0.0)
    best = torch.zeros_like(weight)
    for row, kept in enumerate(mask):
        best[row, kept] = torch.linalg.lstsq(inputs[:, kept], inputs @ weight[row]).solution
    assert error(weight, best, inputs) <= error(weight, pruned, inputs) * 1.001
    assert error(weight, pruned, inputs) < 0.8 * error(weight, weight * mask, inputs)


@pytest.mark.case("Q-gptq-chol")
def test_dead_inputs_become_zero_and_few_samples_are_enough():
    weight, inputs = layer(n=4)
    inputs[:, 3] = 0
    pruned, mask = prune.apply_sparsegpt(weight, inputs, sparsity=0.5)
    assert not pruned[:, 3].any()
    assert not mask[:, 3].any()
    assert pruned.isfinite().all()
    assert error(weight, pruned, inputs) <= error(weight, weight * mask, inputs)
    pruned, _ = prune.apply_sparsegpt(weight, torch.zeros(4, 8), sparsity=0.5)
    assert not pruned.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_mask_is_met_exactly_and_the_weight_keeps_its_type(dtype):
    weight, inputs = layer()
    weight = weight.to(dtype)
    before = weight.clone()
    pruned, mask = prune.apply_sparsegpt(weight, inputs, sparsity=0.4, block_size=4)
    assert pruned.dtype == dtype
    assert not pruned[~mask].any()
    assert [int((~mask[:, start : start + 4]).sum()) for start in (0, 4)] == [10, 10]  # round(9.6) of 24
    assert torch.equal(weight, before)


def test_wrong_arguments_say_what_is_right():
    weight, inputs = layer()
    with pytest.raises(ValueError, match=r"sparsity must be in \[0, 1\), got 50\.0; did you mean 0\.50"):
        prune.apply_sparsegpt(weight, inputs, sparsity=50.0)
    for wrong in (0, True, 2.5):
        with pytest.raises(ValueError, match="block_size must be a whole number"):
            prune.apply_sparsegpt(weight, inputs, sparsity=0.5, block_size=wrong)
    with pytest.raises(ValueError, match=r"got 2, 3, \(6, 8\)"):
        prune.apply_sparsegpt_n_m(weight, inputs, n=2, m=3)
    with pytest.raises(ValueError, match="weight must be finite"):
        prune.apply_sparsegpt(weight.clone().fill_(math.inf), inputs, sparsity=0.5)
    with pytest.raises(ValueError, match=r"inputs of shape \(n, in\)"):
        prune.apply_sparsegpt(weight, inputs[:, :7], sparsity=0.5)
