"""The schedule of quantization-aware training."""

import pytest

from labcore.quantize import aware_config
from labcore.training import TrainConfig


@pytest.mark.parametrize(("epochs", "expected"), [(1, 1), (8, 1), (14, 1), (16, 2), (20, 2), (90, 9)])
def test_a_tenth_of_the_epochs_but_one_at_least(epochs, expected):
    assert aware_config(TrainConfig(epochs, 0.1)).epochs == expected


def test_the_rate_starts_at_one_percent_and_falls_to_one_percent_of_that():
    before = TrainConfig(50, 0.2, optimizer="sgd", schedule="constant", momentum=0.8, weight_decay=0.01, seed=3)
    after = aware_config(before)
    assert after.learning_rate == pytest.approx(0.002)
    assert (after.schedule, after.final_share) == ("cosine", 0.01)
    assert (after.optimizer, after.momentum, after.weight_decay, after.seed) == ("sgd", 0.8, 0.01, 3)
