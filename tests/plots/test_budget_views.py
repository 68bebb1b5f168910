"""The budget game's picture, by shares that go and by bits that stay."""

import numpy as np
import pytest

from labcore.plots import BudgetGame
from labcore.results import Allocation, BitSensitivity, BudgetReport, Sensitivity

ACCURACIES = np.array([[0.88, 0.80, 0.30], [0.87, 0.86, 0.60]])
PLAYERS = ("you", "same", "machine")
WEIGHTS = Sensitivity(("a", "b"), np.array([0.0, 0.5, 0.9]), ACCURACIES, np.array([100, 900]), 0.88)
BITS = BitSensitivity(("a", "b"), np.array([8, 4, 2]), ACCURACIES, np.array([100, 900]), 0.89)


def move(first, second) -> BudgetReport:
    mine = Allocation({"a": first, "b": second}, 600.0, 0.2)
    same = Allocation({"a": second, "b": second}, 400.0, 0.1)
    return BudgetReport(500, "bytes", dict(zip(PLAYERS, (mine, same, same), strict=True)))


@pytest.mark.parametrize(
    ("sensitivity", "levels", "places", "words"),
    [
        (WEIGHTS, (0.5, 0.9), [50, 90], "you: a 50 %, b 90 %; cost 600"),
        (BITS, (4, 2), [4, 2], "you: a 4 bits, b 2 bits; cost 600"),
    ],
    ids=["shares", "bits"],
)
def test_levels_stand_on_their_curves(sensitivity, levels, places, words):
    view = BudgetGame(sensitivity, 0.02, PLAYERS)
    view.update(move(*levels))
    assert list(view._marks.get_xdata()) == places
    assert list(view._marks.get_ydata()) == [0.80, 0.60]
    assert words in view.text
    assert "same: a ≈ " in view.text
    assert [bar.get_hatch() for bar in view._costs] == ["//", "", ""]
    view.measured({"you": 0.7, "same": 0.6, "machine": 0.8})
    assert view.readout == "measured now: you ≈ 70.0 %, same ≈ 60.0 %, machine ≈ 80.0 %; you are over the budget"


def test_fewer_bits_are_to_the_right_as_fewer_weights_are():
    shares, bits = (BudgetGame(each, 0.02, PLAYERS).figure.axes[0] for each in (WEIGHTS, BITS))
    assert shares.get_xlim()[0] < shares.get_xlim()[1]
    assert bits.get_xlim()[0] > 8 > 2 > bits.get_xlim()[1]
    assert bits.get_xticks().tolist() == [8, 4, 2]
    assert "bits of its weights" in bits.get_xlabel()
    assert "share that goes, %" in shares.get_xlabel()
