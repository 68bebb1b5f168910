"""Students taught through the one training loop: frozen teachers, unlabelled images, features, the bill."""

import copy
import pickle
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labcore import distill, runtime
from labcore.data import Batches
from labcore.models import make_model
from labcore.results import BillItem, DistillationBill
from labcore.surgery import tap
from labcore.training import TrainConfig, TrainingDiverged, evaluate, fit
from toy import bits, network, toy

CONFIG = TrainConfig(epochs=3, learning_rate=0.02)


def taught(**changes):
    arguments = {
        "student": network(1), "teacher": network(2), "batches": toy(), "config": CONFIG, "temperature": 4, "alpha": 0.9
    }  # fmt: skip
    arguments |= changes
    return distill.distill(**arguments)


def trained_teacher():
    teacher = network(2)
    fit(teacher, toy(), TrainConfig(epochs=20, learning_rate=0.02))
    return teacher.eval()


# --- the loop ---------------------------------------------------------------------------------------


def test_alpha_0_is_training_on_labels_to_the_bit():
    plain = network(1)
    log = fit(plain, toy(), CONFIG)
    student = taught(alpha=0)
    assert bits(student.model) == bits(plain)
    assert student.log.losses.tolist() == log.losses.tolist()


def test_the_loss_is_the_one_of_the_formula():
    teacher, plain = network(2), network(1)
    batches = [(x, y, teacher.eval()(x).detach()) for x, y in toy()]

    def loss(z, y, v):
        log_p, log_q = (v / 4).log_softmax(1), (z / 4).log_softmax(1)
        return 0.1 * F.cross_entropy(z, y) + 0.9 * 16 * (log_p.exp() * (log_p - log_q)).sum(1).mean()

    fit(plain, batches, CONFIG, loss=loss)
    student = taught(teacher=teacher, batches=[batch[:2] for batch in batches])
    for name, values in plain.state_dict().items():
        assert student.model.state_dict()[name].numpy() == pytest.approx(values.numpy(), abs=1e-5), name


def test_a_student_of_a_good_teacher_needs_no_labels():
    teacher, points = trained_teacher(), toy()
    unlabelled = Batches((points.tensors[0],), 16, 0)
    config = TrainConfig(epochs=20, learning_rate=0.02)
    student = taught(teacher=teacher, batches=unlabelled, alpha=1, config=config)
    assert evaluate(student.model, points).accuracy > 0.9
    # Labels are not looked at: wrong ones teach the same.
    wrong = Batches((points.tensors[0], 1 - points.tensors[1]), 16, 0)
    again = taught(teacher=teacher, batches=wrong, alpha=1, config=config)
    assert bits(again.model) == bits(student.model)


def test_cached_and_live_answers_teach_the_same():
    teacher = network(2)
    live, cached = taught(teacher=teacher), taught(teacher=distill.cache_teacher(teacher, toy(None)))
    for name, values in live.model.state_dict().items():
        assert cached.model.state_dict()[name].numpy() == pytest.approx(values.numpy(), abs=1e-5), name
    assert cached.log.losses == pytest.approx(live.log.losses, rel=1e-5)


def test_the_same_call_gives_the_same_bits():
    first, second = taught(student=network(1, dropout=0.3)), taught(student=network(1, dropout=0.3))
    assert bits(first.model) == bits(second.model)


# --- what stays as it was ---------------------------------------------------------------------------


@pytest.mark.case("C-state")
def test_teacher_student_and_generator_stay_as_they_were():
    teacher, student, state = network(2, dropout=0.5).train(), network(1), torch.get_rng_state()
    before = distill.fingerprint(teacher), distill.fingerprint(student)
    modes = [module.training for module in teacher]
    result = taught(teacher=teacher, student=student)
    assert (distill.fingerprint(teacher), distill.fingerprint(student)) == before
    assert distill.fingerprint(result.model) != before[1]
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in teacher] == modes
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(parameter.requires_grad for parameter in teacher.parameters())


def test_a_teacher_in_training_mode_answers_as_in_evaluation_mode():
    teacher = network(2, dropout=0.9)
    assert bits(taught(teacher=teacher.train()).model) == bits(taught(teacher=teacher.eval()).model)


