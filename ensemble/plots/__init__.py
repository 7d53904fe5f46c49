"""Pictures of any result or network (`learning_curves`, `fit`, ...), and the displays that draw them.

A display has its data in `__init__`, is drawn by `plot(ax=...)`, artists as attributes that end in an underscore.

Above `analysis`, whose data they draw, and below the studies, of which they know nothing. No display shows a window or
changes matplotlib's settings.
"""

from ensemble.plots.coordinates import CoordinateCheckDisplay
from ensemble.plots.curves import LearningCurveDisplay, WidthCurveDisplay
from ensemble.plots.differences import PairedDifferenceDisplay
from ensemble.plots.drawing import Drawing
from ensemble.plots.figure import Figure
from ensemble.plots.fits import FitDisplay
from ensemble.plots.functions import fit, learning_curves, learning_rate_map, width_curves
from ensemble.plots.limits import LimitDisplay
from ensemble.plots.pieces import PieceCountDisplay, PieceFilmDisplay
from ensemble.plots.rates import LearningRateMapDisplay
from ensemble.plots.rendering import check_format, render, show, small_png
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
    "fit",
    "learning_curves",
    "learning_rate_map",
    "render",
    "show",
    "small_png",
    "width_curves",
]
