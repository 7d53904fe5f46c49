"""The original's own report: one width and learning rate, and how the fit comes about epoch by epoch.

Several seeds are trained at once: the plots show the seed with the median test error, the table the spread of all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ensemble.analysis import Curve, LearningCurve, choose, learning_curves, learning_rows, quartiles
from ensemble.specs import grid
from ensemble.studies.inputs import Data, as_datasets, noise_of, seeds_of
from ensemble.studies.study import Fit, Setup, Study

if TYPE_CHECKING:
    from ensemble.plots import Figure

__all__ = ["MOMENTS", "FitStudy", "fit_setup", "fit_target"]

MOMENTS = (0, 50, 100, 200, 500)  # the epochs that the original reports
PARTS = {"train": "training", "val": "validation", "test": "test"}


def fit_setup(
    data: Data = "reciprocal_sine",
    *,
    width: int = 640,
    seeds: int | Iterable[int] = 10,
    lr: float = 0.1,
    optimizer: str = "gd",
    epochs: int = 500,
    noise: float = 0.01,
) -> Setup[FitStudy]:
    """Return the fit report before training; parameters and errors as in `fit_target`."""
    datasets, notes = as_datasets(data, noise)
    settings: dict[str, Any] = {
        "width": width, "seeds": seeds_of(seeds, fewest=1), "lr": lr, "optimizer": optimizer, "epochs": epochs,
        "noise": noise_of(data, noise),
    }  # fmt: skip
    specs = grid(data=list(datasets), optimizer=settings["optimizer"], lr=lr, width=width, seed=settings["seeds"])
    moments = [epoch for epoch in MOMENTS if epoch < epochs] + [epochs]
    smooth = np.geomspace(1, max(epochs, 1), 60).astype(int).tolist()
    return Setup(
        FitStudy, specs, datasets, epochs, settings, notes,
        record=sorted({*moments, *(epoch for epoch in smooth if epoch <= epochs)}), snapshots=moments,
    )  # fmt: skip


def fit_target(
    data: Data = "reciprocal_sine",
    *,
    width: int = 640,
    seeds: int | Iterable[int] = 10,
    lr: float = 0.1,
    optimizer: str = "gd",
    epochs: int = 500,
    noise: float = 0.01,
    threads: int | None = None,
    progress: bool | None = None,
) -> FitStudy:
    """Train one kind of model over several seeds and return the study of its fit.

    Parameters
    ----------
    data, seeds, epochs, noise, threads, progress
        As in `width_study`.
    width : int
        Hidden units.
    lr : float
        Learning rate.
    optimizer : str
        "gd", "momentum" or "adam".

    Raises
    ------
    ValueError
        A value that is not allowed, or data that cannot be split.
    """
    setup = fit_setup(data, width=width, seeds=seeds, lr=lr, optimizer=optimizer, epochs=epochs, noise=noise)
    return setup.run(threads=threads, progress=progress)


@dataclass(frozen=True)
class FitStudy(Study):
    """A trained fit report: fits at a few epochs, and the MSEs of all seeds there."""

    name = "fit_target"

    @property
    def moments(self) -> list[int]:
        """The epochs that are reported: the original's, as far as training went, and the last."""
        return list(self.setup.snapshots or ())

    def curve(self, data: str | None = None) -> Curve:
        """Return the models on a dataset (default: the first) as a curve of one width."""
        data = next(iter(self.datasets)) if data is None else data
        return choose(self.specs, self.result, self.settings["optimizer"], data)

    def learning_curves(self, curve: Curve) -> list[LearningCurve]:
        """Return the learning curve of the one width."""
        return learning_curves(curve, self.result, curve.width)

    def fits(self, curve: Curve) -> list[Fit]:
        """Return the fits at the reported epochs by the seed with the median test MSE; D = 1 only."""
        if self.datasets[curve.data].n_inputs > 1:
            return []
        return [self.fit(f"epoch {epoch}", int(curve.typical[0]), epoch) for epoch in self.moments]

    def mse(self, model: int, epoch: int, part: str) -> float:
        """Return a model's MSE on "train", "val" or "test" at a recorded epoch."""
        history = getattr(self.result, f"{part}_loss")
        return float(history[model, np.searchsorted(self.result.epochs, epoch)])

    def table(self) -> list[dict[str, Any]]:
        """Return one row per dataset, reported epoch and part: quartiles of the MSE over seeds."""
        rows = []
        for data in self.datasets:
            models = self.curve(data).chosen[0]
            shown = int(self.curve(data).typical[0])
            for epoch in self.moments:
                at = int(np.searchsorted(self.result.epochs, epoch))
                for part in PARTS:
                    errors = getattr(self.result, f"{part}_loss")[models, at]
                    low, median, high = quartiles(errors).tolist()
                    rows.append(
                        {"figure": "mse_table", "data": data, "measure": f"{part}_loss", "epoch": epoch,
                         "seeds": len(models), "diverged": int(np.isinf(errors).sum()), "lower_quartile": low,
                         "median": median, "upper_quartile": high,
                         "shown_seed": int(self.specs.seed[shown]), "shown": self.mse(shown, epoch, part)}
                    )  # fmt: skip
        return rows

    def all_fits(self) -> list[tuple[str, Fit]]:
        """Return every fitted curve of the plots, with its epoch."""
        return [(fit.label, fit) for data in self.datasets for fit in self.fits(self.curve(data))]

    def figures(self) -> dict[str, Figure]:
        """Return the report and the learning curve, per dataset."""
        from ensemble import plots

        found: dict[str, Figure] = {}
        for data in self.datasets:
            end = self.suffix(data=(data, len(self.datasets)))
            found |= {f"{name}{end}": figure for name, figure in plots.fit_figures(self, data).items()}
        return found

    def summary_rows(self) -> list[dict[str, Any]]:
        """Return the table of MSEs and one row per point of the learning curves."""
        rows = self.table()
        for data in self.datasets:
            curve = self.curve(data)
            for learning in self.learning_curves(curve):
                rows += learning_rows("learning_curves", curve, learning)
        return rows

    def report(self) -> str:
        """Return the table of MSEs: median over seeds at the reported epochs."""
        lines = []
        table = self.table()
        n_seeds = len(self.settings["seeds"])
        of_seeds = f", median over {n_seeds} seeds" if n_seeds > 1 else ""
        for data in self.datasets:
            lines.append(
                f"{data}: MSE{of_seeds}, width {self.settings['width']}, "
                f"{self.settings['optimizer']}, learning rate {self.settings['lr']:g}"
            )
            lines.append("   epoch" + "".join(f"{name:>12}" for name in PARTS.values()))
            for epoch in self.moments:
                medians = [row["median"] for row in table if row["data"] == data and row["epoch"] == epoch]
                lines.append(f"{epoch:8d}" + "".join(f"{median:12.3g}" for median in medians))
        return "\n".join(lines)
