"""Sweeps of trained networks; which layer can spare how much; a budget and who gets it."""

from labcore.search.allocation import Choices as Choices
from labcore.search.allocation import allocate_greedy as allocate_greedy
from labcore.search.allocation import allocate_uniform as allocate_uniform
from labcore.search.allocation import pruning_costs as pruning_costs
from labcore.search.bits import bit_costs as bit_costs
from labcore.search.bits import measure_bit_sensitivity as measure_bit_sensitivity
from labcore.search.bits import mixed_config as mixed_config
from labcore.search.sensitivity import measure_sensitivity as measure_sensitivity
from labcore.search.sweeps import load_arrays as load_arrays
from labcore.search.sweeps import load_curves as load_curves
from labcore.search.sweeps import load_sweep as load_sweep
from labcore.search.sweeps import make_point as make_point
from labcore.search.sweeps import save_arrays as save_arrays
from labcore.search.sweeps import save_sweep as save_sweep
from labcore.search.sweeps import sweep_date as sweep_date
