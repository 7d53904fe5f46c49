"""At home in scikit-learn: a regressor that is an ensemble of networks, and validation curves over widths in one pass.

Needs the extra ``sklearn``; nothing else of the library imports this room.
"""

from ensemble.system.extras import load_extra

for _library in ("sklearn", "joblib"):  # before the files below import them
    load_extra(_library, "sklearn", "the estimators")

from ensemble.sklearn.curve import WidthCurve, width_curve  # noqa: E402
from ensemble.sklearn.regressor import ReluEnsembleRegressor  # noqa: E402

__all__ = ["ReluEnsembleRegressor", "WidthCurve", "width_curve"]
