"""One short function a panel: wires controls, computation and view."""

from labcore.widgets.explorers.bit_by_bit import bit_by_bit as bit_by_bit
from labcore.widgets.explorers.budget import budget as budget
from labcore.widgets.explorers.budget import budget_bits as budget_bits
from labcore.widgets.explorers.calibrations import calibrations as calibrations
from labcore.widgets.explorers.clipping import clipping as clipping
from labcore.widgets.explorers.costs import costs as costs
from labcore.widgets.explorers.couplings import couplings as couplings
from labcore.widgets.explorers.dark_knowledge import dark_knowledge as dark_knowledge
from labcore.widgets.explorers.distillation_loss import distillation_loss as distillation_loss
from labcore.widgets.explorers.few_labels import few_labels as few_labels
from labcore.widgets.explorers.filters import filters as filters
from labcore.widgets.explorers.formats import formats as formats
from labcore.widgets.explorers.integer_walk import integer_walk as integer_walk
from labcore.widgets.explorers.lottery import lottery as lottery
from labcore.widgets.explorers.number_line import number_line as number_line
from labcore.widgets.explorers.pruning import pruning as pruning
from labcore.widgets.explorers.quantization import quantization as quantization
from labcore.widgets.explorers.saw import saw as saw
from labcore.widgets.explorers.signs import signs as signs
from labcore.widgets.explorers.slimming import slimming as slimming
from labcore.widgets.explorers.speed_bars import speed_bars as speed_bars
from labcore.widgets.explorers.students import students as students
from labcore.widgets.explorers.two_four import two_four as two_four
from labcore.widgets.explorers.unseen_digit import unseen_digit as unseen_digit
from labcore.widgets.explorers.zoo import score_zoo as score_zoo
