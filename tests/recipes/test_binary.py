"""The shipped sweeps of the chapter on binary networks: their shape, and sampled entries computed again."""

import itertools

import numpy as np
import pytest
import torch

from labcore import binarize, models, runtime
from labcore.data import load_dataset
from labcore.recipes import binary, binary_plain
from labcore.search import load_curves
from labcore.tasks import TASKS, load_task
from labcore.training import evaluate

FILES = ("binary_ways", "binary_shortcuts", "binary_ladder", "partial_binary", "binary_flat", "binary_connect")
# One seed on another processor: a few weights near 0 change their sign, and seeds are up to two points apart.
POINTS = 0.02


def stored(name: str, family: str, label: str | None = None) -> np.ndarray:
    """Values of one curve, shape (seeds, points)."""
    return next(c.values for c in load_curves(name) if c.family == family and label in (None, c.label))


@pytest.fixture(scope="module")
def garments():
    return load_dataset("fashion14")


# --- shape ------------------------------------------------------------------------------------------


@pytest.mark.case("C-noise")
@pytest.mark.parametrize("name", FILES)
def test_curves_hold_every_seed_at_every_point(name):
    curves, facts = load_curves(name), runtime.read_manifest()[f"{name}.json"]
    assert len({(each.family, each.label) for each in curves}) == len(curves) >= 3
    assert facts["seeds"] >= 3
    for each in curves:
        assert each.values.shape == (facts["seeds"], len(each.x))
        assert ((each.values >= 0) & (each.values <= 1)).all()
        assert len(set(each.values[:, 0].tolist())) > 1 or each.values.mean() > 0.999
    assert len(runtime.read_shipped(f"{name}.json")) < 40_000


def test_every_way_of_the_recipe_is_there():
    families = {name: [each.family for each in load_curves(name)] for name in FILES}
    assert families["binary_ways"] == list(binary.WAYS)
    assert families["binary_shortcuts"] == list(binary.SHORTCUT_WAYS)
    assert families["binary_ladder"] == list(binary.LEVELS)
    assert families["binary_flat"] == list(binary_plain.FLAT_WAYS) * 2
    assert families["binary_connect"] == ["float"] * 2 + ["deterministic"] * 2 + ["stochastic"] * 2
    subsets = [each for n in range(5) for each in itertools.combinations(("conv1", "conv2", "conv3", "fc"), n)]
    assert families["partial_binary"] == [" + ".join(each) or "none" for each in subsets]


def test_the_ladder_has_a_point_for_each_task():
    assert all(each.x.tolist() == [task.difficulty for task in TASKS] for each in load_curves("binary_ladder"))
    assert {each.label for each in load_curves("partial_binary")} == {TASKS[-1].name}


@pytest.mark.parametrize("level", binary.LEVELS)
def test_the_same_networks_have_the_same_accuracy_in_every_file(level):
    ladder, ways = stored("binary_ladder", level), stored("binary_ways", level)
    assert ladder[:, 2].tolist() == ways[:3, 0].tolist()
    if level != "binary weights":
        subset = "none" if level == "float" else "conv2 + conv3"
        assert ladder[:, 4].tolist() == stored("partial_binary", subset)[:, 0].tolist()


@pytest.mark.parametrize(("level", "name"), [*zip(binary.LEVELS, ("float", "weights", "all"), strict=True)])
def test_shipped_weights_are_those_of_the_first_seed(garments, level, name):
    facts = runtime.read_manifest()[f"lab_blocks-{name}.safetensors"]
    accuracy = stored("binary_ways", level)[0, 0]
    assert facts["n_correct"] / facts["n_images"] == pytest.approx(accuracy, abs=1e-9)
    model, config = models.make_blocks(), binary.LEVELS[level]
    model = model if config is None else binarize.apply_binary(model, config)
    measured = evaluate(models.load_blocks_(model, name), garments.batches())
    assert measured.accuracy == pytest.approx(accuracy, abs=0.002)


# --- sampled entries, seed 0 ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.case("C-nonsense")
@pytest.mark.parametrize("way", ["ternary weights", "all binary, pooled signs"])
def test_a_way_again(garments, way):
    config, order = binary.WAYS[way]
    again = binary.train_blocks(config, garments, seed=0, order=order)
    measured = evaluate(again, garments.batches()).accuracy
    assert measured == pytest.approx(stored("binary_ways", way)[0, 0], abs=POINTS)


@pytest.mark.slow
@pytest.mark.parametrize(("level", "difficulty"), [("all binary", 1), ("binary weights", 4)])
def test_a_step_of_the_ladder_again(level, difficulty):
    data = load_task(difficulty)
    again = binary.train_blocks(binary.LEVELS[level], data, seed=0)
    measured = evaluate(again, data.batches()).accuracy
    assert measured == pytest.approx(stored("binary_ladder", level)[0, difficulty - 1], abs=POINTS)


@pytest.mark.slow
def test_a_partly_binary_network_again():
    data = load_task(TASKS[-1].difficulty)
    again = evaluate(binary.train_partial(("conv1", "fc"), data, seed=0), data.batches()).accuracy
    assert again == pytest.approx(stored("partial_binary", "conv1 + fc")[0, 0], abs=POINTS)


@pytest.mark.slow
def test_a_network_with_shortcuts_again(garments):
    again = evaluate(binary.train_with_shortcuts("Bi-Real", garments, seed=0), garments.batches()).accuracy
    assert again == pytest.approx(stored("binary_shortcuts", "Bi-Real")[0, 0], abs=POINTS)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["without batch norm", "with batch norm"])
def test_a_network_without_convolutions_again(garments, norm):
    again = binary_plain.train_flat("binary weights", norm == "with batch norm", garments, seed=0)
    measured = evaluate(again, garments.batches()).accuracy
    assert measured == pytest.approx(stored("binary_flat", "binary weights", norm)[0, 0], abs=POINTS)


@pytest.mark.slow
def test_binary_connect_again():
    digits = load_dataset("mnist5k")
    again = binary_plain.train_connect("deterministic", digits, seed=0)
    for split, label in (("train", "training images"), ("test", "test images")):
        measured = evaluate(again, digits.batches(split=split)).accuracy
        assert measured == pytest.approx(stored("binary_connect", "deterministic", label)[0, 0], abs=POINTS), label


# --- pieces -----------------------------------------------------------------------------------------


def test_the_plain_network_has_a_batch_norm_before_each_activation_or_none():
    with_norm, without = (binary_plain.make_plain_mlp(norm, sizes=(6, 4), n_inputs=9, seed=0) for norm in (True, False))
    names = ["flatten", "fc1", "bn1", "relu1", "fc2", "bn2", "relu2", "last"]
    assert [name for name, _ in with_norm.named_children()] == names
    assert [name for name, _ in without.named_children()] == [name for name in names if "bn" not in name]
    assert [each.shape for each in without.parameters()] == [(6, 9), (6,), (4, 6), (4,), (10, 4), (10,)]


def test_the_squared_hinge_of_three_classes_by_hand():
    outputs, labels = torch.tensor([[2.0, -0.5, 0.0], [0.5, 0.5, -3.0]]), torch.tensor([0, 1])
    margins = [[0, 0.5, 1], [1.5, 0.5, 0]]
    assert binary_plain.squared_hinge(outputs, labels).item() == pytest.approx(np.square(margins).mean())
