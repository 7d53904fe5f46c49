"""A scikit-learn regressor that is an ensemble of networks, all trained at once.

Takes X and y as scikit-learn hands them on, trains by `ensemble.train`, and predicts the mean and the spread.
"""

from __future__ import annotations

import warnings
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from ensemble.data import Dataset
from ensemble.networks import NetworkStack, weight_bytes
from ensemble.sklearn.common import Array, first_of_several, held_out, seeds, threads
from ensemble.specs import COLUMNS, Init, Optimizer, Parametrization, Schedule, grid
from ensemble.system.checks import whole
from ensemble.training import train

__all__ = ["ReluEnsembleRegressor"]

_CHECKPOINTS = 50  # epochs among which early stopping chooses
_FEWEST_CHECKPOINTS = 8
_CHECKPOINT_BYTES = 256 * 2**20  # of networks kept for that choice
_PREDICT_BYTES = 64 * 2**20  # of single networks' predictions held at once


@dataclass(eq=False, repr=False)
class ReluEnsembleRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
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
    feature_names_in_ : (D,) str
        Names of the inputs, where X was a DataFrame with text for names.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = ReluEnsembleRegressor(n_models=4, early_stopping=True, random_state=0).fit(X, y)
    >>> mean, std = model.predict(X[:3], return_std=True)
    """

    n_models: int = 16
    width: int = 64
    _: KW_ONLY
    hidden_layers: int = 1
    optimizer: Optimizer = "adam"
    lr: float = 0.003
    epochs: int = 500
    momentum: float = 0.9
    beta2: float = 0.999
    schedule: Schedule = "cosine"
    weight_decay: float = 0.0
    init: Init = "uniform"
    init_scale: float = 0.1
    parametrization: Parametrization = "standard"
    hidden_bias: bool = True
    output_bias: bool = True
    early_stopping: bool = False
    validation_fraction: float = 0.1
    random_state: Any = None
    n_jobs: int | None = None

    def fit(self, X: ArrayLike, y: ArrayLike) -> ReluEnsembleRegressor:  # scikit-learn's name
        """Train the networks.

        Parameters
        ----------
        X : array_like or DataFrame, shape (N, D)
        y : array_like, shape (N,)

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
        X, y = validate_data(self, X, y, y_numeric=True, dtype=np.float64)
        X, y = np.asarray(X), np.asarray(y, dtype=np.float64)
        n_models, epochs = whole(self.n_models, "n_models", 1), whole(self.epochs, "epochs")
        rng = check_random_state(self.random_state)
        settings = {name: value for name, value in self.get_params(deep=False).items() if name in COLUMNS}
        specs = grid(seed=seeds(rng, n_models), **settings)
        if len(specs) != n_models:
            raise ValueError(f"{first_of_several(settings)} holds several values; all networks have one and the same")
        fit, val = np.arange(len(X)), np.arange(0)
        if self.early_stopping:
            fit, val = held_out(len(X), self.validation_fraction, rng, "early_stopping")
        held: dict[str, Any] = {"x_val": X[val], "y_val": y[val]} if len(val) else {}
        data = Dataset(X[fit], y[fit], **held, standardize=True)
        record, snapshots = _checkpoints(epochs, _CHECKPOINTS), None
        if self.early_stopping:
            model_bytes = int(weight_bytes(specs.width[0], data.n_inputs, specs.hidden_layers[0]))
            many = min(_CHECKPOINTS, max(_FEWEST_CHECKPOINTS, _CHECKPOINT_BYTES // (n_models * model_bytes)))
            record = snapshots = _checkpoints(epochs, many)
        result = train(
            specs, data, epochs=epochs, record=record, snapshots=snapshots, threads=threads(self.n_jobs),
            progress=False,
        )  # fmt: skip
        networks, converged = result.networks, result.diverged_at < 0
        best = np.full(n_models, epochs)
        if snapshots is not None:
            # Errors are infinite from where a network diverged, so that what it was before is still of use.
            chosen = result.val_loss.argmin(axis=1)
            best = result.epochs[chosen]
            converged = np.isfinite(result.val_loss[np.arange(n_models), chosen])
            for epoch in np.unique(best).tolist():
                index = np.flatnonzero(best == epoch)
                networks.put(index, result.snapshots[epoch].take(index))
        if not converged.any():
            raise ValueError(
                f"all {n_models} networks diverged, the first after {int(result.diverged_at.min())} epochs; "
                f"a smaller lr than {self.lr} is needed"
            )
        if not converged.all():
            warnings.warn(
                f"{int((~converged).sum())} of {n_models} networks diverged and are left out of predictions; "
                f"try a smaller lr than {self.lr}",
                ConvergenceWarning,
                stacklevel=2,
            )
        self.networks_: NetworkStack = networks
        self.converged_ = converged
        self.loss_epochs_ = result.epochs
        self.loss_curve_ = _mean_curve(result.train_loss, converged)
        self.validation_curve_ = None if "val" not in result.parts else _mean_curve(result.val_loss, converged)
        self.best_epoch_ = best
        self.n_iter_ = epochs
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
        mean : (N,) float64
            In units of y.
        std : (N,) float64
            Likewise; only with `return_std`.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            X that scikit-learn refuses, or of another number of columns.
        """
        check_is_fitted(self)
        X = np.asarray(validate_data(self, X, reset=False, dtype=np.float64))
        used = self.converged_
        networks = self.networks_ if used.all() else self.networks_.take(np.flatnonzero(used))
        mean, std = np.empty(len(X)), np.empty(len(X))
        block = max(1, _PREDICT_BYTES // (8 * len(networks)))
        for i in range(0, len(X), block):
            part = networks.predict(X[i : i + block])
            mean[i : i + block] = part.mean(axis=0)
            if return_std:
                std[i : i + block] = part.std(axis=0)
        return (mean, std) if return_std else mean


def _checkpoints(epochs: int, many: int) -> list[int]:
    """Return about `many` epochs, 0 and the last among them and the others in geometric sequence."""
    geometric = np.round(np.geomspace(1, max(epochs, 1), many)).astype(np.int64)
    return sorted({0, epochs, *geometric[geometric <= epochs].tolist()})


def _mean_curve(loss: Array, used: NDArray[np.bool_]) -> Array:
    """Return the mean over models that never diverged, or over those in use if all did at some time."""
    finite = np.isfinite(loss).all(axis=1) & used
    found: Array = loss[finite if finite.any() else used].mean(axis=0)
    return found
