"""The coordinate check: how far a network's first steps move it, by width, and where its best learning rate goes.

Takes the curves of the transfer study, trains a few steps of each, and leaves `CoordinateCheck`, which the plots draw.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble import training
from ensemble.analysis.curves import QUARTILES, Curve
from ensemble.data import Dataset
from ensemble.networks import NetworkStack, Stack
from ensemble.specs import grid
from ensemble.statistics import bootstrap_interval, quartiles

__all__ = [
    "MOMENTS", "PARAMETRIZATIONS", "QUANTITIES", "CoordinateCheck", "coordinate_check",
    "ridge_movement", "transfer_price",
]  # fmt: skip

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

PARAMETRIZATIONS: dict[Any, str] = {"standard": "standard", "mup": "mu-P"}  # with their names in plots
MOMENTS = (1, 2, 4, 8)  # epochs at which the first steps are measured
QUANTITIES = {
    "preactivation": "hidden pre-activations",  # of the first hidden layer
    "preactivation_change": "change of the pre-activations",
    "output_change": "change of the output",
}
MOST_SAMPLES = 256  # at which the output's change is taken, spread over the training part: enough for a mean


@dataclass(frozen=True)
class CoordinateCheck:
    """How far the first steps move a network, by width: Q quantities, E epochs, W widths, S seeds.

    In the units that the models see, that is of standardized data where the data is standardized.

    Attributes
    ----------
    data, optimizer, parametrization : str
    lr : float
        The one learning rate of all widths.
    width, epochs, seeds : (W,), (E,), (S,) int
    values : (Q, E, W, S) float
        Root mean square over hidden units and training samples (of the output over up to 256 of them), in the order of
        `QUANTITIES`; NaN where a model diverged.
    """

    data: str
    optimizer: str
    parametrization: str
    lr: float
    width: Integers
    epochs: Integers
    seeds: Integers
    values: Floats

    @property
    def label(self) -> str:
        """Name of the parametrization, as plots have it."""
        return PARAMETRIZATIONS[self.parametrization]

    @property
    def quartiles(self) -> Floats:
        """Lower quartile, median and upper quartile over seeds, (3, Q, E, W)."""
        return quartiles(np.where(np.isnan(self.values), np.inf, self.values))

    @cached_property
    def slopes(self) -> Floats:
        """Slope d ln value / d ln width of each seed, by least squares, (Q, E, S); NaN where that cannot be known."""
        x = np.log(self.width)
        x = x - x.mean()
        with np.errstate(divide="ignore", invalid="ignore"):  # one width; a value of 0, or of a diverged model
            slopes = np.einsum("w,qews->qes", x, np.log(self.values)) / (x @ x)
        return np.where(np.isfinite(slopes), slopes, np.nan)

    @cached_property
    def slope(self) -> Floats:
        """Slope with the ends of its 95% interval: median over seeds, low, high, (3, Q, E)."""
        known = np.isfinite(self.slopes).all(axis=-1)
        found = np.full((3, *known.shape), np.nan)
        if known.any():
            rows = self.slopes[known]
            found[:, known] = np.median(rows, axis=-1), *bootstrap_interval(rows)
        return found

    def rows(self, figure: str) -> list[dict[str, Any]]:
        """Return the rows of `summary.csv`: one per point, with its line's slope."""
        head = {
            "figure": figure, "data": self.data, "optimizer": self.optimizer, "parametrization": self.parametrization,
        }  # fmt: skip
        points = product(enumerate(QUANTITIES), enumerate(self.epochs.tolist()), enumerate(self.width.tolist()))
        return [
            head
            | {"measure": quantity, "width": width, "lr": self.lr, "seeds": len(self.seeds), "epoch": epoch}
            | dict(zip(QUARTILES, self.quartiles[:, q, e, w].tolist(), strict=True))
            | dict(zip(("slope", "slope_low", "slope_high"), self.slope[:, q, e].tolist(), strict=True))
            for (q, quantity), (e, epoch), (w, width) in points
        ]


