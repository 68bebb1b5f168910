"""What the panels of chapter 3 show is computed here: against numbers by hand, and against naive loops."""

import math

import numpy as np
import pytest
import torch

from labcore import distill, metrics
from labcore.results import Curve

# Of class 0: surest 0, most ambiguous 1, and 2 is wrong; of class 1: 3 alone; class 2 is never right.
Z = torch.tensor([[9.0, 0, 0], [1.2, 1, 1], [0, 1, 0], [0, 2, 1], [3, 0, 2.9]])
Y = torch.tensor([0, 0, 0, 1, 2])


def test_the_surest_and_the_most_ambiguous_image_of_each_class_are_right_answers():
    assert distill.select_by_entropy(Z, Y) == {0: (0, 1), 1: (3, 3)}


def test_selection_agrees_with_a_loop():
    generator = torch.Generator().manual_seed(0)
    z, y = 3 * torch.randn(60, 4, generator=generator), torch.randint(4, (60,), generator=generator)
    chosen = distill.select_by_entropy(z, y)
    for label, (surest, unsure) in chosen.items():
        p = z.double().softmax(1)
        bits = {i: -(p[i] * p[i].log()).sum().item() for i in range(60) if z[i].argmax() == y[i] == label}
        assert (surest, unsure) == (min(bits, key=bits.get), max(bits, key=bits.get))


def test_the_image_between_two_classes_has_the_smallest_margin():
    z = torch.tensor([[3.0, 2, 0], [3, 2.5, 0], [3, 2.8, 2.9], [2.4, 2.5, 0], [1, 0.9, 0]])
    # 2 is nearer, but another class stands between; 3 is answered wrongly; 4 has another label.
    assert distill.select_between(z, torch.tensor([0, 0, 0, 0, 2]), 0, 1) == 1
    with pytest.raises(ValueError, match="class 1 has class 2 in the second place"):
        distill.select_between(z, torch.tensor([0, 0, 0, 0, 2]), 1, 2)


def test_soft_targets_have_their_entropy_in_bits():
    image = torch.rand(1, 3, 3)
    even = distill.report_soft_targets("grey", image, torch.zeros(4), 2, temperature=8)
    assert even.entropy_bits == pytest.approx(2)
    assert even.image == pytest.approx(image[0].numpy())
    shown = distill.report_soft_targets("two", image, torch.tensor([math.log(9.0), 0]), 0, temperature=2)
    assert shown.probabilities == pytest.approx([0.75, 0.25])
    assert shown.entropy_bits == pytest.approx(2 - 0.75 * math.log2(3))


BASELINE = np.array([0.90, 0.91, 0.89])
TEMPERATURES = np.array([1.0, 4.0])
# With one seed more than the grid.
ALONE = Curve("labels only", "test", np.array([1]), np.append(BASELINE, 0.5)[:, None], {"alpha": 0})


def taught(alpha, *gains):
    return Curve(f"alpha {alpha}", "test", TEMPERATURES, BASELINE[:, None] + np.array(gains).T, {"alpha": alpha})


def test_a_grid_compares_each_setting_with_the_baseline_seed_by_seed():
    same, spread = [0.02, 0.02, 0.02], [-0.05, 0.0, 0.08]
    grid = distill.report_students([ALONE, taught(0.5, spread, same), taught(0.9, same, same)], 0.95)
    assert grid.alphas.tolist() == [0.5, 0.9]
    assert grid.temperatures.tolist() == [1, 4]
    assert grid.baseline == pytest.approx(BASELINE)
    assert grid.gains == pytest.approx(np.array([[0.01, 0.02], [0.02, 0.02]]))
    assert grid.undecided.tolist() == [[True, False], [False, False]]
    interval = metrics.mean_interval(np.array(spread))
    assert (grid.low[0, 0], grid.high[0, 0]) == (pytest.approx(interval.low), pytest.approx(interval.high))


def test_a_clear_loss_is_decided_too():
    worse = [-0.02, -0.021, -0.019]
    grid = distill.report_students([ALONE, taught(0.5, worse, worse)], 0.95)
    assert not grid.undecided.any()
    assert (grid.high < 0).all()


def test_a_class_nobody_showed_is_answered_with_its_bias():
    recall, others = (
        Curve("T = 4", label, np.array([0.0, 2.0]), np.array([[0.0, 0.5]]), {"missing": 2}) for label in "ab"
    )
    now = distill.report_unseen(Z, Y, torch.tensor([4, 3]), bias=0.2, recall=recall, others=others)
    assert now.answers.tolist() == [2, 1]
    assert (now.now.bias, now.now.recall, now.now.others) == (0.2, 1, 0.75)
    assert now.taught == "T = 4"
    before = distill.report_unseen(Z, Y, torch.tensor([4, 3]), bias=0.0, recall=recall, others=others)
    assert before.answers.tolist() == [0, 1]
