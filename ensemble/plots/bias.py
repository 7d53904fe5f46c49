"""The figures of the bias ablation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ensemble.plots.curves import LimitDisplay, WidthCurveDisplay
from ensemble.plots.fits import FitDisplay
from ensemble.plots.style import (
    COLOURS,
    MARKERS,
    NOTE_COLOUR,
    STYLE,
    about,
    axes_of,
    ceiling_of,
    gaps,
    legend_title,
    log_width_axis,
    name_of,
    sheet,
    tidy_log_axis,
    title_of,
)
from ensemble.studies.bias import Difference

if TYPE_CHECKING:
    from ensemble.studies.bias import BiasStudy


class BiasAblationDisplay:
    """The bias ablation: error against width per arm, and the fit of each arm side by side.

    Parameters
    ----------
    errors : WidthCurveDisplay
        One curve per arm.
    fits : sequence of FitDisplay
        One per arm, in the same order; empty for several inputs.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
        Of the last plot.
    lines_, bands_, seeds_, notes_
        As in `WidthCurveDisplay`, after `plot`.
    """

    def __init__(self, errors: WidthCurveDisplay, fits: Sequence[FitDisplay] = ()) -> None:
        self.errors = errors
        self.fits = list(fits)

    @classmethod
    def from_study(cls, study: BiasStudy, data: str | None = None, optimizer: str | None = None) -> BiasAblationDisplay:
        """Take the arms of an ablation on a dataset with an optimizer (default: the first of each)."""
        curves = study.curves(data, optimizer)
        dataset = study.datasets[curves[0].data]
        fits = [FitDisplay.from_study(study, curve) for curve in curves] if dataset.n_inputs == 1 else []
        return cls(WidthCurveDisplay(curves, **about(dataset)), fits)

    def plot(self, ax: Axes | None = None) -> BiasAblationDisplay:
        """Draw error against width per arm into `ax` (default: a figure of its own) and return self."""
        self.errors.plot(ax)
        self.ax_, self.figure_ = self.errors.ax_, self.errors.figure_
        self.lines_, self.bands_ = self.errors.lines_, self.errors.bands_
        self.seeds_, self.notes_ = self.errors.seeds_, self.errors.notes_
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
    """

    def __init__(self, differences: Sequence[Difference]) -> None:
        self.differences = list(differences)

    @classmethod
    def from_study(
        cls, study: BiasStudy, data: str | None = None, optimizer: str | None = None
    ) -> PairedDifferenceDisplay:
        """Take the differences of an ablation on a dataset with an optimizer (default: the first of each)."""
        return cls(study.differences(data, optimizer))

    def plot(self, ax: Axes | None = None) -> PairedDifferenceDisplay:
        """Draw into `ax` (default: a figure of its own) and return self."""
        with matplotlib.rc_context(STYLE):
            self.ax_, self.figure_ = axes_of(ax)
            log_width_axis(self.ax_, self.differences[0].arm.width)
            self.ax_.set_yscale("log")
            self.lines_: list[Line2D] = []
            self.bars_: list[LineCollection] = []
            self.marks_: list[Line2D] = []
            with np.errstate(over="ignore"):
                ratios = [np.exp([found.median_log_ratio for found in each.comparisons]) for each in self.differences]
                ends = [np.exp([found.log_ratio_interval for found in each.comparisons]).T for each in self.differences]
            ceiling = ceiling_of(*ratios, *ends)
            for place, (each, ratio, (low, high)) in enumerate(zip(self.differences, ratios, ends, strict=True), 1):
                # Set apart sideways, a little and evenly, so that bars at the same width do not hide each other.
                width = each.arm.width * (1.0 + 0.05 * (place - 2))
                colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
                bottom = gaps(np.maximum(low, ratio[ratio > 0].min(initial=1) / 1e3), np.inf)
                top = gaps(np.minimum(high, ceiling), np.inf)
                self.bars_.append(self.ax_.vlines(width, bottom, top, color=colour, linewidth=1.4))
                self.lines_ += self.ax_.plot(
                    width, gaps(ratio, ceiling), color=colour, marker=marker, label=each.arm.label, linewidth=1,
                    markersize=3.5,
                )  # fmt: skip
                certain = np.array([found.significant is True for found in each.comparisons])
                if certain.any():
                    self.marks_ += self.ax_.plot(
                        width[certain], gaps(ratio[certain], ceiling), linestyle="", marker="o", markersize=9,
                        markerfacecolor="none", markeredgecolor=colour, markeredgewidth=0.8,
                    )  # fmt: skip
            self.ax_.axhline(1, color=NOTE_COLOUR, linewidth=1, linestyle=":")
            self.ax_.set_ylabel("test MSE / that with both biases")
            tidy_log_axis(self.ax_)
            n_seeds = self.differences[0].comparisons[0].n
            title = legend_title(n_seeds, "uncertainty (95% interval of the median ratio)").replace("band", "bar")
            title = title.replace("median of", "median of ratios paired by seed,")
            ring = Line2D([], [], linestyle="", marker="o", markersize=9, markerfacecolor="none", color=NOTE_COLOUR)
            ring.set_label("differs from 1 (signed rank, Holm)")
            handles = [*self.ax_.get_legend_handles_labels()[0], *([ring] if self.marks_ else [])]
            self.ax_.legend(handles=handles, title=title, title_fontsize=8, alignment="left", loc="best")
        return self


