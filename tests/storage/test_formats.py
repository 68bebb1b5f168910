"""Bytes of a layer over its density: what the formats' own definitions give, and where they meet."""

import numpy as np
import pytest
import torch

from labcore import storage
from labcore.storage import encoded_bytes, sweep_formats

DENSITIES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.25, 0.5, 0.8, 0.9, 1.0)
SQUARE = sweep_formats((128, 128), DENSITIES)
WIDE = sweep_formats((32, 512), DENSITIES)


@pytest.mark.case("C-not-smaller")
def test_sizes_are_what_the_definitions_say():
    n, kept = 128 * 128, np.round(np.array(DENSITIES) * 128 * 128)
    assert SQUARE.sizes["dense"].tolist() == [4 * n] * len(kept)
    assert SQUARE.sizes["bitmap"].tolist() == (n / 8 + 4 * kept).tolist()
    # 129 pointers, of one byte each up to 255 kept values; one byte a column.
    pointers = np.where(kept > 255, 2, 1)
    assert SQUARE.sizes["csr"].tolist() == (5 * kept + 129 * pointers).tolist()
    # 512 columns take two bytes.
    assert WIDE.sizes["csr"].tolist() == (6 * kept + 33 * pointers).tolist()
    # 37 bits an entry and one entry for each kept value, if no gap is longer than 32.
    assert SQUARE.sizes["relative"][-1] == 4 * n + 5 * n / 8
    assert (SQUARE.sizes["relative"] >= np.ceil(37 * kept / 8)).all()


def test_the_largest_weights_stay_and_every_encoding_sees_the_same_ones():
    weights = torch.from_numpy(np.random.default_rng(3).standard_normal((8, 8), dtype=np.float32))
    cut = weights.abs().flatten().sort(descending=True).values[15]
    sweep = sweep_formats((8, 8), (0.25,), seed=3)
    for name, sizes in sweep.sizes.items():
        expected = weights.masked_fill(weights.abs() < cut, 0)
        assert sizes[0] == storage.encoding_sizes(expected)[name]


def test_break_even_is_where_straight_lines_meet():
    n = 128 * 128
    # A density of the sweep is met to half a weight.
    assert SQUARE.break_even["bitmap"] == pytest.approx(31 / 32, abs=1 / n)
    assert SQUARE.break_even["csr"] == pytest.approx((4 * n - 2 * 129) / (5 * n), abs=1e-4)
    assert WIDE.break_even["csr"] == pytest.approx((4 * n - 2 * 33) / (6 * n), abs=1e-4)
    assert SQUARE.break_even["relative"] == pytest.approx(32 / 37, abs=1e-3)


def test_each_crossing_parts_two_winners_and_both_sizes_are_real_there():
    names = [(crossing.below, crossing.above) for crossing in SQUARE.crossings]
    assert names == [("csr", "relative"), ("relative", "bitmap"), ("bitmap", "dense")]
    weights = torch.from_numpy(np.random.default_rng(0).standard_normal((128, 128), dtype=np.float32))
    for crossing in SQUARE.crossings:
        cut = weights.abs().flatten().quantile(1 - crossing.density)
        layer = weights.masked_fill(weights.abs() < cut, 0)
        for name in (crossing.below, crossing.above):
            assert encoded_bytes(layer, name) == pytest.approx(crossing.n_bytes, rel=0.03)


def test_wide_rows_make_columns_dearer_and_csr_wins_later():
    assert WIDE.crossings[0].below == SQUARE.crossings[0].below == "csr"
    assert WIDE.crossings[0].density < SQUARE.crossings[0].density


def test_gzip_is_measured_and_takes_no_part_in_the_crossings():
    assert (SQUARE.sizes["gzip"] < SQUARE.sizes["dense"]).all()
    assert "gzip" not in {name for crossing in SQUARE.crossings for name in (crossing.below, crossing.above)}


def test_a_format_that_never_meets_the_dense_one_has_no_break_even():
    few = sweep_formats((16, 16), (0.1, 0.2))
    assert few.break_even == {}
    all_left = sweep_formats((16, 16), (1.0,))
    assert all_left.break_even == {}
    assert all_left.crossings == ()


@pytest.mark.parametrize("densities", [(), (0.0, 0.5), (0.5, 0.1), (0.5, 0.5), (0.5, 1.2)])
def test_densities_that_do_not_ascend_within_the_range_are_refused(densities):
    with pytest.raises(ValueError, match="must ascend"):
        sweep_formats((8, 8), densities)
