"""The loss against closed forms, a naive reference, finite differences and torchdistill."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torchdistill.losses.mid_level import KDLoss

from labcore import distill

TEMPERATURES = (1.0, 2.0, 8.0, 20.0)


def logits(*shape, seed=0, std=3.0, dtype=torch.float64):
    return std * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def labels(n, n_classes, seed=0):
    return torch.randint(n_classes, (n,), generator=torch.Generator().manual_seed(seed))


def naive(student, teacher, y, temperature, alpha):
    """One sample, one class at a time, with plain floats."""
    hard = soft = 0.0
    for s, t, right in zip(student.tolist(), teacher.tolist(), y.tolist(), strict=True):
        p_s, p_t = ([math.exp(z / temperature) for z in row] for row in (s, t))
        p_s, p_t = ([p / sum(row) for p in row] for row in (p_s, p_t))
        soft += sum(p * math.log(p / q) for p, q in zip(p_t, p_s, strict=True))
        hard -= s[right] - math.log(sum(math.exp(z) for z in s))
    return ((1 - alpha) * hard + alpha * temperature**2 * soft) / len(student)


def softened(values, temperature):
    powers = np.exp(values.numpy() / temperature)
    return powers / powers.sum(-1, keepdims=True)


# --- softening and entropy --------------------------------------------------------------------------


def test_softening_two_classes_by_hand():
    # exp(2) : 1 at T = 1, exp(1) : 1 at T = 2.
    z = torch.tensor([2.0, 0.0], dtype=torch.float64)
    assert distill.soften(z, 1).tolist() == pytest.approx([0.880797, 0.119203], abs=1e-6)
    assert distill.soften(z, 2).tolist() == pytest.approx([0.731059, 0.268941], abs=1e-6)
    assert distill.soften(z + 100, 2).tolist() == pytest.approx([0.731059, 0.268941], abs=1e-6)


def test_entropy_by_hand():
    rows = torch.tensor([[0.5, 0.5, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.25] * 4], dtype=torch.float64)
    assert distill.entropy(rows).tolist() == pytest.approx([math.log(2), 0, math.log(4)])


@given(st.integers(0, 1000), st.floats(0.5, 20), st.floats(1.05, 3))
def test_a_higher_temperature_has_more_entropy_and_the_same_order(seed, temperature, factor):
    z = logits(4, 5, seed=seed)
    low, high = (distill.soften(z, t) for t in (temperature, temperature * factor))
    assert (distill.entropy(high) >= distill.entropy(low) - 1e-12).all()
    assert torch.equal(low.argsort(), high.argsort())
    assert high.sum(-1).numpy() == pytest.approx(1)


def test_entropy_refuses_logits():
    with pytest.raises(ValueError, match=r"expected probabilities.*distill\.soften"):
        distill.entropy(torch.tensor([2.0, -1.0, 0.0]))


# --- the loss ---------------------------------------------------------------------------------------

STUDENT, TEACHER = [[4.0, -1, 4], [-1, 4, 4]], [[1.0, 6, 1], [4, 2, 0]]


@pytest.mark.case("C-wrong-formula")
def test_the_loss_by_hand_and_none_of_the_known_wrong_ones():
    value = distill.distillation_loss(
        torch.tensor(STUDENT), torch.tensor(TEACHER), torch.tensor([1, 0]), temperature=4, alpha=0.8
    )
    assert value.item() == pytest.approx(8.520, abs=5e-4)
    # T squared forgotten, T not squared, alpha swapped, KL reversed, mean over classes, sum over the batch.
    for wrong in (1.601, 2.985, 6.403, 6.998, 3.600, 15.901):
        assert abs(value.item() - wrong) > 0.1


@settings(max_examples=50)
@given(st.integers(1, 6), st.integers(2, 7), st.integers(0, 1000), st.floats(0.5, 20), st.floats(0, 1))
def test_the_loss_is_the_naive_one(n, n_classes, seed, temperature, alpha):
    student, teacher = logits(n, n_classes, seed=seed), logits(n, n_classes, seed=seed + 1)
    y = labels(n, n_classes, seed)
    value = distill.distillation_loss(student, teacher, y, temperature=temperature, alpha=alpha)
    assert value.item() == pytest.approx(naive(student, teacher, y, temperature, alpha), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.9])
def test_the_loss_is_torchdistills(temperature, alpha):
    student, teacher, y = logits(16, 10), logits(16, 10, seed=1), labels(16, 10)
    # There, alpha multiplies cross-entropy.
    theirs = KDLoss("fc", "output", "fc", "output", temperature=temperature, alpha=1 - alpha)
    expected = theirs({"fc": {"output": student}}, {"fc": {"output": teacher}}, y)
    ours = distill.distillation_loss(student, teacher, y, temperature=temperature, alpha=alpha)
    assert ours.item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.case("K-T2")
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_alpha_0_and_1_are_the_pure_terms_to_the_bit(temperature):
    student, teacher = (logits(8, 10, seed=seed, dtype=torch.float32) for seed in (0, 1))
    y = labels(8, 10)
    at = {
        alpha: distill.distillation_loss(student, teacher, y, temperature=temperature, alpha=alpha) for alpha in (0, 1)
    }
    assert at[0].item() == F.cross_entropy(student, y).item()
    terms = distill.loss_terms(student, teacher, y, temperature=temperature, alpha=1)
    assert at[1].item() == pytest.approx(temperature**2 * terms.soft, rel=1e-6)
    # The same with labels, without them, and with other labels.
    for other in (None, (y + 1) % 10):
        again = distill.distillation_loss(student, teacher, other, temperature=temperature, alpha=1)
        assert again.item() == at[1].item()


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_gradient_is_that_of_finite_differences(temperature):
    student, teacher, y = logits(3, 4).requires_grad_(), logits(3, 4, seed=1), labels(3, 4)

    def loss(z):
        return distill.distillation_loss(z, teacher, y, temperature=temperature, alpha=0.7)

    assert torch.autograd.gradcheck(loss, student)


def test_no_gradient_flows_to_the_teacher():
    student, teacher = logits(3, 4).requires_grad_(), logits(3, 4, seed=1).requires_grad_()
    distill.distillation_loss(student, teacher, labels(3, 4), temperature=2, alpha=0.5).backward()
    assert student.grad is not None
    assert teacher.grad is None


# --- reduction --------------------------------------------------------------------------------------


@pytest.mark.case("K-reduction")
@given(st.integers(0, 1000), st.sampled_from(TEMPERATURES), st.floats(0, 1))
def test_repeating_the_batch_changes_nothing(seed, temperature, alpha):
    student, teacher, y = logits(5, 6, seed=seed), logits(5, 6, seed=seed + 1), labels(5, 6, seed)
    once = distill.distillation_loss(student, teacher, y, temperature=temperature, alpha=alpha)
    twice = distill.distillation_loss(
        student.repeat(2, 1), teacher.repeat(2, 1), y.repeat(2), temperature=temperature, alpha=alpha
    )
    assert twice.item() == pytest.approx(once.item(), rel=1e-12)


@pytest.mark.case("K-reduction")
@pytest.mark.parametrize("n_dummies", [1, 7, 90])
def test_classes_that_cannot_be_change_nothing(n_dummies):
    student, teacher, y = logits(5, 6), logits(5, 6, seed=1), labels(5, 6)
    dummies = torch.full((5, n_dummies), -1e4, dtype=torch.float64)
    kwargs = {"temperature": 4, "alpha": 0.7}
    plain = distill.distillation_loss(student, teacher, y, **kwargs)
    wider = distill.distillation_loss(torch.cat([student, dummies], 1), torch.cat([teacher, dummies], 1), y, **kwargs)
    assert wider.item() == pytest.approx(plain.item(), rel=1e-12)


@pytest.mark.case("K-reduction")
def test_a_sequence_is_refused_and_flattened_places_are_averaged():
    student, teacher, y = logits(2, 3, 6), logits(2, 3, 6, seed=1), labels(6, 6)
    with pytest.raises(ValueError, match=r"student_logits must have shape \(N, classes\).*flatten the places"):
        distill.distillation_loss(student, teacher, y, temperature=2, alpha=0.5)
    flat = distill.distillation_loss(student.flatten(0, 1), teacher.flatten(0, 1), y, temperature=2, alpha=0.5)
    each = [
        distill.distillation_loss(s[None], t[None], label[None], temperature=2, alpha=0.5).item()
        for s, t, label in zip(student.flatten(0, 1), teacher.flatten(0, 1), y, strict=True)
    ]
    assert flat.item() == pytest.approx(np.mean(each), rel=1e-12)


# --- T squared --------------------------------------------------------------------------------------


@pytest.mark.case("K-T2")
@pytest.mark.parametrize("std", [1.0, 3.0, 5.0])
@pytest.mark.parametrize("seed", range(5))
def test_the_factor_keeps_the_size_of_the_gradient(std, seed):
    """Random logits of one spread; an agreeing top class with other small classes would not keep it."""
    student, teacher, y = logits(64, 10, seed=seed, std=std), logits(64, 10, seed=seed + 50, std=std), labels(64, 10)
    terms = [distill.loss_terms(student, teacher, y, temperature=t, alpha=1) for t in (2, 8, 20)]
    norms = [each.soft_norm for each in terms]
    assert max(norms) / min(norms) < 2
    # Without it, T = 20 has less than a fiftieth of T = 2.
    assert terms[0].soft_norm_without_factor > 50 * terms[2].soft_norm_without_factor


@pytest.mark.case("K-T2")
def test_at_a_high_temperature_the_soft_term_compares_centred_logits():
    student, teacher = logits(8, 10), logits(8, 10, seed=1)
    value = distill.distillation_loss(student, teacher, None, temperature=1e4, alpha=1)
    difference = (student - student.mean(1, keepdim=True)) - (teacher - teacher.mean(1, keepdim=True))
    assert value.item() == pytest.approx(0.5 * difference.square().mean().item(), rel=1e-3)


def test_terms_hold_their_gradients_in_closed_form():
    student, teacher, y = logits(3, 4), logits(3, 4, seed=1), labels(3, 4)
    terms = distill.loss_terms(student, teacher, y, temperature=5, alpha=0.3)
    assert terms.teacher == pytest.approx(softened(teacher, 5))
    assert terms.student == pytest.approx(softened(student, 5))
    assert terms.soft_gradient == pytest.approx((terms.student - terms.teacher) / 5 / 3)
    one_hot = np.eye(4)[y.numpy()]
    assert terms.hard_gradient == pytest.approx((softened(student, 1) - one_hot) / 3)
    assert terms.soft_norm == pytest.approx(25 * terms.soft_norm_without_factor)
    assert terms.hard_norm == pytest.approx(np.sqrt((terms.hard_gradient**2).sum()))
    whole = distill.distillation_loss(student, teacher, y, temperature=5, alpha=0.3)
    assert terms.loss == pytest.approx(whole.item(), rel=1e-12)
    assert terms.loss - terms.loss_without_factor == pytest.approx(0.3 * 24 * terms.soft)


def test_terms_by_hand_with_and_without_the_factor():
    terms = distill.loss_terms(
        torch.tensor(STUDENT), torch.tensor(TEACHER), torch.tensor([1, 0]), temperature=4, alpha=0.8
    )
    assert terms.loss == pytest.approx(8.520, abs=5e-4)
    assert terms.loss_without_factor == pytest.approx(1.601, abs=5e-4)


# --- extremes ---------------------------------------------------------------------------------------


@pytest.mark.case("K-prob-input")
@given(st.integers(0, 1000), st.sampled_from(TEMPERATURES), st.floats(-50, 50))
def test_the_soft_term_is_0_only_for_logits_that_differ_by_a_constant(seed, temperature, constant):
    teacher = logits(4, 5, seed=seed)
    same = distill.distillation_loss(teacher + constant, teacher, None, temperature=temperature, alpha=1)
    assert same.item() == pytest.approx(0, abs=1e-9)
    moved = teacher + logits(4, 5, seed=seed + 1)
    other = distill.distillation_loss(moved, teacher, None, temperature=temperature, alpha=1)
    assert other.item() > 1e-6


@pytest.mark.case("K-prob-input")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("size", [50.0, 1e3, 1e6])
def test_saturated_logits_give_a_finite_loss_and_gradient(dtype, size):
    """A teacher with probability 0 for some class, a student as sure of another one."""
    teacher = torch.tensor([[size, 0, -size], [-size, size, 0]], dtype=dtype)
    student = teacher.flip(1).clone().requires_grad_()
    for temperature in TEMPERATURES:
        value = distill.distillation_loss(student, teacher, torch.tensor([0, 1]), temperature=temperature, alpha=0.9)
        (gradient,) = torch.autograd.grad(value, student)
        assert value.isfinite()
        assert value > 0
        assert gradient.isfinite().all()


# --- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0, -1.0, math.nan, math.inf])
def test_a_temperature_that_is_no_positive_number_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature must be a finite number above 0"):
        distill.distillation_loss(logits(2, 3), logits(2, 3), labels(2, 3), temperature=temperature, alpha=0.5)
    with pytest.raises(ValueError, match="temperature"):
        distill.soften(logits(2, 3), temperature)


@pytest.mark.parametrize(("alpha", "hint"), [(-0.1, "got -0.1$"), (90, "did you mean 0.9"), (1.01, "0.0101")])
def test_alpha_outside_0_to_1_is_refused(alpha, hint):
    with pytest.raises(ValueError, match=f"alpha, the share of the teacher's term.*{hint}"):
        distill.distillation_loss(logits(2, 3), logits(2, 3), labels(2, 3), temperature=1, alpha=alpha)


@pytest.mark.parametrize("setting", [{"temperature": "4", "alpha": 0.5}, {"temperature": 4, "alpha": True}])
def test_settings_that_are_no_numbers_are_refused(setting):
    with pytest.raises(TypeError, match="must be a number"):
        distill.distillation_loss(logits(2, 3), logits(2, 3), labels(2, 3), **setting)


@pytest.mark.case("K-prob-input")
@pytest.mark.parametrize("which", ["student_logits", "teacher_logits"])
def test_probabilities_in_the_place_of_logits_are_noticed(which):
    values = {"student_logits": logits(2, 3), "teacher_logits": logits(2, 3, seed=1)}
    values[which] = values[which].softmax(1)
    with pytest.raises(ValueError, match=f"{which} look like probabilities: no value is negative and every row sums"):
        distill.distillation_loss(**values, labels=labels(2, 3), temperature=4, alpha=0.5)


def test_log_probabilities_are_logits():
    student, teacher, y = logits(2, 3), logits(2, 3, seed=1), labels(2, 3)
    plain = distill.distillation_loss(student, teacher, y, temperature=4, alpha=0.5)
    logs = distill.distillation_loss(student.log_softmax(1), teacher.log_softmax(1), y, temperature=4, alpha=0.5)
    assert logs.item() == pytest.approx(plain.item())


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("which", ["student_logits", "teacher_logits"])
def test_logits_that_are_not_finite_are_refused(which, bad):
    values = {"student_logits": logits(2, 3), "teacher_logits": logits(2, 3)}
    values[which][1, 2] = bad
    with pytest.raises(ValueError, match=f"{which} hold NaN or infinity.*-1e4"):
        distill.distillation_loss(**values, labels=labels(2, 3), temperature=4, alpha=0.5)


@pytest.mark.parametrize(
    ("student", "teacher", "y", "message"),
    [
        ((4, 10), (4, 8), 4, "the same classes, got 10 and 8; cut the teacher's logits"),
        ((4, 10), (3, 10), 4, "one row of teacher_logits for each of student_logits, got 3 and 4"),
        ((4, 10), (4, 10), 3, r"labels must have shape \(4,\), one class index a sample, got \(3,\)"),
        ((4, 1), (4, 1), 4, "at least 2 classes"),
        ((0, 10), (0, 10), 0, "need samples"),
        ((10,), (10,), 1, r"must have shape \(N, classes\), got \(10,\)"),
    ],
)  # fmt: skip
def test_shapes_that_do_not_fit_are_refused(student, teacher, y, message):
    with pytest.raises(ValueError, match=message):
        distill.distillation_loss(
            logits(*student), logits(*teacher), torch.zeros(y, dtype=torch.int64), temperature=4, alpha=0.5
        )


@pytest.mark.parametrize("y", [[0, 3], [-1, 0], [-100, 0]])
def test_labels_out_of_range_are_refused(y):
    with pytest.raises(ValueError, match="labels must be from 0 to 2, got"):
        distill.distillation_loss(logits(2, 3), logits(2, 3), torch.tensor(y), temperature=4, alpha=0.5)


@pytest.mark.parametrize("y", [torch.eye(3)[:2], torch.tensor([0.0, 1.0]), [0, 1]])
def test_labels_that_are_no_class_indices_are_refused(y):
    with pytest.raises(TypeError, match="labels must be class indices, an int64 tensor"):
        distill.distillation_loss(logits(2, 3), logits(2, 3), y, temperature=4, alpha=0.5)


@pytest.mark.parametrize("z", [np.zeros((2, 3)), torch.zeros(2, 3, dtype=torch.int64), [[0.0, 1.0]]])
def test_logits_that_are_no_floating_point_tensor_are_refused(z):
    with pytest.raises(TypeError, match="student_logits must be a floating-point tensor"):
        distill.distillation_loss(z, logits(2, 3), labels(2, 3), temperature=4, alpha=0.5)


@pytest.mark.parametrize("alpha", [0, 0.5])
def test_without_labels_alpha_must_be_1(alpha):
    with pytest.raises(ValueError, match=f"soft targets only: alpha must be 1, got {alpha}"):
        distill.distillation_loss(logits(2, 3), logits(2, 3), None, temperature=4, alpha=alpha)


def test_terms_and_the_decoupled_loss_need_labels():
    with pytest.raises(TypeError, match="labels must be class indices"):
        distill.loss_terms(logits(2, 3), logits(2, 3), None, temperature=4, alpha=1)
    with pytest.raises(TypeError, match="labels must be class indices"):
        distill.decoupled_loss(logits(2, 3), logits(2, 3), None, temperature=4)


# --- decoupled --------------------------------------------------------------------------------------


def naive_decoupled(student, teacher, y, temperature, target_weight, others_weight):
    total = 0.0
    for p_s, p_t, right in zip(softened(student, temperature), softened(teacher, temperature), y.tolist(), strict=True):
        b_s, b_t = ([p[right], 1 - p[right]] for p in (p_s, p_t))
        q_s, q_t = (np.delete(p, right) / (1 - p[right]) for p in (p_s, p_t))
        total += target_weight * sum(b_t * np.log(np.divide(b_t, b_s))) + others_weight * sum(q_t * np.log(q_t / q_s))
    return temperature**2 * total / len(student)


@settings(max_examples=50)
@given(st.integers(1, 5), st.integers(2, 6), st.integers(0, 1000), st.floats(1, 20))
def test_the_decoupled_loss_is_the_naive_one(n, n_classes, seed, temperature):
    student, teacher = logits(n, n_classes, seed=seed), logits(n, n_classes, seed=seed + 1)
    y = labels(n, n_classes, seed)
    value = distill.decoupled_loss(student, teacher, y, temperature=temperature, target_weight=1.5, others_weight=6)
    assert value.item() == pytest.approx(naive_decoupled(student, teacher, y, temperature, 1.5, 6), rel=1e-7, abs=1e-9)


def test_the_two_parts_of_one_sample_add_up_to_the_soft_term():
    student, teacher, y = logits(1, 6), logits(1, 6, seed=1), labels(1, 6)
    left = 1 - distill.soften(teacher, 4)[0, y[0]].item()
    parts = distill.decoupled_loss(student, teacher, y, temperature=4, target_weight=1, others_weight=left)
    whole = distill.distillation_loss(student, teacher, None, temperature=4, alpha=1)
    assert parts.item() == pytest.approx(whole.item(), rel=1e-9)


def test_the_decoupled_gradient_is_that_of_finite_differences():
    student, teacher, y = logits(3, 4).requires_grad_(), logits(3, 4, seed=1), labels(3, 4)
    assert torch.autograd.gradcheck(lambda z: distill.decoupled_loss(z, teacher, y, temperature=3), student)


@pytest.mark.case("K-degenerate")
@pytest.mark.parametrize("size", [50.0, 1e3, 1e6])
@pytest.mark.parametrize("right", [True, False])
def test_the_decoupled_loss_of_a_saturated_student_is_finite(size, right):
    student = torch.tensor([[size, 0.0, -size]])
    student = student.requires_grad_()
    y = torch.tensor([0 if right else 2])
    value = distill.decoupled_loss(student, torch.tensor([[1.0, 0.0, -1.0]]), y, temperature=1)
    value.backward()
    assert value.isfinite()
    assert student.grad.isfinite().all()


@pytest.mark.case("K-degenerate")
def test_with_two_classes_the_decoupled_loss_has_no_second_part():
    student, teacher, y = logits(4, 2), logits(4, 2, seed=1), labels(4, 2)
    value = distill.decoupled_loss(student, teacher, y, temperature=4, others_weight=100)
    whole = distill.distillation_loss(student, teacher, None, temperature=4, alpha=1)
    assert value.item() == pytest.approx(whole.item(), rel=1e-9)


# --- a teacher who knows nothing --------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.1, 0.5])
def test_a_teacher_who_knows_nothing_smooths_labels(alpha):
    student, y = logits(8, 10).requires_grad_(), labels(8, 10)
    nothing = distill.KnowsNothing(10)(torch.zeros(8, 1, 4, 4, dtype=torch.float64))
    ours = distill.distillation_loss(student, nothing, y, temperature=1, alpha=alpha)
    smooth = F.cross_entropy(student, y, label_smoothing=alpha)
    assert ours.item() == pytest.approx(smooth.item() - alpha * math.log(10))
    gradients = [torch.autograd.grad(each, student)[0] for each in (ours, smooth)]
    assert gradients[0].numpy() == pytest.approx(gradients[1].numpy())


def test_a_teacher_who_knows_nothing_needs_two_classes():
    with pytest.raises(ValueError, match="n_classes must be at least 2, got 1"):
        distill.KnowsNothing(1)
