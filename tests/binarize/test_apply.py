import warnings

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from labcore import models, training
from labcore.binarize import (
    BinaryConfig,
    BinaryLayer,
    FixedLayer,
    LatentWeights,
    SignActivation,
    all_binary,
    apply_binary,
    binary_layers,
    find_layers,
    fix_binary,
    glorot_scale,
    middle_layers,
)
from labcore.runtime import NoEffectWarning

ALL = BinaryConfig(activations="binary")


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_middle_is_all_but_the_first_and_the_last():
    model = models.make_blocks()
    assert find_layers(model) == ["conv1", "conv2", "conv3", "fc"]
    assert middle_layers(model) == ["conv2", "conv3"]
    assert list(binary_layers(apply_binary(model))) == ["conv2", "conv3"]


def test_the_model_is_left_as_it_was():
    model = models.make_blocks()
    before, x = {k: v.clone() for k, v in model.state_dict().items()}, normal(2, 1, 14, 14)
    outputs = model.eval()(x)
    apply_binary(model, ALL)
    assert torch.equal(model(x), outputs)
    assert not binary_layers(model)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "vgg11_bn"])
def test_torchvision_networks_take_binary_weights(name):
    model = getattr(torchvision.models, name)(weights=None).eval()
    binary = apply_binary(model)
    assert len(binary_layers(binary)) == len(find_layers(model)) - 2
    assert binary(normal(1, 3, 64, 64)).shape == (1, 1000)


def test_where_signs_are_pooled_the_order_of_blocks_shows():
    late, early = (apply_binary(models.make_blocks(order), ALL) for order in ("B-A-C-P", "C-B-A-P"))
    assert isinstance(late.act1, nn.Identity)
    assert isinstance(late.act2, nn.Identity)
    assert isinstance(early.act1, SignActivation)
    assert isinstance(early.act2, SignActivation)
    assert isinstance(late.act3, nn.ReLU)
    assert isinstance(early.act3, nn.ReLU)
    for model, estimators in ((late, "window"), (early, "identity")):
        assert {each.config.estimator for each in binary_layers(model).values()} == {estimators}


def test_pooled_signs_are_almost_all_positive():
    """The reason of the paper for its order."""
    shares = {}
    for order in ("B-A-C-P", "C-B-A-P"):
        model = apply_binary(models.make_blocks(order), ALL).train()
        seen = []
        model.conv2.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0]))
        model(torch.rand(50, 1, 14, 14))
        shares[order] = (seen[0] >= 0).float().mean().item()
    assert shares["B-A-C-P"] < 0.6 < 0.7 < shares["C-B-A-P"]


def test_layers_can_have_settings_of_their_own():
    model = apply_binary(models.make_blocks(), layers={"conv1": BinaryConfig(), "conv3": ALL})
    layers = binary_layers(model)
    assert {name: each.config.activations for name, each in layers.items()} == {"conv1": "real", "conv3": "binary"}
    # conv2 is real and still reads what the ReLU gives; conv3 reads signs.
    assert isinstance(model.act1, nn.ReLU)
    assert isinstance(model.act2, nn.Identity)


def test_all_binary_leaves_pixels_as_they_are():
    settings = all_binary(models.make_blocks(), ["conv1", "conv2", "fc"])
    assert {name: each.activations for name, each in settings.items()} == {
        "conv1": "real", "conv2": "binary", "fc": "binary",
    }  # fmt: skip
    assert {each.weights for each in settings.values()} == {"binary"}


def test_shifted_signs_stand_in_their_layers():
    model = apply_binary(models.make_blocks("C-B-A-P"), BinaryConfig(activations="shifted"))
    assert isinstance(model.act1, nn.Identity)
    assert model.conv2.shift.shape == (16, 1, 1)


