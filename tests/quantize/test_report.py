"""A grid reported on values: four numbers by hand, and the parts agree with each other."""

import numpy as np
import pytest
import torch

from labcore import quantize


def test_four_numbers_on_three_bits():
    report = quantize.report_grid(torch.tensor([0.9, -0.3, 0.1, -0.5]), quantize.int_format(3), index=3)
    assert report.scale == pytest.approx(0.3)
    assert report.codes.tolist() == [3, -1, 0, -2]
    assert report.levels == pytest.approx([-0.9, -0.6, -0.3, 0, 0.3, 0.6, 0.9])
    assert report.decoded == pytest.approx([0.9, -0.3, 0, -0.6])
    assert (report.n_clipped, report.index, report.format) == (0, 3, "int3 symmetric")
    # Squares: 0.81 + 0.09 + 0.01 + 0.25 = 1.16 against 0.01 + 0.01.
    assert report.sqnr_db == pytest.approx(10 * np.log10(1.16 / 0.02), abs=1e-4)


def test_values_beyond_the_threshold_are_clipped_and_counted():
    report = quantize.report_grid(torch.tensor([2.0, -1.2, 0.5, 0.3, -3.0]), quantize.int_format(3), threshold=0.9)
    assert report.n_clipped == 3
    assert (report.low, report.high) == (pytest.approx(-0.9), pytest.approx(0.9))
    assert report.decoded == pytest.approx([0.9, -0.9, 0.6, 0.3, -0.9])


def test_an_affine_grid_shows_its_zero_point():
    report = quantize.report_grid(torch.tensor([-1.0, 3.0]), quantize.int_format(8, "affine", signed=False))
    assert (report.zero_point, report.levels[report.zero_point]) == (64, 0)


@pytest.mark.parametrize("changes", [{"index": 4}, {"index": -1}, {"threshold": 0.0}, {"threshold": -1.0}])
def test_bad_settings_are_refused(changes):
    with pytest.raises(ValueError, match="must be"):
        quantize.report_grid(torch.ones(4), quantize.INT8, **changes)


def test_no_value_is_refused():
    with pytest.raises(ValueError, match="must be"):
        quantize.report_grid(torch.ones(0), quantize.INT8)
