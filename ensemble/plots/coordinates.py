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
        Median over seeds: per check one line per epoch, paler the earlier.
    bands_ : list of PolyCollection
        Per check, the interquartile range over seeds at the last epoch.
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
            self.ax_.set_title(f"{first.optimizer}: {QUANTITIES[self.quantity]}")
            low, high = self.ax_.get_ylim()
            # A flat line must look flat: two decades at least, and above them the room that the legend takes.
            low, high = min(low, np.sqrt(low * high) / 10), max(high, np.sqrt(low * high) * 10)
            self.ax_.set_ylim(low, high * (high / low) ** 0.45)
            epochs = ", ".join(map(str, first.epochs.tolist()))
            self.ax_.legend(
                title=f"median of {len(first.seeds)} seeds, epochs {epochs} pale to dark;\n"
                "band: spread (interquartile range) at the last",
                title_fontsize=7, fontsize=7, alignment="left", loc="upper left", borderaxespad=0.1,
            )  # fmt: skip
        return self

    def _draw(self, place: int, check: CoordinateCheck, row: int) -> None:
        colour, marker = style.look(place)
        low, medians, high = (style.gaps(values[row], np.inf) for values in check.quartiles)  # (E, W)
        last = len(check.epochs) - 1
        slopes = (check.slope[0, row, [0, last]]).round(2) + 0.0  # no -0.00
        label = f"{check.label}, rate {style.rate_text(check.lr)}: slope {slopes[0]:.2f} first, {slopes[1]:.2f} last"
        drawn = []
        for e, median in enumerate(medians):
            drawn += self.ax_.plot(
                check.width, median, color=colour, alpha=1 - 0.65 * (last - e) / max(last, 1),
                marker=marker if e == last else "", label=label if e == last else None,
                markeredgecolor="white", markeredgewidth=0.5,
            )  # fmt: skip
        self.lines_.append(drawn)
        self.bands_.append(
            self.ax_.fill_between(check.width, low[last], high[last], color=colour, alpha=0.18, linewidth=0)
        )
