"""Displays of the bias ablation: error by arm, and what leaving a bias out costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from ensemble.analysis import Difference
from ensemble.plots.curves import WidthCurveDisplay
from ensemble.plots.fits import FitDisplay
from ensemble.plots.style import (
    COLOURS,
    MARKERS,
    NOTE_COLOUR,
    STYLE,
    axes_of,
    ceiling_of,
    draw_legend,
    gaps,
    log_width_axis,
    tidy_log_axis,
)
from ensemble.statistics import FEW, FEWEST


class BiasAblationDisplay:
    """The bias ablation: error against width per arm, and the fit of each arm side by side.

    Parameters
    ----------
    errors : WidthCurveDisplay
        One curve per arm.
    fits : sequence of FitDisplay
        One per arm, in the same order; empty for several inputs.
    noise_variance : float, optional
        Drawn as a line with a legend entry: on |x| the arms lie on it, where words at the line would be covered.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
        Of the last plot.
    lines_, bands_, seeds_, notes_
        As in `WidthCurveDisplay`, after `plot`.
    floor_ : Line2D or None
        The variance of the data's noise, where it is known.
    """

    def __init__(
        self, errors: WidthCurveDisplay, fits: Sequence[FitDisplay] = (), *, noise_variance: float | None = None
    ) -> None:
        self.errors = errors
        self.fits = list(fits)
        self.noise_variance = noise_variance

    def plot(self, ax: Axes | None = None) -> BiasAblationDisplay:
        """Draw error against width per arm into `ax` (default: a figure of its own) and return self."""
        self.errors.plot(ax, legend=False)
        self.ax_, self.figure_ = self.errors.ax_, self.errors.figure_
        self.lines_, self.bands_ = self.errors.lines_, self.errors.bands_
        self.seeds_, self.notes_ = self.errors.seeds_, self.errors.notes_
        with matplotlib.rc_context(STYLE):
            self.floor_: Line2D | None = None
            if self.noise_variance:
                self.floor_ = self.ax_.axhline(
                    self.noise_variance, color=NOTE_COLOUR, linewidth=1, linestyle=":",
                    label="noise variance: best in the mean",
                )  # fmt: skip
                self.ax_.set_ylim(bottom=min(self.noise_variance / 3, self.ax_.get_ylim()[0]))
                self.ax_.set_yscale("log")  # ticks as for the shorter axis that was, made anew
                tidy_log_axis(self.ax_)
            # How many diverged is noted over each width: the legend may serve other panels too.
            for line, curve in zip(self.lines_, self.errors.curves, strict=True):
                line.set_label(curve.label)
            more = [_key("", "3/16: that many seeds diverged")] if self.notes_ else []
            draw_legend(self.ax_, len(self.errors.curves[0].seeds), None, self.errors.band_words_, more)
        return self

    def plot_fits(self, axes: Sequence[Axes]) -> BiasAblationDisplay:
        """Draw the arms' fits into `axes`, one each, titled by arm and median test MSE, and return self."""
        with matplotlib.rc_context(STYLE):
            pairs = zip(self.errors.curves, self.fits, axes, strict=True)
            for place, (curve, fit, ax) in enumerate(pairs):
                fit.plot(ax, first_colour=place, legend=False)
                ax.set_title(f"{curve.label}\nmedian test MSE {curve.quartiles[1, -1]:.2g}")
                if place:
                    ax.set_ylabel("")
            self.ax_, self.figure_ = axes_of(axes[0])
        return self


class PairedDifferenceDisplay:
    """What leaving a bias out costs: ratio of test errors paired by seed, against width, with intervals.

    Parameters
    ----------
    differences : sequence of Difference
        Each arm against both biases.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
    lines_ : list of Line2D
        Median of the paired ratios, one per arm.
    bars_ : list of LineCollection
        Their 95% intervals.
    marks_ : list of Line2D
        Rings around points that differ from 1 (signed rank test, Holm over widths); none below 6 seeds.
    beyond_ : list of Line2D
        Arrows at the top or bottom for medians beyond the axis: where an arm, or both biases, diverged.
    """

    def __init__(self, differences: Sequence[Difference]) -> None:
        self.differences = list(differences)

    def plot(self, ax: Axes | None = None) -> PairedDifferenceDisplay:
        """Draw into `ax` (default: a figure of its own) and return self."""
        with matplotlib.rc_context(STYLE):
            self.ax_, self.figure_ = axes_of(ax)
            log_width_axis(self.ax_, self.differences[0].arm.width)
            self.ax_.set_yscale("log")
            self.lines_: list[Line2D] = []
            self.bars_: list[LineCollection] = []
            self.marks_: list[Line2D] = []
            self.beyond_: list[Line2D] = []
            ceiling = ceiling_of(
                *(each.ratio for each in self.differences), *(each.interval for each in self.differences)
            )
            for place, each in enumerate(self.differences, 1):
                self._draw(place, each, ceiling)
            self.ax_.axhline(1, color=NOTE_COLOUR, linewidth=1, linestyle=":")
            self.ax_.set_ylabel("test MSE / that with both biases")
            # Ratios are read as 0.1, 1, 10, and not as powers of ten.
            self.ax_.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            self.ax_.yaxis.set_minor_formatter(NullFormatter())
            tidy_log_axis(self.ax_)
            kinds = []
            n_seeds = self.differences[0].comparisons[0].n
            if n_seeds >= FEWEST:
                kinds.append(_key("o", "differs from 1 (signed rank, Holm)", markersize=9, markerfacecolor="none"))
            if self.beyond_:
                kinds.append(_key(r"$\uparrow$", "beyond the axis: diverged", markersize=6))
            handles = [*self.ax_.get_legend_handles_labels()[0], *kinds]
            few = " (few)" if n_seeds < FEW else ""
            title = (
                f"median of ratios paired by seed, {n_seeds} seeds{few};\n"
                "bar: uncertainty (95% interval of that median)"
            )
            self.ax_.legend(handles=handles, title=title, title_fontsize=8, alignment="left", loc="best")
        return self

    def _draw(self, place: int, each: Difference, ceiling: float) -> None:
        ratio, (low, high) = each.ratio, each.interval
        # Set apart sideways, a little and evenly, so that bars at the same width do not hide each other.
        width = each.arm.width * (1.0 + 0.06 * (place - 2))
        colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
        shown = gaps(ratio, ceiling)
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


def _key(marker: str, label: str, **kinds: Any) -> Line2D:
    """Return a legend entry for a kind of mark, whatever its arm's colour."""
    return Line2D([], [], linestyle="", marker=marker, color=NOTE_COLOUR, label=label, **kinds)
