"""scikit-learn estimators of ensembles."""

from ensemble.sklearn.regressor import ReluEnsembleRegressor, WidthCurve, width_curve

__all__ = [
    "ReluEnsembleRegressor",
    "WidthCurve",
    "width_curve",
]
