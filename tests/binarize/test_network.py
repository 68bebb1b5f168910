import pytest
import torch
from torch import nn

from labcore import models, storage, training
from labcore.binarize import (
    BinaryConfig,
    PackedLayer,
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
    packed, x = pack_network(model), normal(200, 1, 14, 14, seed=1)
    assert torch.equal(features(packed, x), features(model, x))
    assert torch.equal(packed(x).argmax(1), model(x).argmax(1))
    assert sum(isinstance(each, PackedLayer) for each in packed.modules()) == 2


@pytest.mark.parametrize("bias", [False, True])
def test_linear_layers_are_packed_too(bias):
    model = trained(make_mlp(bias), (64,))
    packed, x = pack_network(model), normal(100, 64, seed=2)
    assert torch.equal(features(packed, x), features(model, x))


def test_batch_norm_and_sign_become_one_threshold():
    packed = pack_network(trained(models.make_blocks(), (1, 14, 14)))
    assert isinstance(packed.bn2, SignThreshold)
    assert not packed.conv2.scaled
    # What a ReLU or a real layer reads stays real.
    assert isinstance(packed.bn1, nn.BatchNorm2d)
    assert isinstance(packed.bn3, nn.BatchNorm2d)
    assert packed.conv3.scaled


def test_a_bias_or_k_keeps_the_batch_norm():
    with_bias = pack_network(trained(make_mlp(bias=True), (64,)))
    assert not any(isinstance(each, SignThreshold) for each in with_bias.modules())
    config = BinaryConfig(activations="binary", scale_inputs="k_map")
    model = trained(models.make_blocks(), (1, 14, 14), config)
    packed, x = pack_network(model), normal(50, 1, 14, 14, seed=1)
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
    packed, x = pack_network(model), normal(20, 4, 5, 5, seed=1)
    assert isinstance(packed.bn, nn.BatchNorm2d)
    assert torch.equal(packed(x), model(x))


def test_ternary_and_real_inputs_are_left_as_they_are():
    ternary = trained(models.make_blocks(), (1, 14, 14), BinaryConfig(weights="ternary", activations="binary"))
    for model in (ternary, trained(models.make_blocks(), (1, 14, 14), BinaryConfig())):
        with pytest.raises(ValueError, match="no layer with binary weights and binary inputs"):
            pack_network(model)


def test_the_model_is_left_as_it_was():
    model = trained(models.make_blocks(), (1, 14, 14))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    pack_network(model)
    assert list(binary_layers(model)) == ["conv2", "conv3"]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_an_empty_batch_gives_an_empty_batch():
    packed = pack_network(trained(models.make_blocks(), (1, 14, 14)))
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
        assert torch.equal(features(pack_network(other), x), features(model, x))


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
