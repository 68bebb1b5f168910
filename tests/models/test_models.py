import copy
import pickle
import re
from typing import get_args

import pytest
import torch
from torch import nn

from labcore import binarize, data, models, runtime, training
from labcore.data import load_dataset
from labcore.models import ModelName, load_model, load_weights_, make_mlp, make_model
from labcore.training import evaluate
from networks import LAB_SHAPES

NAMES = get_args(ModelName)
# Every network at its own width, and whatever else the manifest lists.
SHIPPED = sorted(
    {f"{name}.safetensors" for name in NAMES}
    | {name for name in runtime.read_manifest() if re.fullmatch(r"\w+(-w\d+)?\.safetensors", name)}
)

# Parameters as a polynomial in the width, counted by hand: square, linear, constant.
POLYNOMIALS = {"lab_cnn": (54, 199, 10), "lab_resnet": (298, 91, 10), "lab_mobile": (26, 148, 10)}


def n_params(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def images(name: str, n: int = 3, in_channels: int = 1) -> torch.Tensor:
    return torch.rand(n, in_channels, *LAB_SHAPES[name][1:], generator=torch.Generator().manual_seed(0))


def weights(model: nn.Module) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize(
    ("name", "count"), [("lab_cnn", 17_018), ("lenet_300_100", 266_610), ("lenet5", 431_080)]
)
def test_the_sizes_are_those_that_the_chapters_quote(name, count):
    assert n_params(make_model(name)) == count


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_every_hidden_layer_follows_the_width(name):
    square, linear, constant = POLYNOMIALS[name]
    for width in (4, 8, 16, 32):
        assert n_params(make_model(name, width=width)) == square * width**2 + linear * width + constant
    assert n_params(make_model(name)) == n_params(make_model(name, width=16))


def test_the_older_networks_follow_the_width_too():
    assert n_params(make_model("lenet_300_100", width=30)) == 785 * 30 + 31 * 10 + 11 * 10
    assert n_params(make_model("lenet5", width=4)) == 26 * 4 + (25 * 4 + 1) * 10 + (160 + 1) * 100 + 101 * 10


def test_two_equal_hidden_layers():
    model = make_mlp(20, dropout=0.5, n_classes=8, seed=3)
    assert n_params(model) == 785 * 20 + 21 * 20 + 21 * 8
    assert model.training
    assert weights(make_mlp(20, n_classes=8, seed=3)) == weights(model) != weights(make_mlp(20, n_classes=8))
    x = torch.rand(3, 1, 28, 28)
    assert model(x).shape == (3, 8)
    assert not torch.equal(model(x), model(x))
    assert torch.equal(model.eval()(x), model(x))
    for wrong in ({"width": 0}, {"width": 20, "dropout": 1.0}):
        with pytest.raises(ValueError, match="need a width of at least 1 and a dropout"):
            make_mlp(**wrong)


@pytest.mark.parametrize("name", NAMES)
def test_logits_have_a_row_an_image_and_a_column_a_class(name):
    model = make_model(name)
    assert model.training
    assert model(images(name)).shape == (3, 10)
    other = make_model(name, width=4, in_channels=3, n_classes=7).eval()
    assert other(images(name, n=1, in_channels=3)).shape == (1, 7)
    assert other(images(name, n=0, in_channels=3)).shape == (0, 7)


@pytest.mark.parametrize("name", ["lab_resnet", "lab_mobile"])
@pytest.mark.parametrize("size", [14, 15, 28, 32])
def test_networks_that_pool_over_the_image_take_any_size(name, size):
    assert make_model(name)(torch.zeros(2, 1, size, size)).shape == (2, 10)


@pytest.mark.case("C-noise")
@pytest.mark.parametrize("name", NAMES)
def test_the_seed_alone_decides_the_weights(name):
    before = torch.get_rng_state()
    model = make_model(name, seed=3)
    torch.rand(5)
    again, other = make_model(name, seed=3), make_model(name, seed=4)
    assert weights(model) == weights(again)
    assert weights(model) != weights(other)
    torch.set_rng_state(before)
    make_model(name)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.case("P-deepcopy")
@pytest.mark.parametrize("name", NAMES)
def test_a_network_can_be_copied_and_pickled(name):
    model = make_model(name).eval()
    expected = model(images(name))
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(images(name)), expected)
        with torch.no_grad():
            next(other.parameters()).zero_()
    assert torch.equal(model(images(name)), expected)