def test_with_shortcuts_real_numbers_pass_around_the_signs():
    model = models.make_blocks(shortcuts="real").eval()
    binary = apply_binary(model, BinaryConfig(activations="shifted"))
    assert isinstance(binary.act1, nn.Identity)
    assert isinstance(binary.act2, nn.Identity)
    with torch.no_grad():
        for layer in (binary.conv2.layer, binary.conv3.layer):
            layer.weight.zero_()
        binary.bn1.bias.fill_(0.3)
    # Alpha is 0 where all weights are: what is left is what came around, the average of the doubled channels.
    x = torch.rand(3, 1, 14, 14)
    u = binary.bn1(binary.pool(binary.conv1(x)))
    around = F.avg_pool2d(torch.cat([u, u], 1), 2)
    assert torch.allclose(binary(x), binary.fc(F.relu(around).flatten(1)), atol=1e-5)


def test_a_rectifier_that_others_read_is_named():
    class Forked(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c, self.relu = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3), nn.ReLU()

        def forward(self, x):
            x = self.relu(self.a(x))
            return self.c(self.b(x) + x)

    with pytest.raises(ValueError, match=r"'b' reads relu .* always be \+1; .* as add reads it too"):
        apply_binary(Forked(), ALL)
    assert list(binary_layers(apply_binary(Forked()))) == ["b"]


def test_a_rectifier_in_several_places_or_without_module_is_named():
    with pytest.raises(ValueError, match="stands in 3 places"):
        apply_binary(models.make_model("lab_cnn"), ALL)

    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            return self.b(F.relu(self.a(x)))

    with pytest.raises(ValueError, match="a module of its own"):
        apply_binary(Functional(), ALL, layers=["b"])


def test_averages_of_what_a_rectifier_gives_have_one_sign_too():
    model = torchvision.models.vgg11_bn(weights=None, num_classes=10).eval()
    binary = apply_binary(model, ALL, layers=[name for name in middle_layers(model) if name.startswith("classifier")])
    assert isinstance(binary.features[-2], SignActivation)
    x = normal(3, 3, 32, 32)
    assert not torch.equal(binary(x)[0], binary(x)[1])

    class Averaged(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.relu, self.pool = nn.Conv2d(1, 2, 1), nn.ReLU(), nn.AvgPool2d(2)
            self.b, self.c = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)

        def forward(self, x):
            return self.c(self.b(self.pool(self.relu(self.a(x)))))

    assert isinstance(apply_binary(Averaged(), ALL).relu, nn.Identity)


def test_k_of_pooled_signs_is_refused():
    with pytest.raises(ValueError, match=r"conv2 would read pooled signs, and K their size, which is 1"):
        apply_binary(models.make_blocks("C-B-A-P"), BinaryConfig(activations="binary", scale_inputs="k_map"))


def test_two_readers_of_one_rectifier_share_its_sign():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.relu = nn.Conv2d(1, 2, 1), nn.ReLU()
            self.b, self.c, self.pool = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1), nn.MaxPool2d(2)

        def forward(self, x):
            x = self.relu(self.a(x))
            return self.b(x).mean() + self.c(self.pool(x)).mean()

    model = apply_binary(Two(), ALL, layers=["b", "c"])
    assert isinstance(model.relu, SignActivation)
    assert {model.b.config.estimator, model.c.config.estimator} == {"identity"}


def test_bad_input_is_named():
    model = models.make_blocks()
    with pytest.raises(ValueError, match=r"'conv9': no such layer; near it: .*conv1"):
        apply_binary(model, layers=["conv9"])
    with pytest.raises(ValueError, match="'bn1': no rule for BatchNorm2d"):
        apply_binary(model, layers=["bn1"])
    with pytest.raises(TypeError, match=r"did you mean \['conv2'\]"):
        apply_binary(model, layers="conv2")
    with pytest.raises(TypeError, match=r"torch\.nn\.Module, got str"):
        apply_binary("model")
    with pytest.raises(ValueError, match="binary already"):
        apply_binary(apply_binary(model))
    with pytest.raises(ValueError, match="no BinaryLayer"):
        fix_binary(model)
    with torch.no_grad():
        model.conv2.weight[0] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        apply_binary(model)


