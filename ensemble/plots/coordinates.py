"""The display of the coordinate check: how far the first steps move a network, by width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.lines import Line2D

from ensemble.analysis import QUANTITIES, CoordinateCheck
from ensemble.plots import style


@dataclass(eq=False, repr=False)
class CoordinateCheckDisplay:
    """Size of one quantity after the first steps against width, log-log, a colour per parametrization.

    A coordinate check: all widths train at one learning rate. Where the line of the first step is flat, a rate that
    suits one width moves every width as far, and the best rate can stay; where it rises, wide networks are moved too
    far, and theirs must fall.

    Parameters
    ----------
    checks : sequence of CoordinateCheck
        Of one dataset and optimizer.
    quantity : {"preactivation", "preactivation_change", "output_change"}
        What is drawn.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
    lines_ : list of list of Line2D
        Median over seeds: per check one line per epoch, that of the first step dark, later ones paler.
    bands_ : list of PolyCollection
        Per check, the interquartile range over seeds after the first step.
    """

    checks: Sequence[CoordinateCheck]
    quantity: str = "output_change"

    def __post_init__(self) -> None:
        if self.quantity not in QUANTITIES:
            raise ValueError(f"quantity {self.quantity!r} is unknown; allowed are {', '.join(QUANTITIES)}")

    def plot(self, ax: Axes | None = None) -> CoordinateCheckDisplay:
        """Draw into `ax` (default: a figure of its own) and return self."""
        row = list(QUANTITIES).index(self.quantity)
        first = self.checks[0]
        with style.drawing(ax) as (self.ax_, self.figure_):
            style.log_width_axis(self.ax_, first.width)
            style.log_axis(self.ax_)
            self.lines_: list[list[Line2D]] = []
            self.bands_: list[PolyCollection] = []
            for place, check in enumerate(self.checks):
                self._draw(place, check, row)
            over = "samples" if self.quantity == "output_change" else "hidden units and samples"
            self.ax_.set_ylabel(f"RMS over {over}")
            slopes = ", ".join(f"{check.label} {slope_text(check, self.quantity)}" for check in self.checks)
            self.ax_.set_title(f"{first.optimizer}: {QUANTITIES[self.quantity]}\n{slopes}")
            low, high = self.ax_.get_ylim()
            # A flat line must look flat: two decades at least.
            self.ax_.set_ylim(min(low, np.sqrt(low * high) / 10), max(high, np.sqrt(low * high) * 10))
            epochs = ", ".join(map(str, first.epochs.tolist()))
            style.beside(
                self.ax_,
                title=f"median of {len(first.seeds)} seeds after epochs {epochs}, dark to pale;\n"
                "band: spread (interquartile range) after the first",
            )
        return self

    def _draw(self, place: int, check: CoordinateCheck, row: int) -> None:
        colour, marker = style.look(place, check.label)
        low, medians, high = (style.gaps(values[row], np.inf) for values in check.quartiles)  # (E, W)
        drawn = []
        for e, median in enumerate(medians):
            drawn += self.ax_.plot(
                check.width, median, color=colour, alpha=1 - 0.7 * e / max(len(medians) - 1, 1),
                marker="" if e else marker, label=None if e else check.label, markeredgecolor="white",
                markeredgewidth=0.5, linewidth=1.0 if e else 1.8,
            )  # fmt: skip
        self.lines_.append(drawn)
        self.bands_.append(self.ax_.fill_between(check.width, low[0], high[0], color=colour, alpha=0.18, linewidth=0))


def slope_text(check: CoordinateCheck, quantity: str) -> str:
    """Return how a quantity grows with the width in the first step, such as "~ width⁰·⁹⁴"."""
    slope = float(check.slope[0, list(QUANTITIES).index(quantity), 0].round(2)) + 0.0  # no -0.00
    return f"~ width{style.raised(f'{slope:.2f}')}" if np.isfinite(slope) else "unknown"
