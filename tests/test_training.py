import copy
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from labcore.data import Batches
from labcore.training import TrainConfig, TrainingDiverged, evaluate, fit
from toy import bits, network, toy

ONE = TrainConfig(epochs=1, learning_rate=0.05)
FIVE = TrainConfig(epochs=5, learning_rate=0.05)


def test_a_separable_toy_is_learned():
    log = fit(model := network(), toy(), TrainConfig(epochs=20, learning_rate=0.05), evaluation=toy(None))
    assert evaluate(model, toy(None)).accuracy >= 0.95
    # Guessing between two classes costs ln 2.
    assert log.losses[-1] < 0.5 * np.log(2) < log.losses[0]
    assert (len(log.losses), len(log.accuracies), log.interrupted) == (20, 20, False)
    assert log.best_epoch == log.accuracies.argmax()
    assert log.seconds > 0


@pytest.mark.case("C-noise")
@pytest.mark.case("C-state")
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_the_same_call_gives_the_same_bits(optimizer):
    config = TrainConfig(epochs=2, learning_rate=0.05, optimizer=optimizer, seed=7)
    batches, before = toy(), torch.get_rng_state()
    runs = []
    for _ in range(2):
        log = fit(model := network(dropout=0.5), batches, config, evaluation=toy(None))
        runs.append((bits(model), log.losses.tolist(), log.accuracies.tolist()))
        next(iter(batches))  # whoever looked at the batches changed nothing
    assert runs[0] == runs[1]
    assert torch.equal(torch.get_rng_state(), before)
    fit(other := network(dropout=0.5), batches, TrainConfig(2, 0.05, optimizer, seed=8))
    assert bits(other) != runs[0][0]


@pytest.mark.case("P-deepcopy")
def test_a_copy_trains_to_the_same_bits_and_leaves_the_first_alone():
    model = network()
    before, other = bits(model), copy.deepcopy(model)
    fit(other, toy(), ONE)
    assert bits(model) == before
    fit(model, toy(), ONE)
    assert bits(model) == bits(other) != before


def test_a_stop_before_the_first_step_changes_nothing():
    model, stop = network(), threading.Event()
    stop.set()
    before = bits(model)
    log = fit(model, toy(), FIVE, stop=stop)
    assert bits(model) == before
    assert (log.interrupted, log.best_epoch, len(log.losses)) == (True, -1, 0)


def forget(model, epoch=0):
    """Whatever the point, the answer is 0: half of them are right."""
    with torch.no_grad():
        model[-1].weight.zero_()
        model[-1].bias.copy_(torch.tensor([1.0, 0.0]))


@pytest.mark.parametrize("how", ["event", "interrupt", "interrupt in the evaluation"])
def test_a_stop_in_the_middle_keeps_the_best_weights(how):
    stop, epochs = threading.Event(), []

    class Checked:
        def __iter__(self):
            if len(epochs) == 4 and how == "interrupt in the evaluation":
                raise KeyboardInterrupt
            return iter(toy(None))

    def after_epoch(model, epoch):
        if epoch != 1:
            forget(model)
        epochs.append(bits(model))

    def after_step(model, step):
        if step == 18 and how == "event":
            stop.set()
        if step == 18 and how == "interrupt":
            raise KeyboardInterrupt

    hooks = {"after_step": after_step, "after_epoch": after_epoch, "stop": stop}
    log = fit(model := network(), toy(), FIVE, evaluation=Checked(), **hooks)
    assert log.interrupted
    assert len(log.losses) == len(log.accuracies) == (3 if "evaluation" in how else 4)
    assert log.best_epoch == log.accuracies.argmax() == 1
    assert bits(model) == epochs[1] != epochs[-1]


def test_without_evaluation_the_lowest_loss_is_the_best():
    losses = iter([3.0] * 4 + [1.0] * 4 + [2.0] * 12)
    log = fit(network(), toy(), FIVE, loss=lambda logits, y: F.cross_entropy(logits, y) * 0 + next(losses))
    assert log.losses.tolist() == [3, 1, 2, 2, 2]
    assert (log.best_epoch, len(log.accuracies)) == (1, 0)


