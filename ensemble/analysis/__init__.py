"""From results to what is drawn: curves over widths, fits, dead units and kinks, bounds, differences, first steps.

Between `results` and `plots`; knows neither a study nor a figure.
"""

from ensemble.analysis.bounds import BUILT_WIDTH, Bounds, bound_rows, bounds_of
from ensemble.analysis.coordinates import (
    MOMENTS,
    PARAMETRIZATIONS,
    QUANTITIES,
    CoordinateCheck,
    coordinate_check,
    ridge_movement,
    transfer_price,
)
from ensemble.analysis.curves import AT_FIXED, Curve, LearningCurve, choose, few, learning_curves
from ensemble.analysis.differences import Difference, difference
from ensemble.analysis.fits import Fit, fit_of, interval_of
from ensemble.analysis.units import Film, dead_fraction, films_of, mean_prediction_mse

__all__ = [
    "AT_FIXED", "BUILT_WIDTH", "MOMENTS", "PARAMETRIZATIONS", "QUANTITIES", "Bounds", "CoordinateCheck", "Curve",
    "Difference", "Film", "Fit", "LearningCurve", "bound_rows", "bounds_of", "choose", "coordinate_check",
    "dead_fraction", "difference", "few", "films_of", "fit_of", "interval_of", "learning_curves",
    "mean_prediction_mse", "ridge_movement", "transfer_price",
]  # fmt: skip
