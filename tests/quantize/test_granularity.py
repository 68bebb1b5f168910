"""Which values share a scale: channels, groups of inputs, tokens."""

import pytest
import torch
from torch import nn

from labcore import quantize
from labcore.quantize import PER_CHANNEL, PER_TENSOR, PER_TOKEN, per_group

INT8 = quantize.INT8
SPREAD = 10.0 ** torch.arange(-2, 2)  # output channels whose ranges differ by up to a thousand


def test_names():
    granularities = PER_TENSOR, PER_CHANNEL, per_group(32), PER_TOKEN
    assert [each.name for each in granularities] == ["per tensor", "per channel", "per group of 32", "per token"]
    assert per_group(32) == quantize.Granularity("group", 32)


@pytest.mark.parametrize("size", [2.0, True, None, "8"])
def test_group_of_no_whole_size_is_refused(size):
    with pytest.raises(TypeError, match="whole number"):
        per_group(size)


@pytest.mark.parametrize("size", [0, -4])
def test_group_of_nothing_is_refused(size):
    with pytest.raises(ValueError, match=f"at least one value, got {size}"):
        per_group(size)


def test_wrong_granularities_are_refused():
    with pytest.raises(ValueError, match="tensor, channel, group, token; got 'row'"):
        quantize.Granularity("row")
    with pytest.raises(ValueError, match="only a group has a size, got 4 for 'channel'"):
        quantize.Granularity("channel", 4)


# --- output channels ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "axis"),
    [
        (nn.Linear(2, 3), 0), (nn.Conv1d(2, 3, 1), 0), (nn.Conv2d(2, 3, 1), 0), (nn.Conv3d(2, 3, 1), 0),
        (nn.ConvTranspose1d(2, 3, 1), 1), (nn.ConvTranspose2d(2, 3, 1), 1), (nn.ConvTranspose3d(2, 3, 1), 1),
    ],
)  # fmt: skip
def test_dimension_of_the_output_channels(layer, axis):
    assert quantize.channel_axis(layer) == axis
    assert quantize.fit_weight_grid(layer, INT8).scale.shape == (3,)


def test_layer_without_output_channels_is_refused():
    with pytest.raises(TypeError, match=r"linear layer or a .* convolution, got BatchNorm2d"):
        quantize.channel_axis(nn.BatchNorm2d(4))


