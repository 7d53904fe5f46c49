"""What the regressor and the classifier are: networks that differ in their initial weights, all trained at once.

Takes X and y that scikit-learn has checked, trains by `ensemble.train`, and gives the mean over networks.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from ensemble.data import Dataset
from ensemble.networks import NetworkStack, weight_bytes
from ensemble.sklearn.common import Array, first_of_several, held_out, seeds, threads
from ensemble.specs import COLUMNS, Init, Optimizer, Parametrization, Schedule, grid
from ensemble.system.checks import whole
from ensemble.training import train
from ensemble.training.request import Loss

__all__ = ["ReluEnsemble"]

_CHECKPOINTS = 50  # epochs among which early stopping chooses
_FEWEST_CHECKPOINTS = 8
_CHECKPOINT_BYTES = 256 * 2**20  # of networks kept for that choice
_PREDICT_BYTES = 64 * 2**20  # of single networks' predictions held at once


@dataclass(eq=False, repr=False)
class ReluEnsemble(BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Networks that differ in their initial weights; `ReluEnsembleRegressor` says what the parameters mean."""

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

    def _train(self, X: Array, y: Array, loss: Loss, n_outputs: int) -> None:
        """Train the networks, which have so many outputs, and set all attributes that `fit` leaves."""
        n_models, epochs = whole(self.n_models, "n_models", 1), whole(self.epochs, "epochs")
        rng = check_random_state(self.random_state)
        settings = {name: value for name, value in self.get_params(deep=False).items() if name in COLUMNS}
        specs = grid(seed=seeds(rng, n_models), **settings)
        if len(specs) != n_models:
            raise ValueError(f"{first_of_several(settings)} holds several values; all networks have one and the same")
        fit, val = np.arange(len(X)), np.arange(0)
        if self.early_stopping:
            labels = y if loss == "cross_entropy" else None
            fit, val = held_out(len(X), self.validation_fraction, rng, "early_stopping", labels)
        held: dict[str, Any] = {"x_val": X[val], "y_val": y[val]} if len(val) else {}
        data = Dataset(X[fit], y[fit], **held, standardize=True)
        record, snapshots = _checkpoints(epochs, _CHECKPOINTS), None
        if self.early_stopping:
            model_bytes = int(weight_bytes(specs.width[0], data.n_inputs, specs.hidden_layers[0], n_outputs))
            many = min(_CHECKPOINTS, max(_FEWEST_CHECKPOINTS, _CHECKPOINT_BYTES // (n_models * model_bytes)))
            record = snapshots = _checkpoints(epochs, many)
        result = train(
            specs, data, epochs=epochs, loss=loss, record=record, snapshots=snapshots, threads=threads(self.n_jobs),
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
                stacklevel=3,
            )
        self.networks_: NetworkStack = networks
        self.converged_ = converged
        self.loss_epochs_ = result.epochs
        self.loss_curve_ = _mean_curve(result.train_loss, converged)
        self.validation_curve_ = None if "val" not in result.parts else _mean_curve(result.val_loss, converged)
        self.best_epoch_ = best
        self.n_iter_ = epochs

    def _moments(
        self, X: ArrayLike, of: Callable[[NetworkStack, Array], Array], return_std: bool
    ) -> tuple[Array, Array | None]:
        """Return the mean over networks, and if asked for the spread, of what `of` returns of them, (n_models, ...)."""
        check_is_fitted(self)
        X = np.asarray(validate_data(self, X, reset=False, dtype=np.float64))
        used = self.converged_
        networks = self.networks_ if used.all() else self.networks_.take(np.flatnonzero(used))
        block = max(1, _PREDICT_BYTES // (8 * len(networks) * networks.n_outputs))
        means, spreads = [], []
        for i in range(0, len(X), block):
            part = of(networks, X[i : i + block])
            means.append(part.mean(axis=0))
            if return_std:
                spreads.append(part.std(axis=0))
        return np.concatenate(means), np.concatenate(spreads) if return_std else None


def _checkpoints(epochs: int, many: int) -> list[int]:
    """Return about `many` epochs, 0 and the last among them and the others in geometric sequence."""
    geometric = np.round(np.geomspace(1, max(epochs, 1), many)).astype(np.int64)
    return sorted({0, epochs, *geometric[geometric <= epochs].tolist()})


def _mean_curve(loss: Array, used: NDArray[np.bool_]) -> Array:
    """Return the mean over models that never diverged, or over those in use if all did at some time."""
    finite = np.isfinite(loss).all(axis=1) & used
    found: Array = loss[finite if finite.any() else used].mean(axis=0)
    return found
