"""At home in scikit-learn: ensembles that regress or classify, and validation curves over widths in one pass.

Needs the extra ``sklearn``; nothing else of the library imports this room.

    X, y = load_diabetes(return_X_y=True)
    model = ReluEnsembleRegressor(n_models=32, early_stopping=True, random_state=0, n_jobs=-1).fit(X, y)
    mean, std = model.predict(X, return_std=True)  # std: how far the 32 networks lie apart
    cross_val_score(model, X, y)  # clone, Pipeline, GridSearchCV: all of scikit-learn's own estimator checks pass
    curve = width_curve(X, y, widths=[1, 4, 16, 64], cv=5, n_seeds=8, lr=[0.001, 0.003, 0.01])  # 960 networks, one pass
    curve.display().plot(negate_score=True)
"""

from ensemble.system.extras import load_extra

for _library in ("sklearn", "joblib"):  # before the files below import them
    load_extra(_library, "sklearn", "the estimators")

from ensemble.sklearn.classifier import ReluEnsembleClassifier  # noqa: E402
from ensemble.sklearn.curve import WidthCurve, width_curve  # noqa: E402
from ensemble.sklearn.regressor import ReluEnsembleRegressor  # noqa: E402

__all__ = ["ReluEnsembleClassifier", "ReluEnsembleRegressor", "WidthCurve", "width_curve"]
