"""Sweeps of trained networks; what to look for among them."""

from labcore.search.sweeps import load_sweep as load_sweep
from labcore.search.sweeps import make_point as make_point
from labcore.search.sweeps import save_sweep as save_sweep
from labcore.search.sweeps import sweep_date as sweep_date
