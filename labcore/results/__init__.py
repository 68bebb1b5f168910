"""What travels between layers: frozen records of numpy arrays and numbers only, never tensors.

Techniques and metrics write them, plots read them, tests build them by hand.
"""

from labcore.results.accuracy import ClassChanges as ClassChanges
from labcore.results.accuracy import Evaluation as Evaluation
from labcore.results.accuracy import Interval as Interval
from labcore.results.accuracy import PairedDifference as PairedDifference
from labcore.results.accuracy import TrainingLog as TrainingLog
from labcore.results.costs import BoardMeasurement as BoardMeasurement
from labcore.results.costs import CostBoard as CostBoard
from labcore.results.costs import CostTable as CostTable
from labcore.results.costs import Energy as Energy
from labcore.results.costs import Latency as Latency
from labcore.results.costs import LayerCost as LayerCost
from labcore.results.costs import Sizes as Sizes
from labcore.results.pruning import FilterReport as FilterReport
from labcore.results.pruning import MaskReport as MaskReport
from labcore.results.pruning import PrunedAccuracy as PrunedAccuracy
from labcore.results.pruning import PruningRound as PruningRound
from labcore.results.pruning import SmallerMeasurement as SmallerMeasurement
from labcore.results.sweeps import Allocation as Allocation
from labcore.results.sweeps import BudgetReport as BudgetReport
from labcore.results.sweeps import Curve as Curve
from labcore.results.sweeps import Sensitivity as Sensitivity
from labcore.results.sweeps import SweepPoint as SweepPoint
