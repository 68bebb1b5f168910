"""Losses between features against naive loops, torchdistill, finite differences, and degenerate features."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchdistill.losses.mid_level import ATLoss, RKDLoss

from labcore import distill


def features(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def smooth_l1(a, b):
    d = abs(a - b)
    return 0.5 * d**2 if d < 1 else d - 0.5


def naive_distance(student, teacher):
    def relative(x):
        d = np.array([[np.sqrt(((a - b) ** 2).sum()) for b in x] for a in x])
        return d / (d.sum() / (len(x) * (len(x) - 1)))

    return np.mean([smooth_l1(a, b) for a, b in zip(relative(student).flat, relative(teacher).flat, strict=True)])


def naive_angle(student, teacher):
    def cosine(x, i, j, k):
        first, second = x[j] - x[i], x[k] - x[i]
        lengths = np.linalg.norm(first) * np.linalg.norm(second)
        return first @ second / lengths if lengths else 0.0

    triples = itertools.product(range(len(student)), repeat=3)
    return np.mean([smooth_l1(cosine(student, *each), cosine(teacher, *each)) for each in triples])


# --- relations --------------------------------------------------------------------------------------


def test_distances_by_hand():
    # Distances 1, 1, 2 (mean 4/3) against 1, 2, 3 (mean 2): relative differences 1/4, 1/4, 0, each twice in 9 places.
    student = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
    teacher = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
    assert distill.distance_loss(student, teacher).item() == pytest.approx(4 * 0.5 / 16 / 9)


def test_angles_by_hand():
    # On a line every corner's cosine is 1 or -1; here it is 0, 0.707 or 0.707, each twice in 27 places.
    line = torch.tensor([[0.0, 0], [1, 0], [2, 0]], dtype=torch.float64)
    corner = torch.tensor([[0.0, 0], [1, 0], [0, 1]], dtype=torch.float64)
    half = 0.5**0.5
    # Corner 0 sees (1, 2) in one direction on the line, corner 1 in opposite ones, corner 2 in one.
    expected = 2 * (0.5 * 1 + (1 + half - 0.5) + 0.5 * (1 - half) ** 2) / 27
    assert distill.angle_loss(corner, line).item() == pytest.approx(expected)


@settings(max_examples=30)
@given(st.integers(3, 6), st.integers(1, 4), st.integers(1, 4), st.integers(0, 1000))
def test_relations_are_the_naive_ones(n, wide, narrow, seed):
    student, teacher = features(n, narrow, seed=seed), features(n, wide, seed=seed + 1)
    for loss, naive in ((distill.distance_loss, naive_distance), (distill.angle_loss, naive_angle)):
        assert loss(student, teacher).item() == pytest.approx(naive(student.numpy(), teacher.numpy()), rel=1e-6)


@pytest.mark.parametrize(("factors", "ours"), [((1, 0), distill.distance_loss), ((0, 1), distill.angle_loss)])
def test_relations_are_torchdistills(factors, ours):
    student, teacher = features(16, 8), features(16, 12, seed=1)
    theirs = RKDLoss("f", "f", *factors, reduction="mean")({"f": {"output": student}}, {"f": {"output": teacher}})
    n = len(student)
    # They divide by the mean of positive distances, which here is that of all pairs of different samples.
    assert ours(student, teacher).item() == pytest.approx(theirs.item(), rel=1e-9), n


@pytest.mark.parametrize("loss", [distill.distance_loss, distill.angle_loss])
def test_relations_do_not_see_scale_shift_or_rotation(loss):
    teacher = features(8, 3)
    rotation = torch.linalg.qr(features(3, 3, seed=5)).Q
    assert loss(2.5 * teacher @ rotation + 4, teacher).item() == pytest.approx(0, abs=1e-12)
    assert loss(features(8, 3, seed=1), teacher).item() > 1e-3


@pytest.mark.parametrize("loss", [distill.distance_loss, distill.angle_loss])
def test_gradients_of_relations_are_those_of_finite_differences(loss):
    student, teacher = features(5, 3).requires_grad_(), features(5, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, teacher.detach()), student)
    loss(student, teacher).backward()
    assert teacher.grad is None


@pytest.mark.case("K-degenerate")
@pytest.mark.parametrize(
    ("loss", "n", "what"), [(distill.distance_loss, 1, "pair"), (distill.angle_loss, 1, "angle"),
                            (distill.angle_loss, 2, "angle")],
)  # fmt: skip
def test_a_batch_too_small_for_a_relation_is_refused(loss, n, what):
    with pytest.raises(ValueError, match=f"a batch of {n} has no {what}: need at least .* smaller last batch"):
        loss(features(n, 3), features(n, 3, seed=1))


@pytest.mark.case("K-degenerate")
@pytest.mark.parametrize("loss", [distill.distance_loss, distill.angle_loss])
@pytest.mark.parametrize("which", ["student: two alike", "student: all alike", "teacher: all alike", "both: all alike"])
def test_samples_that_coincide_give_finite_losses_and_gradients(loss, which):
    student, teacher = features(4, 3), features(4, 3, seed=1)
    if "two" in which:
        student[1] = student[0]
    elif "student" in which or "both" in which:
        student[:] = 1.5
    if "teacher" in which or "both" in which:
        teacher[:] = 0
    value = loss(student.requires_grad_(), teacher)
    value.backward()
    assert value.isfinite()
    assert student.grad.isfinite().all()
    assert student.grad.abs().max() < 1e3


# --- attention --------------------------------------------------------------------------------------


def test_attention_by_hand():
    # Two channels, one row of two places: means of squares (5, 10), length sqrt(125).
    maps = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]], dtype=torch.float64)
    assert distill.attention_map(maps).flatten().tolist() == pytest.approx([5 / 125**0.5, 10 / 125**0.5])


def test_attention_is_torchdistills():
    student, teacher = features(4, 3, 5, 5), features(4, 8, 5, 5, seed=1)
    pair = {"teacher": {"io": "output", "path": "l"}, "student": {"io": "output", "path": "l"}, "weight": 1}
    theirs = ATLoss({"pair": pair}, mode="code")({"l": {"output": student}}, {"l": {"output": teacher}})
    assert distill.attention_loss(student, teacher).item() == pytest.approx(theirs.item(), rel=1e-9)


@pytest.mark.parametrize(("large", "small"), [((6, 6), (3, 3)), ((6, 4), (3, 4)), ((5, 5), (2, 2))])
def test_the_larger_map_is_averaged_down(large, small):
    student, teacher = features(4, 3, *large), features(4, 8, *small, seed=1)
    pooled = torch.nn.functional.adaptive_avg_pool2d(student, small)
    expected = (distill.attention_map(pooled) - distill.attention_map(teacher)).square().mean()
    assert distill.attention_loss(student, teacher).item() == pytest.approx(expected.item())
    assert distill.attention_loss(teacher, student).item() == pytest.approx(expected.item())


def test_the_gradient_of_attention_is_that_of_finite_differences():
    student, teacher = features(2, 3, 2, 2).requires_grad_(), features(2, 2, 2, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: distill.attention_loss(x, teacher.detach()), student)
    distill.attention_loss(student, teacher).backward()
    assert teacher.grad is None


@pytest.mark.case("K-degenerate")
@pytest.mark.parametrize("dead", ["student", "teacher", "both"])
def test_a_dead_map_gives_a_finite_loss_and_gradient(dead):
    student, teacher = features(2, 3, 4, 4), features(2, 3, 4, 4, seed=1)
    for name, maps in (("student", student), ("teacher", teacher)):
        if dead in (name, "both"):
            maps[0] = 0
    value = distill.attention_loss(student.requires_grad_(), teacher)
    value.backward()
    assert value.isfinite()
    assert student.grad.isfinite().all()


# --- hints ------------------------------------------------------------------------------------------


def test_a_hint_is_the_mean_squared_distance_after_its_convolution():
    hint = distill.Hint(2, 3, seed=4).double()
    student, teacher = features(2, 2, 4, 4), features(2, 3, 4, 4, seed=1)
    weight, bias = hint.regressor.weight.flatten(1), hint.regressor.bias
    mapped = torch.einsum("ts,nshw->nthw", weight, student) + bias[:, None, None]
    assert hint(student, teacher).item() == pytest.approx(((mapped - teacher) ** 2).mean().item())


def test_a_hint_repeats_with_its_seed_and_leaves_the_global_generator():
    before = torch.get_rng_state()
    first, again, other = (distill.Hint(2, 3, seed=seed).regressor.weight for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.case("K-degenerate")
@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        ((2, 2, 4, 4), (2, 3, 8, 8), r"2 to 3 channels of equal height and width, got student \(2, 2, 4, 4\)"),
        ((2, 5, 4, 4), (2, 3, 4, 4), "joins 2 to 3 channels"),
        ((2, 2, 4, 4), (2, 7, 4, 4), "joins 2 to 3 channels"),
        ((2, 2, 4, 4), (3, 3, 4, 4), "features of the same samples, got 2 and 3"),
        ((2, 2), (2, 3, 4, 4), r"features of the student must have shape \(N, C, H, W\), got \(2, 2\)"),
    ],
)
def test_features_that_do_not_fit_a_hint_are_refused(student, teacher, message):
    with pytest.raises(ValueError, match=message):
        distill.Hint(2, 3).double()(features(*student), features(*teacher))


@pytest.mark.case("K-degenerate")
@pytest.mark.parametrize(
    ("loss", "shape", "wrong"),
    [
        (distill.attention_loss, (4, 2, 3, 3), (4, 2)),
        (distill.distance_loss, (4, 2), (4, 2, 3, 3)),
        (distill.angle_loss, (4, 2), (4, 2, 3, 3)),
    ],
)
def test_features_of_a_wrong_shape_or_not_finite_are_refused(loss, shape, wrong):
    with pytest.raises(ValueError, match="features of the teacher must have shape"):
        loss(features(*shape), features(*wrong))
    with pytest.raises(ValueError, match="features of the same samples, got 4 and 3"):
        loss(features(*shape), features(3, *shape[1:]))
    broken = features(*shape)
    broken[0] = float("nan")
    with pytest.raises(ValueError, match="features of the student hold NaN or infinity"):
        loss(broken, features(*shape))
