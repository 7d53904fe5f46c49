"""Displays of error against width, and against epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter
from numpy.typing import NDArray

from ensemble.analysis import AT_FIXED, Curve, LearningCurve
from ensemble.plots import style
from ensemble.statistics import Errorbar, quartiles


@dataclass(eq=False, repr=False)
class WidthCurveDisplay:
    """Test error against width on log axes: median over seeds with a band, single seeds faint.

    Parameters
    ----------
    curves : sequence of Curve
        Drawn in order, one colour and marker each.
    y_name : str
        Name or unit of the output, for the axis label.
    noise_variance : float, optional
        Drawn as a line where it is near: what no model can beat on test data in the mean.
    exact : float
        Errors up to this are rounding, and not drawn.
    errorbar : {"ci", "pi"}, pair of that and a number, or None
        What the band is, in seaborn's words; see `ensemble.statistics.error_band`. Default: the 95% interval of the
        median. None, or a single seed, draws no band.
    fixed : bool
        Draw also the median at one fixed learning rate, dashed: the one that is best at the middle width.
    mean_predictions : sequence of (W,) arrays, one per curve
        Test MSE of the mean of all seeds' predictions, drawn dotted.
    parameters_per_unit : int, optional
        Draw a second axis with the number of parameters.
    shared : bool
        The legend serves other panels too: how many seeds diverged is said over each width alone.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
    lines_ : list of Line2D
        Median over seeds, one per curve.
    bands_ : list of PolyCollection
    seeds_ : list of PathCollection
        Single seeds.
    fixed_lines_, mean_lines_ : list of Line2D
        One per curve where drawn.
    floor_ : Line2D or None
        The noise variance, where it is known and near.
    notes_ : list of Text
        "3/16" where 3 of 16 seeds diverged; empty where none did.
    """

    curves: Sequence[Curve]
    _: KW_ONLY
    y_name: str = "y"
    noise_variance: float | None = None
    exact: float = 0.0
    errorbar: Errorbar | None = "ci"
    fixed: bool = False
    mean_predictions: Sequence[NDArray[np.float64]] = ()
    parameters_per_unit: int | None = None
    shared: bool = False

    def plot(self, ax: Axes | None = None, *, legend: bool = True) -> WidthCurveDisplay:
        """Draw into `ax` (default: a figure of its own) and return self."""
        with style.drawing(ax) as (self.ax_, self.figure_):
            style.across_axis(self.ax_, self.curves)
            style.log_axis(self.ax_)
            self.ax_.set_ylabel(f"test MSE ({style.plain(self.y_name)}²)")
            self.lines_: list[Line2D] = []
            self.bands_: list[PolyCollection] = []
            self.seeds_: list[PathCollection] = []
            self.fixed_lines_: list[Line2D] = []
            self.mean_lines_: list[Line2D] = []
            self.notes_: list[Text] = []
            self.band_words_ = ""
            ceiling = style.ceiling_of(*(curve.errors for curve in self.curves), exact=self.exact)
            for place, curve in enumerate(self.curves):
                self._draw(place, curve, ceiling)
            lowest = style.error_limits(self.ax_, ceiling, *(curve.errors for curve in self.curves), exact=self.exact)
            if self.notes_:
                self.ax_.set_ylim(top=5 * ceiling)  # room for the notes
            self.floor_ = style.draw_floor(self.ax_, self.noise_variance, lowest) if self.noise_variance else None
            style.tidy_log_axis(self.ax_)
            if self.parameters_per_unit:
                self._draw_parameters(self.parameters_per_unit)
            if legend:
                style.draw_legend(self.ax_, len(self.curves[0].seeds), self.band_words_, more=self._entries())
        return self

    def _draw(self, place: int, curve: Curve, ceiling: float) -> None:
        colour, _ = style.look(place, curve.label)
        n_seeds, diverged = len(curve.seeds), int(curve.diverged.sum())
        counted = diverged and not self.shared
        label = curve.label + (f" ({diverged} of {curve.errors.size} diverged)" if counted else "")
        # Seeds are set apart sideways, a little and evenly, so that curves at the same widths do not hide each other.
        shift = 1.0 + 0.05 * (place - (len(self.curves) - 1) / 2)
        widths = np.repeat(curve.across * shift, n_seeds)
        errors = style.gaps(curve.errors, ceiling, self.exact).ravel()
        self.seeds_.append(self.ax_.scatter(widths, errors, s=6, color=colour, alpha=0.22, linewidths=0, zorder=1.5))
        line, band, words = style.draw_errors(
            self.ax_, place, curve, "test_loss", label, ceiling, self.errorbar, self.exact
        )
        self.lines_.append(line)
        self.bands_ += [] if band is None else [band]
        self.band_words_ = words
        if self.fixed:
            fixed = quartiles(curve.of(AT_FIXED))[1]
            self.fixed_lines_ += self.ax_.plot(
                curve.across, style.gaps(fixed, ceiling, self.exact), color=colour, linestyle=(0, (4, 2)), linewidth=1.1
            )
        if self.mean_predictions:
            self.mean_lines_ += self.ax_.plot(
                curve.across, style.gaps(self.mean_predictions[place], ceiling, self.exact), color=colour,
                linestyle=(0, (1, 1)), linewidth=1.6,
            )  # fmt: skip
        for width, count in zip(curve.across[curve.diverged > 0], curve.diverged[curve.diverged > 0], strict=True):
            self.notes_.append(
                self.ax_.text(
                    width, 0.985 - 0.045 * place, f"{count}/{n_seeds}", color=colour, fontsize=6.5,
                    ha="center", va="top", transform=self.ax_.get_xaxis_transform(),
                )
            )  # fmt: skip

    def _entries(self) -> list[Line2D]:
        """Return legend entries that say what dashed and dotted lines, and the notes of a shared legend, are."""
        entries = []
        if self.fixed:
            tuned = int(self.curves[0].width[self.curves[0].middle])
            label = f"one learning rate for all, tuned at width {tuned}"
            entries.append(Line2D([], [], color=style.NOTE_COLOUR, linestyle=(0, (4, 2)), linewidth=1.1, label=label))
        if self.mean_predictions:
            label = "mean of all seeds' predictions"
            entries.append(Line2D([], [], color=style.NOTE_COLOUR, linestyle=(0, (1, 1)), linewidth=1.6, label=label))
        if self.shared and self.notes_:
            entries.append(Line2D([], [], linestyle="", label="3/16: that many seeds diverged"))
        return entries

    def _draw_parameters(self, per_unit: int) -> None:
        # No functions of our own: a figure is sent to the process that draws it.
        second = self.ax_.secondary_xaxis(
            "top", functions=(partial(np.multiply, per_unit), partial(np.multiply, 1 / per_unit))
        )
        ticks = [tick * per_unit for tick in self.ax_.get_xticks()]
        second.xaxis.set_major_locator(FixedLocator(ticks))
        second.xaxis.set_minor_locator(NullLocator())
        second.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        second.set_xlabel("parameters")


@dataclass(eq=False, repr=False)
class LearningCurveDisplay:
    """Test error against epoch: median and interquartile band over seeds, one line per width.

    Parameters
    ----------
    curves : sequence of LearningCurve
    y_name : str
        Name or unit of the output, for the axis label.
    noise_variance : float, optional
        Drawn as a line where it is near.
    exact : float
        Errors up to this are rounding, and not drawn.
    part : str
        What the errors are of: "test", "training", "validation".
    details : bool
        Say each curve's learning rate in the legend, and how many seeds diverged.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
    lines_, bands_ : list of Line2D, list of PolyCollection
        One each per curve.
    """

    curves: Sequence[LearningCurve]
    _: KW_ONLY
    y_name: str = "y"
    noise_variance: float | None = None
    exact: float = 0.0
    part: str = "test"
    details: bool = True

    def plot(self, ax: Axes | None = None) -> LearningCurveDisplay:
        """Draw into `ax` (default: a figure of its own) and return self."""
        with style.drawing(ax) as (self.ax_, self.figure_):
            style.log_axis(self.ax_)
            self.lines_: list[Line2D] = []
            self.bands_: list[PolyCollection] = []
            errors = [curve.quartiles for curve in self.curves]
            ceiling = style.ceiling_of(*errors, exact=self.exact)
            for curve, looks in zip(self.curves, self._looks(), strict=True):
                low, median = style.gaps(curve.quartiles[:2], ceiling, self.exact)
                high = style.gaps(np.minimum(curve.quartiles[2], ceiling), np.inf, self.exact)
                label = curve.label or f"width {curve.width}"
                if self.details:
                    label += f", lr {style.rate_text(curve.lr)}" if np.isfinite(curve.lr) else ""
                    label += f" ({curve.diverged} of {curve.n_seeds} diverged)" if curve.diverged else ""
                self.lines_ += self.ax_.plot(curve.epochs, median, label=label, **looks)
                self.bands_.append(
                    self.ax_.fill_between(curve.epochs, low, high, color=looks["color"], alpha=0.18, linewidth=0)
                )
            lowest = style.error_limits(self.ax_, ceiling, *errors, exact=self.exact)
            if self.noise_variance:
                style.draw_floor(self.ax_, self.noise_variance, lowest)
            style.tidy_log_axis(self.ax_)
            style.epoch_axis(self.ax_, max(int(curve.epochs[-1]) for curve in self.curves))
            self.ax_.set_ylabel(f"{self.part} MSE ({style.plain(self.y_name)}²)")
            spread = "spread (interquartile range)" if self.curves[0].n_seeds > 1 else ""
            style.draw_legend(self.ax_, self.curves[0].n_seeds, spread)
        return self

    def _looks(self) -> list[dict[str, Any]]:
        """Return a look per curve: shades where they differ in width alone, else a colour each."""
        if not any(curve.label for curve in self.curves):
            return [look | {"linewidth": 1.6} for look in style.width_looks(len(self.curves))]
        return [
            {"color": style.look(place, curve.label)[0], "linestyle": style.DASHES[place % len(style.DASHES)]}
            for place, curve in enumerate(self.curves)
        ]
