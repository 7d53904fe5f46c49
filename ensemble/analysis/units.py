"""What a study's models do beyond their error: dead hidden units, kinks on the move, and the mean of all seeds.

Takes trained networks, and leaves arrays that the studies list in their tables and the plots draw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.analysis.curves import Curve
from ensemble.data import Dataset
from ensemble.networks import Network, NetworkStack, initialize
from ensemble.results import Result
from ensemble.training import train

__all__ = ["Film", "dead_at_start", "dead_fraction", "films_of", "mean_prediction_mse", "overshoot"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Film:
    """Where the kinks of one model's hidden units are, from the initial network to the last: T epochs, H units.

    Attributes
    ----------
    data : str
    model, width : int
        Row of the study's specs, and H.
    epochs : (T,) int
    kinks : (T, H)
        In the data's own units of x; NaN for a unit without one (w = 0).
    bend : (H,)
        How much the unit changes the slope of the fit at its kink, after the last epoch, in units of y per unit of x.
    """

    data: str
    model: int
    width: int
    epochs: NDArray[np.int64]
    kinks: Floats
    bend: Floats

    def inside(self, interval: tuple[float, float], frame: int = -1) -> int:
        """Return how many kinks are within an interval in a frame (default: the last)."""
        return int(((self.kinks[frame] > interval[0]) & (self.kinks[frame] < interval[1])).sum())

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of `kinks.csv`: one per epoch and hidden unit."""
        return [
            {"data": self.data, "model": self.model, "width": self.width, "epoch": epoch, "unit": unit, "kink": kink}
            for epoch, kinks in zip(self.epochs.tolist(), self.kinks.tolist(), strict=True)
            for unit, kink in enumerate(kinks)
        ]


def dead_fraction(networks: NetworkStack, models: NDArray[np.int64], dataset: Dataset) -> Floats:
    """Return the fraction of hidden units, of all layers, active on no training sample, for each of `models` (...)."""
    x = dataset.x_train if dataset.scale is None else dataset.scale.inputs(dataset.x_train)
    # A unit of the first layer is active on one side of its kink: with one input, the outermost samples decide.
    ends = np.array([x.min(axis=0), x.max(axis=0)]) if dataset.n_inputs == 1 else x
    found = np.empty(models.shape)
    with np.errstate(over="ignore", invalid="ignore"):  # the weights of a diverged model
        for place, model in np.ndenumerate(models):
            network = networks.network(int(model), units="training")
            h, active = ends if len(network.weights) == 2 else x, []
            for w, b in zip(network.weights[:-1], network.biases[:-1], strict=True):
                z = h @ w + b
                h = np.maximum(z, 0.0)
                active.append((z > 0).any(axis=0))
            found[place] = 1.0 - np.mean(active)
    return found


def dead_at_start(result: Result, models: NDArray[np.int64], dataset: Dataset) -> Floats:
    """Return the same fraction for the initial networks of `models` (...)."""
    start = initialize(result.specs[models.ravel()], dataset.n_inputs)
    return dead_fraction(start, np.arange(models.size).reshape(models.shape), dataset)


def overshoot(result: Result, models: NDArray[np.int64]) -> Floats:
    """Return the largest training MSE on the way over that before training, for each of `models` (...)."""
    losses = result.train_loss[models]
    with np.errstate(divide="ignore", invalid="ignore"):
        rise = losses.max(axis=-1) / losses[..., 0]
    return np.where(np.isnan(rise), 1.0, rise)


def mean_prediction_mse(curve: Curve, networks: NetworkStack, dataset: Dataset) -> Floats:
    """Return the test MSE of the mean of all seeds' predictions at the chosen learning rates, (W,).

    This is the ensemble in the statistical sense: one predictor made of all seeds. +inf where a seed diverged, as the
    mean with it has no value.
    """
    assert dataset.x_test is not None and dataset.y_test is not None
    found = np.full(len(curve.width), np.inf)
    for place in np.flatnonzero(np.isfinite(curve.errors).all(axis=1)):
        predictions = networks[curve.chosen_models[place]].predict(dataset.x_test)  # (S, N)
        found[place] = np.mean((predictions.mean(axis=0) - dataset.y_test) ** 2)
    return found


def films_of(models: NDArray[np.int64], result: Result, datasets: dict[str, Dataset], frames: int = 40) -> list[Film]:
    """Return the films of a few models of a study, with one input and one hidden layer.

    The models are trained once more, with snapshots: a model's result does not depend on the others, so these are the
    same networks to the last bit, and the study need not keep snapshots of thousands.
    """
    last = int(result.epochs[-1])
    epochs = np.unique(np.geomspace(1, last, frames).astype(np.int64)) if last else np.zeros(0, np.int64)
    epochs = np.concatenate([[0], epochs])
    specs = result.specs[models]
    again = train(specs, datasets, epochs=last, record=[], snapshots=epochs.tolist(), threads=1, progress=False)
    films = []
    for i, model in enumerate(models.tolist()):
        networks = [again.snapshots[epoch][i] for epoch in epochs.tolist()]
        kinks = np.stack([_kinks(network) for network in networks])
        data, width = str(specs.data[i]), int(specs.width[i])
        films.append(Film(data, model, width, epochs, kinks, _bend(networks[-1])))
    return films


def _kinks(network: Network) -> Floats:
    """Return where the units switch, (H,), in the units of x as given."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        kinks = -network.biases[0] / network.weights[0][0]
    return np.where(np.isfinite(kinks), kinks, np.nan)


def _bend(network: Network) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        hidden, output = network.weights
        bend = np.abs(hidden[0] * output[:, 0])
    return np.asarray(np.nan_to_num(bend))
