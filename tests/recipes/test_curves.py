import numpy as np
import pytest

from labcore.prune import scores, sparsity_of
from labcore.recipes.curves import saw, saw_epochs, stack_seeds
from labcore.recipes.pruning_masks import Gradually
from labcore.recipes.pruning_rounds import Updates
from labcore.results import PruningRound, TrainingLog
from labcore.training import TrainConfig, fit
from toy import network, toy


def test_a_saw_holds_both_sides_of_each_cut():
    rounds = [
        PruningRound(0.5, 0.6, TrainingLog(np.zeros(2), np.array([0.8, 0.9]), 1, 0.0, False)),
        PruningRound(0.9, 0.3, TrainingLog(np.zeros(1), np.array([0.7]), 0, 0.0, False)),
    ]
    assert saw(0.95, rounds) == [0.95, 0.6, 0.8, 0.9, 0.3, 0.7]
    assert saw_epochs([2, 1]).tolist() == [0, 0, 1, 2, 2, 3]


def two_results(seed):
    return [[seed, 2 * seed], [seed]]


def test_seeds_stand_in_rows_one_array_a_result():
    first, second = stack_seeds(two_results, [3, 5, 7])
    assert first.tolist() == [[3, 6], [5, 10], [7, 14]]
    assert second.tolist() == [[3], [5], [7]]


def test_passes_of_n_updates_go_on_where_the_last_one_ended():
    # 64 points, 16 a batch: four batches an epoch, the second epoch in another order.
    updates, epochs = Updates(toy(size=16), 3), toy(size=16)
    expected = [inputs.tolist() for _ in range(2) for inputs, _ in epochs][:6]
    assert [inputs.tolist() for _ in range(2) for inputs, _ in updates] == expected
    seen = []
    config = TrainConfig(epochs=2, learning_rate=0.01)
    for _ in range(2):
        fit(network(), updates, config, after_step=lambda model, step: seen.append(step))
    assert seen == [1, 2, 3, 4, 5, 6] * 2


def test_gradual_pruning_climbs_to_its_end_and_stays():
    # Six steps an epoch: from step 6 to step 36; cuts at 20 and at the end.
    hook, model, sparsity = Gradually(0.75, steps_per_epoch=6, scope="global"), network(), {}
    for step in range(1, 61):
        for name in scores.magnitude(model):
            model.get_parameter(name).data += 0.01
        hook(model, step)
        sparsity[step] = sparsity_of(model)
    assert sparsity[19] == 0
    assert sparsity[20] == sparsity[35] == pytest.approx(0.75 * (1 - (16 / 30) ** 3), abs=1 / 64)
    assert sparsity[36] == sparsity[60] == 0.75
