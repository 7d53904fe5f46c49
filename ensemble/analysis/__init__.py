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
    coordinate_rows,
    ridge_movement,
    transfer_price,
)
from ensemble.analysis.curves import (
    Curve,
    LearningCurve,
    choose,
    error_rows,
    few,
    few_note,
    learning_curves,
    learning_rows,
    map_rows,
    quartiles,
    scaling_rows,
)
from ensemble.analysis.differences import Difference, difference, difference_rows
from ensemble.analysis.fits import Fit, fit_of, fit_rows, interval_of
from ensemble.analysis.units import Film, dead_fraction, film_rows, films_of, mean_prediction_mse, unit_rows

__all__ = [
    "BUILT_WIDTH", "MOMENTS", "PARAMETRIZATIONS", "QUANTITIES", "Bounds", "CoordinateCheck", "Curve", "Difference",
    "Film", "Fit", "LearningCurve", "bound_rows", "bounds_of", "choose", "coordinate_check", "coordinate_rows",
    "dead_fraction", "difference", "difference_rows", "error_rows", "few", "few_note", "film_rows", "films_of",
    "fit_of", "fit_rows", "interval_of", "learning_curves", "learning_rows", "map_rows", "mean_prediction_mse",
    "quartiles", "ridge_movement", "scaling_rows", "transfer_price", "unit_rows",
]  # fmt: skip
