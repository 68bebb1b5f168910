import pytest
import torch
from torch import nn

from labcore import models, storage, training
from labcore.binarize import (
    BinaryConfig,
    PackedLayer,
    SignActivation,
    SignThreshold,
    apply_binary,
    binary_layers,
    fix_binary,
    layer_bytes,
    measure_file_bytes,
    pack_network,
    save_binary,
)

ALL = BinaryConfig(activations="binary")


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def trained(model, shape, config=ALL, layers=None, n=60):
    """Fixed after a few steps, so that batch norms have seen data and some gammas are negative."""
    binary = apply_binary(model, config, layers=layers)
    x, y = normal(n, *shape), torch.arange(n) % 10
    training.fit(binary, [(x, y)], training.TrainConfig(3, 1e-2))
    with torch.no_grad():
        for each in binary.modules():
            if isinstance(each, nn.BatchNorm1d | nn.BatchNorm2d):
                each.weight[::3] *= -1
                each.bias += normal(len(each.bias)) / 5
    return fix_binary(binary.eval())


def make_mlp(bias=False):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 70, bias=bias), nn.BatchNorm1d(70), nn.ReLU(), nn.Linear(70, 65, bias=bias),
        nn.BatchNorm1d(65), nn.ReLU(), nn.Linear(65, 33, bias=bias), nn.BatchNorm1d(33), nn.ReLU(), nn.Linear(33, 10),
    )  # fmt: skip


def features(model, x):
    """What the last layer reads."""
    seen = []
    last = [each for each in model.modules() if isinstance(each, nn.Linear)][-1]
    handle = last.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model(x)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("activations", ["binary", "shifted"])
@pytest.mark.parametrize("order", ["B-A-C-P", "C-B-A-P"])
def test_a_packed_network_gives_the_same_bits(order, activations):
    model = trained(models.make_blocks(order), (1, 14, 14), BinaryConfig(activations=activations))
    x = normal(200, 1, 14, 14, seed=1)
    packed = pack_network(model, x)
    assert torch.equal(features(packed, x), features(model, x))
    assert torch.equal(packed(x).argmax(1), model(x).argmax(1))
    assert sum(isinstance(each, PackedLayer) for each in packed.modules()) == 2


@pytest.mark.parametrize("bias", [False, True])
def test_linear_layers_are_packed_too(bias):
    model = trained(make_mlp(bias), (64,))
    x = normal(100, 64, seed=2)
    packed = pack_network(model, x)
    assert torch.equal(features(packed, x), features(model, x))


def test_batch_norm_and_sign_become_one_threshold():
    packed = pack_network(trained(models.make_blocks(), (1, 14, 14)), torch.zeros(1, 1, 14, 14))
    assert isinstance(packed.bn2, SignThreshold)
    assert not packed.conv2.scaled
    # What a ReLU or a real layer reads stays real.
    assert isinstance(packed.bn1, nn.BatchNorm2d)
    assert isinstance(packed.bn3, nn.BatchNorm2d)
    assert packed.conv3.scaled


def test_a_bias_or_k_keeps_the_batch_norm():
    with_bias = pack_network(trained(make_mlp(bias=True), (64,)), torch.zeros(1, 64))
    assert not any(isinstance(each, SignThreshold) for each in with_bias.modules())
    config = BinaryConfig(activations="binary", scale_inputs="k_map")
    model = trained(models.make_blocks(), (1, 14, 14), config)
    x = normal(50, 1, 14, 14, seed=1)
    packed = pack_network(model, x)
    assert not any(isinstance(each, SignThreshold) for each in packed.modules())
    assert torch.equal(features(packed, x), features(model, x))


