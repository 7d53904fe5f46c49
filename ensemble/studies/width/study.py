"""What the width study finds: one curve of test error against width per dataset and optimizer.

The learning rate is chosen on validation data, the error is that on test data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ensemble.analysis import (
    Bounds,
    Curve,
    Film,
    Fit,
    LearningCurve,
    bound_rows,
    bounds_of,
    choose,
    dead_fraction,
    error_rows,
    few,
    few_note,
    film_rows,
    films_of,
    learning_curves,
    learning_rows,
    map_rows,
    mean_prediction_mse,
    scaling_rows,
    unit_rows,
)
from ensemble.studies.study import Rows, Study

__all__ = ["WidthStudy"]

FIT_WIDTHS = 4  # widths whose fits and learning curves are drawn
FILMS, FILM_WIDEST = 3, 256  # widths whose kinks are followed, and the widest: more lines cannot be told apart


@dataclass(frozen=True)
class WidthStudy(Study):
    """A trained width study: one curve of test error against width per dataset and optimizer."""

    name = "width_study"

    @cached_property
    def _curves(self) -> dict[str, list[Curve]]:
        optimizers = self.settings["optimizers"]
        return {
            data: [choose(self.specs, self.result, name, data, optimizer=name) for name in optimizers]
            for data in self.datasets
        }

    def curves(self, data: str | None = None) -> list[Curve]:
        """Return one curve per optimizer on a dataset (default: the first)."""
        return self._curves[data or self.first]

    def panels(self) -> dict[str, list[Curve]]:
        """Return the curves of each dataset."""
        return self._curves

    def best_curve(self, data: str) -> Curve:
        """Return the optimizer's curve that gets lowest on validation data."""
        return min(self.curves(data), key=lambda curve: float(curve.validation_median.min()))

    def dead_units(self, curve: Curve) -> NDArray[np.float64]:
        """Return the fraction of dead hidden units at the chosen learning rates, (W, S)."""
        return dead_fraction(self.result.networks, curve.chosen_models, self.datasets[curve.data])

    def mean_prediction(self, curve: Curve) -> NDArray[np.float64]:
        """Return the test MSE of the mean of all seeds' predictions at the chosen learning rates, (W,)."""
        return mean_prediction_mse(curve, self.result.networks, self.datasets[curve.data])

    @cached_property
    def films(self) -> list[Film]:
        """Kinks over epochs for a few widths of the best optimizer on each dataset with one input."""
        models: list[int] = []
        for data, dataset in self.datasets.items():
            if dataset.n_inputs == 1:
                curve = self.best_curve(data)
                narrow = curve.width[curve.width <= FILM_WIDEST]
                shown = few(narrow[1:] if len(narrow) > FILMS else narrow, FILMS)
                models += curve.typical_models[np.isin(curve.width, shown)].tolist()
        return films_of(np.array(models, dtype=np.int64), self.result, self.datasets) if models else []

    @cached_property
    def bounds(self) -> dict[str, Bounds | None]:
        """What is possible on each dataset; None where it is not known."""
        return {
            name: bounds_of(name, data, self.specs.width, folder=self.folder) for name, data in self.datasets.items()
        }

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
        return super().tables() | {"kinks": [row for film in self.films for row in film_rows(film)]}

    def summary_rows(self) -> Rows:
        """Return one row per point of the curves, the learning curves and the learning-rate maps."""
        rows: Rows = []
        for curve in (curve for data in self.datasets for curve in self.curves(data)):
            rows += error_rows("width_curves", curve) + error_rows("width_curves", curve, "test_mse_at_fixed_lr")
            rows += unit_rows("width_curves", curve, "test_mse_of_mean_prediction", self.mean_prediction(curve))
            rows += scaling_rows("scaling", curve)
            rows += unit_rows("dead_units", curve, "dead_fraction", self.dead_units(curve))
            for learning in self.learning_curves(curve):
                rows += learning_rows("learning_curves", curve, learning)
            rows += map_rows("learning_rate_map", curve)
            if self.bounds[curve.data] is not None:
                rows += error_rows("limits", curve, "train_loss")
        for bounds in self.bounds.values():
            rows += [] if bounds is None else bound_rows("limits", bounds)
        return rows

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
                if np.isfinite(fit.slope):
                    low, high = fit.slope_interval
                    caution = f" (caution: {'; '.join(fit.warnings)})" if fit.warnings else ""
                    lines.append(f"  {curve.label}: MSE ~ width^{fit.slope:.2f} [{low:.2f}, {high:.2f}]{caution}")
        return "\n".join(lines)
