from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from labcore.training import TrainConfig, fit


def rates(config: TrainConfig, n_batches: int) -> list[float]:
    """Learning rates in use: with a gradient of one, plain SGD moves the weight by just that."""
    model, places = nn.Linear(1, 1, bias=False), []
    batches = [(torch.ones(1, 1), torch.zeros(1))] * n_batches
    start = model.weight.item()
    hook = {"after_step": lambda model, step: places.append(model.weight.item())}
    fit(model, batches, config, loss=lambda out, _: out.sum(), **hook)
    return (-np.diff([start, *places])).tolist()


def test_the_cosine_starts_at_the_rate_and_falls_to_zero():
    config = TrainConfig(epochs=2, learning_rate=0.5, optimizer="sgd", momentum=0.0)
    # Four steps: (1 + cos(0, 45, 90, 135 degrees)) / 2 of the rate.
    expected = [0.5, 0.5 * 0.853553, 0.25, 0.5 * 0.146447]
    assert rates(config, 2) == pytest.approx(expected, abs=1e-5)
    assert rates(config, 500)[-1] == pytest.approx(0, abs=1e-5)
    # The same way down, to a tenth of the rate.
    raised = [0.05 + 0.9 * rate for rate in expected]
    assert rates(replace(config, final_share=0.1), 2) == pytest.approx(raised, abs=1e-5)
    constant = TrainConfig(epochs=2, learning_rate=0.5, optimizer="sgd", momentum=0.0, schedule="constant")
    assert rates(constant, 2) == pytest.approx([0.5] * 4, abs=1e-5)


def test_momentum_and_weight_decay_reach_the_optimizer():
    moving = TrainConfig(epochs=1, learning_rate=0.5, optimizer="sgd", schedule="constant", momentum=0.5)
    assert rates(moving, 3) == pytest.approx([0.5, 0.75, 0.875], abs=1e-5)
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 2.0)
    decaying = TrainConfig(1, 0.5, "sgd", "constant", momentum=0.0, weight_decay=0.1)
    fit(model, [(torch.ones(1, 1), torch.zeros(1))], decaying, loss=lambda out, _: out.sum() * 0)
    assert model.weight.item() == pytest.approx(2 - 0.5 * 0.1 * 2)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"epochs": 0}, ValueError, "epochs must be at least 1, got 0"),
        ({"epochs": 1.5}, TypeError, "epochs must be a whole number, got 1.5"),
        ({"epochs": True}, TypeError, "got True"),
        ({"learning_rate": 0}, ValueError, "learning_rate must be a positive number, got 0"),
        ({"learning_rate": float("nan")}, ValueError, "got nan"),
        ({"learning_rate": float("inf")}, ValueError, "got inf"),
        ({"optimizer": "Adam"}, ValueError, "unknown optimizer 'Adam'; choose one of: adam, adamw, sgd"),
        ({"final_share": 1.5}, ValueError, r"final_share must be a share of the learning rate in \[0, 1\], got 1.5"),
        ({"final_share": -0.1}, ValueError, "got -0.1"),
        ({"schedule": "linear"}, ValueError, "unknown schedule 'linear'; choose one of: cosine, constant"),
    ],
)
def test_settings_are_checked(change, error, words):
    with pytest.raises(error, match=words):
        TrainConfig(**{"epochs": 1, "learning_rate": 0.1, **change})
