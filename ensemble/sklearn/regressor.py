"""A scikit-learn regressor that is an ensemble of networks, all trained at once.

Predicts the mean over networks and how far they lie apart; `ensembles` trains them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.utils.validation import validate_data

from ensemble.sklearn.ensembles import ReluEnsemble

__all__ = ["ReluEnsembleRegressor"]


@dataclass(eq=False, repr=False)
class ReluEnsembleRegressor(RegressorMixin, ReluEnsemble):  # type: ignore[misc]  # scikit-learn is untyped
    """Mean of ReLU networks that differ in their initial weights, all trained at once.

    Inputs and outputs are standardized by the training data. Training takes full batches and always runs for
    `epochs`; the defaults of `lr`, `schedule` and `init` were chosen on scikit-learn's diabetes data.

    Parameters
    ----------
    n_models : int
        Number of networks >= 1.
    width : int
        Hidden units of each hidden layer >= 1.
    hidden_layers : int
        Hidden layers of each network >= 1. The default of `init`, "uniform", is the one that does best over depths.
    optimizer, lr, momentum, beta2, schedule, weight_decay, init, init_scale, parametrization, hidden_bias, output_bias
        As in `ensemble.Specs`; the learning rate is in the units of standardized data.
    epochs : int
        Updates of each network.
    early_stopping : bool
        Whether `validation_fraction` of the samples are set aside, and each network is taken as it was at the epoch,
        among about 50 in geometric sequence from 1 to `epochs`, at which its error on them was lowest. Training itself
        is not cut short: it is one pass over all networks, which also shows the errors after the best epoch. Large
        ensembles choose among fewer epochs, at least 8, where the networks kept for the choice would exceed 256 MB.
    validation_fraction : float
        In (0, 1); used with `early_stopping` only.
    random_state : int, RandomState or None
        Decides the initial weights and the samples set aside.
    n_jobs : int or None
        Number of threads, as scikit-learn counts them: None is 1, or what ``joblib.parallel_config`` says, and -1 is
        one per core. Results do not depend on it.

    Attributes
    ----------
    networks_ : NetworkStack
        The `n_models` networks, those that diverged among them; they predict in the original units.
    converged_ : (n_models,) bool
        Which networks have finite weights and so are part of the prediction.
    loss_curve_ : (E,) float64
        Mean training MSE of the networks that did not diverge, in squared units of y, after `loss_epochs_` epochs.
    validation_curve_ : (E,) float64 or None
        Likewise on the samples set aside; None without `early_stopping`.
    loss_epochs_ : (E,) int64
        Recorded epochs, from 0 to `epochs`, about 50 in geometric sequence.
    best_epoch_ : (n_models,) int64
        Epoch from which each of `networks_` is.
    n_iter_ : int
        Epochs trained.
    n_features_in_ : int
        Number of inputs D.
    n_outputs_ : int
        Number of outputs O.
    feature_names_in_ : (D,) str
        Names of the inputs, where X was a DataFrame with text for names.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = ReluEnsembleRegressor(n_models=4, early_stopping=True, random_state=0).fit(X, y)
    >>> mean, std = model.predict(X[:3], return_std=True)
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> ReluEnsembleRegressor:  # scikit-learn's name
        """Train the networks.

        Parameters
        ----------
        X : array_like or DataFrame, shape (N, D)
        y : array_like, shape (N,) or (N, O)
            Several outputs are standardized each by its own.

        Returns
        -------
        ReluEnsembleRegressor
            Itself.

        Raises
        ------
        ValueError
            X or y that scikit-learn refuses, a parameter that is not allowed, too few samples for `early_stopping`,
            or no network whose weights stayed finite.

        Warns
        -----
        ConvergenceWarning
            Some networks diverged; predictions leave them out.
        """
        X, y = validate_data(self, X, y, y_numeric=True, multi_output=True, dtype=np.float64)
        X, y = np.asarray(X), np.asarray(y, dtype=np.float64)
        self.n_outputs_ = 1 if y.ndim == 1 else y.shape[1]
        self._shape = y.shape[1:]  # of one prediction: a column stays one
        self._train(X, y, "mse", self.n_outputs_)
        return self

    def predict(self, X: ArrayLike, return_std: bool = False) -> Any:
        """Return the mean of the networks' predictions, and their spread if asked for.

        Parameters
        ----------
        X : array_like or DataFrame, shape (N, D)
        return_std : bool
            Whether to return the standard deviation as well: how far the networks lie apart (divided by their number,
            so 0 for one), which has no noise of y in it.

        Returns
        -------
        mean : (N,) or (N, O) float64
            In units of y.
        std : (N,) or (N, O) float64
            Likewise; only with `return_std`.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            X that scikit-learn refuses, or of another number of columns.
        """
        mean, std = self._moments(X, lambda networks, x: networks.predict(x), return_std)
        mean = mean.reshape(-1, *self._shape)
        return mean if std is None else (mean, std.reshape(-1, *self._shape))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
