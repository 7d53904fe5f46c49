"""The width study: it asks how wide the network must be, when every width has the learning rate that suits it.

Widths x seeds x learning rates x optimizers are trained in one pass; the rate is chosen on validation data, the error
reported on test data.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ensemble.specs import grid
from ensemble.studies.bounds import Bounds, bound_rows, bounds_of
from ensemble.studies.curves import (
    Curve,
    LearningCurve,
    choose,
    curve_rows,
    learning_curves,
    learning_rows,
    map_rows,
    train_rows,
)
from ensemble.studies.inputs import Data, as_datasets, few, noise_of, seeds_of, values_of
from ensemble.studies.study import Fit, Setup, Study

if TYPE_CHECKING:
    from ensemble.plots import Figure

__all__ = ["LRS", "OPTIMIZERS", "WIDTHS", "WidthStudy", "width_setup", "width_study"]

WIDTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 640, 1024)  # powers of two, and the original's 640
# Steps of sqrt(2): in steps of 2, gd misses its best rate, close to divergence, at some widths (256: twice the error).
LRS = tuple(2.0 ** (step / 2) for step in range(-18, 1))
OPTIMIZERS = ("gd", "adam")
FIT_WIDTHS = 4  # widths whose fits and learning curves are drawn


def width_setup(
    data: Data = "reciprocal_sine",
    *,
    widths: Iterable[int] = WIDTHS,
    seeds: int | Iterable[int] = 16,
    lrs: Iterable[float] = LRS,
    optimizers: Iterable[str] = OPTIMIZERS,
    epochs: int = 500,
    noise: float = 0.01,
) -> Setup[WidthStudy]:
    """Return the width study before training; parameters and errors as in `width_study`."""
    datasets, notes = as_datasets(data, noise)
    settings: dict[str, Any] = {
        "widths": values_of("widths", widths), "seeds": seeds_of(seeds), "lrs": values_of("lrs", lrs),
        "optimizers": values_of("optimizers", optimizers), "epochs": epochs, "noise": noise_of(data, noise),
    }  # fmt: skip
    specs = grid(
        data=list(datasets), optimizer=settings["optimizers"], lr=settings["lrs"],
        width=settings["widths"], seed=settings["seeds"],
    )  # fmt: skip
    return Setup(WidthStudy, specs, datasets, epochs, settings, notes)


def width_study(
    data: Data = "reciprocal_sine",
    *,
    widths: Iterable[int] = WIDTHS,
    seeds: int | Iterable[int] = 16,
    lrs: Iterable[float] = LRS,
    optimizers: Iterable[str] = OPTIMIZERS,
    epochs: int = 500,
    noise: float = 0.01,
    threads: int | None = None,
    progress: bool | None = None,
) -> WidthStudy:
    """Train every combination of width, seed, learning rate and optimizer, and return the study.

    Parameters
    ----------
    data : str, sequence of str, Dataset, or dict of Dataset
        Names of targets to sample, or own data; own data without validation and test parts is split.
    widths, lrs, optimizers : iterables
        Hidden units, learning rates, and names of optimizers; no value twice.
    seeds : int or iterable of int
        How many seeds (0, 1, ...), or which.
    epochs : int
        Number of full-batch steps.
    noise : float
        Height a of the noise a U[0, 1) on sampled targets, in units of y.
    threads, progress
        As in `ensemble.train`.

    Raises
    ------
    ValueError
        A value that is not allowed, or data that cannot be split.
    """
    setup = width_setup(data, widths=widths, seeds=seeds, lrs=lrs, optimizers=optimizers, epochs=epochs, noise=noise)
    return setup.run(threads=threads, progress=progress)


@dataclass(frozen=True)
class WidthStudy(Study):
    """A trained width study: one curve of test error against width per dataset and optimizer."""

    name = "width_study"

    def curves(self, data: str | None = None) -> list[Curve]:
        """Return one curve per optimizer on a dataset (default: the first)."""
        data = next(iter(self.datasets)) if data is None else data
        return [
            choose(self.specs, self.result, optimizer, data, optimizer=optimizer)
            for optimizer in self.settings["optimizers"]
        ]

    @cached_property
    def bounds(self) -> dict[str, Bounds | None]:
        """What is possible on each dataset; None where it is not known."""
        return {name: bounds_of(name, data, self.specs.width) for name, data in self.datasets.items()}

    def learning_curves(self, curve: Curve) -> list[LearningCurve]:
        """Return the learning curves of a few widths of a curve."""
        return learning_curves(curve, self.result, few(curve.width, FIT_WIDTHS))

    def fits(self, curve: Curve) -> list[Fit]:
        """Return the fits of a few widths of a curve, each by the seed with the median test MSE; D = 1 only."""
        if self.datasets[curve.data].n_inputs > 1:
            return []
        shown = few(curve.width, FIT_WIDTHS)
        pairs = zip(curve.width.tolist(), curve.typical.tolist(), strict=True)
        return [self.fit(f"width {width}", model) for width, model in pairs if width in shown]

    def all_fits(self) -> list[tuple[str, Fit]]:
        """Return every fitted curve of the plots, with its optimizer."""
        return [(curve.label, fit) for data in self.datasets for curve in self.curves(data) for fit in self.fits(curve)]

    def figures(self) -> dict[str, Figure]:
        """Return the summary and its panels one by one, per dataset."""
        from ensemble import plots

        found: dict[str, Figure] = {}
        for data in self.datasets:
            end = self.suffix(data=(data, len(self.datasets)))
            found |= {f"{name}{end}": figure for name, figure in plots.width_figures(self, data).items()}
        return found

    def summary_rows(self) -> list[dict[str, Any]]:
        """Return one row per point of the curves, the learning curves and the learning-rate maps."""
        rows: list[dict[str, Any]] = []
        for curve in (curve for data in self.datasets for curve in self.curves(data)):
            rows += curve_rows("width_curves", curve)
            for learning in self.learning_curves(curve):
                rows += learning_rows("learning_curves", curve, learning)
            rows += map_rows("learning_rate_map", curve)
            if self.bounds[curve.data] is not None:
                rows += train_rows("limits", curve)
        for bounds in self.bounds.values():
            rows += [] if bounds is None else bound_rows("limits", bounds)
        return rows

    def report(self) -> str:
        """Return a table of width, chosen learning rate and median test MSE per optimizer."""
        lines: list[str] = []
        for data in self.datasets:
            curves: Sequence[Curve] = self.curves(data)
            lines.append(f"{data}: median test MSE over {len(curves[0].seeds)} seeds after {self.setup.epochs} epochs")
            lines.append("   width" + "".join(f"{curve.label:>12}  at lr    " for curve in curves))
            for i, width in enumerate(curves[0].width.tolist()):
                cells = "".join(f"{curve.quartiles[1, i]:12.2e}  {curve.lr[i]:<9.3g}" for curve in curves)
                lines.append(f"{width:8d}{cells}".rstrip())
        return "\n".join(lines)
