"""Displays: data in `__init__`, drawn by `plot(ax=...)`, artists as attributes that end in an underscore.

Above `analysis`, whose data they draw, and below the studies, of which they know nothing. No display shows a window or
changes matplotlib's settings.
"""

from matplotlib.figure import Figure

from ensemble.plots.coordinates import CoordinateCheckDisplay
from ensemble.plots.curves import LearningCurveDisplay, WidthCurveDisplay
from ensemble.plots.differences import PairedDifferenceDisplay
from ensemble.plots.drawing import Drawing
from ensemble.plots.fits import FitDisplay
from ensemble.plots.limits import LimitDisplay
from ensemble.plots.pieces import PieceCountDisplay, PieceFilmDisplay
from ensemble.plots.rates import LearningRateMapDisplay
from ensemble.plots.rendering import check_format, render, show
from ensemble.plots.style import STYLE
from ensemble.plots.units import DeadUnitDisplay, KinkFilmDisplay

__all__ = [
    "STYLE",
    "CoordinateCheckDisplay",
    "DeadUnitDisplay",
    "Drawing",
    "Figure",
    "FitDisplay",
    "KinkFilmDisplay",
    "LearningCurveDisplay",
    "LearningRateMapDisplay",
    "LimitDisplay",
    "PairedDifferenceDisplay",
    "PieceCountDisplay",
    "PieceFilmDisplay",
    "WidthCurveDisplay",
    "check_format",
    "render",
    "show",
]