def test_a_batch_norm_that_others_read_stays():
    class Forked(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = (nn.Conv2d(4, 4, 1, bias=False) for _ in range(3))
            self.bn, self.last = nn.BatchNorm2d(4), nn.Linear(4, 10)

        def forward(self, x):
            y = self.bn(self.b(self.a(x)))
            return self.last((self.c(y) + y).mean((2, 3)))

    model = trained(Forked(), (4, 5, 5), layers=["b", "c"])
    x = normal(20, 4, 5, 5, seed=1)
    packed = pack_network(model, x)
    assert isinstance(packed.bn, nn.BatchNorm2d)
    assert torch.equal(packed(x), model(x))


def test_ternary_and_real_inputs_are_left_as_they_are():
    ternary = trained(models.make_blocks(), (1, 14, 14), BinaryConfig(weights="ternary", activations="binary"))
    for model in (ternary, trained(models.make_blocks(), (1, 14, 14), BinaryConfig())):
        with pytest.raises(ValueError, match="no layer with binary weights and binary inputs"):
            pack_network(model, torch.zeros(1, 1, 14, 14))


def test_the_model_is_left_as_it_was():
    model = trained(models.make_blocks(), (1, 14, 14))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    pack_network(model, torch.zeros(1, 1, 14, 14))
    assert list(binary_layers(model)) == ["conv2", "conv3"]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_an_empty_batch_gives_an_empty_batch():
    packed = pack_network(trained(models.make_blocks(), (1, 14, 14)), torch.zeros(1, 1, 14, 14))
    assert packed(torch.empty(0, 1, 14, 14)).shape == (0, 10)


@pytest.mark.parametrize("weights", ["binary", "ternary"])
def test_a_file_gives_the_network_back(tmp_path, weights):
    config = BinaryConfig(weights=weights, activations="shifted")
    model, other = (trained(models.make_blocks(seed=s), (1, 14, 14), config) for s in (0, 1))
    x = normal(40, 1, 14, 14, seed=1)
    assert not torch.equal(model(x), other(x))
    save_binary(tmp_path / "net", model, meta={"note": "x"})
    assert storage.load_model_(other, tmp_path / "net") == {"note": "x"}
    assert torch.equal(model(x), other(x))
    save_binary(tmp_path / "net", other)
    assert measure_file_bytes(model) == (tmp_path / "net").stat().st_size
    if weights == "binary":
        assert torch.equal(features(pack_network(other, x), x), features(model, x))


def test_bytes_of_a_layer_by_hand():
    model = trained(models.make_blocks(), (1, 14, 14))
    conv2, conv3 = binary_layers(model).values()
    assert layer_bytes(conv2) == 16 * 32 * 9 // 8 + 4 * 32
    assert layer_bytes(conv3) == 32 * 32 * 9 // 8 + 4 * 32
    ternary = trained(models.make_blocks(), (1, 14, 14), BinaryConfig(weights="ternary"))
    assert layer_bytes(ternary.conv3) == 32 * 32 * 9 * 2 // 8 + 4 * 32


def test_binary_layers_are_many_times_smaller():
    """The middle of lab_cnn at least 27 times, a layer of 256 channels at least 31 times."""
    layers = binary_layers(fix_binary(apply_binary(models.load_model("lab_cnn")))).values()
    assert sum(4 * each.codes.numel() for each in layers) >= 27 * sum(map(layer_bytes, layers))
    wide = fix_binary(apply_binary(nn.Conv2d(256, 256, 3, bias=False), layers=[""]))
    assert 4 * wide.codes.numel() >= 31 * layer_bytes(wide)
    assert 4 * wide.codes.numel() >= 31 * measure_file_bytes(wide)


def test_only_fixed_models_are_saved(tmp_path):
    with pytest.raises(ValueError, match="no FixedLayer"):
        save_binary(tmp_path / "net", apply_binary(models.make_blocks()))


# --- what must not become a threshold --------------------------------------------------------------------


class Chain(nn.Module):
    """Linear layers with batch norms between them, by their names."""

    def __init__(self, order: str, shape=(6,)):
        super().__init__()
        self.order, self.over_sequences, n = order, len(shape) == 2, shape[-1]
        for i in range(4):
            self.add_module(f"l{i}", nn.Linear(n, n, bias=False))
        self.bn, self.other, self.last = nn.BatchNorm1d(shape[0]), nn.BatchNorm1d(shape[0]), nn.Linear(n, 10)

    def forward(self, x):
        for name in self.order.split():
            x = getattr(self, name)(x)
        return self.last(x.mean(1) if self.over_sequences else x)


@pytest.mark.parametrize("order", ["l0 bn l1 bn l2 bn l3", "l0 bn l1 bn", "l0 bn l0 bn l0", "l1 bn l1 other l1"])
def test_what_is_called_twice_is_never_folded(order):
    model = trained(Chain(order), (6,), layers=["l0", "l1", "l2", "l3"])
    x = normal(40, 6, seed=1)
    packed = pack_network(model, x)
    assert not any(isinstance(each, SignThreshold) for each in packed.modules())
    assert torch.equal(packed(x), model(x))


def test_what_is_called_once_is_folded():
    model = trained(Chain("l0 bn l1 other l2"), (6,), layers=["l0", "l1", "l2"])
    x = normal(40, 6, seed=1)
    packed = pack_network(model, x)
    assert isinstance(packed.bn, SignThreshold)
    assert isinstance(packed.other, SignThreshold)
    assert torch.equal(packed(x), model(x))


@pytest.mark.parametrize("shape", [(6, 6), (5, 6)])
def test_over_sequences_batch_norm_stays(shape):
    """There it has a channel for each place, not for each feature."""
    model = trained(Chain("l0 bn l1", shape), shape, layers=["l0", "l1"])
    x = normal(30, *shape, seed=1)
    packed = pack_network(model, x)
    assert isinstance(packed.bn, nn.BatchNorm1d)
    assert torch.equal(packed(x), model(x))


def test_a_layer_that_needs_sizes_keeps_its_batch_norm():
    sizes = BinaryConfig(activations="binary", scale_inputs="k_map")
    binary = apply_binary(Chain("l0 bn l1"), layers={"l0": ALL, "l1": sizes})
    binary(normal(50, 6))
    model, x = fix_binary(binary.eval()), normal(20, 6, seed=1)
    packed = pack_network(model, x)
    assert isinstance(packed.bn, nn.BatchNorm1d)
    assert torch.equal(packed(x), model(x))


def test_doubles_keep_their_batch_norm():
    model = fix_binary(apply_binary(Chain("l0 bn l1").double(), ALL, layers=["l0", "l1"]).eval())
    x = normal(20, 6, seed=1).double()
    packed = pack_network(model, x)
    assert isinstance(packed.bn, nn.BatchNorm1d)
    assert torch.equal(packed(x), model(x))


def test_an_empty_batch_passes_linear_layers():
    packed = pack_network(trained(make_mlp(), (64,)), torch.zeros(1, 64))
    assert packed(torch.empty(0, 64)).shape == (0, 10)


def test_other_weights_need_another_network():
    model, other = (trained(models.make_blocks(seed=seed), (1, 14, 14)) for seed in (0, 1))
    packed = pack_network(model, torch.zeros(1, 1, 14, 14))
    with pytest.raises(RuntimeError, match="pack it again"):
        packed.load_state_dict(pack_network(other, torch.zeros(1, 1, 14, 14)).state_dict())


def test_what_cannot_be_packed_is_named():
    with pytest.raises(TypeError, match="need a module and a tensor, got str and Tensor"):
        pack_network("net", torch.zeros(1))
    with pytest.raises(ValueError, match=r"cannot take a batch of shape \(2, 3\)"):
        pack_network(trained(models.make_blocks(), (1, 14, 14)), torch.zeros(2, 3))


def packed_and_fixed(model, x, layers):
    """Batch norms have seen one batch."""
    binary = apply_binary(model, layers=layers)
    binary.train()(x)
    fixed = fix_binary(binary.eval())
    return pack_network(fixed, x), fixed


SETTINGS = [
    {"stride": 2}, {"padding": 2, "dilation": 2}, {"groups": 2, "padding": 1}, {"padding": "same"},
    {"padding": 1, "padding_mode": "reflect"},
]  # fmt: skip


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_every_convolution_gives_the_same_in_a_packed_network(settings):
    model = nn.Sequential(nn.Conv2d(4, 6, 3, **settings, bias=False), nn.BatchNorm2d(6), nn.Conv2d(6, 4, 1, bias=False))
    x = normal(5, 4, 9, 9)
    packed, fixed = packed_and_fixed(model, x, {"0": ALL, "2": ALL})
    assert torch.equal(packed(x), fixed(x))
    special = settings.get("padding") == "same" or "padding_mode" in settings
    assert isinstance(packed.get_submodule("0"), PackedLayer) != special


def test_a_flatten_before_a_batch_norm_gives_it_other_channels():
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3, bias=False), nn.Flatten(), nn.BatchNorm1d(27), nn.Linear(27, 4, bias=False)
    )
    x = normal(8, 2, 5, 5)
    packed, fixed = packed_and_fixed(model, x, {"0": ALL, "3": ALL})
    assert isinstance(packed.get_submodule("2"), nn.BatchNorm1d)
    assert torch.equal(packed(x), fixed(x))


