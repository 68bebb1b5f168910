"""Fake quantization: values and straight-through gradients, beside PyTorch's own."""

import copy
import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from labcore import quantize
from labcore.quantize import PER_CHANNEL, PER_TENSOR, PER_TOKEN, per_group
from labcore.quantize.formats import NumberFormat

by_name = {"ids": lambda value: value.name}
GRANULARITIES = PER_TENSOR, PER_CHANNEL, per_group(4), PER_TOKEN


def gradient(x: Tensor, grid: quantize.Grid, **settings) -> Tensor:
    x = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(quantize.fake_quantize(x, grid, **settings).sum(), x)
    return found


# --- by hand ------------------------------------------------------------------------------------------


def test_values_and_gradients_by_hand():
    grid = quantize.grid_from_range(-7.0, 7.0, quantize.INT4)
    x = torch.tensor([-9.0, -7.4, -7.0, 0.4, 6.6, 7.4, 7.6, torch.inf])
    assert quantize.fake_quantize(x, grid).tolist() == [-7, -7, -7, 0, 7, 7, 7, 7]
    # 7.4 is rounded to the last code and keeps its gradient; 7.6 is clipped.
    assert gradient(x, grid).tolist() == [0, 1, 1, 1, 1, 1, 0, 0]


def test_zero_point_moves_the_range_of_the_gradient():
    grid = quantize.Grid(quantize.int_format(2, "affine", signed=False), torch.tensor(1.0), torch.tensor(1).int())
    x = torch.tensor([-2.0, -1.0, 0.0, 2.0, 3.0])
    assert quantize.fake_quantize(x, grid).tolist() == [-1, -1, 0, 2, 2]
    assert gradient(x, grid).tolist() == [0, 1, 1, 1, 0]


def test_gradient_is_passed_on_not_replaced():
    grid = quantize.grid_from_range(-1.0, 1.0, quantize.INT8)
    x = torch.tensor([0.5, -3.0], requires_grad=True)
    (quantize.fake_quantize(x, grid) * torch.tensor([10.0, 20.0])).sum().backward()
    assert x.grad.tolist() == [10.0, 0.0]


def test_nan_stays_nan_and_has_no_gradient():
    grid = quantize.grid_from_range(-1.0, 1.0, quantize.INT8)
    x = torch.tensor([torch.nan, 1.0])
    assert quantize.fake_quantize(x, grid).isnan().tolist() == [True, False]
    assert gradient(x, grid).tolist() == [0, 1]


# --- a naive reference ----------------------------------------------------------------------------------


def one_by_one(x: float, scale: float, zero_point: int, format: NumberFormat) -> tuple[float, float]:
    code = round(x / scale) + zero_point
    return scale * (min(max(code, format.qmin), format.qmax) - zero_point), float(format.qmin <= code <= format.qmax)


@given(
    st.lists(st.floats(-100, 100), min_size=1),
    st.floats(0.01, 10),
    st.builds(NumberFormat, st.integers(2, 16), st.sampled_from(["symmetric", "affine"]), st.booleans()),
    st.data(),
)
def test_values_and_gradients_one_by_one(values, scale, format, draw):
    zero_point = draw.draw(st.integers(format.qmin, format.qmax))
    grid = quantize.Grid(format, torch.tensor(scale, dtype=torch.float64), torch.tensor(zero_point, dtype=torch.int32))
    expected = [one_by_one(x, scale, zero_point, format) for x in values]
    x = torch.tensor(values, dtype=torch.float64)
    assert list(zip(quantize.fake_quantize(x, grid).tolist(), gradient(x, grid).tolist(), strict=True)) == expected


@pytest.mark.parametrize("granularity", GRANULARITIES, **by_name)
def test_every_block_by_itself(granularity):
    x = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    whole = quantize.fit_grid(x, quantize.INT4, granularity=granularity)
    parts = {"tensor": [x], "channel": x.unbind(), "group": x.view(6, 4).unbind(), "token": x.unbind()}
    grids = [(2 * part, quantize.fit_grid(part, quantize.INT4)) for part in parts[granularity.kind]]
    expected = torch.stack([quantize.fake_quantize(*each) for each in grids])
    assert torch.equal(quantize.fake_quantize(2 * x, whole), expected.view(3, 8))
    assert torch.equal(gradient(2 * x, whole), torch.stack([gradient(*each) for each in grids]).view(3, 8))


