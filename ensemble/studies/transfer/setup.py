"""The setup of the transfer study, which asks whether the best learning rate moves with the width, and under mu-P.

Both parametrizations start from the same "fan_in" draw; `rules.optimizers.layer_factors` has the table of what mu-P
changes. Widths x learning rates x seeds x parametrizations x optimizers are trained in one pass; then a few steps of
each parametrization at one fixed rate show why (the coordinate check).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from itertools import product
from operator import add
from typing import TYPE_CHECKING, Any

from ensemble.analysis import PARAMETRIZATIONS
from ensemble.specs import grid
from ensemble.studies.inputs import Data, as_datasets, noise_of, seeds_of, values_of
from ensemble.studies.study import Setup
from ensemble.studies.transfer.study import TransferStudy

if TYPE_CHECKING:
    from ensemble.plots import Figure

__all__ = ["OPTIMIZERS", "RATES", "WIDTHS", "transfer_study"]

WIDTHS = tuple(2**power for power in range(5, 11))
OPTIMIZERS = ("gd", "adam")


def _powers(low: int, high: int) -> tuple[float, ...]:
    return tuple(2.0**power for power in range(low, high + 1))


# Eleven powers of two each, so that a step of the ridge is as long on one map as on the next.
RATES = {
    "gd": {"standard": _powers(-13, -3), "mup": _powers(-9, 1)},
    "momentum": {"standard": _powers(-13, -3), "mup": _powers(-9, 1)},
    "adam": {"standard": _powers(-11, -1), "mup": _powers(-7, 3)},
}


def transfer_study(
    data: Data = "reciprocal_sine",
    *,
    widths: Iterable[int] = WIDTHS,
    seeds: int | Iterable[int] = 16,
    lrs: Iterable[float] | None = None,
    optimizers: Iterable[str] = OPTIMIZERS,
    epochs: int = 500,
    noise: float = 0.01,
) -> Setup[TransferStudy]:
    """Return the transfer study before training: every width, seed and learning rate in both parametrizations.

    Parameters
    ----------
    data, widths, seeds, optimizers, epochs, noise
        As in `width_study`.
    lrs : iterable of float, optional
        Learning rates of all models; default: for each optimizer and parametrization a grid of its own, `RATES`.

    Raises
    ------
    ValueError
        A value that is not allowed, fewer than 2 seeds, or data that cannot be split.
    """
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
    return Setup(TransferStudy, _figures, reduce(add, parts), datasets, epochs, settings, notes, record=())


def _figures(study: TransferStudy) -> dict[str, Figure]:
    from ensemble.studies.save import by_part
    from ensemble.studies.transfer.figures import transfer_figures

    return by_part({data: transfer_figures(study, data) for data in study.datasets})
