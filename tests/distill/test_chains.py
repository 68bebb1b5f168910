"""Several teachers as one, and students that teach students."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from labcore import distill, runtime
from labcore.metrics import count_macs
from labcore.training import TrainConfig, evaluate, fit
from toy import bits, network, toy

CONFIG = TrainConfig(epochs=3, learning_rate=0.02)
SETTINGS = {"temperature": 4, "alpha": 0.9}


def answers(n, *shape, seed=0):
    return list(3 * torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))


# --- the mean of answers ----------------------------------------------------------------------------


def test_the_mean_of_two_answers_by_hand():
    # T = 2: softmax(ln 9, 0) is 0.9 and 0.1; softmax(0, ln 4) is 0.2 and 0.8. Their mean: 0.55 and 0.45.
    first = 2 * torch.tensor([math.log(9), 0.0], dtype=torch.float64)
    second = 2 * torch.tensor([0.0, math.log(4)], dtype=torch.float64)
    mean = distill.mean_answers([first, second], 2)
    assert mean.tolist() == pytest.approx([2 * math.log(0.55), 2 * math.log(0.45)])
    assert distill.soften(mean, 2).tolist() == pytest.approx([0.55, 0.45])
    # Of the logits, the mean says 0.6: the square root of 9 / 4 to 1. That is the geometric mean.
    assert distill.soften((first + second) / 2, 2).tolist() == pytest.approx([0.6, 0.4])


def test_one_sure_teacher_does_not_outvote_two_others():
    sure, unsure = torch.tensor([30.0, 0.0]), torch.tensor([0.0, 3.0])
    assert distill.mean_answers([sure, unsure, unsure], 1).argmax() == 1
    assert torch.stack([sure, unsure, unsure]).mean(0).argmax() == 0


@given(st.integers(0, 1000), st.integers(1, 5), st.floats(0.5, 20))
def test_the_mean_agrees_with_one_probability_at_a_time(seed, n, temperature):
    logits = answers(n, 3, 4, seed=seed)
    mean = distill.soften(distill.mean_answers(logits, temperature), temperature)
    for row in range(3):
        expected = np.zeros(4)
        for each in logits:
            powers = [math.exp(z / temperature) for z in each[row].tolist()]
            expected += [power / sum(powers) / n for power in powers]
        assert mean[row].tolist() == pytest.approx(expected.tolist())


@given(st.integers(0, 1000), st.permutations(range(4)), st.floats(0.5, 20))
def test_the_order_of_the_teachers_does_not_matter(seed, order, temperature):
    logits = answers(4, 5, 3, seed=seed)
    mean = distill.mean_answers(logits, temperature)
    assert distill.mean_answers([logits[i] for i in order], temperature).numpy() == pytest.approx(mean.numpy())


@given(st.integers(0, 1000), st.integers(1, 4), st.floats(0.5, 20))
def test_equal_teachers_are_that_teacher(seed, n, temperature):
    (logits,) = answers(1, 5, 3, seed=seed)
    mean = distill.mean_answers([logits] * n, temperature)
    expected = distill.soften(logits, temperature).numpy()
    assert distill.soften(mean, temperature).numpy() == pytest.approx(expected)
    # The same at every temperature: only one number a row was taken away.
    assert distill.soften(mean, 1).numpy() == pytest.approx(distill.soften(logits, 1).numpy())


def test_very_sure_teachers_give_finite_logits():
    sure = torch.tensor([[1e4, 0.0], [0.0, 1e4]])
    mean = distill.mean_answers([sure, sure], 1)
    assert mean.isfinite().all()
    assert mean.argmax(1).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("logits", "error", "words"),
    [
        ([], ValueError, "at least one teacher, got none"),
        ([torch.zeros(2, 3), torch.zeros(2, 4)], ValueError, r"teacher 0 has the shape \(2, 3\), teacher 1 \(2, 4\)"),
        ([torch.zeros(2, 3), torch.zeros(1, 3)], ValueError, r"teacher 0 has the shape \(2, 3\), teacher 1 \(1, 3\)"),
        ([torch.ones(2, 2), torch.ones(2, 2) / 2], ValueError, "logits of teacher 1 look like probabilities"),
        ([torch.tensor([[0.0, math.nan]])], ValueError, "logits of teacher 0 hold NaN"),
        ([np.zeros((2, 3))], TypeError, "logits of teacher 0 must be a floating-point tensor, got ndarray"),
    ],
)
def test_what_has_no_mean_is_refused(logits, error, words):
    with pytest.raises(error, match=words):
        distill.mean_answers(logits, 2)
    with pytest.raises(ValueError, match="temperature must be a finite number above 0"):
        distill.mean_answers([torch.zeros(2, 3)], 0)


# --- an ensemble that teaches -----------------------------------------------------------------------


def peers(n=3):
    return [network(seed) for seed in range(10, 10 + n)]


def unnormalized(seed):
    """No batch norm: a bias before one has the gradient 0 but for rounding, of which Adam makes whole steps."""
    with runtime.fork_rng(seed):
        return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))


def test_an_ensemble_answers_the_mean_of_its_teachers():
    images, teachers = toy(None).tensors[0], [each.eval() for each in peers()]
    with torch.no_grad():
        mean = torch.stack([(teacher(images) / 4).softmax(1) for teacher in teachers]).mean(0)
        ensemble = distill.Ensemble(teachers, temperature=4)(images)
    assert (ensemble / 4).softmax(1).numpy() == pytest.approx(mean.numpy(), abs=1e-6)


def test_a_student_of_an_ensemble_learns_the_mean_of_softened_answers():
    teachers, batches = [each.eval() for each in peers()], list(toy())

    def lesson(images, labels):
        with torch.no_grad():
            return images, labels, torch.stack([(teacher(images) / 4).softmax(1) for teacher in teachers]).mean(0)

    def loss(z, labels, mean):
        soft = (mean * (mean.log() - (z / 4).log_softmax(1))).sum(1).mean()
        return 0.1 * nn.functional.cross_entropy(z, labels) + 0.9 * 16 * soft

    plain = unnormalized(1)
    fit(plain, [lesson(*batch) for batch in batches], CONFIG, loss=loss)
    ensemble = distill.Ensemble(teachers, temperature=4)
    student = distill.distill(unnormalized(1), ensemble, batches, CONFIG, **SETTINGS).model
    for name, values in plain.state_dict().items():
        assert student.state_dict()[name].numpy() == pytest.approx(values.numpy(), abs=1e-5), name


def test_an_ensemble_of_one_teaches_as_that_one_does():
    teacher = network(10)
    alone, together = (
        distill.distill(unnormalized(1), each, toy(), CONFIG, **SETTINGS).model
        for each in (teacher, distill.Ensemble([teacher], temperature=4))
    )
    for name, values in alone.state_dict().items():
        assert together.state_dict()[name].numpy() == pytest.approx(values.numpy(), abs=1e-5), name


@pytest.mark.case("C-state")
def test_an_ensemble_leaves_its_teachers_as_they_were():
    teachers = [network(seed, dropout=0.5).train() for seed in (1, 2)]
    before = [bits(each) for each in teachers]
    distill.distill(network(3), distill.Ensemble(teachers, temperature=4), toy(), CONFIG, **SETTINGS)
    assert [bits(each) for each in teachers] == before
    assert all(module.training for each in teachers for module in each)
    assert all(parameter.grad is None for each in teachers for parameter in each.parameters())


def test_every_teacher_is_on_the_bill(tmp_path, monkeypatch):
    monkeypatch.setenv("LABCORE_HOME", str(tmp_path))
    cost = distill.cache_teacher(distill.Ensemble(peers(3), temperature=4), toy(None)).cost
    assert cost.forward_macs == 3 * 64 * count_macs(network(), toy(None).tensors[0][:1])


def test_cached_answers_know_the_temperature_of_the_mean(tmp_path, monkeypatch):
    monkeypatch.setenv("LABCORE_HOME", str(tmp_path))
    teachers = peers()
    cool, hot = (distill.cache_teacher(distill.Ensemble(teachers, temperature=t), toy(None)) for t in (1, 4))
    assert not torch.equal(cool.logits, hot.logits)


def test_an_ensemble_teaches_at_its_own_temperature_only(tmp_path, monkeypatch):
    monkeypatch.setenv("LABCORE_HOME", str(tmp_path))
    ensemble = distill.Ensemble(peers(), temperature=2)
    for teacher in (ensemble, distill.cache_teacher(ensemble, toy(None))):
        with pytest.raises(ValueError, match=r"averages at T = 2, the student is taught at T = 4.*temperature 4"):
            distill.distill(network(1), teacher, toy(), CONFIG, **SETTINGS)


def test_the_answers_of_one_teacher_have_no_temperature():
    assert distill.cache_teacher(network(), toy(None)).temperature is None


def test_one_tensor_is_no_list_of_logits():
    with pytest.raises(TypeError, match="must be a list with those of each teacher, got one tensor"):
        distill.mean_answers(torch.zeros(2, 3), 1)


@pytest.mark.parametrize(
    ("teachers", "error", "words"),
    [
        ([], ValueError, "teachers must name at least one model"),
        (network(), TypeError, "teachers must be a list of models, got Sequential; one model goes in a list too"),
        ([network(), "another"], TypeError, r"teachers\[1\] must be a torch\.nn\.Module, got str"),
    ],
)
def test_what_is_no_list_of_teachers_is_refused(teachers, error, words):
    with pytest.raises(error, match=words):
        distill.Ensemble(teachers, temperature=4)
    with pytest.raises(error, match=words.replace("teachers", "students")):
        distill.distill_chain(network(1), teachers, toy(), CONFIG, **SETTINGS)


# --- students that teach ----------------------------------------------------------------------------


def test_each_student_of_a_chain_is_taught_by_the_one_before():
    teacher, students = network(2), [network(3), network(4), network(5)]
    chain = distill.distill_chain(teacher, students, toy(), CONFIG, **SETTINGS)
    for taught, student in zip(chain, students, strict=True):
        expected = distill.distill(student, teacher, toy(), CONFIG, **SETTINGS)
        assert bits(taught.model) == bits(expected.model)
        teacher = expected.model


def test_a_chain_of_one_is_plain_distillation():
    (taught,) = distill.distill_chain(network(2), [network(3)], toy(), CONFIG, **SETTINGS)
    assert bits(taught.model) == bits(distill.distill(network(3), network(2), toy(), CONFIG, **SETTINGS).model)


def test_with_alpha_0_nobody_in_the_chain_listens():
    chain = distill.distill_chain(network(2), [network(3), network(4)], toy(), CONFIG, temperature=4, alpha=0)
    plain = network(4)
    fit(plain, toy(), CONFIG)
    assert bits(chain[-1].model) == bits(plain)


def test_an_assistant_passes_on_what_only_the_teacher_knew():
    teacher, config = network(2), TrainConfig(epochs=20, learning_rate=0.02)
    fit(teacher, toy(), config)
    unlabelled = [(images,) for images, _ in toy()]
    chain = distill.distill_chain(teacher, [network(3), network(4)], unlabelled, config, temperature=4, alpha=1)
    assert evaluate(chain[-1].model, toy()).accuracy > 0.9


@pytest.mark.case("C-state")
def test_a_chain_changes_neither_teacher_nor_students():
    teacher, student, state = network(2, dropout=0.5), network(3), torch.get_rng_state()
    before = bits(teacher), bits(student)
    first, second = distill.distill_chain(teacher, [student, student], toy(), CONFIG, **SETTINGS)
    assert (bits(teacher), bits(student)) == before
    assert torch.equal(torch.get_rng_state(), state)
    # The first one taught; it was not trained further.
    alone = distill.distill(student, teacher, toy(), CONFIG, **SETTINGS)
    assert bits(first.model) == bits(alone.model)
    assert bits(second.model) != bits(first.model)


def test_a_teacher_cannot_be_its_own_next_generation():
    teacher = network(2)
    with pytest.raises(ValueError, match=r"the student is the teacher.*copy\.deepcopy"):
        distill.distill_chain(teacher, [teacher], toy(), CONFIG, **SETTINGS)
    distill.distill_chain(teacher, [copy.deepcopy(teacher)], toy(), CONFIG, **SETTINGS)


def test_a_chain_may_begin_with_cached_answers(tmp_path, monkeypatch):
    monkeypatch.setenv("LABCORE_HOME", str(tmp_path))
    teacher, students = network(2), [network(3), network(4)]
    live = distill.distill_chain(teacher, students, toy(), CONFIG, **SETTINGS)
    cached = distill.distill_chain(distill.cache_teacher(teacher, toy(None)), students, toy(), CONFIG, **SETTINGS)
    for name, values in live[-1].model.state_dict().items():
        assert cached[-1].model.state_dict()[name].numpy() == pytest.approx(values.numpy(), abs=1e-4), name
