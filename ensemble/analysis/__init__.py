"""From results to what is drawn: curves over widths, learning curves, dead units and kinks, bounds.

Stands between `results` and `plots`; knows neither a study nor a figure.
"""

from ensemble.analysis.bounds import BUILT_WIDTH, Bounds, bound_rows, bounds_of
from ensemble.analysis.curves import (
    QUARTILES,
    Curve,
    LearningCurve,
    choose,
    curve_rows,
    few_note,
    fixed_rows,
    learning_curves,
    learning_rows,
    map_rows,
    quartiles,
    scaling_rows,
    train_rows,
)
from ensemble.analysis.units import Film, dead_fraction, film_rows, films_of, mean_prediction_mse, unit_rows

__all__ = [
    "BUILT_WIDTH",
    "QUARTILES",
    "Bounds",
    "Curve",
    "Film",
    "LearningCurve",
    "bound_rows",
    "bounds_of",
    "choose",
    "curve_rows",
    "dead_fraction",
    "few_note",
    "film_rows",
    "films_of",
    "fixed_rows",
    "learning_curves",
    "learning_rows",
    "map_rows",
    "mean_prediction_mse",
    "quartiles",
    "scaling_rows",
    "train_rows",
    "unit_rows",
]