def ridge_movement(curve: Curve) -> float:
    """Return how far the best learning rate moves over the widths, largest over smallest, in factors of two.

    Widths at which every rate diverged have no best one; NaN where that leaves none.
    """
    powers = np.log2(curve.lr[np.isfinite(curve.validation_median.min(axis=1))])
    return float(np.ptp(powers)) if len(powers) else np.nan


def transfer_price(curve: Curve) -> float:
    """Return by what the error of the widest grows with the narrowest's best learning rate instead of its own.

    Median test errors are compared; +inf where the narrowest's rate lets most seeds diverge.
    """
    moved, own = (float(quartiles(curve.test_loss[-1, curve.lr_index[place]])[1]) for place in (0, -1))
    return moved / own if np.isfinite(own) and own > 0 else np.nan


def coordinate_check(dataset: Dataset, curve: Curve) -> CoordinateCheck:
    """Train a curve's models for a few steps at one fixed rate, and return how far they moved.

    The rate is a quarter of the smallest of the curve's best rates: at the best one itself, gd is so close to
    divergence that its first steps overshoot.
    """
    lr = float(curve.lr.min()) / 4
    # Rows in the order of the axes: widths outside, seeds inside.
    specs = grid(**curve.settings, data=curve.data, init="fan_in", lr=lr, width=curve.width, seed=curve.seeds)
    result = training.train(
        specs, {curve.data: dataset}, epochs=MOMENTS[-1], record=[], snapshots=[0, *MOMENTS], progress=False
    )  # fmt: skip
    x = dataset.x_train[:: -(-dataset.n_train // MOST_SAMPLES)]
    start = result.snapshots[0]
    predictions, y_std = start.predict(x), 1.0 if dataset.scale is None else dataset.scale.y_std
    inputs = dataset.x_train if dataset.scale is None else dataset.scale.inputs(dataset.x_train)
    values = np.empty((len(QUANTITIES), len(MOMENTS), len(specs)))
    for e, epoch in enumerate(MOMENTS):
        networks = result.snapshots[epoch]
        values[:2, e] = _preactivations(inputs, start, networks)
        with np.errstate(over="ignore", invalid="ignore"):  # the weights of a diverged model
            values[2, e] = np.sqrt((((networks.predict(x) - predictions) / y_std) ** 2).mean(axis=1))
    values[:, :, result.status == "diverged"] = np.nan
    shape = (*values.shape[:2], len(curve.width), len(curve.seeds))
    return CoordinateCheck(
        curve.data, curve.settings["optimizer"], curve.settings["parametrization"], lr,
        curve.width, np.asarray(MOMENTS), curve.seeds, values.reshape(shape),
    )  # fmt: skip


def _preactivations(x: Floats, start: NetworkStack, end: NetworkStack) -> Floats:
    """Return root mean squares over samples and units of layer 1, (2, M): of z at the end, of its change since start.

    With G the second moments of the inputs and a one, the mean of z_j^2 over samples is t_j' G t_j, t_j = (w1_j, b1_j):
    no array of samples by hidden units is needed.
    """
    with_one = np.column_stack([x, np.ones(len(x))])
    moments = with_one.T @ with_one / len(x)
    found = np.empty((2, len(end)))
    for shape in end.shapes():
        width = shape[0]
        before, after = start.stack(*shape, units="training"), end.stack(*shape, units="training")
        weights = _hidden(after)
        for row, moved in enumerate((weights, weights - _hidden(before))):
            with np.errstate(over="ignore", invalid="ignore"):  # the weights of a diverged model
                squares = np.einsum("mdh,de,meh->m", moved, moments, moved, optimize=True) / width
            found[row, after.models] = np.sqrt(np.maximum(squares, 0.0))  # rounding can leave -1e-17
    return found


def _hidden(stack: Stack) -> Floats:
    return np.concatenate([stack.weights[0], stack.biases[0][:, None, :]], axis=1)  # (M, D + 1, H)
