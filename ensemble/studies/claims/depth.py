"""The report's last claims: that the same computation does more as depth than as width, and that complexity needs it.

`specs_of` gives the models, at the computation of the report's own network; `claims_of` the rows of the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add

import numpy as np

from ensemble.analysis import Curve, Deeper, choose, deeper, equal_widths, multiply_adds, percent
from ensemble.data import Dataset
from ensemble.results import Result
from ensemble.specs import Optimizer, Specs, grid
from ensemble.studies.claims.claim import Claim, interval_text, verdict
from ensemble.studies.depth.study import INIT, LRS

__all__ = ["COMPLEX", "TARGETS", "claims_of", "specs_of"]

TARGETS = ("reciprocal_sine", "chirp", "sawtooth")
COMPLEX = ("chirp", "sawtooth")
DEPTHS = (1, 2, 4)
OPTIMIZERS: tuple[Optimizer, ...] = ("gd", "adam")
WIDTH = 640  # the report's, at one hidden layer
RATES = LRS


def specs_of(seeds: Sequence[int]) -> Specs:
    """Return the models: each depth at the width that spends what the report's network spends."""
    widths = equal_widths([WIDTH], DEPTHS)
    parts = [
        grid(
            data=list(TARGETS), optimizer=name, hidden_layers=depth, init=INIT, lr=RATES[name][min(depth, 2) - 1],
            width=widths[depth], seed=seeds,
        )
        for name in OPTIMIZERS
        for depth in DEPTHS
    ]  # fmt: skip
    return reduce(add, parts)


def deeper_of(specs: Specs, result: Result, dataset: Dataset, data: str, optimizer: str) -> Deeper:
    """Return the best deeper network against one hidden layer on a target."""
    curves: list[Curve] = [
        choose(specs, result, str(depth), data, optimizer=optimizer, hidden_layers=depth, init=INIT) for depth in DEPTHS
    ]
    return deeper(curves, 0, float(np.var(dataset.parts()["test"][1])))


def claims_of(
    found: Mapping[tuple[str, str], Deeper], stated: float, shallow: Mapping[str, float],
    exists: Mapping[str, int | None],
) -> list[Claim]:  # fmt: skip
    """Return the rows of the table.

    "At equal computation depth does more" holds where the interval of the ratio lies below 1 with every optimizer and
    one of them learns half of the variance, and in part where it does for one that learns so much.

    "Complex functions need depth" holds where a deeper network reaches the stated error, and one hidden layer neither
    reaches it in training nor exists; in part where one exists, but training does better with depth.

    Parameters
    ----------
    found : dict of Deeper by target and optimizer
    stated : float
        The error that counts as a fit, as a share of the variance.
    shallow : dict of float by complex target
        The least median error of one hidden layer, whatever its width, rate and optimizer, as a share of the variance:
        chosen on test data, which favours one layer.
    exists : dict of int or None by complex target
        Width of a network of one hidden layer that exists and reaches the stated error.
    """
    rows = []
    spent = int(multiply_adds(WIDTH, 1))
    for data in TARGETS:
        gd, adam = (found[data, optimizer] for optimizer in OPTIMIZERS)
        below = [one.interval[1] < 1 for one in (gd, adam)]
        more = [one.verdict == "more" for one in (gd, adam)]
        rows.append(
            Claim(
                f"at equal computation depth does more than width: {data.replace('_', ' ')}",
                verdict(all(below) and any(more), any(more)),
                f"{gd.ratio:.3g} times the error of one hidden layer", interval_text(*gd.interval),
                f"gd, {spent:,} multiply-adds per sample, {gd.hidden_layers} hidden layers, {percent(gd.left)} of "
                f"the variance left; adam: {adam.words}, {percent(adam.left)} left",
            )
        )  # fmt: skip
    for data in COMPLEX:
        best = min((found[data, optimizer] for optimizer in OPTIMIZERS), key=lambda one: one.deep_left)
        reached, width = best.deep_left <= stated, exists[data]
        one_layer = shallow[data] <= stated
        rows.append(
            Claim(
                f"complex functions need depth: {data}",
                verdict(reached and not one_layer and width is None, not one_layer and best.verdict == "more"),
                f"{percent(best.deep_left)} of the variance left with {best.hidden_layers} hidden layers", "",
                f"{percent(shallow[data])} with one, at its best width and optimizer; in principle: "
                + (f"one hidden layer of width {width} was built" if width else "none of one hidden layer was built"),
            )
        )  # fmt: skip
    return rows
