"""The setup of the fit study, which asks how the fit comes about, epoch by epoch, at one width and learning rate.

Several seeds are trained at once: the plots show the seed with the median test error, the table the spread of all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ensemble.specs import grid
from ensemble.studies.fit.study import FitStudy
from ensemble.studies.inputs import Data, as_datasets, noise_of, seeds_of
from ensemble.studies.study import Setup

if TYPE_CHECKING:
    from ensemble.plots import Figure

__all__ = ["MOMENTS", "fit_target"]

MOMENTS = (0, 50, 100, 200, 500)  # the epochs that the original shows


def fit_target(
    data: Data = "reciprocal_sine",
    *,
    width: int = 640,
    seeds: int | Iterable[int] = 10,
    lr: float = 0.1,
    optimizer: str = "gd",
    epochs: int = 500,
    noise: float = 0.01,
) -> Setup[FitStudy]:
    """Return the fit study before training: one width, rate and optimizer over several seeds.

    Parameters
    ----------
    data, seeds, epochs, noise
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
    datasets, notes = as_datasets(data, noise)
    settings: dict[str, Any] = {
        "width": width, "seeds": seeds_of(seeds, fewest=1), "lr": lr, "optimizer": optimizer, "epochs": epochs,
        "noise": noise_of(data, noise),
    }  # fmt: skip
    specs = grid(data=list(datasets), optimizer=settings["optimizer"], lr=lr, width=width, seed=settings["seeds"])
    moments = [epoch for epoch in MOMENTS if epoch < epochs] + [epochs]
    smooth = np.geomspace(1, max(epochs, 1), 60).astype(int).tolist()
    return Setup(
        FitStudy, _figures, specs, datasets, epochs, settings, notes,
        record=sorted({*moments, *(epoch for epoch in smooth if epoch <= epochs)}), snapshots=moments,
    )  # fmt: skip


def _figures(study: FitStudy) -> dict[str, Figure]:
    from ensemble.studies.fit.figures import fit_figures
    from ensemble.studies.save import by_part

    return by_part({data: fit_figures(study, data) for data in study.datasets})
