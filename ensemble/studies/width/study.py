"""The width study: how wide the network must be if every width has a learning rate that suits it.

Widths x seeds x learning rates x optimizers are trained in one pass, and give one curve of test error against width per
dataset and optimizer. The learning rate is chosen on validation data, the error is that on test data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from itertools import product
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.analysis import (
    AT_FIXED,
    Bounds,
    Curve,
    Film,
    Fit,
    LearningCurve,
    Reach,
    bound_rows,
    bounds_of,
    choose,
    dead_at_start,
    dead_fraction,
    few,
    films_of,
    learning_curves,
    mean_prediction_mse,
    overshoot,
    reach_of,
)
from ensemble.specs import grid
from ensemble.statistics import few_note, quartiles
from ensemble.studies.inputs import Data, as_datasets, noise_of, rates_of, seeds_of, values_of
from ensemble.studies.study import MANY, Rows, Setup, Study

__all__ = ["LRS", "OPTIMIZERS", "TARGETS", "WIDTHS", "WidthSetup", "WidthStudy", "width_study"]

TARGETS = ("reciprocal_sine", "quadratic", "half_sine", "chirp")
WIDTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 640, 1024)  # powers of two, and the original's 640
# Steps of sqrt(2): in steps of 2, gd misses its best rate, close to divergence, at some widths (256: twice the error).
LRS = {
    "gd": tuple(2.0 ** (step / 2) for step in range(-10, 3)),
    "momentum": tuple(2.0 ** (step / 2) for step in range(-16, -4)),
    "adam": tuple(2.0 ** (step / 2) for step in range(-16, -1)),
}
OPTIMIZERS = ("gd", "adam")

FIT_WIDTHS = 4  # widths whose fits and learning curves are drawn
FILMS, FILM_WIDEST = 3, 256  # widths whose kinks are followed, and the widest: more lines cannot be told apart


def width_study(
    data: Data = TARGETS,
    *,
    widths: Iterable[int] = WIDTHS,
    hidden_layers: Iterable[int] = (1,),
    seeds: int | Iterable[int] = 16,
    lrs: Iterable[float] | Mapping[str, Iterable[float]] = LRS,
    optimizers: Iterable[str] = OPTIMIZERS,
    epochs: int = 500,
    noise: float = 0.01,
    batch_size: int = 0,
) -> WidthSetup:
    """Return the width study before training: every combination of width, seed, learning rate and optimizer.

    Parameters
    ----------
    data : str, sequence of str, Dataset, or dict of Dataset
        Names of targets to sample, or own data; own data without validation and test parts is split.
    widths, hidden_layers, lrs, optimizers : iterables
        Hidden units, hidden layers, learning rates (or a dict of them by optimizer), and names of optimizers; no value
        twice.
    seeds : int or iterable of int
        How many seeds (0, 1, ...), or which.
    epochs : int
        Passes over the training data: full-batch steps, unless there are batches.
    noise : float
        Height a of the noise a U[0, 1) on sampled targets, in units of y.
    batch_size : int
        Samples in a step; 0: all.

    Raises
    ------
    ValueError
        A value that is not allowed, or data that cannot be split.
    """
    datasets, notes = as_datasets(data, noise, batch_size)
    names = values_of("optimizers", optimizers)
    rates = rates_of(lrs, names)
    settings: dict[str, Any] = {
        "widths": values_of("widths", widths), "hidden_layers": values_of("hidden_layers", hidden_layers),
        "seeds": seeds_of(seeds), "lrs": rates, "optimizers": names, "epochs": epochs, "noise": noise_of(data, noise),
        "batch_size": batch_size,
    }  # fmt: skip
    columns = {"width": settings["widths"], "hidden_layers": settings["hidden_layers"], "seed": settings["seeds"]}
    columns["batch_size"] = batch_size
    parts = [grid(data=list(datasets), optimizer=name, lr=rates[name], **columns) for name in names]
    return WidthSetup(WidthStudy, reduce(add, parts), datasets, epochs, settings, notes)


@dataclass(frozen=True)
class WidthSetup(Setup["WidthStudy"]):
    """The width study before training; training it also finds out what is possible on the data."""

    def run(
        self, *, threads: int | None = None, progress: bool | None = None, store: str | Path | None = None,
        executor: Executor | None = None,
    ) -> WidthStudy:  # fmt: skip
        """Do as `Setup.run`; in a large study that is stored a thread finds out meanwhile what is possible.

        It takes two seconds for four datasets, which else only one core would work at the end.
        """
        large = store is not None and len(self.datasets) * len(self.settings["optimizers"]) >= MANY
        beside = ThreadPoolExecutor(1, "bounds")
        found = {name: beside.submit(possible_on, self, name, Path(store)) for name in self.datasets if large and store}
        try:
            study = super().run(threads=threads, progress=progress, store=store, executor=executor)
        except BaseException:
            beside.shutdown(wait=False, cancel_futures=True)
            raise
        beside.shutdown(wait=False, cancel_futures=not study.trained)
        return replace(study, beside=found if study.trained else {})


def possible_on(setup: Setup[WidthStudy], name: str, folder: Path | None) -> Bounds | None:
    """Return what is possible on a dataset of a study, for the deepest networks; None where it is not known."""
    depths = setup.settings["hidden_layers"]
    built = None if 1 in depths else ()
    return bounds_of(name, setup.datasets[name], setup.specs.width, built, folder, max(depths))


@dataclass(frozen=True)
class WidthStudy(Study):
    """A trained width study: one curve of test error against width per dataset, optimizer and depth."""

    beside: Mapping[str, Future[Bounds | None]] = field(default_factory=dict)  # by dataset, found while models trained

    name = "width_study"
    question = "How wide must a ReLU network be?"

    @cached_property
    def _curves(self) -> dict[str, list[Curve]]:
        depths = self.settings["hidden_layers"]

        def curve(data: str, optimizer: str, depth: int) -> Curve:
            label = f"{optimizer}, {depth} layer{'s' * (depth > 1)}" if len(depths) > 1 else optimizer
            return choose(self.specs, self.result, label, data, optimizer=optimizer, hidden_layers=depth)

        pairs = list(product(self.settings["optimizers"], depths))
        return {data: [curve(data, *pair) for pair in pairs] for data in self.datasets}

    def curves(self, data: str | None = None) -> list[Curve]:
        """Return one curve per optimizer, and per depth where there are several, on a dataset (default: the first)."""
        return self._curves[data or self.first]

    def panels(self) -> dict[str, list[Curve]]:
        """Return the curves of each dataset."""
        return self._curves

    def histories(self) -> dict[str, list[LearningCurve]]:
        """Return the learning curves of a few widths, by dataset and curve."""
        return {
            f"{curve.data}, {curve.label}": self.learning_curves(curve)
            for curves in self._curves.values()
            for curve in curves
        }

    def best_curve(self, data: str, curves: Sequence[Curve] = ()) -> Curve:
        """Return the curve, of some or all on a dataset, that gets lowest on validation data."""
        return min(curves or self.curves(data), key=lambda curve: float(curve.validation_median.min()))

    @cached_property
    def reach(self) -> dict[str, Reach]:
        """The width that each dataset needs, by its trained networks alone."""
        return {data: reach_of(curves, self.datasets[data]) for data, curves in self._curves.items()}

    @cached_property
    def needed(self) -> dict[str, Reach]:
        """The same with what is possible in principle, which takes longer to find out."""
        return {data: found.within(self.bounds[data], self.datasets[data]) for data, found in self.reach.items()}

    def dead_units(self, curve: Curve) -> NDArray[np.float64]:
        """Return the fraction of dead hidden units at the chosen learning rates, (W, S)."""
        return self._units[curve.data, curve.label][0]

    def dead_at_start(self, curve: Curve) -> NDArray[np.float64]:
        """Return the fraction of dead hidden units of the same models before training, (W, S)."""
        # Of a dataset and a depth: initial weights do not depend on the optimizer or the learning rate.
        key = curve.data, curve.settings["hidden_layers"]
        if key not in self._at_start:
            self._at_start[key] = dead_at_start(self.result, curve.chosen_models, self.datasets[curve.data])
        return self._at_start[key]

    @cached_property
    def _at_start(self) -> dict[tuple[str, int], NDArray[np.float64]]:
        return {}

    def overshoot(self, curve: Curve) -> NDArray[np.float64]:
        """Return by what the training error rises in the first steps at the chosen rates: median over seeds, (W,)."""
        return np.asarray(quartiles(overshoot(self.result, curve.chosen_models))[1])

    def mean_prediction(self, curve: Curve) -> NDArray[np.float64]:
        """Return the test MSE of the mean of all seeds' predictions at the chosen learning rates, (W,)."""
        return self._units[curve.data, curve.label][1]

    @cached_property
    def _units(self) -> dict[tuple[str, str], tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Both for each curve, as plots and tables show them."""
        networks = self.result.networks
        return {
            (data, curve.label): (
                dead_fraction(networks, curve.chosen_models, self.datasets[data]),
                mean_prediction_mse(curve, networks, self.datasets[data]),
            )
            for data, curves in self._curves.items()
            for curve in curves
        }

    @cached_property
    def films(self) -> list[Film]:
        """Kinks over epochs for a few widths of the best optimizer on each dataset with one input; one hidden layer."""
        models: list[int] = []
        for data, dataset in self.datasets.items():
            shallow = [curve for curve in self.curves(data) if curve.settings["hidden_layers"] == 1]
            if dataset.n_inputs == 1 and shallow:
                curve = self.best_curve(data, shallow)
                narrow = curve.width[curve.width <= FILM_WIDEST]
                shown = few(narrow[1:] if len(narrow) > FILMS else narrow, FILMS)
                models += curve.typical_models[np.isin(curve.width, shown)].tolist()
        return films_of(np.array(models, dtype=np.int64), self.result, self.datasets) if models else []

    @cached_property
    def bounds(self) -> dict[str, Bounds | None]:
        """What is possible on each dataset; None where it is not known."""
        return {
            name: self.beside[name].result() if name in self.beside else possible_on(self.setup, name, self.folder)
            for name in self.datasets
        }

    @property
    def networks(self) -> str:
        """What the networks are, in words."""
        depths = self.settings["hidden_layers"]
        one = "a two-layer ReLU network" if depths == [1] else f"a ReLU network of {depths[0]} hidden layers"
        return one if len(depths) == 1 else "a ReLU network"

    def learning_curves(self, curve: Curve) -> list[LearningCurve]:
        """Return the learning curves of a few widths of a curve."""
        return learning_curves(curve, self.result, few(curve.width, FIT_WIDTHS))

    def fits(self, curve: Curve) -> list[Fit]:
        """Return the fits of a few widths of a curve, each by the seed with the median test MSE; D = 1 only."""
        if self.datasets[curve.data].n_inputs > 1:
            return []
        shown = few(curve.width, FIT_WIDTHS)
        pairs = zip(curve.width.tolist(), curve.typical_models.tolist(), strict=True)
        return [self.fit(f"width {width}", model) for width, model in pairs if width in shown]

    def fitted(self) -> list[tuple[str, Fit]]:
        """Return every fitted curve of the plots, with its optimizer."""
        return [(curve.label, fit) for data in self.datasets for curve in self.curves(data) for fit in self.fits(curve)]

    def tables(self) -> dict[str, Rows]:
        """Return the rows of every CSV file, the kinks over epochs among them."""
        return super().tables() | {"kinks": [row for film in self.films for row in film.rows()]}

    def summary_rows(self) -> Rows:
        """Return one row per point of the curves, the learning curves and the learning-rate maps."""
        rows: Rows = []
        for curve in (curve for data in self.datasets for curve in self.curves(data)):
            rows += curve.error_rows("width_curves") + curve.error_rows("width_curves", AT_FIXED)
            rows += curve.unit_rows("width_curves", "test_mse_of_mean_prediction", self.mean_prediction(curve))
            rows += curve.scaling_rows("scaling")
            rows += curve.unit_rows("dead_units", "dead_fraction", self.dead_units(curve))
            for learning in self.learning_curves(curve):
                rows += learning.rows("learning_curves", curve)
            rows += curve.map_rows("learning_rate_map")
            if self.bounds[curve.data] is not None:
                rows += curve.error_rows("limits", "train_loss")
        for bounds in self.bounds.values():
            rows += [] if bounds is None else bound_rows("limits", bounds)
        return rows

    def answer(self) -> str:
        """Return the width that each dataset needs, in a sentence each."""
        return "\n".join(found.words for found in self.needed.values())

    def outcome(self) -> str:
        """Return a table of width, chosen learning rate and median test MSE per optimizer, and how it scales."""
        lines: list[str] = []
        for data in self.datasets:
            curves: Sequence[Curve] = self.curves(data)
            n_seeds = len(curves[0].seeds)
            few_seeds = " (few)" * bool(few_note(n_seeds))
            lines.append(f"{data}: median test MSE over {n_seeds} seeds{few_seeds} after {self.setup.epochs} epochs")
            lines.append("   width" + "".join(f"{curve.label:>12}  at lr    " for curve in curves))
            for i, width in enumerate(curves[0].width.tolist()):
                cells = "".join(
                    f"{curve.quartiles[1, i]:12.2e}  {f'{curve.lr[i]:.3g}' + '*' * bool(curve.at_edge[i]):<9}"
                    for curve in curves
                )
                lines.append(f"{width:8d}{cells}".rstrip())
            if any(curve.at_edge.any() for curve in curves):
                lines.append("  * the first or last of the learning rates: a better one may lie beyond")
            for curve in curves:
                fit = curve.scaling
                if np.isfinite(fit.slope) and not self.constant(data):
                    low, high = fit.slope_interval
                    caution = f" (caution: {'; '.join(fit.warnings)})" if fit.warnings else ""
                    lines.append(f"  {curve.label}: MSE ~ width^{fit.slope:.2f} [{low:.2f}, {high:.2f}]{caution}")
        return "\n".join(lines)
