"""How wide a network must be: the smallest width that leaves at most 1% of the variance, trained and in principle.

Takes the curves of a dataset and what is possible on it; the width study says it in its titles and its last line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ensemble.analysis.bounds import Bounds
from ensemble.analysis.curves import Curve
from ensemble.data import Dataset
from ensemble.statistics import SmallestWidth, quartiles, smallest_width

__all__ = ["GOOD", "Reach", "percent", "reach_of", "variance_of"]

GOOD = 0.01  # share of the variance that a fit may leave: about where the eye takes it for the function


class Reach(NamedTuple):
    """The width that a dataset needs for an error of `GOOD` times its variance.

    Attributes
    ----------
    data : str
    constant : bool
        Whether y is constant: there is nothing to learn.
    widths : dict of SmallestWidth by curve
        Smallest width whose median test error is that small.
    left : dict of float by curve
        Share of the variance that the best width leaves.
    best : dict of int by curve
        That width.
    impossible, built : int or None
        The widest of the study's widths that cannot have a training error so small, and the narrowest of which a
        network was built that has; None where there is none, or where bounds were not asked for.
    """

    data: str
    constant: bool
    widths: dict[str, SmallestWidth]
    left: dict[str, float]
    best: dict[str, int]
    impossible: int | None = None
    built: int | None = None

    def within(self, bounds: Bounds | None, dataset: Dataset) -> Reach:
        """Return the same with what is possible on the dataset, where that is known."""
        if bounds is None:
            return self
        error = GOOD * variance_of(dataset, "train")
        widths, built = bounds.width[bounds.floor > error], bounds.built_width[bounds.built <= error]
        return self._replace(
            impossible=int(widths.max()) if len(widths) else None, built=int(built.min()) if len(built) else None
        )

    @property
    def order(self) -> list[str]:
        """The curves, those that need the least width first."""
        width = {label: np.inf if found.width is None else found.width for label, found in self.widths.items()}
        return sorted(width, key=lambda label: (width[label], self.left[label]))

    @property
    def title(self) -> str:
        """The answer in a few words, for a panel."""
        if self.constant:
            return "y is constant: nothing to learn"
        first = self.order[0]
        if self.widths[first].width is None:
            return f"{percent(GOOD)} is not reached: {first} leaves {percent(self.left[first])}"
        each = [f"{label} {self.widths[label].width or 'never'}" for label in self.order]
        return f"{percent(GOOD)} at width: {', '.join(each)}"

    @property
    def principle(self) -> str:
        """What is possible, in a few words; empty where it is not known."""
        if self.built is None:
            return ""
        least = self.impossible
        beyond = "" if least is None or least > self.built else f", {least} {'is' if least == 1 else 'are'} not"
        return f"in principle {self.built} {'are' if self.built > 1 else 'is'} enough{beyond}"

    @property
    def words(self) -> str:
        """The answer in a sentence."""
        if self.constant:
            return f"{self.data}: y is constant, there is nothing to learn."
        said: list[str] = []
        for label in self.order:
            found = self.widths[label]
            if found.width is None:
                best = f"leaves {percent(self.left[label])} at best (width {self.best[label]:,})"
                said.append(
                    f"{label} {best}" if said else f"{label} does not reach {percent(GOOD)} of the variance: it {best}"
                )
            else:
                ends = f"[{found.low:,.0f}, {'more' if np.isinf(found.high) else f'{found.high:,.0f}'}]"
                said.append(
                    f"{label} needs {found.width:,} {ends}" if said
                    else f"{label} reaches {percent(GOOD)} of the variance at width {found.width:,} {ends}"
                )  # fmt: skip
        return f"{self.data}: {', '.join(said)}" + (f"; {self.principle}" if self.principle else "") + "."


def reach_of(curves: Sequence[Curve], dataset: Dataset) -> Reach:
    """Return the width that a dataset needs, by its curves."""
    variance = variance_of(dataset, "test")
    medians = {curve.label: quartiles(curve.errors)[1] for curve in curves}
    return Reach(
        curves[0].data, variance_of(dataset, "train") == 0,
        {curve.label: smallest_width(curve.width, curve.errors, GOOD * variance) for curve in curves},
        {label: float(median.min() / variance) if variance else 0.0 for label, median in medians.items()},
        {curve.label: int(curve.width[np.argmin(medians[curve.label])]) for curve in curves},
    )  # fmt: skip


def variance_of(dataset: Dataset, part: str) -> float:
    """Return the variance of y in a part: the error of the best constant."""
    y = dataset.parts()[part][1]
    return 0.0 if np.ptp(y) == 0 else float(np.var(y))


def percent(*shares: float) -> str:
    """Return a share in percent, with two digits, or of several from the lowest to the highest."""
    low, high = (f"{float(f'{100 * share:.2g}'):g}%" for share in (min(shares), max(shares)))
    return low if low == high else f"{low} to {high}"
