"""Views of results: built once, updated often, shown as a picture with its numbers as text."""

from labcore.plots.budget import BudgetGame as BudgetGame
from labcore.plots.costs import CostBars as CostBars
from labcore.plots.curves import Curves as Curves
from labcore.plots.filters import FilterGallery as FilterGallery
from labcore.plots.images import ConvolutionSteps as ConvolutionSteps
from labcore.plots.images import ImageGrid as ImageGrid
from labcore.plots.masks import Scalpel as Scalpel
from labcore.plots.pareto import AccuracyAgainstCost as AccuracyAgainstCost
from labcore.plots.samples import ClassBars as ClassBars
from labcore.plots.samples import LatencyStrip as LatencyStrip
from labcore.plots.view import FigureView as FigureView
from labcore.plots.view import View as View
from labcore.plots.who_pays import WhoPays as WhoPays
