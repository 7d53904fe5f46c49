"""What an arm loses against the arm that others are held against, such as both biases: test errors paired by seed.

Takes two curves of a study, and leaves `Difference`, which the study lists in its tables and the plots draw.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensemble.analysis.curves import Curve
from ensemble.statistics import Comparison, compare_over_widths

__all__ = ["Difference", "difference"]

Floats = NDArray[np.float64]


class Difference(NamedTuple):
    """An arm against another, paired by seed: one comparison for each width (a: the arm, b: the other)."""

    arm: Curve
    base: Curve
    comparisons: tuple[Comparison, ...]

    @property
    def ratio(self) -> Floats:
        """Median over seeds of the arm's test MSE / that of the other, (W,); +inf or 0 where one diverged."""
        with np.errstate(over="ignore"):
            return np.exp([found.median_log_ratio for found in self.comparisons])

    @property
    def interval(self) -> Floats:
        """Lower and upper end of the 95% interval of `ratio`, (2, W)."""
        with np.errstate(over="ignore"):
            return np.exp([found.log_ratio_interval for found in self.comparisons]).T

    @property
    def worth(self) -> str:
        """What the bias that the arm lacks is worth at the largest width, in words with number and interval."""
        ratio, (low, high) = self.ratio[-1], self.interval[:, -1]
        if low <= 1 <= high:
            return f"no clear difference: {_times(ratio)} the error without it [{_number(low)}, {_number(high)}]"
        if ratio > 1:
            return f"{_times(ratio)} lower error [{_number(low)}, {_number(high)}]"
        with np.errstate(divide="ignore"):
            ratio, low, high = np.reciprocal([ratio, high, low])
        return f"{_times(ratio)} higher error [{_number(low)}, {_number(high)}]"

    def rows(self, figure: str) -> list[dict[str, Any]]:
        """Return the rows of `summary.csv`: the median of paired ratios of test MSE."""
        measure = f"ratio_to_{self.base.label.replace(' ', '_')}"
        head = {"arm": self.arm.label, **self.arm.head(figure, measure)}
        rows = []
        points = enumerate(zip(self.comparisons, self.ratio, self.interval.T, strict=True))
        for place, (found, ratio, (low, high)) in points:
            difference_low, difference_high = found.difference_interval
            rows.append(
                head
                | self.arm.cells(place)
                | {"seeds": found.n, "note": found.note}
                | {"median": float(ratio), "ci_low": float(low), "ci_high": float(high)}
                | {"median_difference": found.median_difference}
                | {"difference_ci_low": difference_low, "difference_ci_high": difference_high}
                | {"probability": found.probability, "p_value": found.p_value, "p_adjusted": found.p_adjusted}
                | {"significant": found.significant}
            )
        return rows


def difference(arm: Curve, base: Curve) -> Difference:
    """Return an arm against another; where they differ in widths, those at one place of the two are compared."""
    return Difference(arm, base, compare_over_widths(arm.errors, base.errors, arm.seeds, base.seeds))


def _number(value: float) -> str:
    """Return three digits of a number, without a power of ten up to a million."""
    short = float(f"{value:.3g}")
    return f"{short:,.0f}" if 100 <= short < 1e6 else f"{short:.3g}"


def _times(value: float) -> str:
    return f"{_number(value)}x"
