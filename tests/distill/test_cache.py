"""A teacher's answers on file: asked once, given to the right image, refused to any other."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from labcore import distill, runtime
from labcore.data import Batches
from toy import bits, network, toy


class Counting(nn.Module):
    """Counts the images that it answers."""

    def __init__(self, model):
        super().__init__()
        self.model, self.n_images = model, 0

    def forward(self, images):
        self.n_images += len(images)
        return self.model(images)


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("LABCORE_HOME", str(tmp_path))
    return tmp_path


def test_rows_are_the_teachers_answers_in_order():
    teacher, batches = network().eval(), toy(None)
    outputs = distill.cache_teacher(teacher, batches)
    with torch.no_grad():
        expected = teacher(batches.tensors[0])
    assert outputs.logits.numpy() == pytest.approx(expected.numpy(), abs=1e-6)
    assert not outputs.logits.requires_grad
    assert not outputs.logits.is_inference()


def test_shuffled_batches_get_the_rows_of_their_images():
    outputs = distill.cache_teacher(network(), toy(None))
    images = toy(None).tensors[0]
    for batch, _ in toy(7):
        rows = [(images == image).all(1).nonzero().item() for image in batch]
        assert torch.equal(outputs.logits_of(batch), outputs.logits[rows])


def test_answers_that_were_cached_from_shuffled_batches_belong_to_their_images():
    plain, shuffled = (distill.cache_teacher(network(), toy(seed)) for seed in (None, 3))
    images = toy(None).tensors[0]
    assert not torch.equal(plain.logits, shuffled.logits)
    assert shuffled.logits_of(images).numpy() == pytest.approx(plain.logits_of(images).numpy(), abs=1e-6)


def test_the_teacher_is_asked_once():
    teacher = Counting(network())
    first = distill.cache_teacher(teacher, toy(None))
    asked = teacher.n_images
    second = distill.cache_teacher(teacher, toy(None))
    # Again only what is needed to know the teacher by its answers, and to count MACs.
    assert asked >= 64
    assert teacher.n_images - asked == asked - 64
    assert torch.equal(first.logits, second.logits)
    assert second.cost.seconds == first.cost.seconds
    assert second.cost.n_images == 64


def test_one_file_without_pickle_holds_them(own_home):
    distill.cache_teacher(network(), toy(None))
    (path,) = (own_home / "cache").iterdir()
    assert path.name.startswith("teacher-")
    assert b"logits" in path.read_bytes()
    assert len(path.read_bytes()) < 64 * 2 * 4 + 400


@pytest.mark.parametrize("change", ["weights", "computation", "data", "order"])
def test_another_teacher_set_or_order_never_meets_old_answers(change, own_home):
    distill.cache_teacher(network(), toy(None))
    teacher, batches = network(), toy(None)
    if change == "weights":
        teacher[0].weight.data[0, 0] += 1
    elif change == "computation":
        teacher[2] = nn.GELU()
    elif change == "data":
        batches = Batches((batches.tensors[0] * 2, batches.tensors[1]), 16)
    else:
        batches = toy(1)
    outputs = distill.cache_teacher(teacher, batches)
    assert len(list((own_home / "cache").iterdir())) == 2
    images = torch.cat([images for images, _ in copy.copy(batches)])
    with torch.no_grad():
        expected = teacher.eval()(images)
    assert outputs.logits_of(images).numpy() == pytest.approx(expected.numpy(), abs=1e-5)


class OddOnes(nn.Module):
    """Answers all images alike, save those above 2: these get the weight."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, images):
        return torch.stack([self.weight * (images[:, 0] > 2), -torch.ones(len(images))], 1)


def test_weights_that_the_first_batch_does_not_show_count_too():
    batches = [(torch.zeros(4, 2),), (torch.full((4, 2), 3.0),)]
    first, second = (distill.cache_teacher(OddOnes(weight), batches) for weight in (1.0, 5.0))
    assert [each.logits[-1].tolist() for each in (first, second)] == [[1, -1], [5, -1]]


def test_the_order_of_later_batches_counts_too():
    one, two, three, _ = toy(None)
    distill.cache_teacher(network(), [one, two, three])
    plain, turned = (distill.cache_teacher(network(), each) for each in ([one, two, three], [one, three, two]))
    assert torch.equal(turned.logits, torch.cat([plain.logits[:16], plain.logits[32:], plain.logits[16:32]]))
    assert torch.equal(turned.logits_of(two[0]), plain.logits_of(two[0]))


