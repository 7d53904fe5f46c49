"""The plots of the studies as display objects: data in `__init__`, drawn by `plot(ax=...)`, artists as attributes.

The last station of the flow and the only importer of matplotlib; a display takes its data from a study
(`from_study`) or from anyone. No display shows a window or changes matplotlib's settings.
"""

from matplotlib.figure import Figure

from ensemble.plots.bias import BiasAblationDisplay, PairedDifferenceDisplay, bias_figures
from ensemble.plots.claims import claims_figures
from ensemble.plots.curves import LearningCurveDisplay, LimitDisplay, WidthCurveDisplay
from ensemble.plots.fit import fit_figures
from ensemble.plots.fits import FitDisplay
from ensemble.plots.rates import LearningRateMapDisplay
from ensemble.plots.style import STYLE, render, show
from ensemble.plots.transfer import CoordinateCheckDisplay, transfer_figures
from ensemble.plots.units import DeadUnitDisplay, KinkFilmDisplay
from ensemble.plots.width import width_figures

__all__ = [
    "STYLE",
    "BiasAblationDisplay",
    "CoordinateCheckDisplay",
    "DeadUnitDisplay",
    "Figure",
    "FitDisplay",
    "KinkFilmDisplay",
    "LearningCurveDisplay",
    "LearningRateMapDisplay",
    "LimitDisplay",
    "PairedDifferenceDisplay",
    "WidthCurveDisplay",
    "bias_figures",
    "claims_figures",
    "fit_figures",
    "render",
    "show",
    "transfer_figures",
    "width_figures",
]
