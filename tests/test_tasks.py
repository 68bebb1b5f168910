"""The ladder of tasks: images and labels by hand on tiny sets, and the same counted on the shipped ones."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labcore.data import Dataset, load_dataset
from labcore.tasks import TASKS, halve_images, load_task, pair_images, select_classes

HARDEST = TASKS[-1].difficulty


def small(labels=(2, 0, 1, 2, 0, 1), *, side: int = 2, n_classes: int = 3) -> Dataset:
    """Image number i is filled with i, in the test images with 10 + i."""
    labels = torch.tensor(labels)
    images = torch.arange(len(labels)).float()[:, None, None, None].repeat(1, 1, side, side)
    names = tuple("abcdefgh"[:n_classes])
    return Dataset("small", images, labels, images + 10, labels, names, "made by hand", "none")


def copy_of(data: Dataset) -> tuple[torch.Tensor, ...]:
    return tuple(each.clone() for each in tensors(data))


def tensors(data: Dataset) -> tuple[torch.Tensor, ...]:
    return data.train_images, data.train_labels, data.test_images, data.test_labels


# --- by hand ----------------------------------------------------------------------------------------


def test_chosen_classes_are_numbered_in_the_order_of_the_choice():
    chosen = select_classes(small(), (2, 1))
    assert chosen.class_names == ("c", "b")
    assert chosen.train_images[:, 0, 0, 0].tolist() == [0, 2, 3, 5]
    assert chosen.test_images[:, 0, 0, 0].tolist() == [10, 12, 13, 15]
    assert chosen.train_labels.tolist() == chosen.test_labels.tolist() == [0, 1, 0, 1]
    assert (chosen.train_labels.dtype, chosen.name) == (torch.int64, "small")


def test_a_halved_image_holds_the_mean_of_each_four_pixels():
    image = torch.tensor([[0.0, 1, 0, 0], [1, 0, 0, 0], [1, 1, 0.2, 0.4], [1, 1, 0.6, 0.8]])
    data = small((0, 1), side=4, n_classes=2)
    data = replace(data, train_images=image.expand(2, 1, 4, 4), test_images=1 - image.expand(2, 1, 4, 4))
    halved = halve_images(data)
    expected = torch.tensor([[0.5, 0], [1, 0.5]])
    assert torch.allclose(halved.train_images, expected.expand(2, 1, 2, 2))
    assert torch.allclose(halved.test_images, 1 - expected.expand(2, 1, 2, 2))
    assert halved.train_labels is data.train_labels


def test_a_pair_is_two_images_and_the_number_of_both_classes():
    data = small((1, 0), n_classes=2)
    pairs = pair_images(data, seed=0)
    order = np.random.default_rng(0).permutation(2).tolist()
    assert pairs.train_images.shape == (2, 2, 2, 2)
    assert pairs.train_images[:, :, 0, 0].tolist() == [[0, order[0]], [1, order[1]]]
    assert pairs.train_labels.tolist() == [2 * 1 + data.train_labels[order[0]], 2 * 0 + data.train_labels[order[1]]]
    assert pairs.class_names == ("a + a", "a + b", "b + a", "b + b")


# --- properties -------------------------------------------------------------------------------------


@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=20), seed=st.integers(0, 5))
def test_every_pair_is_labelled_by_what_its_two_channels_show(labels, seed):
    data = small(labels, n_classes=4)
    pairs = pair_images(data, seed=seed)
    for images, names, first in (
        (pairs.train_images, pairs.train_labels, 0), (pairs.test_images, pairs.test_labels, 10),
    ):  # fmt: skip
        # The value of an image is its number in the small set.
        left, right = ((images[:, i, 0, 0] - first).long() for i in (0, 1))
        assert left.tolist() == list(range(len(labels)))
        assert sorted(right.tolist()) == list(range(len(labels)))
        for number, a, b in zip(names.tolist(), left, right, strict=True):
            assert pairs.class_names[number] == f"{'abcd'[labels[a]]} + {'abcd'[labels[b]]}"


@given(labels=st.permutations(range(4)), n=st.integers(2, 4))
def test_a_choice_keeps_every_image_of_its_classes_and_no_other(labels, n):
    data = small((3, 1, 0, 2, 1, 1, 0), n_classes=4)
    chosen = select_classes(data, labels[:n])
    assert {name: int((chosen.train_labels == i).sum()) for i, name in enumerate(chosen.class_names)} == {
        data.class_names[label]: int((data.train_labels == label).sum()) for label in labels[:n]
    }  # fmt: skip


def test_pairs_depend_on_the_seed_only():
    data = small((0, 1, 2) * 8)
    first = pair_images(data, seed=3)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    again = pair_images(data, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(tensors(first), tensors(again), strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(pair_images(data, seed=4).train_images, first.train_images)


@pytest.mark.parametrize("make", [lambda data: select_classes(data, (0, 1)), halve_images, pair_images])
def test_the_data_are_left_as_they_were(make):
    data = small()
    before = copy_of(data)
    made = make(data)
    for each in (made.train_images, made.test_images):
        each.zero_()
    assert all(torch.equal(a, b) for a, b in zip(tensors(data), before, strict=True))


# --- the five tasks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_task_has_small_images_and_balanced_classes(task):
    data = load_task(task.difficulty)
    channels = 2 if task.difficulty == HARDEST else 1
    n = {1: 2, 2: 10, 3: 10, 4: 4, 5: 100}[task.difficulty]
    assert data.image_shape == (channels, 14, 14)
    assert len(data.class_names) == len(set(data.class_names)) == n
    for images, labels in ((data.train_images, data.train_labels), (data.test_images, data.test_labels)):
        assert len(images) == len(labels)
        assert 0 <= images.min() < images.max() <= 1
        counts = torch.bincount(labels, minlength=n)
        if task.difficulty != HARDEST:
            assert counts.tolist() == [len(labels) // n] * n
        else:
            # The first garment of a pair, and the second, are balanced; pairs are as chance has it.
            assert counts.min() > 0
            assert torch.equal(counts.reshape(10, 10).sum(0), counts.reshape(10, 10).sum(1))
            assert (counts.reshape(10, 10).sum(0) == len(labels) // 10).all()


def test_the_tasks_are_named_by_what_they_hold():
    assert [task.difficulty for task in TASKS] == [1, 2, 3, 4, 5]
    names = load_dataset("fashion14").class_names
    assert load_task(1).class_names == names[:2]
    assert load_task(4).class_names == tuple(names[i] for i in (0, 2, 4, 6))
    assert load_task(2).class_names == load_dataset("mnist5k").class_names
    pairs, singles = load_task(5), load_dataset("fashion14")
    assert torch.equal(pairs.train_images[:, :1], singles.train_images)
    assert torch.equal(pairs.train_labels // 10, singles.train_labels)


# --- mistakes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [(1,), (), (1, 1), (0, 1, 0)])
def test_too_few_classes_or_one_twice_are_named(labels):
    with pytest.raises(ValueError, match="two or more different classes, got"):
        select_classes(small(), labels)


@pytest.mark.parametrize(("labels", "unknown"), [((0, 3), r"\[3\]"), ((-1, 0), r"\[-1\]"), ((5, 1, 9), r"\[5, 9\]")])
def test_unknown_classes_are_named(labels, unknown):
    with pytest.raises(ValueError, match=rf"small has classes 0 to 2, got {unknown}"):
        select_classes(small(), labels)


@pytest.mark.parametrize("difficulty", [0, 6, "ten garments", None])
def test_an_unknown_difficulty_is_named(difficulty):
    with pytest.raises(ValueError, match="difficulty must be from 1 to 5, got"):
        load_task(difficulty)


def test_test_images_have_partners_of_their_own():
    pairs = pair_images(small((0, 1, 2) * 8), seed=3)
    random = np.random.default_rng(3)
    train, test = (random.permutation(24).tolist() for _ in range(2))
    assert pairs.train_images[:, 1, 0, 0].tolist() == train
    assert pairs.test_images[:, 1, 0, 0].tolist() == [10 + number for number in test]
