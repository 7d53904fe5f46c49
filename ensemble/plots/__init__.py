"""The plots of the studies as display objects: data in `__init__`, drawn by `plot(ax=...)`, artists as attributes.

The last station of the flow and the only importer of matplotlib; a display takes its data from a study
(`from_study`) or from anyone. No display shows a window or changes matplotlib's settings.
"""

from matplotlib.figure import Figure

from ensemble.plots.curves import LearningCurveDisplay, LimitDisplay, WidthCurveDisplay
from ensemble.plots.fits import FitDisplay
from ensemble.plots.rates import LearningRateMapDisplay
from ensemble.plots.style import STYLE, render, show
from ensemble.plots.units import DeadUnitDisplay, KinkFilmDisplay
from ensemble.studies.bias.figures import BiasAblationDisplay, PairedDifferenceDisplay, bias_figures
from ensemble.studies.claims.figures import claims_figures
from ensemble.studies.fit.figures import fit_figures
from ensemble.studies.transfer.figures import CoordinateCheckDisplay, transfer_figures
from ensemble.studies.width.figures import width_figures

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
