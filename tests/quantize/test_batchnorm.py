"""Batch norm on few bits."""

import pytest
import torch
from torch import nn

from labcore.models import load_model
from labcore.quantize import apply_batch_norm_bits
from labcore.runtime import NoEffectWarning
from topologies import relative_error
from toy import bits


def normed() -> nn.Sequential:
    norm = nn.BatchNorm2d(4)
    norm.weight.data = torch.tensor([-1.0, 0.5, 2.0, 0.0])
    norm.bias.data = torch.tensor([1.0, 1.0, 1.0, 1.0])
    norm.running_mean = torch.tensor([0.0, 0.4, 1.4, 3.0])
    norm.running_var = torch.tensor([0.01, 0.5, 1.4, 3.0])
    return nn.Sequential(nn.Conv2d(1, 4, 1), norm)


def test_four_numbers_of_each_kind_by_hand():
    _, norm = apply_batch_norm_bits(normed(), 2)
    # gamma from -1 to 2 in three steps of 1, beta from 0 to 1 in steps of 1/3, the others from 0 to 3 in steps of 1.
    assert norm.weight.tolist() == [-1, 0, 2, 0]  # a half goes to the even code
    assert norm.bias.tolist() == [1, 1, 1, 1]
    assert norm.running_mean.tolist() == [0, 0, 1, 3]
    assert norm.running_var.tolist() == [0, 0, 1, 3]
    x = torch.full((1, 4, 1, 1), 0.001)
    # The channel whose variance became 0 is multiplied by 1 / sqrt(eps).
    assert norm.eval()(x)[0, 0].item() == pytest.approx(1 - 0.001 / 1e-5**0.5, rel=1e-4)


@pytest.mark.case("C-state")
def test_all_else_stays_and_so_does_the_model():
    model = normed()
    before = bits(model)
    after = apply_batch_norm_bits(model, 3)
    assert bits(model) == before
    changed = {name for name, each in bits(after).items() if each != before[name]}
    assert changed == {"1.weight", "1.running_mean", "1.running_var"}
    assert after.training
    assert after[1].weight.requires_grad


def test_every_batch_norm_is_stored_so_and_more_bits_lose_less():
    model, x = load_model("lab_mobile"), torch.rand(20, 1, 14, 14, generator=torch.Generator().manual_seed(0))
    errors = []
    for n in (16, 12, 8):
        stored = apply_batch_norm_bits(model, n)
        for name, norm in stored.named_modules():
            if isinstance(norm, nn.BatchNorm2d):
                assert norm.running_var.unique().numel() <= 2**n
                assert not torch.equal(norm.running_var, model.get_submodule(name).running_var)
        with torch.inference_mode():
            errors.append(relative_error(stored(x), model(x)))
    assert errors[0] < errors[1] < errors[2]
    assert errors[0] < 0.01


def test_a_batch_norm_without_parameters_or_statistics_keeps_what_it_has():
    model = nn.Sequential(nn.BatchNorm1d(3, affine=False), nn.BatchNorm1d(3, track_running_stats=False))
    model[1].weight.data = torch.tensor([0.0, 0.4, 1.0])
    after = apply_batch_norm_bits(model, 1)
    assert after[0].weight is None
    assert after[1].running_var is None
    assert after[1].weight.tolist() == [0, 0, 1]


def test_what_is_refused():
    with pytest.warns(NoEffectWarning, match="no batch norm of Sequential was quantized, as it has none"):
        apply_batch_norm_bits(nn.Sequential(nn.Linear(2, 2)), 8)
    for wrong, error in ((0, ValueError), (17, ValueError), (3.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match="bits must be"):
            apply_batch_norm_bits(normed(), wrong)
    with pytest.raises(TypeError, match=r"model must be a torch.nn.Module, got int"):
        apply_batch_norm_bits(8, 8)
    broken = normed()
    broken[1].running_var[2] = torch.nan
    with pytest.raises(ValueError, match=r"the running_var of '1' cannot be quantized: .*NaN"):
        apply_batch_norm_bits(broken, 8)