@pytest.mark.parametrize("damage", ["cut", "gone", "no folder"])
def test_a_broken_file_costs_time_and_nothing_else(damage, own_home):
    expected = distill.cache_teacher(network(), toy(None)).logits
    (path,) = (own_home / "cache").iterdir()
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:100])
    else:
        path.unlink()
    if damage == "no folder":
        path.parent.rmdir()
        path.parent.write_bytes(b"a file in the folder's place")
    runtime._warn_once.cache_clear()
    if damage == "gone":
        outputs = distill.cache_teacher(network(), toy(None))
    else:
        with pytest.warns(RuntimeWarning, match="the cache"):
            outputs = distill.cache_teacher(network(), toy(None))
    assert torch.equal(outputs.logits, expected)


@pytest.mark.parametrize(
    "foreign",
    [
        lambda images: images + 1e-6,
        lambda images: images.flip(1),
        lambda images: images.double(),
        lambda images: images[:, :1],
    ],
)
def test_images_that_the_teacher_did_not_see_are_refused(foreign):
    outputs = distill.cache_teacher(network(), toy(None))
    images = toy(None).tensors[0][:4]
    with pytest.raises(ValueError, match=r"image 0 of this batch is not among the 64 that the teacher answered.*set"):
        outputs.logits_of(foreign(images))
    mixed = torch.cat([images, images + 1])
    with pytest.raises(ValueError, match="image 4 of this batch"):
        outputs.logits_of(mixed)


def test_answers_from_elsewhere_belong_to_their_images():
    images, logits = toy(None).tensors[0], torch.randn(64, 3)
    cost = distill.cache_teacher(network(), toy(None)).cost
    outputs = distill.match_outputs(logits, images, cost)
    assert torch.equal(outputs.logits_of(images.flip(0)), logits.flip(0))
    assert outputs.cost is cost
    with pytest.raises(ValueError, match="one row of logits for each image, got 63 and 64"):
        distill.match_outputs(logits[1:], images, cost)
    with pytest.raises(ValueError, match="logits look like probabilities"):
        distill.match_outputs(logits.softmax(1), images, cost)


def test_images_without_labels_can_be_answered():
    images = toy(None).tensors[0]
    with_labels = distill.cache_teacher(network(), toy(None))
    assert torch.equal(distill.cache_teacher(network(), [(images,)]).logits_of(images), with_labels.logits_of(images))


def test_the_teacher_answers_in_evaluation_mode_and_stays_as_it_was():
    teacher = network(dropout=0.9).train()
    teacher[1].eval()  # a mode of its own
    before, state = bits(teacher), torch.get_rng_state()
    outputs = distill.cache_teacher(teacher, toy(None))
    assert [module.training for module in teacher] == [True, False, True, True, True]
    assert bits(teacher) == before
    assert torch.equal(torch.get_rng_state(), state)
    with torch.no_grad():
        expected = copy.deepcopy(teacher).eval()(toy(None).tensors[0])
    assert outputs.logits.numpy() == pytest.approx(expected.numpy(), abs=1e-6)


def test_the_cost_is_one_forward_pass_of_every_image():
    cost = distill.cache_teacher(network(), toy(None)).cost
    # 2 x 16 and 16 x 2 products an image.
    assert (cost.n_images, cost.forward_macs, cost.backward_macs) == (64, 64 * 64, 0)
    assert 0 < cost.seconds < 60


def test_what_cannot_teach_is_refused():
    with pytest.raises(TypeError, match=r"teacher must be a torch\.nn\.Module, got function"):
        distill.cache_teacher(lambda images: images, toy(None))
    with pytest.raises(ValueError, match="there is no batch for the teacher to answer"):
        distill.cache_teacher(network(), [])
    with pytest.raises(ValueError, match="the teacher's answers look like probabilities"):
        distill.cache_teacher(nn.Sequential(network(), nn.Softmax(1)), toy(None))
    with pytest.raises(ValueError, match="the teacher's answers hold NaN"):
        distill.cache_teacher(broken(), toy(None))
    with pytest.raises(TypeError, match="the teacher's answers must be a floating-point tensor, got tuple"):
        distill.cache_teacher(Pair(), toy(None))


def broken():
    teacher = network()
    teacher[0].weight.data[:] = float("nan")
    return teacher


class Pair(nn.Module):
    def forward(self, images):
        return images, images


def test_a_fingerprint_changes_with_every_weight_and_buffer():
    model = network()
    seen = {distill.fingerprint(model)}
    assert distill.fingerprint(copy.deepcopy(model)) in seen
    for name, values in model.state_dict().items():
        values.view(-1)[0] += 1
        assert distill.fingerprint(model) not in seen, name
        seen.add(distill.fingerprint(model))
    renamed = nn.Sequential(model)
    assert distill.fingerprint(renamed) not in seen


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_fingerprint_knows_types_and_shapes(dtype):
    flat, square = nn.Module(), nn.Module()
    flat.register_buffer("x", torch.zeros(4))
    square.register_buffer("x", torch.from_numpy(np.zeros((2, 2), dtype)))
    assert distill.fingerprint(flat) != distill.fingerprint(square)