def test_a_negative_alpha_keeps_its_batch_norm():
    model = nn.Sequential(nn.Linear(6, 5, bias=False), nn.BatchNorm1d(5), nn.Linear(5, 4, bias=False))
    x = normal(20, 6)
    binary = apply_binary(model, BinaryConfig(activations="binary", alpha="learned"), layers=["0", "2"])
    with torch.no_grad():
        binary[0].weight_rule.alpha[1] *= -1
    binary(x)
    fixed = fix_binary(binary.eval())
    packed = pack_network(fixed, x)
    assert isinstance(packed.get_submodule("1"), nn.BatchNorm1d)
    assert torch.equal(packed(x), fixed(x))


def test_a_layer_that_gives_sizes_keeps_its_batch_norm():
    sizes = BinaryConfig(activations="binary", scale_inputs="k_map")
    model = nn.Sequential(nn.Linear(6, 5, bias=False), nn.BatchNorm1d(5), nn.Linear(5, 4, bias=False))
    x = normal(20, 6)
    packed, fixed = packed_and_fixed(model, x, {"0": sizes, "2": ALL})
    assert isinstance(packed.get_submodule("1"), nn.BatchNorm1d)
    assert torch.equal(packed(x), fixed(x))


@pytest.mark.parametrize("settings", [{"track_running_stats": False}, {"affine": False}])
def test_a_batch_norm_without_numbers_of_its_own_stays(settings):
    model = nn.Sequential(nn.Linear(6, 5, bias=False), nn.BatchNorm1d(5, **settings), nn.Linear(5, 4, bias=False))
    x = normal(20, 6)
    packed, fixed = packed_and_fixed(model, x, {"0": ALL, "2": ALL})
    assert isinstance(packed.get_submodule("1"), nn.BatchNorm1d)
    assert torch.equal(packed(x), fixed(x))


