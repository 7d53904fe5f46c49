"""The figures of the bias ablation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ensemble.plots.curves import LimitDisplay, WidthCurveDisplay
from ensemble.plots.fits import FitDisplay
from ensemble.plots.style import (
    STYLE,
    about,
    axes_of,
    sheet,
    title_of,
)

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


def bias_figures(study: BiasStudy, data: str, optimizer: str) -> dict[str, Figure]:
    """Return the ablation's figures on a dataset with an optimizer: summary, error by arm, fits by arm."""
    display = BiasAblationDisplay.from_study(study, data, optimizer)
    title = f"{title_of(study, data)}: what is the bias worth? ({optimizer}, best learning rate per width and arm)"

    def error(ax: Axes) -> None:
        display.plot(ax)

    found = {"error_by_arm": sheet([error], title)}
    bounds = study.bounds[data]
    if bounds is not None:
        limits = LimitDisplay(
            display.errors.curves, bounds, arms=list(bounds.no_bias), y_name=study.datasets[data].y_name
        )

        def possible(ax: Axes) -> None:
            limits.plot(ax)

        found["limits"] = sheet([possible], f"{title_of(study, data)}, {optimizer}: what is possible")
    if not display.fits:
        return {"summary": found["error_by_arm"]} | found
    n_arms, width = len(display.fits), display.errors.curves[0].width[-1]
    with matplotlib.rc_context(STYLE):
        fits = Figure(figsize=(2.3 * n_arms, 2.8), layout="constrained")
        display.plot_fits(fits.subplots(1, n_arms, sharex=True, sharey=True))
        fits.suptitle(
            f"{title_of(study, data)}, {optimizer}: fits at width {width}, seed with median error", fontsize=9.5
        )
        summary = Figure(figsize=(9, 6.6), layout="constrained")
        halves: Any = summary.subfigures(2, 1, height_ratios=(1.45, 1))
        upper, lower = halves
        display.plot(upper.subplots())
        upper.suptitle(title, fontsize=11, fontweight="bold")
        display.plot_fits(lower.subplots(1, n_arms, sharex=True, sharey=True))
        lower.suptitle(f"fits at width {width} over the training data (seed with median error)", fontsize=9.5)
    return {"summary": summary} | found | {"fits_by_arm": fits}
