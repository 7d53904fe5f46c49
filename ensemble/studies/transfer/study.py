"""The transfer study: it asks whether the best learning rate moves with the width, and whether mu-P holds it still.

Both parametrizations start from the same "fan_in" draw; `optimizers.layer_factors` has the table of what mu-P changes.
Widths x learning rates x seeds x parametrizations x optimizers are trained in one pass; then a few steps of each
parametrization at one fixed rate show why (the coordinate check).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import product
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ensemble import training
from ensemble.analysis import QUARTILES, Curve, choose, map_rows, quartiles
from ensemble.data import Dataset
from ensemble.networks import NetworkStack, Stack
from ensemble.specs import grid
from ensemble.statistics import bootstrap_interval
from ensemble.studies.inputs import Data, as_datasets, noise_of, seeds_of, values_of
from ensemble.studies.study import Fit, Setup, Study

if TYPE_CHECKING:
    from ensemble.plots import Figure

__all__ = [
    "MOMENTS", "OPTIMIZERS", "QUANTITIES", "RATES", "WIDTHS", "CoordinateCheck", "TransferStudy", "ridge_movement",
    "transfer_price", "transfer_setup", "transfer_study",
]  # fmt: skip

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

WIDTHS = tuple(2**power for power in range(5, 11))
OPTIMIZERS = ("gd", "adam")
PARAMETRIZATIONS: dict[Any, str] = {"standard": "standard", "mup": "mu-P"}  # with their names in plots


def _powers(low: int, high: int) -> tuple[float, ...]:
    return tuple(2.0**power for power in range(low, high + 1))


# Eleven powers of two each, so that a step of the ridge is as long on one map as on the next.
RATES = {
    "gd": {"standard": _powers(-13, -3), "mup": _powers(-9, 1)},
    "momentum": {"standard": _powers(-13, -3), "mup": _powers(-9, 1)},
    "adam": {"standard": _powers(-11, -1), "mup": _powers(-7, 3)},
}

MOMENTS = (1, 2, 4, 8)  # epochs of the coordinate check
QUANTITIES = {
    "preactivation": "hidden pre-activations",
    "preactivation_change": "change of the pre-activations",
    "output_change": "change of the output",
}
MOST_SAMPLES = 256  # at which the output's change is taken, spread over the training part: enough for a mean


def transfer_setup(
    data: Data = "reciprocal_sine",
    *,
    widths: Iterable[int] = WIDTHS,
    seeds: int | Iterable[int] = 16,
    lrs: Iterable[float] | None = None,
    optimizers: Iterable[str] = OPTIMIZERS,
    epochs: int = 500,
    noise: float = 0.01,
) -> Setup[TransferStudy]:
    """Return the transfer study before training; parameters and errors as in `transfer_study`."""
    datasets, notes = as_datasets(data, noise)
    settings: dict[str, Any] = {
        "widths": values_of("widths", widths), "seeds": seeds_of(seeds),
        "lrs": None if lrs is None else values_of("lrs", lrs), "optimizers": values_of("optimizers", optimizers),
        "epochs": epochs, "noise": noise_of(data, noise), "init": "fan_in",
    }  # fmt: skip
    parts = [
        grid(
            data=list(datasets), optimizer=optimizer, parametrization=parametrization, init=settings["init"],
            # An optimizer without a grid of its own is an unknown one: `grid` says so.
            lr=settings["lrs"] or RATES.get(optimizer, RATES["gd"])[parametrization],
            width=settings["widths"], seed=settings["seeds"],
        )
        for optimizer, parametrization in product(settings["optimizers"], PARAMETRIZATIONS)
    ]  # fmt: skip
    specs = reduce(add, parts)
    return Setup(TransferStudy, specs, datasets, epochs, settings, notes, record=())


def transfer_study(
    data: Data = "reciprocal_sine",
    *,
    widths: Iterable[int] = WIDTHS,
    seeds: int | Iterable[int] = 16,
    lrs: Iterable[float] | None = None,
    optimizers: Iterable[str] = OPTIMIZERS,
    epochs: int = 500,
    noise: float = 0.01,
    threads: int | None = None,
    progress: bool | None = None,
) -> TransferStudy:
    """Train every width, seed and learning rate in both parametrizations, and return the study.

    Parameters
    ----------
    data, widths, optimizers, epochs, noise, threads, progress
        As in `width_study`.
    seeds : int or iterable of int
        As in `width_study`, at least 2.
    lrs : iterable of float, optional
        Learning rates of all models; default: for each optimizer and parametrization a grid of its own, `RATES`.

    Raises
    ------
    ValueError
        A value that is not allowed, fewer than 2 seeds, or data that cannot be split.
    """
    setup = transfer_setup(data, widths=widths, seeds=seeds, lrs=lrs, optimizers=optimizers, epochs=epochs, noise=noise)
    return setup.run(threads=threads, progress=progress)


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
    moved, own = (float(quartiles(curve.test_loss[-1, curve.best[place]])[1]) for place in (0, -1))
    return moved / own if np.isfinite(own) and own > 0 else np.nan


@dataclass(frozen=True)
class TransferStudy(Study):
    """A trained transfer study: a map of error over learning rate and width per optimizer and parametrization."""

    name = "rate_transfer"

    def curve(self, optimizer: str, parametrization: str, data: str | None = None) -> Curve:
        """Return the models of an optimizer and a parametrization on a dataset (default: the first)."""
        data = next(iter(self.datasets)) if data is None else data
        label = f"{optimizer}, {PARAMETRIZATIONS[parametrization]}"
        return choose(
            self.specs, self.result, label, data, optimizer=optimizer, parametrization=parametrization
        )  # fmt: skip

    def curves(self, data: str | None = None) -> list[Curve]:
        """Return one curve per optimizer and parametrization on a dataset (default: the first)."""
        pairs = product(self.settings["optimizers"], PARAMETRIZATIONS)
        return [self.curve(optimizer, parametrization, data) for optimizer, parametrization in pairs]

    @cached_property
    def checks(self) -> dict[tuple[str, str, str], CoordinateCheck]:
        """The coordinate checks by dataset, optimizer and parametrization.

        Each at a quarter of the smallest of its best learning rates over the widths (at the best one itself, gd stands
        so close to divergence that its first steps overshoot).
        """
        curves = [curve for data in self.datasets for curve in self.curves(data)]
        found = {}
        for curve in curves:
            check = _check(self.datasets[curve.data], curve)
            found[check.data, check.optimizer, check.parametrization] = check
        return found

    def all_fits(self) -> list[tuple[str, Fit]]:
        """Return nothing: no fitted curve is drawn."""
        return []

    def figures(self) -> dict[str, Figure]:
        """Return the summary, the maps and the coordinate check, per dataset."""
        from ensemble import plots

        found: dict[str, Figure] = {}
        for data in self.datasets:
            end = self.suffix(data=(data, len(self.datasets)))
            found |= {f"{name}{end}": figure for name, figure in plots.transfer_figures(self, data).items()}
        return found

    def summary_rows(self) -> list[dict[str, Any]]:
        """Return one row per cell of the maps and per point of the coordinate checks, with its line's slope."""
        rows: list[dict[str, Any]] = []
        for data in self.datasets:
            for curve in self.curves(data):
                rows += map_rows("learning_rate_map", curve)
        for check in self.checks.values():
            head = {
                "figure": "coordinate_check", "data": check.data, "optimizer": check.optimizer,
                "parametrization": check.parametrization,
            }  # fmt: skip
            points = product(enumerate(QUANTITIES), enumerate(check.epochs), enumerate(check.width))
            for (q, quantity), (e, epoch), (w, width) in points:
                rows.append(
                    head
                    | {"measure": quantity, "width": int(width), "lr": check.lr, "seeds": len(check.seeds)}
                    | {"epoch": int(epoch)}
                    | dict(zip(QUARTILES, check.quartiles[:, q, e, w].tolist(), strict=True))
                    | dict(zip(("slope", "slope_low", "slope_high"), check.slope[:, q, e].tolist(), strict=True))
                )
        return rows

    def report(self) -> str:
        """Return tables of the best rate per width, of how far it moves, and of the coordinate check's slopes."""
        return "\n".join(line for data in self.datasets for line in self._report_of(data))

    def _report_of(self, data: str) -> list[str]:
        curves = self.curves(data)
        lines = [
            f"{data}: best learning rate (validation), median test MSE of {len(curves[0].seeds)} seeds after "
            f"{self.setup.epochs} epochs",
            " " * 26 + "".join(f"{curve.label:>20}" for curve in curves),
        ]
        for i, width in enumerate(curves[0].width.tolist()):
            cells = "".join(f"{_rate(curve, i):>9}{curve.quartiles[1, i]:11.2e}" for curve in curves)
            lines.append(f"{f'width {width}':<26}{cells}")
        lines.append(f"{'moves by':<26}" + "".join(f"{f'2^{ridge_movement(curve):g}':>20}" for curve in curves))
        prices = [transfer_price(curve) for curve in curves]
        words = ["diverges" if np.isinf(price) else f"{price:.3g} x" for price in prices]
        lines.append(f"{'widest at narrowest rate':<26}" + "".join(f"{word:>20}" for word in words))
        if any(_at_edge(curve).any() for curve in curves):
            lines.append("* at the edge of its grid: the best rate may lie beyond")
        checks = [check for check in self.checks.values() if check.data == data]
        lines.append("coordinate check: slope against width, log-log (95% interval over seeds)")
        lines.append(" " * 42 + "".join(f"{curve.label:>24}" for curve in curves))
        lines.append(f"{'at learning rate':<42}" + "".join(f"{_power(check.lr):>24}" for check in checks))
        for (q, name), e in product(enumerate(QUANTITIES.values()), (0, len(MOMENTS) - 1)):
            cells = "".join(f"{'{:.2f} [{:.2f}, {:.2f}]'.format(*check.slope[:, q, e]):>24}" for check in checks)
            lines.append(f"{f'{name}, epoch {MOMENTS[e]}':<42}{cells}")
        return lines