def test_a_student_with_batch_norm_is_trained_in_training_mode():
    student = taught().model
    assert student[1].num_batches_tracked == 3 * 4
    assert student.training


class Drawn:
    """Batches that draw from torch's generator, as augmentation does."""

    def __len__(self):
        return 4

    def __iter__(self):
        for x, y in toy(None):
            yield x + 0.1 * torch.randn(len(x), 1), y


def test_the_teacher_sees_each_augmented_image_and_the_outcome_repeats():
    teacher, state = trained_teacher(), torch.get_rng_state()
    first, second = (taught(teacher=teacher, batches=Drawn()) for _ in range(2))
    assert bits(first.model) == bits(second.model)
    assert torch.equal(torch.get_rng_state(), state)
    outputs = distill.cache_teacher(teacher, toy(None))
    with pytest.raises(ValueError, match=r"not among the 64 that the teacher answered.*pass the teacher itself"):
        taught(teacher=outputs, batches=Drawn())


def test_stop_progress_and_evaluation_reach_the_loop():
    seen, stop = [], threading.Event()

    def progress(share):
        seen.append(share)
        if len(seen) == 6:
            stop.set()

    result = taught(evaluation=toy(None), progress=progress, stop=stop)
    assert result.log.interrupted
    assert len(result.log.accuracies) == 1
    assert seen == pytest.approx([step / 12 for step in range(1, 7)])
    # The batch that was fetched when the stop was seen counts: its answer was paid for.
    assert result.costs[1].n_images in (6 * 16, 7 * 16)


@pytest.mark.parametrize("rate", [1e20, 1e30])
def test_a_diverging_student_says_where(rate):
    """At the lower rate the loss overflows first, at the higher one the logits do."""
    with pytest.raises(TrainingDiverged, match=r"the loss became .* at step"):
        taught(config=TrainConfig(epochs=30, learning_rate=rate, optimizer="sgd", schedule="constant"))


# --- features ---------------------------------------------------------------------------------------


def tiny_networks():
    return make_model("lab_cnn", width=4, seed=1), make_model("lab_resnet", width=4, seed=2)


def images(n=24):
    with runtime.fork_rng(0):
        return Batches((torch.rand(n, 1, 14, 14), torch.arange(n) % 10), 8)


MATCHES = {
    # lab_cnn's second stage and lab_resnet's second have maps of 7x7.
    "attention": distill.FeatureMatch("bn2", "stage1", distill.attention_loss, 1000.0),
    "distances": distill.FeatureMatch("flatten", "flatten", distill.distance_loss, 25.0),
    "angles": distill.FeatureMatch("flatten", "flatten", distill.angle_loss, 50.0),
}


@pytest.mark.parametrize("name", MATCHES)
def test_features_add_their_weighted_loss(name):
    student, teacher = tiny_networks()
    match, one = MATCHES[name], Batches(images().tensors, 24)
    result = distill.distill(
        student, teacher, one, TrainConfig(1, 1e-3), temperature=4, alpha=0.5, features=[match]
    )  # fmt: skip
    # By hand, with the student in training mode and the teacher in evaluation mode.
    with tap(student, [match.student_layer]) as mine, tap(teacher, [match.teacher_layer]) as theirs:
        answers, taught_answers = student(one.tensors[0]), teacher.eval()(one.tensors[0])
    plain = distill.distillation_loss(answers, taught_answers, one.tensors[1], temperature=4, alpha=0.5)
    extra = match.loss(mine[match.student_layer].outputs[0], theirs[match.teacher_layer].outputs[0])
    assert result.log.losses[0] == pytest.approx((plain + match.weight * extra).item(), rel=1e-5)
    assert match.weight * extra > 0.01


@pytest.mark.parametrize("name", MATCHES)
def test_features_alone_come_closer_to_the_teachers(name):
    student, teacher = tiny_networks()
    result = distill.train_student(
        student, teacher, images(), TrainConfig(30, 0.01), loss=lambda s, t, y: 0 * s.sum(), features=[MATCHES[name]]
    )
    assert result.log.losses[-1] < 0.6 * result.log.losses[0]