@pytest.mark.parametrize(("model", "found"), [(nn.ReLU(), "none"), (nn.Sequential(nn.Linear(2, 2)), "0; by default")])
def test_a_model_without_a_layer_to_binarize_warns(model, found):
    with pytest.warns(NoEffectWarning, match=f"layers that could be: {found}"):
        binary = apply_binary(model)
    assert not binary_layers(binary)


def test_a_layer_alone_becomes_binary_by_name():
    assert isinstance(apply_binary(nn.Linear(3, 2), layers=[""]), BinaryLayer)


def test_attention_is_left_alone():
    model = nn.Sequential(nn.Linear(4, 4), nn.MultiheadAttention(4, 2), nn.Linear(4, 4))
    assert find_layers(model) == ["0", "2"]


def test_fixed_models_give_the_same_and_keep_no_latent_weights():
    model = apply_binary(models.make_blocks(), ALL).eval()
    fixed, x = fix_binary(model), normal(3, 1, 14, 14)
    assert torch.equal(fixed(x), model(x))
    assert all(isinstance(each, FixedLayer) for each in binary_layers(fixed).values())
    assert "conv2.codes" in fixed.state_dict()
    assert "conv2.layer.weight" not in fixed.state_dict()
    with pytest.raises(ValueError, match="'conv2' cannot be fixed"):
        fix_binary(apply_binary(models.make_blocks(), BinaryConfig(weights="real", activations="binary")))


def test_training_moves_latent_weights_and_clips_them():
    model = apply_binary(models.make_blocks(width=4), ALL)
    x, y = torch.rand(40, 1, 14, 14), torch.arange(40) % 10
    before = model.conv2.layer.weight.detach().clone()
    with torch.no_grad():
        model.conv2.layer.weight[0, 0, 0, 0] = 1.4
    training.fit(model, [(x, y)], training.TrainConfig(2, 1e-2), after_step=LatentWeights(model))
    after = model.conv2.layer.weight.detach()
    assert not torch.equal(before, after)
    assert after.abs().max() <= 1


def test_a_hundred_small_steps_add_up():
    """Steps of the sign itself would never leave -1: the latent weight remembers."""
    layer = BinaryLayer(nn.Linear(1, 1, bias=False), BinaryConfig(alpha="none"))
    with torch.no_grad():
        layer.layer.weight.fill_(-0.05)
    optimizer, clip = torch.optim.SGD(layer.parameters(), lr=0.01), LatentWeights(layer)
    for step in range(100):
        optimizer.zero_grad()
        (-0.1 * layer(torch.ones(1, 1))).sum().backward()
        optimizer.step()
        clip(layer, step)
    assert layer.layer.weight.item() == pytest.approx(0.05, abs=1e-6)
    assert layer(torch.ones(1, 1)).item() == 1


def test_scaled_steps_are_longer_by_the_scale_of_glorot():
    model = apply_binary(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)), layers=["0"])
    weight = model[0].layer.weight
    hook, before = LatentWeights(model, steps="scaled"), weight.detach().clone()
    for _ in range(2):
        with torch.no_grad():
            weight += 0.01
        hook(model, 1)
    assert glorot_scale(weight) == pytest.approx(2)
    assert torch.allclose(weight.detach(), before + 2 * 2 * 0.01)
    assert glorot_scale(torch.empty(8, 4, 3, 3)) == pytest.approx(((8 * 9 + 4 * 9) / 1.5) ** 0.5)


def test_a_weight_that_two_layers_share_is_scaled_once():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3))
    binary = apply_binary(model, layers=["0", "1"])
    binary[1].layer.weight = binary[0].layer.weight
    weight = binary[0].layer.weight
    hook, before = LatentWeights(binary, steps="scaled"), weight.detach().clone()
    with torch.no_grad():
        weight += 0.01
    hook(binary, 1)
    assert torch.allclose(weight.detach(), before + 2 * 0.01)


def test_the_hook_needs_latent_weights():
    with pytest.raises(ValueError, match="no latent weights"):
        LatentWeights(models.make_blocks())
    binary = apply_binary(models.make_blocks())
    with pytest.raises(ValueError, match="'plain' or 'scaled', got 'fast'"):
        LatentWeights(binary, steps="fast")
    with pytest.raises(ValueError, match="limit must be more than 0"):
        LatentWeights(binary, limit=0)


