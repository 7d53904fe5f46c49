"""From results to what is drawn: curves over widths, fits, dead units and kinks, bounds, differences, depth.

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
from ensemble.analysis.curves import AT_FIXED, Curve, LearningCurve, choose, few, joined, learning_curves
from ensemble.analysis.depth import (
    VERDICTS,
    Deeper,
    PieceFilm,
    count_pieces,
    deeper,
    equal_width,
    equal_widths,
    layer_spread,
    multiply_adds,
    piece_films,
)
from ensemble.analysis.differences import Difference, difference
from ensemble.analysis.fits import Fit, fit_of, interval_of
from ensemble.analysis.groups import Group, curves_of, groups_of, histories_of, varied
from ensemble.analysis.reach import GOOD, Reach, percent, reach_of, variance_of
from ensemble.analysis.units import Film, dead_at_start, dead_fraction, films_of, mean_prediction_mse, overshoot

__all__ = [
    "AT_FIXED", "BUILT_WIDTH", "GOOD", "MOMENTS", "PARAMETRIZATIONS", "QUANTITIES", "VERDICTS", "Bounds",
    "CoordinateCheck", "Curve", "Deeper", "Difference", "Film", "Fit", "Group", "LearningCurve", "PieceFilm", "Reach",
    "bound_rows", "bounds_of", "choose", "coordinate_check", "count_pieces", "curves_of", "dead_at_start",
    "dead_fraction", "deeper", "difference", "equal_width", "equal_widths", "few", "films_of", "fit_of", "groups_of",
    "histories_of", "interval_of", "joined", "layer_spread", "learning_curves", "mean_prediction_mse",
    "multiply_adds", "overshoot", "percent", "piece_films", "reach_of", "ridge_movement", "transfer_price",
    "variance_of", "varied",
]  # fmt: skip