def test_a_hint_trains_its_own_copy_of_the_regressor_and_the_student_below():
    student, teacher = tiny_networks()
    hint = distill.Hint(8, 8)
    before = distill.fingerprint(hint)
    match = distill.FeatureMatch("conv2", "stage2.first.conv", hint, 1.0)
    # Without the labels' loss, only a hint can move weights, and only those below its layer.
    result = distill.train_student(
        student, teacher, images(), CONFIG, loss=lambda s, t, y: 0 * s.sum(), features=[match]
    )
    trained = dict(result.model.named_parameters())
    moved = {name for name, values in student.named_parameters() if not torch.equal(values, trained[name])}
    assert moved == {"conv1.weight", "bn1.weight", "bn1.bias", "conv2.weight"}
    assert result.log.losses[-1] < result.log.losses[0]
    assert distill.fingerprint(hint) == before


def test_students_taught_with_features_hold_no_hooks():
    student, teacher = tiny_networks()
    result = distill.distill(
        student, teacher, images(), CONFIG, temperature=4, alpha=0.5, features=[MATCHES["attention"]]
    )
    assert type(result.model) is type(student)
    assert not any(module._forward_hooks for module in (*result.model.modules(), *teacher.modules()))
    pickle.dumps(result.model)


@pytest.mark.parametrize(
    ("match", "message"),
    [
        (distill.FeatureMatch("nowhere", "stage1", distill.attention_loss, 1.0), "no layer named 'nowhere'.*bn2"),
        (distill.FeatureMatch("bn2", "nowhere", distill.attention_loss, 1.0), "no layer named 'nowhere'.*stem"),
        (distill.FeatureMatch("bn2", "fc", distill.attention_loss, 1.0), "features of the teacher must have shape"),
        (distill.FeatureMatch("bn2", "stage1", distill.Hint(8, 4), 1.0), "equal height and width"),
    ],
)
def test_layers_that_do_not_fit_are_refused_before_training(match, message):
    student, teacher = tiny_networks()
    with pytest.raises(ValueError, match=message):
        distill.distill(student, teacher, images(), CONFIG, temperature=4, alpha=0.5, features=[match])
    assert not any(module._forward_hooks for module in (*student.modules(), *teacher.modules()))


def test_cached_outputs_hold_no_features():
    student, teacher = tiny_networks()
    outputs = distill.cache_teacher(teacher, images())
    with pytest.raises(ValueError, match="features need the teacher itself"):
        distill.distill(student, outputs, images(), CONFIG, temperature=4, alpha=0.5, features=[MATCHES["attention"]])


def test_any_loss_of_logits_can_teach():
    def loss(s, t, y):
        return F.cross_entropy(s, y) + distill.decoupled_loss(s, t, y, temperature=4) + distill.distance_loss(s, t)

    result = distill.train_student(network(1), trained_teacher(), toy(), TrainConfig(20, 0.02), loss=loss)
    assert evaluate(result.model, toy()).accuracy > 0.9


def test_logits_can_be_compared_directly():
    """The backward pass of this loss keeps the teacher's logits as they came."""
    result = distill.train_student(
        network(1), trained_teacher(), toy(), TrainConfig(20, 0.02), loss=lambda s, t, y: F.mse_loss(s, t)
    )
    assert evaluate(result.model, toy()).accuracy > 0.9


@pytest.mark.case("K-degenerate")
def test_a_last_batch_of_one_has_no_relations():
    points = Batches((toy().tensors[0][:17], toy().tensors[1][:17]), 16)
    plain = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"a batch of 1 has no pair.*leaves no smaller last batch"):
        distill.train_student(plain, network(2), points, CONFIG, loss=lambda s, t, y: distill.distance_loss(s, t))


# --- the bill ---------------------------------------------------------------------------------------


def test_the_bill_by_hand():
    teacher = nn.Sequential(nn.Linear(2, 100), nn.ReLU(), nn.Linear(100, 2))
    student = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))
    answers, training = taught(student=student, teacher=teacher).costs
    # Three epochs of 64 points; forward 2 x 100 + 100 x 2 and 2 x 8 + 8 x 2 products.
    assert (answers.n_images, answers.forward_macs, answers.backward_macs) == (192, 192 * 400, 0)
    # Backward: gradients of both weights and of the hidden layer, none of the input.
    assert (training.n_images, training.forward_macs, training.backward_macs) == (192, 192 * 32, 192 * 48)
    cached = distill.cache_teacher(teacher, toy(None))
    assert taught(student=student, teacher=cached).costs[0] is cached.cost
    paid = distill.bill_training("teacher: training", teacher, toy().tensors[0][:1], n_images=1000, seconds=60.0)
    assert (paid.what, paid.forward_macs, paid.backward_macs) == ("teacher: training", 400_000, 600_000)
    bill = DistillationBill((paid, answers, training))
    assert bill.macs == 1_000_000 + 192 * 400 + 192 * 80
    assert bill.seconds == pytest.approx(60 + answers.seconds + training.seconds)