def bias_figures(study: BiasStudy, optimizer: str) -> dict[str, Figure]:
    """Return the ablation's figures with an optimizer: the summary, and one figure per topic."""
    names = list(study.datasets)
    displays = {name: BiasAblationDisplay.from_study(study, name, optimizer) for name in names}

    def error(name: str) -> Callable[[Axes], None]:
        def draw(ax: Axes) -> None:
            displays[name].plot(ax)
            ax.set_title(title_of(study, name))

        return draw

    def difference(name: str) -> Callable[[Axes], None]:
        def draw(ax: Axes) -> None:
            PairedDifferenceDisplay.from_study(study, name, optimizer).plot(ax)
            ax.set_title(title_of(study, name))

        return draw

    def possible(name: str) -> Callable[[Axes], None]:
        bounds = study.bounds[name]
        assert bounds is not None

        def draw(ax: Axes) -> None:
            y_name = study.datasets[name].y_name
            LimitDisplay(displays[name].errors.curves, bounds, arms=list(bounds.no_bias), y_name=y_name).plot(ax)
            floors = ", ".join(f"{arm} {value:.3g}" for arm, value in bounds.no_bias.items())
            ax.set_title(f"{title_of(study, name)}\nexact floors: {floors}")

        return draw

    after = f"after {study.setup.epochs} epochs of {optimizer}, best learning rate per width and arm"
    found = {
        "error_by_arm": sheet([error(name) for name in names], f"Test error {after}", legend_at=0),
        "differences": sheet(
            [difference(name) for name in names], f"What leaving a bias out costs {after}", legend_at=0
        ),
    }
    bounded = [name for name in names if study.bounds[name] is not None]
    if bounded:
        title = (
            f"Training error of the four arms after {study.setup.epochs} epochs of {optimizer}, and what is possible"
        )
        found["limits"] = sheet([possible(name) for name in bounded], title, legend_at=0)
    fitted = [name for name in names if displays[name].fits]
    if fitted:
        found["fits_by_arm"] = _fit_table(study, [displays[name] for name in fitted], fitted, optimizer)
    shown = names[:4]
    panels = [*map(error, shown), *map(difference, shown)]
    more = f" (the first {len(shown)} of {len(names)} datasets)" if len(names) > len(shown) else ""
    title = f"What is the bias worth?{more} ({optimizer}, best learning rate per width and arm)"
    panel_size = (3.3, 2.9) if len(shown) > 1 else (6.5, 3.4)
    summary = sheet(panels, title, columns=len(shown), panel_size=panel_size, legend_at=0)
    n_seeds = len(displays[names[0]].errors.curves[0].seeds)
    words = legend_title(n_seeds, "uncertainty (95% interval of the median)").replace("\n", " ")
    words = words.replace("band:", "bands, and bars of the paired ratios:")
    summary.legends[0].set_title(f"{words}; ring: differs from 1 (signed rank test, Holm)")
    return {"summary": summary} | found


def _fit_table(
    study: BiasStudy, displays: Sequence[BiasAblationDisplay], names: Sequence[str], optimizer: str
) -> Figure:
    """Return the fits of each arm (columns) on each dataset (rows)."""
    n_arms, width = len(displays[0].fits), displays[0].errors.curves[0].width[-1]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.5 * n_arms, 2.1 * len(names) + 0.4), layout="constrained")
        rows = figure.subplots(len(names), n_arms, sharex="row", sharey="row", squeeze=False)
        for axes, display, name in zip(rows, displays, names, strict=True):
            display.plot_fits(axes)
            axes[0].set_ylabel(f"{name_of(name)}\n{study.datasets[name].y_name}")
        figure.suptitle(
            f"Fits at width {width} over the training data ({optimizer}, seed with median error)", fontsize=11,
            fontweight="bold",
        )  # fmt: skip
    return figure