def spread_layer(layer: nn.Module, x: torch.Tensor) -> nn.Module:
    """The layer with output channels of ranges SPREAD: measured on its output, whatever its weight's layout."""
    gain = SPREAD.repeat_interleave(layer(x).shape[1] // len(SPREAD))
    groups = getattr(layer, "groups", 1)
    with torch.no_grad():
        if isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d):
            per_group = gain.view(groups, 1, -1, *[1] * (layer.weight.dim() - 2))
            layer.weight.mul_(per_group.expand(groups, layer.in_channels // groups, *per_group.shape[2:]).flatten(0, 1))
        else:
            layer.weight.mul_(gain.view(-1, *[1] * (layer.weight.dim() - 1)))
    return layer


LAYERS = [
    (lambda: nn.Linear(6, 8), (5, 6)),
    (lambda: nn.Conv2d(6, 8, 3, groups=2), (5, 6, 4, 4)),
    (lambda: nn.ConvTranspose1d(6, 8, 3), (5, 6, 4)),
    (lambda: nn.ConvTranspose2d(6, 8, 3), (5, 6, 4, 4)),
    (lambda: nn.ConvTranspose2d(8, 8, 3, groups=2), (5, 8, 4, 4)),
    (lambda: nn.ConvTranspose2d(8, 4, 3, groups=4), (5, 8, 4, 4)),
    (lambda: nn.ConvTranspose2d(8, 8, 3, groups=8), (5, 8, 4, 4)),
]


@pytest.mark.case("Q-convT-axis")
@pytest.mark.parametrize(("make", "shape"), LAYERS)
def test_each_output_channel_has_its_own_scale(make, shape):
    torch.manual_seed(0)
    x = torch.randn(shape)
    layer = spread_layer(make(), x)
    grid = quantize.fit_weight_grid(layer, INT8)
    # The range of an output channel, without a look at the weight's layout: the gradient of its output alone.
    n_channels = layer(x).shape[1]
    for channel in range(n_channels):
        (used,) = torch.autograd.grad(layer(x)[:, channel].sum(), layer.weight)
        weights = layer.weight[used != 0]
        assert grid.scale[channel].item() == pytest.approx(weights.abs().max().item() / 127, rel=1e-6)
        error = (quantize.fake_quantize(layer.weight, grid) - layer.weight)[used != 0]
        assert error.abs().max() <= grid.scale[channel] / 2 * (1 + 1e-4)
    assert grid.scale.shape == (n_channels,)


@pytest.mark.case("Q-convT-axis")
@pytest.mark.parametrize(("make", "shape"), LAYERS)
def test_outputs_of_small_channels_survive_only_with_scales_of_their_own(make, shape):
    torch.manual_seed(0)
    x = torch.randn(shape)
    layer = spread_layer(make(), x)
    nn.init.zeros_(layer.bias)
    before, weight = layer(x).detach(), layer.weight.detach().clone()
    sqnr = {}
    for granularity in (PER_CHANNEL, PER_TENSOR):
        grid = quantize.fit_weight_grid(layer, INT8, granularity=granularity)
        with torch.no_grad():
            layer.weight.copy_(quantize.fake_quantize(weight, grid))
        sqnr[granularity] = quantize.measure_quality(before[:, 0], layer(x)[:, 0]).sqnr_db
        with torch.no_grad():
            layer.weight.copy_(weight)
    assert sqnr[PER_CHANNEL] > 35
    assert sqnr[PER_TENSOR] < 10


def test_one_channel_of_zeros_stays_zero_beside_others():
    x = torch.tensor([[0.0, 0.0], [1.0, -2.0]])
    grid = quantize.fit_grid(x, INT8, granularity=PER_CHANNEL)
    assert grid.scale.tolist() == [1.0, pytest.approx(2 / 127)]
    assert quantize.fake_quantize(x, grid)[0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_channels_along_any_dimension(axis):
    x = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    grid = quantize.fit_grid(x, INT8, granularity=PER_CHANNEL, axis=axis)
    others = [dim for dim in range(3) if dim != axis % 3]
    assert torch.allclose(grid.scale, x.abs().amax(others) / 127)
    shape = [-1 if dim == axis % 3 else 1 for dim in range(3)]
    scale = grid.scale.view(shape)
    assert torch.equal(quantize.encode(x, grid), (x / scale).round().to(torch.int8))


def test_axis_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"shape \(3, 4\) has no dimension 2"):
        quantize.fit_grid(torch.zeros(3, 4), INT8, granularity=PER_CHANNEL, axis=2)


def test_groups_of_an_untransposed_weight_are_refused():
    with pytest.raises(ValueError, match=r"transposed convolution.*got axis 0 and shape \(4, 4\)"):
        quantize.fit_grid(torch.zeros(4, 4), INT8, granularity=PER_CHANNEL, groups=2)
    with pytest.raises(ValueError, match="a multiple of 3 inputs"):
        quantize.fit_grid(torch.zeros(4, 4), INT8, granularity=PER_CHANNEL, axis=1, groups=3)


@pytest.mark.parametrize("granularity", [PER_CHANNEL, PER_TOKEN, per_group(1)])
def test_single_number_has_neither_channels_nor_tokens(granularity):
    with pytest.raises(ValueError, match="use PER_TENSOR"):
        quantize.fit_grid(torch.tensor(1.0), INT8, granularity=granularity)


# --- groups of inputs ---------------------------------------------------------------------------------


@pytest.mark.case("Q-group-div")
@pytest.mark.parametrize(("size", "near"), [(32, "20, 25, 50"), (7, "4, 5, 10"), (101, "25, 50, 100"), (3, "2, 4, 5")])
def test_group_that_does_not_divide_names_sizes_that_do(size, near):
    weight = torch.randn(2, 100)
    with pytest.raises(ValueError, match=f"a group of {size} does not divide the 100 inputs .* do: {near}$"):
        quantize.fit_grid(weight, INT8, granularity=per_group(size))


@pytest.mark.case("Q-group-div")
def test_groups_by_hand():
    x = torch.tensor([[0.5, -2.0, 0.1, 0.2], [0.0, 0.0, 70.0, 7.0]])
    grid = quantize.fit_grid(x, quantize.INT4, granularity=per_group(2))
    assert grid.scale.tolist() == [[pytest.approx(2 / 7), pytest.approx(0.2 / 7)], [1.0, 10.0]]
    assert quantize.encode(x, grid).tolist() == [[2, -7, 4, 7], [0, 0, 7, 1]]


@pytest.mark.case("Q-group-div")
def test_group_of_all_inputs_is_a_channel():
    x = torch.randn(5, 12, generator=torch.Generator().manual_seed(0))
    group, channel = (quantize.fit_grid(x, INT8, granularity=each) for each in (per_group(12), PER_CHANNEL))
    assert group.scale.shape == (5, 1)
    assert torch.equal(group.scale[:, 0], channel.scale)
    assert torch.equal(quantize.encode(x, group), quantize.encode(x, channel))


@pytest.mark.case("Q-group-div")
@pytest.mark.parametrize("format", [quantize.INT2, quantize.INT4, quantize.INT8, quantize.INT16])
def test_group_of_one_is_exact(format):
    # x / scale is qmax up to the last place of float32, and qmax * scale is x up to that place.
    x = torch.randn(50, 20, generator=torch.Generator().manual_seed(0))
    grid = quantize.fit_grid(x, format, granularity=per_group(1))
    assert torch.allclose(quantize.fake_quantize(x, grid), x, rtol=3e-7, atol=0)
    # Where qmax * 2^k is a number of the format, there is nothing to round at all.
    x = format.qmax * 2.0 ** torch.randint(-20, 20, (5, 20)) * torch.randn(5, 20).sign()
    grid = quantize.fit_grid(x, format, granularity=per_group(1))
    assert torch.equal(quantize.fake_quantize(x, grid), x)


@pytest.mark.parametrize(("make", "shape"), LAYERS[1:])
def test_groups_of_a_convolution_run_over_channels_and_kernel(make, shape):
    layer = make()
    one = quantize.fit_weight_grid(layer, INT8, granularity=PER_CHANNEL)
    n_inputs = layer.weight.numel() // len(one.scale)
    whole = quantize.fit_weight_grid(layer, INT8, granularity=per_group(n_inputs))
    assert torch.equal(whole.scale[:, 0], one.scale)
    assert torch.equal(quantize.encode(layer.weight, whole), quantize.encode(layer.weight, one))
    kernel = layer.weight[0, 0].numel()
    parts = quantize.fit_weight_grid(layer, INT8, granularity=per_group(kernel))
    assert parts.scale.shape == (len(one.scale), n_inputs // kernel)
    assert torch.equal(parts.scale.amax(1), one.scale)


# --- tokens -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5), (2, 3, 4, 5)])
def test_each_row_has_its_own_scale(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    grid = quantize.fit_grid(x, quantize.UINT8_AFFINE, granularity=PER_TOKEN)
    assert grid.scale.shape == grid.zero_point.shape == shape[:-1]
    one_by_one = [
        quantize.encode(row, quantize.fit_grid(row, quantize.UINT8_AFFINE)) for row in x.reshape(-1, shape[-1])
    ]
    assert torch.equal(quantize.encode(x, grid), torch.stack(one_by_one).view(shape))


def test_rows_do_not_depend_on_their_neighbours():
    x = torch.tensor([[1.0, -1.0], [1000.0, 0.0]])
    grid = quantize.fit_grid(x, INT8, granularity=PER_TOKEN)
    assert quantize.encode(x, grid).tolist() == [[127, -127], [127, 0]]


# --- a grid meets a tensor that it was not made for ---------------------------------------------------


@pytest.mark.parametrize(
    ("granularity", "shape"),
    [
        (PER_CHANNEL, (3, 4)), (PER_CHANNEL, (5, 4, 4)), (PER_TOKEN, (3, 4)), (PER_TOKEN, (4, 4, 4)),
        (PER_TOKEN, (4,)), (per_group(2), (3, 4)), (per_group(2), (4, 6)), (per_group(2), (4, 4, 4)),
    ],
)  # fmt: skip
def test_tensor_of_another_shape_is_refused(granularity, shape):
    grid = quantize.fit_grid(torch.randn(4, 4), INT8, granularity=granularity)
    for use in (quantize.encode, quantize.fake_quantize):
        with pytest.raises(ValueError, match=r"but the grid has .*; fit a grid to this tensor"):
            use(torch.zeros(shape), grid)
    with pytest.raises(ValueError, match="fit a grid to this tensor"):
        quantize.decode(torch.zeros(shape, dtype=torch.int8), grid)


@pytest.mark.parametrize(
    ("granularity", "shape"), [(PER_TENSOR, (7, 3, 2)), (PER_CHANNEL, (4, 9)), (PER_TOKEN, (4, 1))]
)
def test_grid_serves_any_tensor_with_as_many_scales(granularity, shape):
    grid = quantize.fit_grid(torch.randn(4, 4), INT8, granularity=granularity)
    x = torch.randn(shape)
    assert quantize.decode(quantize.encode(x, grid), grid).shape == quantize.fake_quantize(x, grid).shape == shape
