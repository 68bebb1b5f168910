import re
import threading

import pytest
import torch
from torch import nn

from labcore.training import evaluate, evaluating, predict
from toy import bits, network, toy


def mixed() -> nn.Sequential:
    """A model in training mode whose batch norm is frozen."""
    model = network(dropout=0.5)
    model[1].eval()
    return model


def modes(model: nn.Module) -> list[bool]:
    return [module.training for module in model.modules()]


@pytest.mark.case("C-state")
@pytest.mark.case("B-eval-mutates")
def test_an_evaluation_leaves_every_bit_and_mode():
    model = mixed()
    before, was = bits(model), modes(model)
    assert was == [True, True, False, True, True, True]
    first, second = evaluate(model, toy(None)), evaluate(model, toy(None))
    assert (first.predictions == second.predictions).all()
    assert (bits(model), modes(model)) == (before, was)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    with pytest.raises(ZeroDivisionError), evaluating(model):
        1 / 0  # noqa: B018
    assert modes(model) == was
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


def test_predictions_are_the_models_own_in_order():
    model = network().eval()
    points, labels = toy(None).tensors
    logits, targets = predict(model, toy(None, size=7))
    with torch.no_grad():
        torch.testing.assert_close(logits, model(points))
    assert torch.equal(targets, labels)
    assert not logits.requires_grad
    logits += 1  # an ordinary tensor, not one of inference mode
    evaluation = evaluate(model, toy(None, size=7))
    assert (evaluation.predictions == model(points).argmax(1).numpy()).all()
    assert (evaluation.labels == labels.numpy()).all()
    assert evaluation.n_classes == 2


def test_a_model_without_parameters_is_evaluated():
    assert evaluate(nn.Identity(), [(torch.eye(3), torch.tensor([0, 1, 1]))]).n_correct == 2


def test_a_stopped_evaluation_gives_the_batches_begun():
    stop = threading.Event()
    stop.set()
    logits, labels = predict(network(), toy(None), stop=stop)
    assert (len(logits), len(labels)) == (16, 16)


def test_what_cannot_be_evaluated_is_refused_with_the_reason():
    with pytest.raises(ValueError, match="no batch to evaluate"):
        evaluate(network(), [])
    convolution = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    for model, shape in ((network(), (4, 3)), (convolution, (4, 1, 8, 8)), (nn.BatchNorm2d(3), (4, 3))):
        expected = re.escape(f"{type(model).__name__} cannot take a batch of shape {shape}: ")
        with pytest.raises(ValueError, match=expected):
            evaluate(model, [(torch.zeros(shape), torch.zeros(4).long())])
        assert all(modes(model))


def test_images_reach_the_model_in_the_fast_layout():
    seen = []

    class Looking(nn.Conv2d):
        def forward(self, x):
            seen.append(x.is_contiguous(memory_format=torch.channels_last))
            return super().forward(x).mean((2, 3))

    evaluate(Looking(3, 2, 3), [(torch.rand(4, 3, 8, 8), torch.zeros(4).long())])
    assert seen == [True]