def test_all_this_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fix_binary(apply_binary(models.make_blocks(), ALL))


@pytest.mark.parametrize("steps", ["plain", "scaled"])
def test_weights_are_clipped_to_the_limit_after_the_scaled_step(steps):
    model = apply_binary(nn.Linear(3, 3), layers=[""])
    weight = model.layer.weight
    with torch.no_grad():
        weight.fill_(0.4)
        hook = LatentWeights(model, steps=steps, limit=0.5)
        weight += torch.tensor([[0.3, -2.0, 0.01]])
    hook(model, 1)
    small = 0.41 if steps == "plain" else 0.42
    assert weight.detach() == pytest.approx(torch.tensor([[0.5, -0.5, small]] * 3))
    with torch.no_grad():
        weight -= 0.01
    hook(model, 2)
    # The second step starts at the clipped weight.
    assert weight[0, 0].item() == pytest.approx(0.49 if steps == "plain" else 0.48)


def test_real_weights_below_binary_inputs_are_not_clipped():
    real, binary = BinaryConfig(weights="real", activations="binary"), BinaryConfig()
    model = apply_binary(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), layers={"0": real, "1": binary})
    with torch.no_grad():
        for each in model:
            each.layer.weight.fill_(1.5)
    LatentWeights(model)(model, 1)
    assert model[0].layer.weight.unique().tolist() == [1.5]
    assert model[1].layer.weight.unique().tolist() == [1]


@pytest.mark.parametrize("rectifier", [nn.ReLU, nn.ReLU6, nn.Sigmoid, nn.Hardsigmoid, nn.Softplus])
@pytest.mark.parametrize("between", [nn.Identity, nn.Dropout, nn.Flatten])
def test_every_rectifier_is_taken_out(rectifier, between):
    model = nn.Sequential(nn.Linear(3, 3), rectifier(), between(), nn.Linear(3, 3), nn.Linear(3, 3))
    assert isinstance(apply_binary(model, ALL)[1], nn.Identity)
    assert isinstance(apply_binary(model)[1], rectifier)


def test_signs_are_pooled_whichever_reader_comes_first():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.relu = nn.Conv2d(1, 2, 1), nn.ReLU()
            self.b, self.c, self.pool = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1), nn.MaxPool2d(2)

        def forward(self, x):
            x = self.relu(self.a(x))
            return self.c(self.pool(x)).mean() + self.b(x).mean()

    assert isinstance(apply_binary(Two(), ALL, layers=["b", "c"]).relu, SignActivation)


def test_a_rectifier_that_others_read_after_a_pooling_is_named():
    class Forked(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)
            self.relu, self.pool = nn.ReLU(), nn.AvgPool2d(2)

        def forward(self, x):
            x = self.pool(self.relu(self.a(x)))
            return self.b(x) + x

    with pytest.raises(ValueError, match="it cannot be taken out, as add reads it too"):
        apply_binary(Forked(), ALL, layers=["b"])


@pytest.mark.parametrize("estimator", ["window", "polynomial"])
def test_pooled_signs_have_the_chosen_estimator_and_their_reader_none(estimator):
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(2, 2, 1))
    binary = apply_binary(model, BinaryConfig(activations="binary", estimator=estimator), layers=["3"])
    assert binary[1].estimator == estimator
    assert binary[3].config.estimator == "identity"


@pytest.mark.parametrize("training", [True, False])
def test_a_binary_layer_keeps_the_mode_of_its_layer(training):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).train(training)
    binary = apply_binary(model, BinaryConfig(weights="stochastic", alpha="none"), layers=["0"])
    assert binary[0].training == binary[0].weight_rule.training == training


def test_a_layer_named_twice_becomes_binary_once():
    binary = apply_binary(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), layers=["0", "0"])
    assert isinstance(binary[0].layer, nn.Linear)
