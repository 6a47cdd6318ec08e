"""The figures and tables of the Anda paper (arXiv 2411.15982): published values compared with those of this program."""

from .figures.comparison import Comparison, FigureResult, comparison_frame
from .figures.published import PrecisionSets
from .figures.registry import FigureOptions, figure_names
from .reproduction import Reproduction, reproduce
from .run import compare_figure, compare_figures
from .scoreboard import scoreboard

__all__ = [
    "Comparison",
    "FigureOptions",
    "FigureResult",
    "PrecisionSets",
    "Reproduction",
    "compare_figure",
    "compare_figures",
    "comparison_frame",
    "figure_names",
    "reproduce",
    "scoreboard",
]
