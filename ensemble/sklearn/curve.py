"""Validation curves over widths: every width, fold and seed trained in one pass.

What scikit-learn's ``validation_curve`` finds with a regressor of one network, without its loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.model_selection import ValidationCurveDisplay, check_cv
from sklearn.utils import check_random_state, check_X_y

from ensemble.data import Dataset
from ensemble.networks import NetworkStack
from ensemble.sklearn.classifier import ReluEnsembleClassifier
from ensemble.sklearn.common import Array, first_of_several, held_out, seeds, threads
from ensemble.sklearn.regressor import ReluEnsembleRegressor
from ensemble.specs import Optimizer, grid
from ensemble.system.checks import flag, whole
from ensemble.training import train

__all__ = ["WidthCurve", "width_curve"]

# Scores that training has recorded, by scikit-learn's names: of the loss, the accuracy, and the variance of the part
# that they were measured on. All others are scikit-learn's own, of one network after the other.
_RECORDED: dict[bool, dict[str, Callable[[Array, Array, Array], Array]]] = {
    False: {
        "neg_mean_squared_error": lambda mse, _, variance: -mse,
        "neg_root_mean_squared_error": lambda mse, _, variance: -np.sqrt(mse),
        "r2": lambda mse, _, variance: 1.0 - mse / variance,
    },
    True: {"accuracy": lambda _, accuracy, variance: accuracy, "neg_log_loss": lambda loss, _, variance: -loss},
}


@dataclass(frozen=True, eq=False)
class WidthCurve:
    """Scores of single networks by width, as scikit-learn's ``validation_curve`` returns them and more.

    Attributes
    ----------
    param_range : (W,) int64
        The widths.
    train_scores, test_scores : (W, folds * seeds) float64
        Columns go fold by fold, and seed by seed within a fold; NaN where the network diverged.
    score_name : str
        The scoring.
    lr : (W, folds) float64
        The learning rate of each width in each fold.
    """

    param_range: NDArray[np.int64]
    train_scores: Array
    test_scores: Array
    score_name: str
    lr: Array

    def display(self) -> Any:
        """Return a ``sklearn.model_selection.ValidationCurveDisplay``, whose ``plot`` draws the curve."""
        return ValidationCurveDisplay(
            param_name="width", param_range=self.param_range, train_scores=self.train_scores,
            test_scores=self.test_scores, score_name=self.score_name,
        )  # fmt: skip


def width_curve(
    X: ArrayLike,
    y: ArrayLike,
    widths: Sequence[int],
    cv: Any = 5,
    *,
    n_seeds: int = 8,
    optimizer: Optimizer = "adam",
    lr: float | Sequence[float] = 0.003,
    epochs: int = 500,
    scoring: str | None = None,
    classify: bool = False,
    validation_fraction: float = 0.2,
    groups: ArrayLike | None = None,
    random_state: Any = None,
    n_jobs: int | None = None,
    **settings: Any,
) -> WidthCurve:
    """Train networks of every width on every fold, with several seeds each, in one pass.

    The same as scikit-learn's ``validation_curve`` over the widths of `ReluEnsembleRegressor`, or of
    `ReluEnsembleClassifier`, with one network, but that all networks are trained together. Inputs and outputs are
    standardized by each fold's training part, labels are not.

    Parameters
    ----------
    X : array_like or DataFrame, shape (N, D)
    y : array_like, shape (N,)
        Numbers, or with `classify` labels of any kind.
    widths : sequence of int
        Numbers of hidden units, each >= 1.
    cv : int, splitter or iterable of (train, test)
        As everywhere in scikit-learn; an int is that many folds without shuffling, stratified with `classify`.
    n_seeds : int
        Networks per width and fold >= 1; all widths and folds have the same seeds.
    optimizer, lr, epochs, **settings
        As in `ReluEnsembleRegressor`. Several rates: each fold takes, for each width, the one whose median validation
        loss is lowest, over networks trained on a part of the fold's training part only; the scores are those of
        networks trained on all of it. That part of the work is in the same pass and makes it about twice as long.
    scoring : str, optional
        Any name in ``sklearn.metrics.get_scorer_names()`` that fits. Default: "neg_mean_squared_error", or "accuracy"
        with `classify`. These, "neg_root_mean_squared_error", "r2" and "neg_log_loss" come out of training; others
        are computed network by network.
    classify : bool
        Whether y are labels, learned by cross-entropy.
    validation_fraction : float
        Share of a fold's training part on which rates are compared, in (0, 1); used with several only.
    groups : array_like, shape (N,), optional
        For splitters that need them.
    random_state : int, RandomState or None
        Decides the seeds and the samples on which rates are compared.
    n_jobs : int or None
        Number of threads, as in `ReluEnsembleRegressor`.

    Returns
    -------
    WidthCurve

    Raises
    ------
    ValueError
        X or y that scikit-learn refuses, or an argument that is not allowed.
    """
    recorded = _RECORDED[flag(classify, "classify")]
    scoring = next(iter(recorded)) if scoring is None else scoring
    if scoring not in recorded and scoring not in get_scorer_names():
        raise ValueError(f"scoring {scoring!r} is unknown; allowed are sklearn.metrics.get_scorer_names()")
    for name in ("seed", "data", "width"):
        if name in settings:
            raise ValueError(f"setting {name!r} is not allowed; widths, cv and n_seeds decide it")
    x, y = check_X_y(X, y, y_numeric=not classify, dtype=np.float64)
    classes, y = np.unique(y, return_inverse=True) if classify else (np.zeros(0), y)
    y = np.asarray(y, dtype=np.float64)
    rng = check_random_state(random_state)
    seed = seeds(rng, whole(n_seeds, "n_seeds", 1))
    rates = np.atleast_1d(np.asarray(lr, dtype=np.float64))
    widths = np.atleast_1d(widths).tolist()
    folds = list(check_cv(cv, y, classifier=classify).split(x, y, groups))
    datasets: dict[str, Dataset] = {}
    for k, (fit_rows, test_rows) in enumerate(folds):
        fit_rows = np.arange(len(x))[fit_rows]
        datasets[f"fold {k}"] = Dataset(x[fit_rows], y[fit_rows], x[test_rows], y[test_rows], standardize=True)
        if len(rates) > 1:
            some, others = held_out(
                len(fit_rows), validation_fraction, rng, "a choice among several lr", y[fit_rows] if classify else None
            )
            inner, val = fit_rows[some], fit_rows[others]
            datasets[f"inner {k}"] = Dataset(x[inner], y[inner], x_val=x[val], y_val=y[val], standardize=True)
    defaults: dict[str, Any] = {"schedule": "cosine", "init": "uniform", "output_bias": True}
    specs = grid(width=widths, data=list(datasets), lr=rates, seed=seed, optimizer=optimizer, **(defaults | settings))
    shape = (len(widths), len(folds), len(datasets) // len(folds), len(rates), len(seed))
    if len(specs) != np.prod(shape):
        raise ValueError(f"{first_of_several(settings)} holds several values; only widths and lr may")
    result = train(
        specs, datasets, epochs=epochs, loss="cross_entropy" if classify else "mse", record=[],
        threads=threads(n_jobs), progress=False, keep_networks=scoring not in recorded,
    )  # fmt: skip
    chosen = np.zeros(shape[:2], dtype=np.int64)
    if len(rates) > 1:
        # A rate at which most seeds diverge has an infinite median and loses to every other.
        chosen = np.median(result.val_loss[:, -1].reshape(shape)[:, :, 1], axis=-1).argmin(axis=-1)

    def of_chosen(values: NDArray[Any]) -> NDArray[Any]:
        """Return (W, folds, seeds) of the folds, at the chosen rates, for values (M,)."""
        at = chosen[:, :, None, None]
        return np.take_along_axis(values.reshape(shape)[:, :, 0], at, axis=2)[:, :, 0]

    def scores(part: str) -> Array:
        loss = of_chosen(result.losses[part][:, -1])
        if scoring in recorded:
            accuracy = of_chosen(result.accuracies[part][:, -1]) if classify else loss
            variance = np.array([np.var(datasets[f"fold {k}"].parts()[part][1]) for k in range(len(folds))])[:, None]
            found = recorded[scoring](loss, accuracy, variance)
        else:
            scorer, found = get_scorer(scoring), np.full(loss.shape, np.nan)
            for place in zip(*np.nonzero(np.isfinite(loss)), strict=True):
                rows, labels = datasets[f"fold {place[1]}"].parts()[part]
                network = result.networks.take(of_chosen(np.arange(len(specs)))[place][None])
                found[place] = scorer(
                    _fitted(network, classes), rows, classes[labels.astype(int)] if classify else labels
                )
        return np.where(np.isfinite(loss), found, np.nan).reshape(len(widths), -1)

    return WidthCurve(np.array(widths, dtype=np.int64), scores("train"), scores("test"), scoring, rates[chosen])


def _fitted(network: NetworkStack, classes: NDArray[Any]) -> ReluEnsembleRegressor | ReluEnsembleClassifier:
    """Return an estimator as if `fit` had left this one network, for scikit-learn's scorers."""
    one: Any = ReluEnsembleClassifier(n_models=1) if len(classes) else ReluEnsembleRegressor(n_models=1)
    one.networks_, one.converged_, one.n_features_in_ = network, np.ones(1, dtype=np.bool_), network.n_inputs
    if len(classes):
        one.classes_ = classes
    else:
        one.n_outputs_, one._shape = 1, ()
    fitted: ReluEnsembleRegressor | ReluEnsembleClassifier = one
    return fitted
