"""Integer-only networks against sums in plain Python, torch's integer product, and the simulation in float."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from labcore import data, models, quantize, storage, surgery
from labcore.quantize.integer_layers import IntegerAverage, IntegerLayer, IntegerMaxPool, IntegerSum
from labcore.training import evaluate

FREE = (-float("inf"), float("inf"))
UINT8, INT8 = quantize.UINT8, quantize.INT8


def grid(high: float, format=UINT8, low: float = 0.0) -> quantize.Grid:
    return quantize.grid_from_range(low, high, format)


def integer(layer: nn.Module, source: quantize.Grid, target: quantize.Grid, limits=FREE, *, bits=8) -> IntegerLayer:
    weight = quantize.fit_weight_grid(layer, quantize.int_format(bits))
    return IntegerLayer(quantize.QuantizedLayer(layer, quantize.Quantizer(weight)), source, target, limits)


def codes(shape: tuple[int, ...], *, low: int = 0, high: int = 255, seed: int = 0, dtype=torch.uint8) -> torch.Tensor:
    return torch.randint(low, high + 1, shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.fixture(scope="module")
def garments():
    return data.load_dataset("fashion14").subset(500, 1000)


def static(model: nn.Module, batches, config: quantize.QuantConfig | None = None) -> nn.Module:
    folded = surgery.fold_batch_norm(model, next(iter(batches))[0][:1])
    return quantize.apply_static(folded, batches, config or quantize.QuantConfig())


def random_batches(*shape: int, n: int = 3, seed: int = 0) -> list:
    generator = torch.Generator().manual_seed(seed)
    return [(torch.rand(8, *shape, generator=generator), torch.zeros(8).long()) for _ in range(n)]


# --- one layer ---


def test_a_linear_layer_by_hand():
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.27, -0.5]]))
        layer.bias.fill_(0.25)
    # Scales: x 0.01 with zero point 128, w 0.01, y 0.05 with zero point 3.
    source = quantize.Grid(quantize.UINT8_AFFINE, torch.tensor(0.01), torch.tensor(128, dtype=torch.int32))
    target = quantize.Grid(quantize.UINT8_AFFINE, torch.tensor(0.05), torch.tensor(3, dtype=torch.int32))
    net = integer(layer, source, target)
    # (130 - 128) * 127 + (10 - 128) * -50 = 6154; bias 0.25 / 0.0001 = 2500; 8654 * 0.0001 / 0.05 = 17.308.
    assert net.sums(torch.tensor([[130, 10]], dtype=torch.uint8)).tolist() == [[8654]]
    assert net(torch.tensor([[130, 10]], dtype=torch.uint8)).tolist() == [[20]]


@pytest.mark.case("Q-int8-wrap")
def test_a_linear_layer_sums_like_torch_s_integer_product():
    layer = nn.Linear(300, 40, bias=False)
    net = integer(layer, grid(1.0, quantize.INT8, -1.0), grid(3.0))
    x = codes((50, 300), low=-127, high=127, dtype=torch.int8)
    assert torch.equal(net.sums(x), torch._int_mm(x, net.weight.T))


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize(
    "settings",
    [
        {}, {"padding": 1}, {"stride": 2, "padding": (0, 1)}, {"dilation": 2, "padding": 2}, {"groups": 2},
        {"groups": 4}, {"padding": "same"}, {"padding": "same", "dilation": 3}, {"padding": "valid"},
        {"kernel_size": 1}, {"kernel_size": (2, 3), "stride": (1, 2)}, {"bias": False},
    ],
)  # fmt: skip
def test_a_convolution_agrees_with_the_float_one_on_the_same_codes(settings, bits):
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 8, **{"kernel_size": 3, **settings})
    source = quantize.grid_from_range(-0.4, 1.1, quantize.UINT8_AFFINE)
    target = quantize.grid_from_range(-1.0, 1.5, quantize.UINT8_AFFINE)
    net = integer(layer, source, target, bits=bits)
    q = codes((3, 4, 9, 8))
    exact, weights = copy.deepcopy(layer).double(), quantize.fit_weight_grid(layer, quantize.int_format(bits))
    exact.weight.data = quantize.decode(net.weight, weights).double()
    if layer.bias is not None:
        step = source.scale.double() * weights.scale.double()
        exact.bias.data = (exact.bias.data / step).round() * step
    expected = quantize.encode(exact(source.scale.double() * (q - source.zero_point.double())), target)
    assert (net(q).int() - expected.int()).abs().max() <= 1
    assert (net(q) == expected).float().mean() > 0.999


@pytest.mark.parametrize(("limits", "ends"), [((0.0, float("inf")), (0, 2)), ((0.0, 0.5), (0, 0.5)), (FREE, (-1, 2))])
def test_a_rectifier_behind_a_layer_clamps_its_codes(limits, ends):
    layer = nn.Linear(1, 1, bias=False)
    nn.init.ones_(layer.weight)
    target = quantize.grid_from_range(-1.0, 2.0, quantize.UINT8_AFFINE)
    net = integer(layer, quantize.grid_from_range(-3.0, 3.0, quantize.INT8), target, limits)
    got = quantize.decode(net(torch.tensor([[-127], [127]], dtype=torch.int8)), target).flatten()
    assert got.tolist() == pytest.approx(ends, abs=0.01)


@pytest.mark.case("Q-acc")
def test_sums_that_32_bits_cannot_hold_are_refused():
    layer = nn.Linear(70_000, 1, bias=False)
    nn.init.ones_(layer.weight)
    with pytest.raises(ValueError, match="more than 32 bits hold"):
        integer(layer, grid(1.0), grid(1.0))
    fits = nn.Linear(60_000, 1, bias=False)
    nn.init.ones_(fits.weight)
    sums = integer(fits, grid(1.0), grid(1.0)).sums(torch.full((1, 60_000), 255, dtype=torch.uint8))
    assert sums.tolist() == [[60_000 * 255 * 127]]


@pytest.mark.case("Q-acc")
def test_sums_of_sixteen_bits_would_saturate_where_ours_do_not():
    layer = nn.Linear(2, 1, bias=False)
    nn.init.ones_(layer.weight)
    net = integer(layer, grid(1.0), grid(2.0))
    x = torch.tensor([[255, 255]], dtype=torch.uint8)
    pairs = (x.long() * net.weight.long()).sum()
    assert int(pairs) == 64_770
    assert int(pairs.clamp(-(2**15), 2**15 - 1)) == 32_767
    assert net.sums(x).tolist() == [[64_770]]


@pytest.mark.parametrize(
    "weight_grid",
    [
        lambda layer: quantize.fit_weight_grid(layer, quantize.UINT8_AFFINE),
        lambda layer: quantize.fit_weight_grid(layer, quantize.INT8, granularity=quantize.per_group(2)),
    ],
)
def test_weights_with_zero_points_or_groups_are_refused(weight_grid):
    layer = nn.Linear(4, 3)
    quantized = quantize.QuantizedLayer(layer, quantize.Quantizer(weight_grid(layer)))
    with pytest.raises(ValueError, match="zero point 0, and one scale"):
        IntegerLayer(quantized, grid(1.0), grid(1.0), FREE)


# --- other operations ---


def test_a_sum_of_two_grids_by_hand():
    first, second, target = (
        quantize.Grid(INT8, torch.tensor(scale), torch.tensor(zero, dtype=torch.int32))
        for scale, zero in ((0.5, 0), (0.25, 10), (1.0, -5))
    )
    net = IntegerSum([first, second], target, FREE)
    # 0.5 * 7 + 0.25 * (12 - 10) = 4; 0.5 * 3 + 0.25 * (8 - 10) = 1; 0.5 + 0.25 * 8 = 2.5 goes to 3.
    got = net(torch.tensor([7, 3, 1], dtype=torch.int8), torch.tensor([12, 8, 18], dtype=torch.int8))
    assert got.tolist() == [-1, -4, -2]


def test_a_sum_of_very_different_scales_keeps_the_small_one():
    first, second = grid(1000.0), grid(1.0)
    target = grid(1001.0)
    got = IntegerSum([first, second], target, FREE)(codes((500,)), codes((500,), seed=1))
    exact = quantize.decode(codes((500,)), first).double() + quantize.decode(codes((500,), seed=1), second).double()
    assert torch.equal(got, quantize.encode(exact, target))


@pytest.mark.parametrize("window", [None, ((2, 2), (2, 2), (0, 0)), ((3, 3), (2, 1), (1, 1))])
def test_an_average_is_the_rounded_mean(window):
    source = quantize.grid_from_range(-1.0, 1.0, quantize.UINT8_AFFINE)
    target = quantize.grid_from_range(-0.6, 0.6, INT8)
    q = codes((4, 3, 6, 6))
    x = quantize.decode(q, source).double()
    n = 36 if window is None else window[0][0] * window[0][1]
    net = IntegerAverage(source, target, FREE, n=n, window=window, keep_dims=True)
    mean = x.mean((2, 3), keepdim=True) if window is None else nn.AvgPool2d(*window)(x)
    assert (net(q).int() - quantize.encode(mean, target).int()).abs().max() <= 1
    assert (net(q) == quantize.encode(mean, target)).float().mean() > 0.95


def test_the_largest_code_is_the_largest_value():
    q = codes((2, 3, 7, 7), low=-128, high=127, dtype=torch.int8)
    got = IntegerMaxPool(((3, 3), (2, 2), (1, 1), (1, 1)))(q)
    assert torch.equal(got.float(), nn.MaxPool2d(3, 2, 1)(q.float()))


# --- whole networks ---


@pytest.mark.parametrize("name", ["lab_cnn", "lab_resnet", "lab_mobile"])
def test_a_network_agrees_with_its_simulation(name, garments):
    model = static(models.load_model(name), garments.batches(250))
    net = quantize.convert(model, garments.test_images[:1])
    with torch.inference_mode():
        steps = (model(garments.test_images) - net(garments.test_images)).abs() / net.output.scale
    assert (steps < 1.01).float().mean() >= 0.999
    first, second = evaluate(model, garments.batches()), evaluate(net, garments.batches())
    assert (first.predictions == second.predictions).mean() >= 0.999


def test_between_input_and_output_there_are_only_whole_numbers(garments):
    net = quantize.convert(static(models.load_model("lab_resnet"), garments.batches(250)), garments.test_images[:1])
    names = [name for name, _ in net.body.named_modules() if name]
    with surgery.tap(net.body, names) as taps, torch.inference_mode():
        net(garments.test_images[:5])
    passed = [tensor for tap in taps.values() for tensor in tap.inputs + tap.outputs]
    assert len(passed) >= 2 * len(names)
    assert {tensor.dtype for tensor in passed} <= {torch.uint8, torch.int8}
    assert not any(tensor.is_floating_point() for tensor in net.body.state_dict().values())


def test_each_operation_agrees_with_the_simulation_on_the_same_codes(garments):
    model = static(models.load_model("lab_cnn"), garments.batches(250))
    net = quantize.convert(model, garments.test_images[:1])
    source = quantize.encode(garments.test_images[:50], net.input.grid)
    with torch.inference_mode():
        ours = net.body.conv1(source)
        theirs = torch.relu(model.conv1(quantize.decode(source, net.input.grid)))
    theirs = quantize.encode(theirs, model.quantizers.relu.grid)
    assert (ours.int() - theirs.int()).abs().max() <= 1


@pytest.mark.parametrize(
    "body",
    [
        [nn.Conv2d(2, 6, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(54, 4)],
        [
            nn.Conv2d(2, 6, 3, padding=1), nn.ReLU6(), nn.AvgPool2d(2), nn.Conv2d(6, 4, 1), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        ],
        [nn.Conv2d(2, 6, 3), nn.Identity(), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(216, 4)],
    ],
)  # fmt: skip
def test_other_orders_of_operations(body):
    torch.manual_seed(0)
    batches = random_batches(2, 8, 8)
    model = quantize.apply_static(nn.Sequential(*body).eval(), batches, quantize.QuantConfig())
    net = quantize.convert(model, batches[0][0][:1])
    with torch.inference_mode():
        steps = (model(batches[0][0]) - net(batches[0][0])).abs() / net.output.scale
    assert steps.max() <= 1.01


def test_concatenation_and_a_mean():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(2, 3, 1), nn.Conv2d(2, 3, 1), nn.Conv2d(6, 2, 1)

        def forward(self, x):
            return self.c(torch.cat([self.a(x), torch.relu(self.b(x))], dim=1)).mean((2, 3))

    torch.manual_seed(0)
    batches = random_batches(2, 5, 5)
    model = quantize.apply_static(Model().eval(), batches, quantize.QuantConfig())
    net = quantize.convert(model, batches[0][0][:1])
    with torch.inference_mode():
        steps = (model(batches[0][0]) - net(batches[0][0])).abs() / net.output.scale
    assert steps.max() <= 1.01


def test_a_network_copies_and_pickles(garments):
    net = quantize.convert(static(models.load_model("lab_cnn"), garments.batches(250)), garments.test_images[:1])
    with torch.inference_mode():
        expected = net(garments.test_images[:20])
        assert torch.equal(copy.deepcopy(net)(garments.test_images[:20]), expected)
        assert torch.equal(pickle.loads(pickle.dumps(net))(garments.test_images[:20]), expected)


# --- the file ---


@pytest.mark.case("C-not-smaller")
def test_the_file_of_lab_resnet_is_3_6_times_smaller(garments, tmp_path):
    model = models.load_model("lab_resnet")
    net = quantize.convert(static(model, garments.batches(250)), garments.test_images[:1])
    storage.save_model(tmp_path / "float", model)
    quantize.save_integer(tmp_path / "integer", net)
    assert (tmp_path / "float").stat().st_size / (tmp_path / "integer").stat().st_size >= 3.6


@pytest.mark.parametrize(("bits", "share"), [(4, 2), (2, 4)])
def test_weights_of_fewer_bits_fill_fewer_bytes(bits, share, garments, tmp_path):
    model = models.load_model("lab_cnn")
    sizes = []
    for each in (8, bits):
        config = quantize.QuantConfig(weights=quantize.int_format(each))
        net = quantize.convert(static(model, garments.batches(250), config), garments.test_images[:1])
        quantize.save_integer(tmp_path / "f", net)
        sizes.append((tmp_path / "f").stat().st_size)
    n_weights = sum(layer.weight.numel() for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear))
    assert sizes[0] - sizes[1] == pytest.approx(n_weights * (1 - 1 / share), abs=100)


def test_a_file_comes_back_bit_for_bit(garments, tmp_path):
    config = quantize.QuantConfig(weights=quantize.INT4)
    model = static(models.load_model("lab_cnn"), garments.batches(250), config)
    net = quantize.convert(model, garments.test_images[:1])
    quantize.save_integer(tmp_path / "f", net, meta={"of": "lab_cnn"})
    # The same architecture with other weights and ranges: all that matters comes from the file.
    other = static(models.make_model("lab_cnn", seed=5).eval(), garments.batches(250), config)
    empty = quantize.convert(other, garments.test_images[:1])
    assert storage.load_model_(empty, tmp_path / "f") == {"of": "lab_cnn"}
    with torch.inference_mode():
        assert torch.equal(empty(garments.test_images[:50]), net(garments.test_images[:50]))


# --- what cannot be converted ---


def test_a_model_that_is_not_static_is_refused():
    with pytest.raises(TypeError, match="apply_static"):
        quantize.convert(models.load_model("lab_cnn"), torch.zeros(1, 1, 14, 14))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda: quantize.QuantConfig(overrides={"conv2": None}), "'conv2'|conv2"),
        (lambda: quantize.QuantConfig(output=None), "output"),
    ],
)
def test_what_is_in_float_is_named(change, words, garments):
    model = static(models.load_model("lab_cnn"), garments.batches(250), change())
    with pytest.raises(surgery.UnsupportedOperation, match=words):
        quantize.convert(model, garments.test_images[:1])


def test_a_batch_norm_that_was_not_folded_is_named(garments):
    model = quantize.apply_static(models.load_model("lab_cnn"), garments.batches(250), quantize.QuantConfig())
    with pytest.raises(surgery.UnsupportedOperation, match="fold"):
        quantize.convert(model, garments.test_images[:1])


def test_an_operation_without_a_rule_is_named():
    batches = random_batches(2, 6, 6)
    model = quantize.apply_static(
        nn.Sequential(nn.Conv2d(2, 3, 3), nn.Hardswish(), nn.Conv2d(3, 2, 1)).eval(), batches, quantize.QuantConfig()
    )
    with pytest.raises(surgery.UnsupportedOperation, match="hardswish"):
        quantize.convert(model, batches[0][0][:1])


def test_a_transposed_convolution_is_named():
    batches = random_batches(2, 4, 4)
    model = quantize.apply_static(nn.Sequential(nn.ConvTranspose2d(2, 3, 2)).eval(), batches, quantize.QuantConfig())
    with pytest.raises(surgery.UnsupportedOperation, match="ConvTranspose2d"):
        quantize.convert(model, batches[0][0][:1])


def test_converting_leaves_the_model_as_it_was(garments):
    model = static(models.load_model("lab_cnn"), garments.batches(250))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    graph = str(model.graph)
    quantize.convert(model, garments.test_images[:1])
    assert str(model.graph) == graph
    assert all(np.array_equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_modules_that_are_passed_on_stay_the_model_s_own():
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 2))
    static = quantize.apply_static(model, [torch.randn(20, 4)], quantize.QuantConfig()).train()
    modes = {name: each.training for name, each in static.named_modules()}
    network = quantize.convert(static, torch.randn(2, 4))
    assert {name: each.training for name, each in static.named_modules()} == modes
    assert not any(each is other for each in network.modules() for other in static.modules())