def _check(dataset: Dataset, curve: Curve) -> CoordinateCheck:
    """Train a curve's kind of model for a few steps, at a quarter of its smallest best rate, and measure them."""
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
    """Return root mean squares over samples and hidden units, (2, M): of z at the end, and of its change since start.

    With G the second moments of the inputs and a one, the mean of z_j^2 over samples is t_j' G t_j, t_j = (w1_j, b1_j):
    no array of samples by hidden units is needed.
    """
    with_one = np.column_stack([x, np.ones(len(x))])
    moments = with_one.T @ with_one / len(x)
    found = np.empty((2, len(end)))
    for width in np.unique(end.specs.width).tolist():
        before, after = start.stack(width, units="training"), end.stack(width, units="training")
        weights = _hidden(after)
        for row, moved in enumerate((weights, weights - _hidden(before))):
            with np.errstate(over="ignore", invalid="ignore"):  # the weights of a diverged model
                squares = np.einsum("mdh,de,meh->m", moved, moments, moved, optimize=True) / width
            found[row, after.models] = np.sqrt(np.maximum(squares, 0.0))  # rounding can leave -1e-17
    return found


def _hidden(stack: Stack) -> Floats:
    return np.concatenate([stack.weights[0], stack.biases[0][:, None, :]], axis=1)  # (M, D + 1, H)


def _at_edge(curve: Curve) -> NDArray[np.bool_]:
    return np.isin(curve.best, (0, len(curve.lr_grid) - 1))


def _rate(curve: Curve, place: int) -> str:
    return _power(float(curve.lr[place])) + "*" * bool(_at_edge(curve)[place])


def _power(lr: float) -> str:
    power = round(2 * np.log2(lr)) / 2
    return f"2^{power:g}" if np.isclose(lr, 2.0**power, rtol=1e-12, atol=0) else f"{lr:.3g}"
