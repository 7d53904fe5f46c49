"""Fitted curves: what a trained model with one input predicts over its data's interval.

Takes a `Result`, and leaves `Fit`, which the studies list in `fits.csv` and the plots draw over the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Dataset
from ensemble.results import Result

__all__ = ["Fit", "fit_of", "interval_of"]


@dataclass(frozen=True)
class Fit:
    """One model's fitted curve: `prediction` (G,) at `x` (G,), both in the data's own units."""

    label: str
    model: int  # row of the result's specs
    epoch: int
    x: NDArray[np.float64]
    prediction: NDArray[np.float64]

    def rows(self, part: str, result: Result) -> list[dict[str, Any]]:
        """Return the rows of `fits.csv` for the curve, point by point."""
        spec = result.specs[self.model]._asdict()
        columns = ("data", "optimizer", "hidden_bias", "output_bias", "width", "lr", "seed")
        head = {"part": part, "model": self.model, **{name: spec[name] for name in columns}, "epoch": self.epoch}
        points = zip(self.x.tolist(), self.prediction.tolist(), strict=True)
        return [head | {"x": x, "prediction": prediction} for x, prediction in points]


def interval_of(dataset: Dataset) -> tuple[float, float]:
    """Return the interval of a dataset with one input: its target's, or from the first to the last training sample."""
    if dataset.target is not None:
        return dataset.target.interval
    return float(dataset.x_train.min()), float(dataset.x_train.max())


def fit_of(result: Result, model: int, dataset: Dataset, label: str, epoch: int | None = None) -> Fit:
    """Return the fitted curve of a model, a row of the specs, after the last epoch or at a snapshot."""
    networks = result.networks if epoch is None else result.snapshots[epoch]
    x = np.linspace(*interval_of(dataset), 500)
    with np.errstate(over="ignore", invalid="ignore"):  # the weights of a diverged model
        prediction = networks[model].predict(x)
    return Fit(label, model, int(result.epochs[-1]) if epoch is None else epoch, x, prediction)