def test_the_loss_of_an_epoch_weighs_every_sample_alike():
    batches = [(torch.zeros(3, 2), torch.zeros(3).long()), (torch.zeros(1, 2), torch.zeros(1).long())]
    losses = iter([1.0, 5.0])
    log = fit(nn.Linear(2, 2), batches, ONE, loss=lambda logits, y: logits.sum() * 0 + next(losses))
    assert log.losses.tolist() == [(3 * 1 + 1 * 5) / 4]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_says_where(value):
    model, steps = network(), []

    def loss(logits, y):
        return F.cross_entropy(logits, y) * (value if len(steps) == 5 else 1)

    model.eval()
    with pytest.raises(TrainingDiverged, match=rf"{value} at step 6 \(epoch 1\).* below 0.05") as caught:
        fit(model, toy(), FIVE, loss=loss, after_step=lambda model, step: steps.append(step))
    assert isinstance(caught.value, FloatingPointError)
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert not any(module.training for module in model.modules())


def test_hooks_and_progress_get_the_right_numbers():
    calls, shares = [], []
    fit(
        network(), toy(size=24), TrainConfig(epochs=2, learning_rate=0.01),
        after_step=lambda model, step: calls.append(step),
        after_epoch=lambda model, epoch: calls.append(f"e{epoch}"),
        progress=shares.append,
    )  # fmt: skip
    assert calls == [1, 2, 3, "e0", 4, 5, 6, "e1"]
    assert shares == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1])


def test_the_evaluation_sees_what_after_epoch_did():
    log = fit(network(), toy(), ONE, evaluation=toy(None), after_epoch=forget)
    labels = torch.cat([y for _, y in toy(None)])
    assert log.accuracies.tolist() == [(labels == 0).float().mean().item()]


def test_a_loss_of_ones_own_gets_every_target():
    x, y = torch.ones(4, 2), torch.tensor([0, 1, 0, 1])
    teacher, seen = torch.full((4, 2), 7.0), []

    def loss(logits, labels, soft):
        seen.append((labels.tolist(), soft.tolist()))
        return F.mse_loss(logits, soft)

    log = fit(nn.Linear(2, 2), Batches((x, y, teacher), 2), ONE, loss=loss)
    assert seen == [([0, 1], [[7, 7], [7, 7]])] * 2
    assert np.isfinite(log.losses).all()


def test_frozen_parameters_stay():
    model = network()
    model[0].requires_grad_(False)
    before = bits(model)
    fit(model, toy(), TrainConfig(1, 0.05, "adamw", weight_decay=0.5))
    changed = {name for name in before if bits(model)[name] != before[name]}
    assert not changed & {"0.weight", "0.bias"}
    assert "4.weight" in changed


def test_a_data_loader_works():
    samples = TensorDataset(*toy(None).tensors)
    loader = DataLoader(samples, batch_size=16, shuffle=True)
    runs = []
    for _ in range(2):
        fit(model := network(), loader, FIVE, evaluation=DataLoader(samples, batch_size=64))
        runs.append(bits(model))
    assert runs[0] == runs[1]
    assert evaluate(model, loader).accuracy > 0.8


def test_what_cannot_be_trained_is_refused_with_the_reason():
    constant = TrainConfig(epochs=1, learning_rate=0.05, schedule="constant")
    for batches in ((each for each in toy()), iter(toy()), zip([1], [2], strict=True)):
        with pytest.raises(TypeError, match=r"need batches for several passes, got a (generator|zip)"):
            fit(network(), batches, FIVE)
        with pytest.raises(TypeError, match=r"need batches for several passes, got a (generator|zip)"):
            fit(network(), toy(), FIVE, evaluation=batches)
    for model in (nn.ReLU(), nn.Linear(2, 2).requires_grad_(False)):
        with pytest.raises(ValueError, match=f"{type(model).__name__} has no parameters to train"):
            fit(model, toy(), ONE)
    with pytest.raises(ValueError, match="not empty and have a length"):
        fit(network(), [], ONE)
    with pytest.raises(ValueError, match="no batch to train on"):
        fit(network(), [], constant)


def test_training_leaves_every_mode():
    model = network()
    model[1].eval()
    was = [module.training for module in model.modules()]
    fit(model, toy(), ONE, evaluation=toy(None))
    assert [module.training for module in model.modules()] == was
    fit(model.eval(), toy(), ONE)
    assert not any(module.training for module in model.modules())
