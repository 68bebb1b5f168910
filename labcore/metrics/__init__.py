"""What a model is worth and what it costs."""

from labcore.metrics.accuracy import (
    accuracy_interval,
    accuracy_per_class,
    compare_paired,
    flipped_per_class,
    wilson_interval,
)
from labcore.metrics.board import make_board, measure_board
from labcore.metrics.classes import intervals_per_class, measure_changes
from labcore.metrics.compared import measure_compared
from labcore.metrics.costs import (
    DRAM_PJ_PER_32_BITS,
    OPERATION_PJ,
    count_bops,
    count_macs,
    count_nonzero,
    count_params,
    estimate_energy,
    measure_costs,
)
from labcore.metrics.latency import compare_latency, measure_in_turn, measure_latency
from labcore.metrics.seeds import mean_interval, measure_seed_gain
from labcore.metrics.sizes import cost_ratios, measure_sizes

__all__ = [
    "DRAM_PJ_PER_32_BITS",
    "OPERATION_PJ",
    "accuracy_interval",
    "accuracy_per_class",
    "compare_latency",
    "compare_paired",
    "cost_ratios",
    "count_bops",
    "count_macs",
    "count_nonzero",
    "count_params",
    "estimate_energy",
    "flipped_per_class",
    "intervals_per_class",
    "make_board",
    "mean_interval",
    "measure_board",
    "measure_changes",
    "measure_compared",
    "measure_costs",
    "measure_in_turn",
    "measure_latency",
    "measure_seed_gain",
    "measure_sizes",
    "wilson_interval",
]
