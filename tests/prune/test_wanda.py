import math

import pytest
import torch

from labcore import prune, runtime
from labcore.prune.masks import keep_n_of_m


def layer(out=8, n_in=12, n=40, seed=0):
    with runtime.fork_rng(seed):
        return torch.randn(out, n_in), torch.randn(n, n_in)


def test_a_small_weight_on_a_loud_input_matters():
    weight = torch.tensor([[4.0, -1.0, 3.0], [1.0, 2.0, -6.0]])
    inputs = torch.tensor([[0.0, 3.0, 0.5], [1.0, -4.0, 0.0]])
    # Norms of the inputs: 1, 5, 0.5.
    assert prune.wanda_scores(weight, inputs).tolist() == [[4, 5, 1.5], [1, 10, 3]]
    mask = prune.wanda_mask(weight, inputs, sparsity=0.5)  # round(1.5) = 2 go
    assert mask.tolist() == [[False, True, False], [False, True, False]]


def test_each_row_loses_the_same_number_in_a_fixed_order():
    weight, inputs = layer()
    values = prune.wanda_scores(weight, inputs)
    mask = prune.wanda_mask(weight, inputs, sparsity=0.4)
    for row, kept in zip(values.tolist(), mask.tolist(), strict=True):
        gone = sorted(range(12), key=lambda i: (row[i], i))[:5]
        assert [i for i, stays in enumerate(kept) if not stays] == sorted(gone)
    same = prune.wanda_mask(torch.ones(2, 4), torch.ones(3, 4), sparsity=0.5)
    assert same.tolist() == [[False, False, True, True]] * 2


@pytest.mark.parametrize("sparsity", [0.0, 0.25, 0.5, 0.9])
def test_with_equal_input_norms_it_is_magnitude_by_row(sparsity):
    weight, _ = layer()
    mask = prune.wanda_mask(weight, 3 * torch.eye(12), sparsity=sparsity)
    for row, kept in zip(weight, mask, strict=True):
        alone = prune.masks_per_layer({"row": row.abs()}, sparsity)["row"]
        assert torch.equal(kept, alone)


def test_an_input_that_is_never_on_goes_first():
    weight, inputs = layer()
    inputs[:, 3] = 0
    assert not prune.wanda_mask(weight, inputs, sparsity=0.1)[:, 3].any()


def test_scores_also_serve_two_of_four():
    weight, inputs = layer()
    values = prune.wanda_scores(weight, inputs)
    mask = keep_n_of_m(values, 2, 4)
    groups, kept = values.view(8, 3, 4), mask.view(8, 3, 4)
    assert torch.equal(kept.sum(-1), torch.full((8, 3), 2))
    torch.testing.assert_close((groups * kept).sum(-1), groups.topk(2).values.sum(-1))


def test_nothing_is_changed_and_wrong_arguments_say_what_is_right():
    weight, inputs = layer()
    copies = weight.clone(), inputs.clone()
    prune.wanda_mask(weight, inputs, sparsity=0.5)
    assert torch.equal(weight, copies[0])
    assert torch.equal(inputs, copies[1])
    for shape in ((40, 11), (12,), (0, 12)):
        with pytest.raises(ValueError, match=r"weight of shape \(out, in\) and inputs of shape \(n, in\)"):
            prune.wanda_mask(weight, torch.ones(shape), sparsity=0.5)
    with pytest.raises(TypeError, match="sparsity must be a float"):
        prune.wanda_mask(weight, inputs, sparsity=1)
    inputs[3, 4] = math.nan
    with pytest.raises(ValueError, match="inputs must be finite"):
        prune.wanda_mask(weight, inputs, sparsity=0.5)
