"""The display of arms against the one that all are held against, such as both biases or one hidden layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from ensemble.analysis import Difference
from ensemble.plots import style
from ensemble.statistics import FEWEST, few_note


@dataclass(eq=False, repr=False)
class PairedDifferenceDisplay:
    """What an arm costs against another: ratio of test errors paired by seed, against width, with intervals.

    Parameters
    ----------
    differences : sequence of Difference
        Each arm against the same other one.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
    lines_ : list of Line2D
        Median of the paired ratios, one per arm.
    bars_ : list of LineCollection
        Their 95% intervals.
    marks_ : list of Line2D
        Rings around points that differ from 1 (signed rank test, Holm over widths); none below 6 seeds. A bar holds for
        its point alone: of many that leave 1 out some do by chance, which the rings take into account.
    beyond_ : list of Line2D
        Arrows at the top or bottom for medians beyond the axis: where one of the two diverged.
    """

    differences: Sequence[Difference]

    def plot(self, ax: Axes | None = None) -> PairedDifferenceDisplay:
        """Draw into `ax` (default: a figure of its own) and return self."""
        with style.drawing(ax) as (self.ax_, self.figure_):
            style.across_axis(self.ax_, [each.base for each in self.differences])
            style.log_axis(self.ax_)
            self.lines_: list[Line2D] = []
            self.bars_: list[LineCollection] = []
            self.marks_: list[Line2D] = []
            self.beyond_: list[Line2D] = []
            ceiling = style.ceiling_of(
                *(each.ratio for each in self.differences), *(each.interval for each in self.differences)
            )
            for place, each in enumerate(self.differences, 1):
                self._draw(place, each, ceiling)
            self.ax_.axhline(1, color=style.NOTE_COLOUR, linewidth=1, linestyle=":")
            self.ax_.set_ylabel(f"test MSE / that with {self.differences[0].base.label}")
            # Ratios are read as 0.1, 1, 10, and not as powers of ten.
            self.ax_.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            self.ax_.yaxis.set_minor_formatter(NullFormatter())
            style.tidy_log_axis(self.ax_)
            marks = []
            n_seeds = self.differences[0].comparisons[0].n
            if n_seeds >= FEWEST:
                several = len(self.differences[0].comparisons)
                words = f", with all {several} tested (Holm)" if several > 1 else ""
                marks.append(_key("o", f"differs from 1{words}", markersize=9, markerfacecolor="none"))
            if self.beyond_:
                marks.append(_key(r"$\uparrow$", "beyond the axis: diverged", markersize=6))
            handles = [*self.ax_.get_legend_handles_labels()[0], *marks]
            few = " (few)" * bool(few_note(n_seeds))
            title = (
                f"median of ratios paired by seed, {n_seeds} seeds{few};\n"
                "bar: uncertainty (95% interval of that median),\nfor one point alone"
            )
            style.beside(self.ax_, handles=handles, title=title)
        return self

    def _draw(self, place: int, each: Difference, ceiling: float) -> None:
        ratio, (low, high) = each.ratio, each.interval
        # Set apart sideways, a little and evenly, so that bars at the same width do not hide each other.
        width = each.arm.across * (1.0 + 0.06 * (place - 2))
        colour, marker = style.look(place, each.arm.label)
        shown = style.gaps(ratio, ceiling)
        # A bar is cut only where its end is 0 or infinity, because seeds diverged, or too far off for any axis.
        bottom = np.where(low > 0, np.maximum(low, shown / 1e6), shown / 30)
        top = np.minimum(high, ceiling)
        self.bars_.append(self.ax_.vlines(width, bottom, top, color=colour, linewidth=1.4))
        self.lines_ += self.ax_.plot(
            width, shown, color=colour, marker=marker, label=each.arm.label, linewidth=1, markersize=3.5
        )
        certain = np.array([found.significant is True for found in each.comparisons]) & np.isfinite(shown)
        if certain.any():
            self.marks_ += self.ax_.plot(
                width[certain], shown[certain], linestyle="", marker="o", markersize=9, markerfacecolor="none",
                markeredgecolor=colour, markeredgewidth=0.8,
            )  # fmt: skip
        for outside, height, arrow in ((ratio >= ceiling, 0.97, r"$\uparrow$"), (ratio <= 0, 0.03, r"$\downarrow$")):
            if outside.any():
                self.beyond_ += self.ax_.plot(
                    width[outside], np.full(outside.sum(), height), linestyle="", marker=arrow, markersize=8,
                    color=colour, transform=self.ax_.get_xaxis_transform(),
                )  # fmt: skip


def _key(marker: str, label: str, **look: Any) -> Line2D:
    """Return a legend entry for a mark that several arms have, each in its colour."""
    return Line2D([], [], linestyle="", marker=marker, color=style.NOTE_COLOUR, label=label, **look)
