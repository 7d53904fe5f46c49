"""The setup of the width study, which asks how wide the network must be if every width has a rate that suits it.

Widths x seeds x learning rates x optimizers are trained in one pass; `study` measures the outcome, `figures` draws it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

from ensemble.specs import grid
from ensemble.studies.inputs import Data, as_datasets, noise_of, rates_of, seeds_of, values_of
from ensemble.studies.study import Setup
from ensemble.studies.width.study import WidthStudy

if TYPE_CHECKING:
    from ensemble.plots import Figure

__all__ = ["LRS", "OPTIMIZERS", "TARGETS", "WIDTHS", "width_study"]

TARGETS = ("reciprocal_sine", "quadratic", "half_sine", "chirp")
WIDTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 640, 1024)  # powers of two, and the original's 640
# Steps of sqrt(2): in steps of 2, gd misses its best rate, close to divergence, at some widths (256: twice the error).
LRS = {
    "gd": tuple(2.0 ** (step / 2) for step in range(-10, 3)),
    "momentum": tuple(2.0 ** (step / 2) for step in range(-16, -4)),
    "adam": tuple(2.0 ** (step / 2) for step in range(-16, -1)),
}
OPTIMIZERS = ("gd", "adam")


def width_study(
    data: Data = TARGETS,
    *,
    widths: Iterable[int] = WIDTHS,
    seeds: int | Iterable[int] = 16,
    lrs: Iterable[float] | Mapping[str, Iterable[float]] = LRS,
    optimizers: Iterable[str] = OPTIMIZERS,
    epochs: int = 500,
    noise: float = 0.01,
) -> Setup[WidthStudy]:
    """Return the width study before training: every combination of width, seed, learning rate and optimizer.

    Parameters
    ----------
    data : str, sequence of str, Dataset, or dict of Dataset
        Names of targets to sample, or own data; own data without validation and test parts is split.
    widths, lrs, optimizers : iterables
        Hidden units, learning rates (or a dict of them by optimizer), and names of optimizers; no value twice.
    seeds : int or iterable of int
        How many seeds (0, 1, ...), or which.
    epochs : int
        Number of full-batch steps.
    noise : float
        Height a of the noise a U[0, 1) on sampled targets, in units of y.

    Raises
    ------
    ValueError
        A value that is not allowed, or data that cannot be split.
    """
    datasets, notes = as_datasets(data, noise)
    names = values_of("optimizers", optimizers)
    rates = rates_of(lrs, names)
    settings: dict[str, Any] = {
        "widths": values_of("widths", widths), "seeds": seeds_of(seeds), "lrs": rates, "optimizers": names,
        "epochs": epochs, "noise": noise_of(data, noise),
    }  # fmt: skip
    parts = [
        grid(data=list(datasets), optimizer=name, lr=rates[name], width=settings["widths"], seed=settings["seeds"])
        for name in names
    ]
    return Setup(WidthStudy, _figures, reduce(add, parts), datasets, epochs, settings, notes)


def _figures(study: WidthStudy) -> dict[str, Figure]:
    from ensemble.studies.width.figures import width_figures

    return width_figures(study)