def test_wrong_arguments_say_what_is_right():
    for make in (make_model, load_model):
        with pytest.raises(ValueError, match=r"unknown model 'lab_cmn'; choose one of: lab_cnn, lab_resnet"):
            make("lab_cmn")
    for width in (3, 0, -8):
        with pytest.raises(ValueError, match=f"width must be at least 4 channels, got {width}"):
            make_model("lab_cnn", width=width)
    for width in (8.0, "8", True):
        with pytest.raises(TypeError, match=f"width must be a whole number of channels, got {width!r}"):
            make_model("lab_cnn", width=width)


def test_weights_that_fit_are_copied():
    model, other = make_model("lab_cnn", seed=1), make_model("lab_cnn", seed=2)
    load_weights_(other, model.state_dict())
    assert weights(other) == weights(model)
    with torch.no_grad():
        model.fc.weight.zero_()
    assert other.fc.weight.any()


def test_weights_that_do_not_fit_are_refused_with_every_difference():
    model = make_model("lab_cnn")
    wrong = {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}
    del wrong["fc.bias"], wrong["bn1.weight"]
    wrong |= {"fc.extra": torch.zeros(1), "conv1.weight": torch.zeros(8, 1, 3, 3)}
    wrong["bn2.bias"] = torch.zeros(32).half()
    before = weights(model)
    with pytest.raises(ValueError, match="do not fit LabCNN") as caught:
        load_weights_(model, wrong)
    for words in (
        "missing fc.bias", "missing bn1.weight", "unexpected fc.extra",
        "conv1.weight: expected shape (16, 1, 3, 3), got (8, 1, 3, 3)",
        "bn2.bias: expected dtype float32, got float16",
    ):  # fmt: skip
        assert words in str(caught.value)
    assert str(caught.value).count(";") == 4
    assert weights(model) == before


@pytest.mark.case("C-install")
@pytest.mark.case("C-download")
@pytest.mark.parametrize("shipped", SHIPPED)
def test_shipped_weights_reach_the_accuracy_that_the_manifest_states(shipped):
    name, width = re.fullmatch(r"(\w+?)(?:-w(\d+))?\.safetensors", shipped).groups()
    entry = runtime.read_manifest()[shipped]
    model = load_model(name, width=width and int(width))
    assert not any(module.training for module in model.modules())
    evaluation = evaluate(model, load_dataset(entry["recipe"]["dataset"]).batches())
    assert evaluation.n_images == entry["n_images"]
    # Other processors round differently, which may turn an image that was on the edge.
    assert abs(evaluation.n_correct - entry["n_correct"]) <= 5


def test_a_width_that_is_not_shipped_lists_what_is():
    with pytest.raises(FileNotFoundError, match=r"nothing shipped under 'lenet5-w7.*; shipped are: .*lenet5"):
        load_model("lenet5", width=7)


@pytest.mark.parametrize(("level", "activations"), [("float", None), ("weights", "real"), ("all", "binary")])
def test_shipped_blocks_give_the_accuracy_that_was_measured(level, activations):
    model = models.make_blocks()
    if activations:
        model = binarize.apply_binary(model, binarize.BinaryConfig(activations=activations))
    garments = data.load_dataset("fashion14")
    evaluation = training.evaluate(models.load_blocks_(model, level), garments.batches())
    expected = runtime.read_manifest()[f"lab_blocks-{level}.safetensors"]
    assert abs(evaluation.n_correct - expected["n_correct"]) <= 5
    assert not model.training


def test_blocks_of_another_kind_are_named():
    with pytest.raises(ValueError, match="missing conv2"):
        models.load_blocks_(binarize.apply_binary(models.make_blocks()), "float")
    with pytest.raises(ValueError, match="float, weights, all; got 'real'"):
        models.load_blocks_(models.make_blocks(), "real")
    with pytest.raises(ValueError, match="order must be one of"):
        models.make_blocks("A-B-C-P")
    with pytest.raises(ValueError, match="shortcuts must be one of none, real; got True"):
        models.make_blocks(shortcuts=True)
    with pytest.raises(ValueError, match="for the order B-A-C-P, got C-B-A-P"):
        models.make_blocks("C-B-A-P", shortcuts="real")
    with pytest.raises(ValueError, match="width must be at least 1"):
        models.make_blocks(width=0)


def test_the_two_orders_differ_in_the_place_of_the_pooling_only():
    late, early = models.make_blocks("B-A-C-P"), models.make_blocks("C-B-A-P")
    early.load_state_dict(late.state_dict())
    x = torch.rand(4, 1, 14, 14)
    # Batch norm with positive gamma and ReLU keep the order of values: a maximum may be taken before or after.
    assert torch.allclose(late.eval()(x), early.eval()(x), atol=1e-5)
    # But batch norm learns from other values.
    late.train()(x)
    early.train()(x)
    assert not torch.allclose(late.bn1.running_mean, early.bn1.running_mean)