def test_seconds_are_divided_between_teacher_and_student():
    answers, training = (result := taught()).costs
    assert answers.seconds > 0
    assert training.seconds > 0
    assert answers.seconds + training.seconds == pytest.approx(result.log.seconds)


@pytest.mark.parametrize("n_images", [1, 3])
def test_macs_are_per_image_whatever_the_sample(n_images):
    model = make_model("lab_cnn", width=4)
    before = distill.fingerprint(model)
    bill = distill.bill_training("student", model, torch.rand(n_images, 1, 14, 14), n_images=1, seconds=1.0)
    assert bill.forward_macs == 27_072
    # Twice the forward pass, less the input's gradient in the first layer: 4 x 9 x 14 x 14 products.
    assert bill.backward_macs == 2 * 27_072 - 4 * 9 * 14 * 14
    assert distill.fingerprint(model) == before
    assert all(parameter.grad is None for parameter in model.parameters())


def test_answers_have_no_backward_pass_and_frozen_models_no_training():
    assert distill.bill_answers("x", network(), toy().tensors[0], n_images=10, seconds=1.0).backward_macs == 0
    with pytest.raises(ValueError, match="Sequential has no parameters to train; bill its answers instead"):
        distill.bill_training("x", network().requires_grad_(False), toy().tensors[0], n_images=1, seconds=1.0)


def test_an_empty_bill_costs_nothing():
    assert (DistillationBill(()).macs, DistillationBill(()).seconds) == (0, 0)
    assert BillItem("x", 1, 1.0, 2, 3).macs == 5


# --- what is refused --------------------------------------------------------------------------------


def test_a_student_that_is_its_teacher_is_refused():
    model = network()
    with pytest.raises(ValueError, match=r"the student is the teacher.*copy\.deepcopy"):
        taught(student=model, teacher=model)
    taught(student=copy.deepcopy(model), teacher=model)


def test_a_student_that_shares_weights_with_its_teacher_is_refused():
    teacher = network(2)
    student = nn.Sequential(teacher[0], nn.ReLU(), nn.Linear(16, 2))
    with pytest.raises(ValueError, match=r"share weights \(0\.weight, 0\.bias\)"):
        taught(student=student, teacher=teacher)


@pytest.mark.case("K-prob-input")
@pytest.mark.parametrize("which", ["student", "teacher"])
def test_models_that_end_in_a_softmax_are_noticed_before_training(which):
    with pytest.raises(ValueError, match=f"the {which}'s answers look like probabilities"):
        taught(**{which: nn.Sequential(network(3), nn.Softmax(1))})


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"teacher": nn.Linear(2, 3)}, ValueError, "the same classes, got 2 and 3"),
        ({"batches": [(toy().tensors[0],)]}, ValueError, "alpha must be 1, got 0.9"),
        ({"batches": []}, ValueError, "there is no batch to train on"),
        ({"batches": iter([])}, TypeError, "batches for several passes, got a list_iterator"),
        ({"temperature": 0}, ValueError, "temperature must be"),
        ({"alpha": 2}, ValueError, "alpha, the share"),
        ({"teacher": "teacher"}, TypeError, r"teacher must be a torch\.nn\.Module"),
        ({"student": None}, TypeError, r"student must be a torch\.nn\.Module"),
        ({"batches": [(toy().tensors[0], toy().tensors[1] + 1)]}, ValueError, "labels must be from 0 to 1"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(changes, error, message):
    student = network(1)
    before = bits(student)
    with pytest.raises(error, match=message):
        taught(**{"student": student} | changes)
    assert bits(student) == before


def test_numbers_only_in_the_bill():
    for item in taught().costs:
        assert all(isinstance(value, str | int | float | np.number) for value in vars(item).values())