def test_a_threshold_knows_the_epsilon_of_its_batch_norm():
    model = nn.Sequential(nn.Linear(6, 5, bias=False), nn.BatchNorm1d(5, eps=10.0), nn.Linear(5, 4, bias=False))
    with torch.no_grad():
        model[1].bias.copy_(torch.tensor([-0.2, 0.2, -0.1, 0.1, 0.05]))
    x = normal(200, 6)
    packed, fixed = packed_and_fixed(model, x, {"0": ALL, "2": ALL})
    assert isinstance(packed.get_submodule("1"), SignThreshold)
    assert torch.equal(packed(x), fixed(x))


def test_a_sign_of_its_own_follows_a_threshold():
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 2, 1, bias=False)
    )
    x = normal(8, 2, 6, 6)
    packed, fixed = packed_and_fixed(model, x, {"0": ALL, "4": ALL})
    assert isinstance(fixed[2], SignActivation)
    assert isinstance(packed.get_submodule("1"), SignThreshold)
    assert torch.equal(packed(x), fixed(x))


@pytest.mark.parametrize(
    ("activations", "bias", "numbers"),
    [("binary", False, 3), ("binary", True, 6), ("shifted", False, 11), ("shifted", True, 14)],
)
def test_bytes_of_a_layer_count_the_shift_and_the_bias(activations, bias, numbers):
    model = apply_binary(nn.Linear(8, 3, bias=bias), BinaryConfig(activations=activations), layers=[""])
    assert layer_bytes(fix_binary(model)) == 3 + 4 * numbers
