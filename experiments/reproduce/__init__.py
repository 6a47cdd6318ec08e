"""The figures and tables of the Anda paper (arXiv 2411.15982): published values beside those of this program."""

from .comparison import Comparison, FigureResult, comparison_frame
from .figures import FigureOptions, figure_names
from .published import PrecisionSets
from .run import reproduce, reproduce_all
from .scoreboard import scoreboard

__all__ = [
    "Comparison",
    "FigureOptions",
    "FigureResult",
    "PrecisionSets",
    "comparison_frame",
    "figure_names",
    "reproduce",
    "reproduce_all",
    "scoreboard",
]
