"""Curves of error against width: the learning rate chosen on validation data, the error taken on test data.

Between a `Result` and the plots: `choose` turns the rows of a study into `Curve` objects, which the displays draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ensemble.results import Result
from ensemble.specs import Specs
from ensemble.statistics import Errorbar, Interval, ScalingFit, error_band, few_note, fit_scaling, quartiles

__all__ = ["AT_FIXED", "Curve", "LearningCurve", "choose", "few", "joined", "learning_curves"]

AT_FIXED = "test_mse_at_fixed_lr"  # the measure: test MSE at the learning rate that is best at the middle width
QUARTILES = ("lower_quartile", "median", "upper_quartile")

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Curve:
    """Error against width for models that differ in nothing else but learning rate and seed.

    W widths, L learning rates, S seeds.

    Attributes
    ----------
    data : str
        Name of the dataset.
    label : str
        What sets the models apart from those of other curves, such as "adam".
    settings : dict
        The spec columns that all its models share and that set it apart from the study's other curves.
    width, lr_grid, seeds : (W,) int, (L,) float, (S,) int
        Ascending.
    models : (W, L, S) int
        Rows of the study's specs.
    val_loss, test_loss, train_loss : (W, L, S) float
        After the last epoch, +inf where the model diverged.
    axis : str
        What the curve is drawn against: "width", "multiply_adds" or "hidden_layers".
    positions : (W,) int, optional
        The values of that, where it is not the width.
    """

    data: str
    label: str
    settings: dict[str, Any]
    width: Integers
    lr_grid: Floats
    seeds: Integers
    models: Integers
    val_loss: Floats
    test_loss: Floats
    train_loss: Floats
    axis: str = "width"
    positions: Integers | None = None

    @property
    def across(self) -> Integers:
        """Where the curve's points are drawn, (W,): its positions where they are given, else the width."""
        return self.width if self.positions is None else self.positions

    def cells(self, place: int) -> dict[str, int]:
        """Return the cells that say which point of the curve a row of `summary.csv` is of."""
        return {"width": int(self.width[place]), self.axis: int(self.across[place])}

    def head(self, figure: str, measure: str) -> dict[str, Any]:
        """Return the cells with which the curve's rows of `summary.csv` begin."""
        return {"figure": figure, "data": self.data, **self.settings, "measure": measure}

    @cached_property
    def validation_median(self) -> Floats:
        """Median over seeds of the validation MSE, (W, L): what the learning rate is chosen by."""
        median: Floats = quartiles(self.val_loss)[1]
        return median

    @cached_property
    def lr_index(self) -> Integers:
        """Place in `lr_grid` of the chosen learning rate, (W,); the smaller one of two that tie."""
        return np.asarray(np.argmin(self.validation_median, axis=1))

    @property
    def lr(self) -> Floats:
        """Chosen learning rate, (W,)."""
        return np.asarray(self.lr_grid[self.lr_index])

    @property
    def at_edge(self) -> NDArray[np.bool_]:
        """Whether the chosen learning rate is the first or last of several, (W,): a better one may lie beyond."""
        return np.asarray((len(self.lr_grid) > 1) & ((self.lr_index == 0) | (self.lr_index == len(self.lr_grid) - 1)))

    @property
    def chosen_models(self) -> Integers:
        """Rows of the specs at the chosen learning rate, (W, S)."""
        return self.models[np.arange(len(self.width)), self.lr_index]

    @property
    def rate_matters(self) -> NDArray[np.bool_]:
        """Whether the learning rate makes a difference, (W,): at most half of the rates are within 25% of the best.

        Elsewhere the best rate is chosen by noise. With fewer than three rates it always counts; where every rate
        diverges never.
        """
        best = self.validation_median.min(axis=1)
        close = (self.validation_median <= 1.25 * best[:, None]).sum(axis=1)
        return np.asarray(np.isfinite(best) & ((2 * close <= len(self.lr_grid)) | (len(self.lr_grid) < 3)))

    def of(self, measure: str) -> Floats:
        """Return "test_loss", "train_loss" or "val_loss" at the chosen learning rates, or `AT_FIXED`, (W, S)."""
        if measure == AT_FIXED:
            return self.test_loss[:, self.lr_index[self.middle]]
        losses: Floats = getattr(self, measure)[np.arange(len(self.width)), self.lr_index]
        return losses

    @property
    def errors(self) -> Floats:
        """Test MSE at the chosen learning rate, (W, S)."""
        return self.of("test_loss")

    def band(self, measure: str, errorbar: Errorbar = "ci") -> tuple[Interval, str]:
        """Return the band around the medians of a measure as `error_band` does, found once for plots and tables."""
        if (measure, errorbar) not in self._bands:
            self._bands[measure, errorbar] = error_band(self.of(measure), errorbar)
        return self._bands[measure, errorbar]

    @cached_property
    def _bands(self) -> dict[tuple[str, Errorbar], tuple[Interval, str]]:
        return {}

    @property
    def middle(self) -> int:
        """Place of the middle width, on a log scale: where the one fixed learning rate is tuned."""
        logs = np.log(self.width)
        return int(np.argmin(np.abs(logs - (logs[0] + logs[-1]) / 2)))

    @property
    def fixed_lr(self) -> float:
        """The learning rate that is best at the middle width: what one gets who tunes once and then widens."""
        return float(self.lr[self.middle])

    @cached_property
    def scaling(self) -> ScalingFit:
        """Slope of the median test MSE against width, on log axes."""
        return fit_scaling(self.width, self.errors)

    @property
    def quartiles(self) -> Floats:
        """Lower quartile, median and upper quartile over seeds of `errors`, (3, W)."""
        return quartiles(self.errors)

    @property
    def diverged(self) -> Integers:
        """Number of seeds that diverged at the chosen learning rate, (W,)."""
        return np.asarray(np.isinf(self.errors).sum(axis=1))

    @property
    def typical_models(self) -> Integers:
        """Row of the model whose test MSE is the (lower) median over seeds, (W,)."""
        middle = np.argsort(self.errors, axis=1, kind="stable")[:, (len(self.seeds) - 1) // 2]
        return self.chosen_models[np.arange(len(self.width)), middle]

    def error_rows(self, figure: str, measure: str = "test_loss") -> list[dict[str, Any]]:
        """Return the rows of `summary.csv` for a measure by width."""
        errors, ((low, high), _), n_seeds = self.of(measure), self.band(measure), len(self.seeds)
        lrs = [self.fixed_lr] * len(self.width) if measure == AT_FIXED else self.lr.tolist()
        head = self.head(figure, measure)
        return [
            head
            | self.cells(i)
            | {"lr": lrs[i], "seeds": n_seeds, "diverged": int(np.isinf(errors[i]).sum())}
            | {"note": few_note(n_seeds)}
            | dict(zip(QUARTILES, quartiles(errors[i]).tolist(), strict=True))
            | {"ci_low": float(low[i]), "ci_high": float(high[i])}
            for i in range(len(self.width))
        ]

    def unit_rows(self, figure: str, measure: str, values: NDArray[Any]) -> list[dict[str, Any]]:
        """Return the rows of `summary.csv` for one number per width: (W,), or (W, S) of which the median is listed."""
        head = self.head(figure, measure) | {"seeds": len(self.seeds)}
        medians = values if values.ndim == 1 else np.median(values, axis=1)
        pairs = enumerate(zip(self.lr.tolist(), medians.tolist(), strict=True))
        return [head | self.cells(place) | {"lr": lr, "median": median} for place, (lr, median) in pairs]

    def scaling_rows(self, figure: str) -> list[dict[str, Any]]:
        """Return the rows of `summary.csv` for the slope of error against width; none where it is unknown."""
        fit = self.scaling
        head = {"figure": figure, "data": self.data, **self.settings, "seeds": len(self.seeds)}
        low, high = fit.slope_interval
        row = {"measure": "scaling_slope", "median": fit.slope, "ci_low": low, "ci_high": high}
        return [head | row | {"note": " ".join(fit.warnings)}] if np.isfinite(fit.slope) else []

    def map_rows(self, figure: str) -> list[dict[str, Any]]:
        """Return the rows of `summary.csv` for the map of validation error over learning rate and width."""
        head = self.head(figure, "val_loss")
        return [
            head
            | self.cells(i)
            | {"lr": lr, "seeds": len(self.seeds)}
            | {"median": float(self.validation_median[i, j]), "chosen": int(self.lr_index[i] == j)}
            for i in range(len(self.width))
            for j, lr in enumerate(self.lr_grid.tolist())
        ]


@dataclass(frozen=True)
class LearningCurve:
    """MSE against epoch for one width at its chosen learning rate: quartiles (3, E) over `n_seeds` seeds.

    `label` says what sets the models apart where that is not their width alone.
    """

    width: int
    lr: float
    epochs: Integers
    quartiles: Floats
    n_seeds: int
    diverged: int
    label: str = ""

    def rows(self, figure: str, curve: Curve) -> list[dict[str, Any]]:
        """Return the rows of `summary.csv` for a learning curve of `curve`."""
        head = curve.head(figure, "test_loss")
        head |= {"width": self.width, "lr": self.lr, "seeds": self.n_seeds, "diverged": self.diverged}
        return [
            head | {"epoch": epoch} | dict(zip(QUARTILES, values, strict=True))
            for epoch, values in zip(self.epochs.tolist(), self.quartiles.T.tolist(), strict=True)
        ]


def choose(specs: Specs, result: Result, label: str, data: str, **settings: Any) -> Curve:
    """Return the curve of the models that learn `data` with these `settings`, a full grid of width, rate and seed.

    Raises
    ------
    ValueError
        No model matches, some combination is missing or there twice, or the result has no validation or test MSE.
    """
    if result.parts != ("train", "val", "test"):
        raise ValueError("a study needs validation and test data; the result has no MSE on one of them")
    match = np.asarray(specs.data == data)
    for name, value in settings.items():
        match &= getattr(specs, name) == value
    rows = np.flatnonzero(match)
    chosen = specs[rows]
    width, at_width = np.unique(chosen.width, return_inverse=True)
    lr_grid, at_lr = np.unique(chosen.lr, return_inverse=True)
    seeds, at_seed = np.unique(chosen.seed, return_inverse=True)
    models = np.full((len(width), len(lr_grid), len(seeds)), -1, dtype=np.int64)
    models[at_width, at_lr, at_seed] = rows
    if models.size == 0 or len(rows) != models.size or (models < 0).any():
        raise ValueError(f"the models of curve {label!r} on {data!r} are no full grid of width, lr and seed")
    return Curve(
        data, label, settings, width, lr_grid, seeds, models,
        val_loss=result.val_loss[models, -1], test_loss=result.test_loss[models, -1],
        train_loss=result.train_loss[models, -1],
    )  # fmt: skip


def joined(curves: Sequence[Curve], label: str, axis: str) -> Curve:
    """Return curves of one point each as one curve, drawn against a setting in which they differ.

    Raises
    ------
    ValueError
        They differ in learning rates or seeds.
    """
    first = curves[0]
    for curve in curves[1:]:
        if not (np.array_equal(curve.lr_grid, first.lr_grid) and np.array_equal(curve.seeds, first.seeds)):
            raise ValueError(f"the curves of {label!r} differ in learning rates or seeds")
    positions = np.array([curve.settings[axis] for curve in curves])
    columns = ("width", "models", "val_loss", "test_loss", "train_loss")
    together: dict[str, Any] = {name: np.concatenate([getattr(curve, name) for curve in curves]) for name in columns}
    settings = {name: value for name, value in first.settings.items() if name != axis}
    return replace(first, label=label, settings=settings, axis=axis, positions=positions, **together)


def learning_curves(curve: Curve, result: Result, widths: ArrayLike) -> list[LearningCurve]:
    """Return the learning curves of some of a curve's widths, each at its chosen learning rate."""
    found = []
    for place in np.flatnonzero(np.isin(curve.width, widths)):
        histories = result.test_loss[curve.chosen_models[place]]  # (S, E)
        found.append(
            LearningCurve(
                int(curve.width[place]), float(curve.lr[place]), np.asarray(result.epochs),
                quartiles(histories.T), len(curve.seeds), int(curve.diverged[place]),
            )
        )  # fmt: skip
    return found


def few(widths: ArrayLike, count: int) -> list[int]:
    """Return up to `count` of the widths, denser among the small ones, where fits differ most to the eye."""
    ordered: list[int] = np.unique(np.asarray(widths)).tolist()
    if len(ordered) <= count:
        return ordered
    places = 1 + (len(ordered) - 2) * np.linspace(0, 1, count) ** 1.5
    return [ordered[place] for place in np.unique(np.round(places).astype(int))]
