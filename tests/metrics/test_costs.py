"""Parameters and MACs: closed formulas, a count by forward hooks, and the counter."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labcore import metrics
from labcore.models import make_model
from labcore.training import evaluating
from networks import LAB_SHAPES, TORCHVISION, make_torchvision


def count_by_hooks(model, sample):
    """The same count another way: closed formulas on what each layer sees and gives."""
    total = 0

    def add(layer, inputs, output):
        nonlocal total
        if isinstance(layer, nn.Linear):
            total += output.numel() * layer.in_features
        else:  # a convolution multiplies once an output value, a transposed one once an input value
            values = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
            total += values.numel() * layer.weight[0].numel()

    layers = [module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
    handles = [layer.register_forward_hook(add) for layer in layers]
    with evaluating(model):
        model(sample)
    for handle in handles:
        handle.remove()
    return total / len(sample)


def check_network(model, sample):
    costs = metrics.measure_costs(model, sample)
    assert costs.macs == count_by_hooks(model, sample) == metrics.count_macs(model, sample)
    assert costs.n_params == sum(parameter.numel() for parameter in model.parameters())
    assert sum(layer.macs for layer in costs.layers) == costs.macs
    assert sum(layer.n_params for layer in costs.layers) == costs.n_params
    assert len({layer.name for layer in costs.layers}) == len(costs.layers)
    assert max(layer.peak_bytes for layer in costs.layers) == costs.peak_activation_bytes
    return costs


@pytest.mark.parametrize("name", LAB_SHAPES)
def test_lab_networks_cost_what_the_formulas_say(name):
    check_network(make_model(name), torch.rand(2, *LAB_SHAPES[name]))


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_networks_cost_what_the_formulas_say(name):
    check_network(make_torchvision(name), torch.rand(1, 3, 64, 64))


def test_resnet18_costs_what_papers_say():
    model, image = make_torchvision("resnet18"), torch.rand(1, 3, 224, 224)
    assert metrics.count_macs(model, image) == 1_814_073_344
    assert metrics.count_params(model) == 11_689_512


def test_lab_cnn_by_hand():
    costs = metrics.measure_costs(make_model("lab_cnn"), torch.rand(1, 1, 14, 14))
    macs = {layer.name: layer.macs for layer in costs.layers if layer.macs}
    assert macs == {
        "conv1": 14 * 14 * 16 * 9,
        "conv2": 7 * 7 * 32 * 16 * 9,
        "conv3": 3 * 3 * 32 * 32 * 9,
        "fc": 288 * 10,
    }
    params = {layer.name: layer.n_params for layer in costs.layers if layer.n_params}
    assert params == {"conv1": 144, "bn1": 32, "conv2": 4608, "bn2": 64, "conv3": 9216, "bn3": 64, "fc": 2890}
    assert costs.n_params == 17_018
    assert [layer.name for layer in costs.layers[:4]] == ["conv1", "bn1", "relu", "pool"]


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        (nn.Conv2d(16, 32, 3, stride=2, padding=1), (16, 14, 14), 225_792),
        (nn.Conv2d(16, 32, 3, padding=1), (16, 8, 8), 294_912),
        (nn.Conv2d(16, 32, 3, padding=1, groups=4), (16, 8, 8), 294_912 // 4),
        (nn.Conv2d(16, 16, 3, padding=1, groups=16), (16, 8, 8), 8 * 8 * 16 * 9),
        (nn.Conv2d(4, 6, (1, 5), dilation=2), (4, 9, 9), 9 * 1 * 6 * 4 * 5),
        (nn.Conv1d(4, 6, 3), (4, 10), 8 * 6 * 4 * 3),
        (nn.Conv3d(2, 3, 3), (2, 5, 5, 5), 27 * 3 * 2 * 27),
        (nn.ConvTranspose2d(32, 16, 2, stride=2), (32, 8, 8), 8 * 8 * 32 * 16 * 4),
        (nn.ConvTranspose2d(8, 4, 3, groups=2), (8, 5, 5), 5 * 5 * 8 * 2 * 9),
        (nn.Linear(8, 4), (8,), 32),
        (nn.Linear(8, 4), (3, 8), 3 * 32),
        (nn.BatchNorm2d(16), (16, 8, 8), 0),
        (nn.LSTM(8, 16, batch_first=True), (5, 8), 5 * 4 * 16 * (8 + 16)),
        (nn.GRU(8, 16, batch_first=True), (5, 8), 5 * 3 * 16 * (8 + 16)),
    ],
    ids=str,
)
def test_one_layer_by_its_closed_formula(layer, shape, macs):
    assert metrics.count_macs(layer, torch.rand(3, *shape)) == macs


def test_a_transformer_layer_counts_its_attention():
    width, length, hidden = 16, 5, 32
    layer = nn.TransformerEncoderLayer(width, 2, hidden, batch_first=True)
    projections, products = 4 * length * width**2, 2 * length**2 * width
    assert torch.backends.mha.get_fastpath_enabled()
    costs = metrics.measure_costs(layer, torch.rand(2, length, width))
    assert costs.macs == projections + products + 2 * length * width * hidden
    assert sum(row.n_params for row in costs.layers) == costs.n_params
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize(
    ("product", "macs"),
    [
        (lambda x: torch._int_mm(x.flatten(1).to(torch.int8), torch.ones(32, 16, dtype=torch.int8)), 32 * 16),
        (lambda x: x.flatten(1) @ torch.ones(32), 32),
        (lambda x: x.flatten() @ x.flatten(), 32),
    ],
    ids=["int8 matrices", "matrix and vector", "vectors"],
)
def test_products_that_the_counter_does_not_know(product, macs):
    class Product(nn.Module):
        def forward(self, x):
            return product(x)

    batch = torch.ones(32, 32)
    assert metrics.count_macs(Product(), batch) == macs


def test_functional_calls_stand_with_the_module_that_makes_them():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.rand(8, 3, 3, 3))
            self.inner = nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU())

        def forward(self, x):
            return self.inner(F.conv2d(x, self.weight))

    costs = metrics.measure_costs(Functional(), torch.rand(2, 3, 6, 6))
    rows = {layer.name: (layer.kind, layer.macs, layer.n_params) for layer in costs.layers}
    assert rows == {
        "Functional": ("Functional", 4 * 4 * 8 * 27, 8 * 27),
        "inner.0": ("Conv2d", 4 * 4 * 64, 72),
        "inner.1": ("ReLU", 0, 0),
    }


def test_a_layer_called_twice_works_twice_and_is_held_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x):
            return self.conv(self.conv(x))

    costs = metrics.measure_costs(Twice(), torch.rand(1, 4, 6, 6))
    assert (costs.macs, costs.n_params) == (2 * 36 * 4 * 36, 148)
    assert [layer.name for layer in costs.layers] == ["conv"]


def test_a_layer_that_never_runs_still_holds_its_parameters():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.idle, self.used = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.used(x)

    costs = metrics.measure_costs(Idle(), torch.rand(1, 4))
    assert [(row.name, row.n_params, row.macs, row.peak_bytes) for row in costs.layers] == [
        ("used", 10, 8, 24),
        ("idle", 20, 0, 0),
    ]


@pytest.mark.parametrize("channels", [8, 32, 64])
def test_depthwise_separable_costs_one_ninth_and_one_nth_of_a_full_convolution(channels):
    full = nn.Conv2d(channels, channels, 3, padding=1)
    depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
    separable = nn.Sequential(depthwise, nn.Conv2d(channels, channels, 1))
    batch = torch.rand(1, channels, 7, 7)
    # 1 / N + 1 / 9 as whole numbers: 9 N * separable = (9 + N) * full.
    assert 9 * channels * metrics.count_macs(separable, batch) == (9 + channels) * metrics.count_macs(full, batch)


def test_costs_are_those_of_one_sample_whatever_the_batch():
    model = make_model("lab_resnet")
    one, seven = (metrics.measure_costs(model, torch.rand(n, 1, 14, 14)) for n in (1, 7))
    assert one.layers
    assert [vars(row) for row in one.layers] == [vars(row) for row in seven.layers]
    assert (one.macs, one.peak_activation_bytes) == (seven.macs, seven.peak_activation_bytes)


@pytest.mark.case("Q-tied")
def test_tied_weights_count_once():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.head = nn.Embedding(10, 4), nn.Linear(4, 10, bias=False)
            self.head.weight = self.embedding.weight
            self.part = nn.Parameter(self.embedding.weight.detach()[:5])

        def forward(self, tokens):
            return self.head(self.embedding(tokens))

    model = Tied()
    costs = metrics.measure_costs(model, torch.zeros(1, 3, dtype=torch.long))
    assert metrics.count_params(model) == costs.n_params == sum(row.n_params for row in costs.layers) == 40
    with torch.no_grad():
        model.embedding.weight[0] = 0
    assert metrics.count_nonzero(model) == 36


@pytest.mark.case("C-not-smaller")
@pytest.mark.case("M-slow")
def test_zeros_save_neither_parameters_nor_macs():
    model, image = make_model("lab_cnn"), torch.rand(1, 1, 14, 14)
    before = metrics.measure_costs(model, image)
    with torch.no_grad():
        model.conv3.weight.zero_()
    after = metrics.measure_costs(model, image)
    assert (after.n_params, after.macs, after.peak_activation_bytes) == (
        before.n_params, before.macs, before.peak_activation_bytes,
    )  # fmt: skip
    assert after.n_nonzero == before.n_nonzero - 9216


def test_nonzero_counts_what_is_left():
    model = nn.Linear(3, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.0, -0.0, 1e-40], [1.0, math.nan, 0.0]]))
        model.bias.copy_(torch.tensor([0.0, 2.0]))
    assert metrics.count_nonzero(model) == 4


def test_a_model_without_parameters_costs_no_parameters():
    costs = metrics.measure_costs(nn.Sequential(nn.ReLU(), nn.Flatten()), torch.rand(2, 3, 4))
    assert (costs.n_params, costs.n_nonzero, costs.macs) == (0, 0, 0)
    assert metrics.count_params(nn.Identity()) == 0


@pytest.mark.parametrize("measure", [metrics.count_macs, metrics.measure_costs])
@pytest.mark.parametrize(
    ("model", "sample", "error", "message"),
    [
        (nn.Linear(4, 2), torch.rand(1, 5), ValueError, r"Linear cannot take a batch of shape \(1, 5\)"),
        (nn.Embedding(4, 2), torch.rand(1, 5), ValueError, r"Embedding cannot take .* torch.float32"),
        (nn.Embedding(4, 2), torch.full((1, 1), 9), ValueError, "Embedding cannot take a batch"),
        (nn.Linear(4, 2), torch.rand(0, 4), ValueError, r"at least one sample, got shape \(0, 4\)"),
        (nn.Linear(4, 2), torch.tensor(1.0), ValueError, r"at least one sample, got shape \(\)"),
        (nn.Linear(4, 2), [1.0], TypeError, "one tensor of shape .* got list"),
        ("lab_cnn", torch.rand(1, 4), TypeError, "must be a torch.nn.Module, got str"),
    ],
)
def test_input_that_cannot_be_measured_is_explained(measure, model, sample, error, message):
    with pytest.raises(error, match=message):
        measure(model, sample)


@pytest.mark.parametrize("count", [metrics.count_params, metrics.count_nonzero, metrics.measure_sizes])
def test_only_modules_have_parameters(count):
    with pytest.raises(TypeError, match=r"must be a torch\.nn\.Module, got dict"):
        count({})


def refuse(measure):
    """The same measurement on images that the model cannot take."""

    def measure_refused(model, batch):
        with pytest.raises(ValueError, match="LabResNet cannot take"):
            measure(model, batch.repeat(1, 3, 1, 1))

    return measure_refused


@pytest.mark.parametrize(
    "measure",
    [
        lambda model, batch: metrics.count_params(model),
        lambda model, batch: metrics.count_nonzero(model),
        metrics.count_macs,
        metrics.measure_costs,
        lambda model, batch: metrics.measure_sizes(model),
        lambda model, batch: metrics.measure_latency(model, batch, runs=2, warmup=1),
        lambda model, batch: metrics.compare_latency(model, model, batch, runs=2, warmup=1),
        refuse(metrics.measure_costs),
        refuse(metrics.measure_latency),
    ],
)
def test_measuring_leaves_the_model_as_it_was(measure):
    model, batch = make_model("lab_resnet"), torch.rand(2, 1, 14, 14)
    model.fc = nn.Sequential(nn.Dropout(), nn.Linear(64, 10))
    model.stage1.eval()

    def snapshot():
        return [
            (name, module.training, len(module._forward_hooks), len(module._forward_pre_hooks))
            for name, module in model.named_modules()
        ]

    before, modules = {name: value.clone() for name, value in model.state_dict().items()}, snapshot()
    drawn = torch.random.get_rng_state()
    measure(model, batch)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert snapshot() == modules
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert torch.equal(drawn, torch.random.get_rng_state())


def test_a_module_that_is_handed_a_parameter_is_counted():
    class Halved(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.rule = nn.Parameter(torch.ones(4, 3)), nn.Identity()

        def forward(self, x):
            return F.linear(x, self.rule(self.weight))

    model = Halved()
    assert metrics.measure_costs(model, torch.ones(2, 3)).macs == 12
    assert model.weight.requires_grad
