"""The fit study: how the fit comes about, epoch by epoch, at one width and learning rate.

Several seeds are trained at once: the plots show the seed with the median test error, the table the spread of all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.analysis import Curve, Fit, LearningCurve, choose, learning_curves, percent, variance_of
from ensemble.specs import grid
from ensemble.statistics import quartiles
from ensemble.studies.inputs import Data, as_datasets, noise_of, seeds_of
from ensemble.studies.study import Rows, Setup, Study

__all__ = ["MOMENTS", "FitStudy", "fit_target"]

MOMENTS = (0, 50, 100, 200, 500)  # the epochs that the original shows

PARTS = {"train": "training", "val": "validation", "test": "test"}


def fit_target(
    data: Data = "reciprocal_sine",
    *,
    width: int = 640,
    hidden_layers: int = 1,
    seeds: int | Iterable[int] = 10,
    lr: float = 0.1,
    optimizer: str = "gd",
    epochs: int = 500,
    noise: float = 0.01,
    batch_size: int = 0,
) -> Setup[FitStudy]:
    """Return the fit study before training: one width, rate and optimizer over several seeds.

    Parameters
    ----------
    data, seeds, epochs, noise, batch_size
        As in `width_study`.
    width, hidden_layers : int
        Hidden units of each hidden layer, and how many of these.
    lr : float
        Learning rate.
    optimizer : str
        "gd", "momentum" or "adam".

    Raises
    ------
    ValueError
        A value that is not allowed, or data that cannot be split.
    """
    datasets, notes = as_datasets(data, noise, batch_size)
    settings: dict[str, Any] = {
        "width": width, "hidden_layers": hidden_layers, "seeds": seeds_of(seeds, fewest=1), "lr": lr,
        "optimizer": optimizer, "epochs": epochs, "noise": noise_of(data, noise), "batch_size": batch_size,
    }  # fmt: skip
    specs = grid(
        data=list(datasets), optimizer=settings["optimizer"], lr=lr, width=width, hidden_layers=hidden_layers,
        seed=settings["seeds"], batch_size=batch_size,
    )  # fmt: skip
    moments = [epoch for epoch in MOMENTS if epoch < epochs] + [epochs]
    smooth = np.geomspace(1, max(epochs, 1), 60).astype(int).tolist()
    return Setup(
        FitStudy, specs, datasets, epochs, settings, notes,
        record=sorted({*moments, *(epoch for epoch in smooth if epoch <= epochs)}), snapshots=moments,
    )  # fmt: skip


@dataclass(frozen=True)
class FitStudy(Study):
    """A trained fit study: fits at a few epochs, and the MSEs of all seeds there."""

    name = "fit_target"
    question = "How does the fit come about?"

    @property
    def moments(self) -> list[int]:
        """The epochs that are shown: the original's, as far as training went, and the last."""
        return list(self.setup.snapshots or ())

    def curve(self, data: str | None = None) -> Curve:
        """Return the models on a dataset (default: the first) as a curve of one width."""
        return choose(self.specs, self.result, self.settings["optimizer"], data or self.first)

    def fit_panels(self) -> dict[str, list[Curve]]:
        """Return the one curve of each dataset."""
        return {data: [self.curve(data)] for data in self.datasets}

    def histories(self) -> dict[str, list[LearningCurve]]:
        """Return the learning curve of each dataset."""
        return {data: self.learning_curves(self.curve(data)) for data in self.datasets}

    def learning_curves(self, curve: Curve) -> list[LearningCurve]:
        """Return the learning curve of the one width."""
        return learning_curves(curve, self.result, curve.width)

    def fits(self, curve: Curve) -> list[Fit]:
        """Return the fits at the shown epochs by the seed with the median test MSE; D = 1 only."""
        if self.datasets[curve.data].n_inputs > 1:
            return []
        return [self.fit(f"epoch {epoch}", int(curve.typical_models[0]), epoch) for epoch in self.moments]

    def others(self, curve: Curve, epoch: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the fits of all seeds at a shown epoch, x (G,) and predictions (S, G); D = 1 only."""
        x = self.fits(curve)[0].x
        with np.errstate(over="ignore", invalid="ignore"):  # the weights of a diverged model
            return x, self.result.snapshots[epoch][curve.chosen_models[0]].predict(x)

    def mse(self, model: int, epoch: int, part: str) -> float:
        """Return a model's MSE on "train", "val" or "test" at a recorded epoch."""
        return float(self.result.losses[part][model, np.searchsorted(self.result.epochs, epoch)])

    def mse_rows(self) -> Rows:
        """Return one row per dataset, shown epoch and part: quartiles of the MSE over seeds."""
        rows = []
        for data in self.datasets:
            models = self.curve(data).chosen_models[0]
            shown = int(self.curve(data).typical_models[0])
            for epoch in self.moments:
                at = int(np.searchsorted(self.result.epochs, epoch))
                for part in PARTS:
                    errors = self.result.losses[part][models, at]
                    low, median, high = quartiles(errors).tolist()
                    rows.append(
                        {"figure": "mse_table", "data": data, "measure": f"{part}_loss", "epoch": epoch,
                         "seeds": len(models), "diverged": int(np.isinf(errors).sum()), "lower_quartile": low,
                         "median": median, "upper_quartile": high,
                         "shown_seed": int(self.specs.seed[shown]), "shown": self.mse(shown, epoch, part)}
                    )  # fmt: skip
        return rows

    def fitted(self) -> list[tuple[str, Fit]]:
        """Return every fitted curve of the plots, with its epoch."""
        return [(fit.label, fit) for data in self.datasets for fit in self.fits(self.curve(data))]

    def summary_rows(self) -> Rows:
        """Return the table of MSEs and one row per point of the learning curves."""
        rows = self.mse_rows()
        for data in self.datasets:
            curve = self.curve(data)
            for learning in self.learning_curves(curve):
                rows += learning.rows("learning_curves", curve)
        return rows

    def answer(self) -> str:
        """Return how near the fit comes in the end, in a sentence per dataset."""
        settings = f"width {self.settings['width']}, {self.settings['optimizer']}, rate {self.settings['lr']:g}"
        return "\n".join(f"{data}: {words} ({settings})." for data, words in self.answers.items())

    @property
    def answers(self) -> dict[str, str]:
        """What is left after the last epoch, in words, by dataset."""
        found = {}
        for data, dataset in self.datasets.items():
            _, median, _ = quartiles(self.result.test_loss[self.curve(data).chosen_models[0], -1])
            variance, noise = variance_of(dataset, "test"), dataset.noise_variance
            share = f" is {percent(median / variance)} of the variance" if variance and np.isfinite(median) else ""
            times = f", {median / noise:.3g} times the noise" if share and noise else ""
            words = f"after {self.setup.epochs} epochs the test MSE"
            found[data] = words + (f"{share}{times}" if share else f" is {median:.3g}")
        return found

    def spread(self, data: str, epoch: int, part: str) -> str:
        """Return the median over seeds of a MSE at a recorded epoch, and from where to where seeds reach, in words."""
        errors = self.result.losses[part][self.curve(data).chosen_models[0], np.searchsorted(self.result.epochs, epoch)]
        return f"{quartiles(errors)[1]:.2g}, {errors.min():.2g} to {errors.max():.2g}"

    def outcome(self) -> str:
        """Return the table of MSEs: median over seeds at the shown epochs."""
        lines = []
        table = self.mse_rows()
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
