"""At home in scikit-learn: a regressor that is an ensemble of networks, and validation curves over widths in one pass.

Needs the extra ``sklearn``; nothing else of the library imports this module.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ensemble.data import Dataset
from ensemble.networks import NetworkStack, weight_bytes
from ensemble.specs import Init, Optimizer, Parametrization, Schedule, Specs, grid
from ensemble.training import train

try:
    from joblib import effective_n_jobs
    from sklearn.base import BaseEstimator, RegressorMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import ValidationCurveDisplay, check_cv
    from sklearn.utils import check_random_state, check_X_y
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError("ensemble.sklearn needs the extra 'sklearn': pip install 'relu-ensemble[sklearn]'") from error

__all__ = ["ReluEnsembleRegressor", "WidthCurve", "width_curve"]

Array = NDArray[np.float64]

_CHECKPOINTS = 50  # epochs among which early stopping chooses
_FEWEST_CHECKPOINTS = 8
_CHECKPOINT_BYTES = 256 * 2**20  # of networks kept for that choice
_PREDICT_BYTES = 64 * 2**20  # of single networks' predictions held at once
_SEEDS = 2**31 - 1

# Whether a larger score comes with a smaller error is what scikit-learn's names say; each is computed from the MSE
# and the variance of the part that it was measured on.
_SCORINGS: dict[str, Callable[[Array, Array], Array]] = {
    "neg_mean_squared_error": lambda mse, variance: -mse,
    "neg_root_mean_squared_error": lambda mse, variance: -np.sqrt(mse),
    "r2": lambda mse, variance: 1.0 - mse / variance,
}


class ReluEnsembleRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Mean of networks with one hidden ReLU layer that differ in their initial weights, all trained at once.

    Inputs and outputs are standardized by the training data. Training takes full batches and always runs for
    `epochs`; the defaults of `lr`, `schedule` and `init` were chosen on scikit-learn's diabetes data.

    Parameters
    ----------
    n_models : int
        Number of networks >= 1.
    width : int
        Hidden units of each network >= 1.
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

    def __init__(
        self,
        n_models: int = 16,
        width: int = 64,
        *,
        optimizer: Optimizer = "adam",
        lr: float = 0.003,
        epochs: int = 500,
        momentum: float = 0.9,
        beta2: float = 0.999,
        schedule: Schedule = "cosine",
        weight_decay: float = 0.0,
        init: Init = "uniform",
        init_scale: float = 0.1,
        parametrization: Parametrization = "standard",
        hidden_bias: bool = True,
        output_bias: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        self.n_models = n_models
        self.width = width
        self.optimizer = optimizer
        self.lr = lr
        self.epochs = epochs
        self.momentum = momentum
        self.beta2 = beta2
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.init = init
        self.init_scale = init_scale
        self.parametrization = parametrization
        self.hidden_bias = hidden_bias
        self.output_bias = output_bias
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.n_jobs = n_jobs

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
        n_models = _whole("n_models", self.n_models)
        rng = check_random_state(self.random_state)
        specs = self._specs(_seeds(rng, n_models))
        data = self._dataset(X, y, rng)
        record = _checkpoints(self.epochs, _CHECKPOINTS) if _is_whole(self.epochs) else None
        snapshots = None
        if self.early_stopping and record is not None:
            model_bytes = int(weight_bytes(specs.width[0], data.n_inputs))
            many = min(_CHECKPOINTS, max(_FEWEST_CHECKPOINTS, _CHECKPOINT_BYTES // (n_models * model_bytes)))
            record = snapshots = _checkpoints(self.epochs, many)
        result = train(
            specs, data, epochs=self.epochs, record=record, snapshots=snapshots, threads=_threads(self.n_jobs),
            progress=False,
        )  # fmt: skip
        assert result.networks is not None
        networks, converged = result.networks, result.diverged_at < 0
        best = np.full(n_models, int(self.epochs))
        if snapshots is not None:
            assert result.val_loss is not None
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
        self.n_iter_ = int(self.epochs)
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

    def _specs(self, seeds: NDArray[np.int64]) -> Specs:
        specs = grid(
            seed=seeds, width=self.width, optimizer=self.optimizer, lr=self.lr, momentum=self.momentum,
            beta2=self.beta2, schedule=self.schedule, weight_decay=self.weight_decay, init=self.init,
            init_scale=self.init_scale, parametrization=self.parametrization, hidden_bias=self.hidden_bias,
            output_bias=self.output_bias,
        )  # fmt: skip
        if len(specs) != len(seeds):
            raise ValueError(f"{_several(self.get_params())} holds several values; all networks have one and the same")
        return specs

    def _dataset(self, x: Array, y: Array, rng: np.random.RandomState) -> Dataset:
        if not self.early_stopping:
            return Dataset(x, y, standardize=True)
        train_rows, val_rows = _held_out(len(x), self.validation_fraction, rng, "early_stopping")
        return Dataset(x[train_rows], y[train_rows], x_val=x[val_rows], y_val=y[val_rows], standardize=True)


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
    scoring: str = "neg_mean_squared_error",
    validation_fraction: float = 0.2,
    groups: ArrayLike | None = None,
    random_state: Any = None,
    n_jobs: int | None = None,
    **settings: Any,
) -> WidthCurve:
    """Train networks of every width on every fold, with several seeds each, in one pass.

    The same as scikit-learn's ``validation_curve`` over the widths of `ReluEnsembleRegressor` with one network, but
    that all networks are trained together. Inputs and outputs are standardized by each fold's training part.

    Parameters
    ----------
    X : array_like or DataFrame, shape (N, D)
    y : array_like, shape (N,)
    widths : sequence of int
        Numbers of hidden units, each >= 1.
    cv : int, splitter or iterable of (train, test)
        As everywhere in scikit-learn; an int is that many folds without shuffling.
    n_seeds : int
        Networks per width and fold >= 1; all widths and folds have the same seeds.
    optimizer, lr, epochs, **settings
        As in `ReluEnsembleRegressor`. Several rates: each fold takes, for each width, the one whose median validation
        MSE is lowest, over networks trained on a part of the fold's training part only; the scores are those of
        networks trained on all of it. That part of the work is in the same pass and makes it about twice as long.
    scoring : {"neg_mean_squared_error", "neg_root_mean_squared_error", "r2"}
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
    if scoring not in _SCORINGS:
        raise ValueError(f"scoring {scoring!r} is unknown; allowed are {', '.join(_SCORINGS)}")
    for name in ("seed", "data", "width"):
        if name in settings:
            raise ValueError(f"setting {name!r} is not allowed; widths, cv and n_seeds decide it")
    x, y = check_X_y(X, y, y_numeric=True, dtype=np.float64)
    y = np.asarray(y, dtype=np.float64)
    rng = check_random_state(random_state)
    seeds = _seeds(rng, _whole("n_seeds", n_seeds))
    rates = np.atleast_1d(np.asarray(lr, dtype=np.float64))
    widths = np.atleast_1d(widths).tolist()
    folds = list(check_cv(cv, y).split(x, y, groups))
    datasets: dict[str, Dataset] = {}
    for k, (fit_rows, test_rows) in enumerate(folds):
        fit_rows = np.arange(len(x))[fit_rows]
        datasets[f"fold {k}"] = Dataset(x[fit_rows], y[fit_rows], x[test_rows], y[test_rows], standardize=True)
        if len(rates) > 1:
            some, others = _held_out(len(fit_rows), validation_fraction, rng, "a choice among several lr")
            inner, val = fit_rows[some], fit_rows[others]
            datasets[f"inner {k}"] = Dataset(x[inner], y[inner], x_val=x[val], y_val=y[val], standardize=True)
    defaults: dict[str, Any] = {"schedule": "cosine", "init": "uniform", "output_bias": True}
    specs = grid(width=widths, data=list(datasets), lr=rates, seed=seeds, optimizer=optimizer, **(defaults | settings))
    shape = (len(widths), len(folds), len(datasets) // len(folds), len(rates), len(seeds))
    if len(specs) != np.prod(shape):
        raise ValueError(f"{_several(settings)} holds several values; only widths and lr may")
    result = train(
        specs, datasets, epochs=epochs, record=[], threads=_threads(n_jobs), progress=False, keep_networks=False
    )
    assert result.test_loss is not None
    train_loss, test_loss = (m[:, -1].reshape(shape) for m in (result.train_loss, result.test_loss))
    chosen = np.zeros(shape[:2], dtype=np.int64)
    if len(rates) > 1:
        assert result.val_loss is not None
        # A rate at which most seeds diverge has an infinite median and loses to every other.
        chosen = np.median(result.val_loss[:, -1].reshape(shape)[:, :, 1], axis=-1).argmin(axis=-1)
    take = chosen[:, :, None, None]
    variances = {
        part: np.array([np.var(datasets[f"fold {k}"].parts()[part][1]) for k in range(len(folds))])[:, None]
        for part in ("train", "test")
    }

    def scores(part: str, mse: Array) -> Array:
        best = np.take_along_axis(mse[:, :, 0], take, axis=2)[:, :, 0]
        best = np.where(np.isfinite(best), best, np.nan)
        found: Array = _SCORINGS[scoring](best, variances[part])
        return found.reshape(len(widths), -1)

    return WidthCurve(
        np.array(widths, dtype=np.int64), scores("train", train_loss), scores("test", test_loss), scoring, rates[chosen]
    )


# ---- small parts ----


def _is_whole(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) >= 0


def _whole(name: str, value: Any) -> int:
    if not _is_whole(value) or value < 1:
        raise ValueError(f"{name} {value!r} is not allowed; a whole number >= 1 is needed")
    return int(value)


def _several(settings: Mapping[str, Any]) -> str:
    """Name the first setting that holds several values."""
    return next(f"{name} {value}" for name, value in settings.items() if np.size(value) != 1)


def _seeds(rng: np.random.RandomState, n: int) -> NDArray[np.int64]:
    """Return n seeds, all different: consecutive ones have independent streams in `networks.initialize`."""
    return int(rng.randint(_SEEDS)) + np.arange(n, dtype=np.int64)


def _threads(n_jobs: int | None) -> int:
    if n_jobs is not None and (isinstance(n_jobs, bool) or not isinstance(n_jobs, (int, np.integer)) or not n_jobs):
        raise ValueError(f"n_jobs {n_jobs!r} is not allowed; None or a whole number other than 0 is needed")
    return max(1, int(effective_n_jobs(n_jobs)))


def _checkpoints(epochs: int, many: int) -> list[int]:
    """Return about `many` epochs, 0 and the last among them and the others in geometric sequence."""
    geometric = np.round(np.geomspace(1, max(epochs, 1), many)).astype(np.int64)
    return sorted({0, int(epochs), *geometric[geometric <= epochs].tolist()})


def _held_out(
    n: int, fraction: Any, rng: np.random.RandomState, reason: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which of n samples stay and which are held out, both ascending."""
    if isinstance(fraction, (bool, str)) or not 0.0 < fraction < 1.0:
        raise ValueError(f"validation_fraction {fraction!r} is not allowed; a number in (0, 1) is needed")
    if n < 2:
        raise ValueError(f"{reason} needs 2 samples or more, but n_samples = {n}")
    order = rng.permutation(n)
    held = min(max(1, round(n * fraction)), n - 1)
    return np.sort(order[held:]), np.sort(order[:held])


def _mean_curve(mse: Array, used: NDArray[np.bool_]) -> Array:
    """Return the mean over models that never diverged, or over those in use if all did at some time."""
    finite = np.isfinite(mse).all(axis=1) & used
    found: Array = mse[finite if finite.any() else used].mean(axis=0)
    return found