def test_gradient_of_a_transposed_convolution_stands_where_its_weight_does():
    torch.manual_seed(0)
    layer = torch.nn.ConvTranspose2d(4, 6, 3, groups=2)
    grid = quantize.fit_weight_grid(layer, quantize.INT8)
    narrow = dataclasses.replace(grid, scale=grid.scale / 2)
    steps = layer.weight.view(2, 2, 3, 3, 3) / narrow.scale.view(2, 1, 3, 1, 1)
    inside = (steps.abs() < 127.5).view_as(layer.weight)
    assert inside.any()
    assert not inside.all()
    assert torch.equal(gradient(layer.weight.detach(), narrow) == 1, inside)


# --- PyTorch ------------------------------------------------------------------------------------------


def against_torch(x: Tensor, grid: quantize.Grid, theirs: Tensor, their_x: Tensor) -> int:
    """Compare values and gradients; the number of values compared.

    PyTorch multiplies by 1 / scale. Within float32's last places of a tie between two codes it may take the other.
    """
    (their_gradient,) = torch.autograd.grad(theirs.sum(), their_x)
    shape = [-1 if dim == grid.axis and grid.scale.dim() else 1 for dim in range(x.dim())]
    steps = x.double() / grid.scale.double().view(shape)
    clear = (steps - steps.floor() - 0.5).abs() > steps.abs() * 2**-21
    assert torch.allclose(quantize.fake_quantize(x, grid)[clear], theirs[clear], rtol=1e-6, atol=0)
    assert torch.equal(gradient(x, grid)[clear], their_gradient[clear])
    return int(clear.sum())


@pytest.mark.parametrize("scheme", ["symmetric", "full", "torch", "affine"])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_per_tensor_as_in_torch(scheme, signed, bits):
    format = quantize.int_format(bits, scheme, signed)
    seen = torch.randn(2000, generator=torch.Generator().manual_seed(0)) + 0.3
    grid = quantize.fit_grid(seen, format)
    x = (1.4 * seen).requires_grad_()
    theirs = torch.fake_quantize_per_tensor_affine(x, grid.scale, grid.zero_point, format.qmin, format.qmax)
    assert against_torch(x.detach(), grid, theirs, x) > 1950


@pytest.mark.parametrize("scheme", ["symmetric", "affine"])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("bits", [2, 8])
def test_per_channel_as_in_torch(scheme, axis, bits):
    format = quantize.int_format(bits, scheme)
    generator = torch.Generator().manual_seed(0)
    seen = torch.randn(6, 7, 50, generator=generator) + torch.randn(6, 7, 50, generator=generator).exp()
    grid = quantize.fit_grid(seen, format, granularity=PER_CHANNEL, axis=axis)
    x = (1.4 * seen).requires_grad_()
    theirs = torch.fake_quantize_per_channel_affine(x, grid.scale, grid.zero_point, axis, format.qmin, format.qmax)
    assert against_torch(x.detach(), grid, theirs, x) > 2050


# --- in training ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("granularity", GRANULARITIES, **by_name)
def test_training_through_the_grid_lowers_the_loss(granularity):
    torch.manual_seed(0)
    x, target = torch.randn(64, 8), torch.randn(64, 3)
    layer = torch.nn.Linear(8, 3)
    losses = []
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    for _ in range(50):
        grid = quantize.fit_weight_grid(layer, quantize.INT2, granularity=granularity)
        weight = quantize.fake_quantize(layer.weight, grid)
        losses.append(torch.nn.functional.mse_loss(x @ weight.T + layer.bias, target))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.97 * losses[0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_gradient_has_the_type_of_the_values(dtype):
    x = torch.tensor([0.5, 9.0], dtype=dtype)
    found = gradient(x, quantize.grid_from_range(-1.0, 1.0, quantize.INT8))
    assert found.dtype == dtype
    assert found.tolist() == [1, 0]


def test_result_shares_no_memory_and_copies():
    x = torch.tensor([[1.0, -1.0]])
    grid = quantize.fit_grid(x, quantize.INT8, granularity=PER_CHANNEL)
    quantize.fake_quantize(x, grid).zero_()
    assert x.tolist() == [[1.0, -1.0]]
    again = copy.deepcopy(grid)
    assert torch.equal(quantize.encode(x, again), quantize.encode(x, grid))


def test_no_gradient_no_graph():
    grid = quantize.grid_from_range(-1.0, 1.0, quantize.INT8)
    assert not quantize.fake_quantize(torch.zeros(2), grid).requires_grad
    with torch.inference_mode():
        assert quantize.fake_quantize(torch.ones(2), grid).tolist() == [1.0, 1.0]
