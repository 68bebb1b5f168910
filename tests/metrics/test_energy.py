"""Bit operations and energy from counts."""

import pytest

from labcore import metrics
from labcore.results import CostTable, LayerCost


def layer(name, macs, n_params=0):
    return LayerCost(name, "Conv2d", n_params, macs, 0, 0)


COSTS = CostTable((layer("a", 10, 100), layer("bn", 0, 8), layer("b", 7, 20)), 128, 100, 17, 0)


def test_bops_by_hand():
    assert metrics.count_bops(COSTS, weight_bits=8, activation_bits=4) == 17 * 32
    assert metrics.count_bops(COSTS, weight_bits={"a": 1, "b": 8}, activation_bits={"a": 2, "b": 8, "bn": 32}) == 468


@pytest.mark.parametrize(
    ("weight_bits", "error", "message"),
    [
        (0, ValueError, "weight_bits of 'a' must be at least 1 bit, got 0"),
        (8.0, TypeError, "whole number of bits, got 8.0"),
        (True, TypeError, "got True"),
        ("8", TypeError, "got '8'"),
        ({"a": 8}, ValueError, r"every layer with MACs: missing \['b'\], unknown \[\]"),
        ({"a": 8, "b": 8, "c": 8}, ValueError, r"missing \[\], unknown \['c'\]"),
    ],
)
def test_bops_refuse_what_is_no_width(weight_bits, error, message):
    with pytest.raises(error, match=message):
        metrics.count_bops(COSTS, weight_bits=weight_bits, activation_bits=8)


@pytest.mark.parametrize(
    ("weight_bits", "activation_bits", "compute", "memory"),
    [
        (32, 32, 17 * 4.6, 128 * 640),
        (16, 16, 17 * 1.5, 128 * 320),
        (8, 8, 17 * 0.3, 128 * 160),
        (8, 32, 17 * 4.6, 128 * 160),  # weights alone in int8: the arithmetic stays fp32
        (16, 8, 17 * 1.5, 128 * 320),
    ],
)
def test_energy_by_hand(weight_bits, activation_bits, compute, memory):
    energy = metrics.estimate_energy(COSTS, weight_bits=weight_bits, activation_bits=activation_bits)
    assert (energy.compute_pj, energy.memory_pj) == pytest.approx((compute, memory))
    assert energy.label == "estimate, 45 nm"


@pytest.mark.parametrize("arguments", [{"weight_bits": 4}, {"activation_bits": 64}, {"weight_bits": "fp32"}])
def test_energy_knows_only_the_formats_of_its_table(arguments):
    with pytest.raises(ValueError, match=r"must be one of: 32 \(fp32\), 16 \(fp16\), 8 \(int8\); .* no figure"):
        metrics.estimate_energy(COSTS, **arguments)
