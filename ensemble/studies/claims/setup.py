"""The setup of the claims' test: the original's own recipe, and what each of its claims needs beside it.

One pass trains the recipe, all widths and learning rates on four targets, the arms without bias, and adam with a
falling rate; a second one trains longer.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

from ensemble.data import sample
from ensemble.specs import grid
from ensemble.studies.claims.study import COSINE_LRS, EPOCHS, ORIGINAL, RECIPE, REPORTED, ClaimsStudy
from ensemble.studies.inputs import seeds_of
from ensemble.studies.study import Setup
from ensemble.studies.width.setup import LRS, WIDTHS

if TYPE_CHECKING:
    from ensemble.plots import Figure

__all__ = ["claims_study"]


def claims_study(*, seeds: int | Iterable[int] = 16, noise: float = 0.01) -> Setup[ClaimsStudy]:
    """Return the test of the claims before training.

    Parameters
    ----------
    seeds : int or iterable of int
        How many seeds (0, 1, ...), or which.
    noise : float
        Height a of the noise a U[0, 1) on the targets, in units of y.

    Raises
    ------
    ValueError
        Fewer than 2 seeds, or a noise that is not allowed.
    """
    listed = seeds_of(seeds)
    names = ("reciprocal_sine", "quadratic", "half_sine", "chirp", "absolute")
    datasets = {name: sample(name, noise=noise) for name in names}
    datasets[ORIGINAL] = datasets["reciprocal_sine"]
    widths, width = list(WIDTHS), RECIPE["width"]
    parts = [
        grid(data=ORIGINAL, seed=listed, **RECIPE),
        *(
            grid(data=list(names[:4]), optimizer=name, lr=LRS[name], width=widths, seed=listed)
            for name in ("gd", "adam")
        ),
        grid(data="absolute", optimizer="gd", lr=LRS["gd"], width=width, seed=listed),
        grid(data=["reciprocal_sine", "chirp", "absolute"], lr=LRS["gd"], width=width, seed=listed, hidden_bias=False),
        grid(data="reciprocal_sine", optimizer="adam", schedule="cosine", lr=COSINE_LRS, width=width, seed=listed),
    ]
    settings: dict[str, Any] = {"seeds": listed, "noise": noise, "epochs": EPOCHS, "widths": widths}
    return Setup(ClaimsStudy, _figures, reduce(add, parts), datasets, EPOCHS, settings, record=[0, *REPORTED])


def _figures(study: ClaimsStudy) -> dict[str, Figure]:
    from ensemble.studies.claims.figures import claims_figures

    return claims_figures(study)
