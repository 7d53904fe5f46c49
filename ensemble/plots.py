"""The plots of the studies as display objects: data in `__init__`, drawn by `plot(ax=...)`, artists as attributes.

The last station of the flow and the only importer of matplotlib; a display takes its data from a study
(`from_study`) or from anyone. No display shows a window or changes matplotlib's settings.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, PolyCollection, QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import ArrayLike, NDArray

from ensemble.data import Dataset
from ensemble.studies.bounds import Bounds
from ensemble.studies.curves import Curve, LearningCurve, quartiles
from ensemble.studies.files import check_format
from ensemble.studies.study import Fit

if TYPE_CHECKING:
    from ensemble.studies.bias import BiasStudy
    from ensemble.studies.fit import FitStudy
    from ensemble.studies.study import Study
    from ensemble.studies.width import WidthStudy

__all__ = [
    "BiasAblationDisplay",
    "Figure",
    "FitDisplay",
    "LearningCurveDisplay",
    "LearningRateMapDisplay",
    "LimitDisplay",
    "WidthCurveDisplay",
    "bias_figures",
    "fit_figures",
    "render",
    "show",
    "width_figures",
]

# Okabe and Ito's colours, told apart with any colour vision; black and yellow are left out (text; too pale for lines).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (7, 1, 1, 1, 1, 1)), (0, (3, 3)))
DECADES = 10  # of an error axis, at most
DATA_COLOUR, NOTE_COLOUR = "0.55", "0.25"

STYLE: dict[Any, Any] = {
    "font.size": 9.0, "axes.titlesize": 9.5, "axes.labelsize": 9.0, "legend.fontsize": 8.0, "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": "0.92", "grid.linewidth": 0.6, "axes.axisbelow": True, "legend.framealpha": 0.85,
    "legend.edgecolor": "none", "lines.linewidth": 1.6, "lines.markersize": 4.5, "figure.dpi": 100.0,
    "savefig.dpi": 144.0, "figure.facecolor": "white", "svg.hashsalt": "ensemble", "svg.fonttype": "none",
}  # fmt: skip


class WidthCurveDisplay:
    """Test error against width on log axes: median and interquartile band over seeds, single seeds faint.

    Parameters
    ----------
    curves : sequence of Curve
        Drawn in order, one colour and marker each.
    y_name : str
        Name or unit of the output, for the axis label.
    noise_variance : float, optional
        Drawn as a line: what no model can beat on test data in the mean.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
    lines_ : list of Line2D
        Median over seeds, one per curve.
    bands_ : list of PolyCollection
    seeds_ : list of PathCollection
        Single seeds.
    notes_ : list of Text
        "3/16" where 3 of 16 seeds diverged; empty where none did.
    """

    def __init__(self, curves: Sequence[Curve], *, y_name: str = "y", noise_variance: float | None = None) -> None:
        self.curves = list(curves)
        self.y_name = y_name
        self.noise_variance = noise_variance

    @classmethod
    def from_study(cls, study: WidthStudy, data: str | None = None) -> WidthCurveDisplay:
        """Take the curves of a width study on a dataset (default: the first)."""
        data = next(iter(study.datasets)) if data is None else data
        return cls(study.curves(data), **_about(study.datasets[data]))

    def plot(self, ax: Axes | None = None) -> WidthCurveDisplay:
        """Draw into `ax` (default: a figure of its own) and return self."""
        with matplotlib.rc_context(STYLE):
            self.ax_, self.figure_ = _axes(ax)
            _log_width_axis(self.ax_, np.concatenate([curve.width for curve in self.curves]))
            self.ax_.set_yscale("log")
            self.ax_.set_ylabel(f"test MSE ({self.y_name}²)")
            self.lines_: list[Line2D] = []
            self.bands_: list[PolyCollection] = []
            self.seeds_: list[PathCollection] = []
            self.notes_: list[Text] = []
            ceiling = _ceiling(*(curve.errors for curve in self.curves))
            for place, curve in enumerate(self.curves):
                self._draw(place, curve, ceiling)
            if self.noise_variance:
                _draw_floor(self.ax_, self.noise_variance)
            self.ax_.set_ylim(top=5 * ceiling if self.notes_ else ceiling)  # room for the notes
            _draw_legend(self.ax_, len(self.curves[0].seeds), self.noise_variance)
        return self

    def _draw(self, place: int, curve: Curve, ceiling: float) -> None:
        colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
        low, median, high = curve.quartiles
        n_seeds, diverged = len(curve.seeds), int(curve.diverged.sum())
        label = curve.label + (f" ({diverged} of {curve.errors.size} diverged)" if diverged else "")
        # Seeds are set apart sideways, a little and evenly, so that curves at the same widths do not hide each other.
        shift = 1.0 + 0.05 * (place - (len(self.curves) - 1) / 2)
        widths = np.repeat(curve.width * shift, n_seeds)
        errors = _gaps(curve.errors, ceiling).ravel()
        self.seeds_.append(self.ax_.scatter(widths, errors, s=6, color=colour, alpha=0.22, linewidths=0, zorder=1.5))
        self.bands_.append(
            self.ax_.fill_between(
                curve.width,
                _gaps(low, ceiling),
                _gaps(np.minimum(high, ceiling), np.inf),
                color=colour,
                alpha=0.18,
                linewidth=0,
            )
        )
        self.lines_ += self.ax_.plot(
            curve.width, _gaps(median, ceiling), color=colour, marker=marker, label=label, markeredgecolor="white",
            markeredgewidth=0.5,
        )  # fmt: skip
        for width, count in zip(curve.width[curve.diverged > 0], curve.diverged[curve.diverged > 0], strict=True):
            self.notes_.append(
                self.ax_.text(
                    width, 0.985 - 0.045 * place, f"{count}/{n_seeds}", color=colour, fontsize=6.5,
                    ha="center", va="top", transform=self.ax_.get_xaxis_transform(),
                )
            )  # fmt: skip


class LimitDisplay:
    """Training error against what is possible: floors that no network can pass, networks that exist.

    Parameters
    ----------
    curves : sequence of Curve
        Their training errors are drawn, median and interquartile band over seeds.
    bounds : Bounds
    arms : sequence of str
        Which of the no-bias floors are drawn.
    y_name : str
        Name or unit of the output, for the axis label.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
    lines_ : list of Line2D
        Median over seeds, one per curve.
    floor_ : PolyCollection
        What lies below the width floor.
    built_ : list of Line2D
        The networks that exist; empty where none were built.
    no_bias_ : list of Line2D
        The no-bias floors, one per arm.
    """

    def __init__(self, curves: Sequence[Curve], bounds: Bounds, *, arms: Sequence[str] = (), y_name: str = "y") -> None:
        self.curves = list(curves)
        self.bounds = bounds
        self.arms = list(arms)
        self.y_name = y_name

    def plot(self, ax: Axes | None = None) -> LimitDisplay:
        """Draw into `ax` (default: a figure of its own) and return self."""
        with matplotlib.rc_context(STYLE):
            self.ax_, self.figure_ = _axes(ax)
            _log_width_axis(self.ax_, self.bounds.width)
            self.ax_.set_yscale("log")
            self.ax_.set_ylabel(f"training MSE ({self.y_name}²)")
            ceiling = _ceiling(*(curve.train_errors for curve in self.curves))
            self.lines_: list[Line2D] = []
            for place, curve in enumerate(self.curves):
                low, median, high = (_gaps(values, ceiling) for values in quartiles(curve.train_errors))
                colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
                self.ax_.fill_between(curve.width, low, high, color=colour, alpha=0.18, linewidth=0)
                self.lines_ += self.ax_.plot(
                    curve.width, median, color=colour, marker=marker, label=f"trained: {curve.label}",
                    markeredgecolor="white", markeredgewidth=0.5,
                )  # fmt: skip
            self._draw_possible(ceiling)
            n_seeds = len(self.curves[0].seeds)
            title = f"trained: median of {n_seeds} seed{'s' * (n_seeds != 1)},\nband: spread (interquartile range)"
            self.ax_.legend(title=title, title_fontsize=8, alignment="left", loc="best")
        return self

    def _draw_possible(self, ceiling: float) -> None:
        bounds = self.bounds
        self.built_: list[Line2D] = []
        if len(bounds.built):
            self.built_ = self.ax_.plot(
                bounds.built_width, _gaps(bounds.built, np.inf), color="black", marker="x", linestyle="--", linewidth=1,
                label="built: a network that exists",
            )  # fmt: skip
        self.no_bias_: list[Line2D] = []
        for arm in self.arms:
            value = bounds.no_bias[arm]
            place = [curve.label for curve in self.curves].index(arm)
            self.no_bias_.append(
                self.ax_.axhline(value, color=COLOURS[place % len(COLOURS)], linewidth=1, linestyle=(0, (1, 1)))
            )
            self.ax_.text(
                0.99, value * 0.75, f"floor: {arm}, any width ({value:.3g})", color=NOTE_COLOUR, fontsize=7, ha="right",
                va="top", transform=self.ax_.get_yaxis_transform(),
            )  # fmt: skip
        floor = _gaps(bounds.floor, np.inf)
        drawn = np.concatenate([floor, bounds.built, *(curve.train_errors.ravel() for curve in self.curves)])
        drawn = drawn[np.isfinite(drawn) & (drawn > 0)]
        bottom = max(drawn.min(), ceiling / 10.0**DECADES) / 3 if drawn.size else 1e-10
        self.ax_.set_ylim(bottom, ceiling)
        self.floor_ = self.ax_.fill_between(
            bounds.width, bottom / 10, floor, facecolor="0.88", edgecolor="0.5", hatch="///", linewidth=0.8,
            label="impossible at this width", zorder=0.5,
        )  # fmt: skip


class FitDisplay:
    """Fitted curves over the data, for one input.

    Parameters
    ----------
    fits : sequence of Fit
        Drawn in order, one colour and dash pattern each.
    x, y : array_like, shape (N,)
        The samples, drawn as points.
    x_name, y_name : str
        For the axis labels.
    part : str
        What the points are: "training", "test".

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
    points_ : PathCollection
    lines_ : list of Line2D
        One per fit.
    """

    def __init__(
        self, fits: Sequence[Fit], x: ArrayLike, y: ArrayLike, *, x_name: str = "x", y_name: str = "y",
        part: str = "training",
    ) -> None:  # fmt: skip
        self.fits = list(fits)
        self.x = np.asarray(x, dtype=np.float64).reshape(-1)
        self.y = np.asarray(y, dtype=np.float64)
        self.x_name, self.y_name, self.part = x_name, y_name, part

    @classmethod
    def from_study(
        cls, study: WidthStudy | BiasStudy | FitStudy, curve: Curve, *, part: str = "train", only: int | None = None
    ) -> FitDisplay:
        """Take the fits of one of a study's curves (all, or the one in place `only`) over a part of its data."""
        dataset = study.datasets[curve.data]
        x, y = dataset.parts()[part]
        fits = study.fits(curve) if only is None else [study.fits(curve)[only]]
        return cls(
            fits, x, y, x_name=dataset.x_names[0], y_name=dataset.y_name,
            part={"train": "training", "val": "validation", "test": "test"}[part],
        )  # fmt: skip

    def plot(self, ax: Axes | None = None, *, first_colour: int = 0, legend: bool = True) -> FitDisplay:
        """Draw into `ax` (default: a figure of its own), colours from place `first_colour` on; return self."""
        with matplotlib.rc_context(STYLE):
            self.ax_, self.figure_ = _axes(ax)
            self.points_ = self.ax_.scatter(
                self.x, self.y, s=9, color=DATA_COLOUR, alpha=0.5, linewidths=0, label=f"{self.part} data"
            )
            self.lines_: list[Line2D] = []
            span = max(float(np.ptp(self.y)), 1e-12)
            low, high = self.y.min() - 2 * span, self.y.max() + 2 * span  # what a failed fit may claim of the axes
            for place, fit in enumerate(self.fits, start=first_colour):
                shown = np.where((fit.prediction > low) & (fit.prediction < high), fit.prediction, np.nan)
                self.lines_ += self.ax_.plot(
                    fit.x, shown, color=COLOURS[place % len(COLOURS)],
                    linestyle=DASHES[(place - first_colour) % len(DASHES)], label=fit.label,
                )  # fmt: skip
            self.ax_.set_xlabel(self.x_name)
            self.ax_.set_ylabel(self.y_name)
            if legend:
                self.ax_.legend()
        return self


class LearningCurveDisplay:
    """Test error against epoch: median and interquartile band over seeds, one line per width.

    Parameters
    ----------
    curves : sequence of LearningCurve
    y_name : str
        Name or unit of the output, for the axis label.
    noise_variance : float, optional
        Drawn as a line.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
    lines_, bands_ : list of Line2D, list of PolyCollection
        One each per curve.
    """

    def __init__(
        self, curves: Sequence[LearningCurve], *, y_name: str = "y", noise_variance: float | None = None
    ) -> None:
        self.curves = list(curves)
        self.y_name = y_name
        self.noise_variance = noise_variance

    @classmethod
    def from_study(cls, study: WidthStudy | FitStudy, curve: Curve) -> LearningCurveDisplay:
        """Take the learning curves of (a few widths of) one of a study's curves."""
        return cls(study.learning_curves(curve), **_about(study.datasets[curve.data]))

    def plot(self, ax: Axes | None = None) -> LearningCurveDisplay:
        """Draw into `ax` (default: a figure of its own) and return self."""
        with matplotlib.rc_context(STYLE):
            self.ax_, self.figure_ = _axes(ax)
            self.ax_.set_xscale("symlog", linthresh=1)  # epoch 0 has its place too
            self.ax_.set_yscale("log")
            self.lines_: list[Line2D] = []
            self.bands_: list[PolyCollection] = []
            ceiling = _ceiling(*(curve.quartiles for curve in self.curves))
            for place, curve in enumerate(self.curves):
                colour = COLOURS[place % len(COLOURS)]
                low, median = _gaps(curve.quartiles[:2], ceiling)
                high = _gaps(np.minimum(curve.quartiles[2], ceiling), np.inf)
                label = f"width {curve.width}, lr {_rate(curve.lr)}"
                label += f" ({curve.diverged} of {curve.n_seeds} diverged)" if curve.diverged else ""
                self.lines_ += self.ax_.plot(
                    curve.epochs, median, color=colour, linestyle=DASHES[place % len(DASHES)], label=label
                )
                self.bands_.append(
                    self.ax_.fill_between(curve.epochs, low, high, color=colour, alpha=0.18, linewidth=0)
                )
            if self.noise_variance:
                _draw_floor(self.ax_, self.noise_variance)
            self.ax_.set_ylim(top=ceiling)
            last = max(int(curve.epochs[-1]) for curve in self.curves)
            powers = [10**power for power in range(9) if 10**power <= last]
            self.ax_.xaxis.set_major_locator(FixedLocator([0, *powers]))
            self.ax_.xaxis.set_minor_locator(NullLocator())
            self.ax_.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            self.ax_.set_xlim(0, max(last, 1))
            self.ax_.set_xlabel("epoch (full-batch steps)")
            self.ax_.set_ylabel(f"test MSE ({self.y_name}²)")
            _draw_legend(self.ax_, self.curves[0].n_seeds, self.noise_variance)
        return self


class LearningRateMapDisplay:
    """Median validation error over learning rate and width as a heat map, the best rate of each width marked.

    Parameters
    ----------
    curve : Curve
    y_name : str
        Name or unit of the output, for the label of the colour bar.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
    mesh_ : QuadMesh
        Widths across, learning rates upwards; grey where the median over seeds diverged, or is far off.
    ridge_ : Line2D
        The chosen learning rate of each width.
    colorbar_ : Colorbar
    """

    def __init__(self, curve: Curve, *, y_name: str = "y") -> None:
        self.curve = curve
        self.y_name = y_name

    @classmethod
    def from_study(cls, study: WidthStudy, curve: Curve) -> LearningRateMapDisplay:
        """Take one of a study's curves."""
        return cls(curve, y_name=study.datasets[curve.data].y_name)

    def plot(self, ax: Axes | None = None) -> LearningRateMapDisplay:
        """Draw into `ax` (default: a figure of its own) and return self."""
        curve = self.curve
        with matplotlib.rc_context(STYLE):
            self.ax_, self.figure_ = _axes(ax)
            medians = curve.validation_median.T  # (L, W)
            ridge = np.where(np.isfinite(medians.min(axis=0)), curve.best + 0.5, np.nan)
            ceiling = _ceiling(medians)
            positive = medians[(medians > 0) & (medians <= ceiling)]
            # An error of exactly 0 takes the colour of the smallest above it.
            errors = np.ma.masked_greater(np.maximum(medians, positive.min(initial=ceiling)), ceiling)
            colours = matplotlib.colormaps["viridis_r"].with_extremes(bad="0.8")
            norm = LogNorm(positive.min(), positive.max() * 1.01) if positive.size else None
            self.mesh_: QuadMesh = self.ax_.pcolormesh(
                errors, cmap=colours, norm=norm, edgecolor="white", linewidth=0.3
            )
            across = np.arange(len(curve.width)) + 0.5
            (self.ridge_,) = self.ax_.plot(
                across, ridge, color="white", marker="o", markeredgecolor="black", markersize=5.5,
                linewidth=1, label="best rate",
            )  # fmt: skip
            self.ax_.grid(visible=False)
            self.ax_.set_xticks(across, [str(width) for width in curve.width], rotation=45 if len(across) > 7 else 0)
            every = -(-len(curve.lr_grid) // 12)
            labels = [_rate(lr) for lr in curve.lr_grid.tolist()[::every]]
            self.ax_.set_yticks(np.arange(len(curve.lr_grid))[::every] + 0.5, labels)
            self.ax_.tick_params(length=0)
            self.ax_.set_xlabel("width (hidden units)")
            self.ax_.set_ylabel("learning rate")
            if errors.count():
                self.colorbar_ = self.figure_.colorbar(self.mesh_, ax=self.ax_, pad=0.02)
                self.colorbar_.set_label(f"validation MSE ({self.y_name}²), median of {len(curve.seeds)} seeds")
                self.colorbar_.outline.set_visible(False)
            grey = "; grey: diverged" if errors.count() < errors.size else ""
            self.ax_.set_title(f"{curve.label} (circles: best learning rate{grey})")
        return self


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
        return cls(WidthCurveDisplay(curves, **_about(dataset)), fits)

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
            self.ax_, self.figure_ = _axes(axes[0])
        return self


def width_figures(study: WidthStudy, data: str) -> dict[str, Figure]:
    """Return the width study's figures on a dataset by name: the summary, and its panels one by one."""
    curves = study.curves(data)
    best = min(curves, key=lambda curve: float(curve.validation_median.min()))
    one_input = study.datasets[data].n_inputs == 1

    def error(ax: Axes) -> None:
        WidthCurveDisplay.from_study(study, data).plot(ax)
        ax.set_title("test error, best learning rate per width")

    def fits(curve: Curve) -> Callable[[Axes], None]:
        def draw(ax: Axes) -> None:
            FitDisplay.from_study(study, curve).plot(ax)
            ax.set_title(f"{curve.label}: fits after {study.setup.epochs} epochs (seed with median error)")

        return draw

    def learning(curve: Curve) -> Callable[[Axes], None]:
        def draw(ax: Axes) -> None:
            LearningCurveDisplay.from_study(study, curve).plot(ax)
            ax.set_title(f"{curve.label}: learning curves")

        return draw

    def rates(curve: Curve) -> Callable[[Axes], None]:
        def draw(ax: Axes) -> None:
            LearningRateMapDisplay.from_study(study, curve).plot(ax)

        return draw

    bounds = study.bounds[data]

    def possible(ax: Axes) -> None:
        assert bounds is not None
        LimitDisplay(curves, bounds, y_name=study.datasets[data].y_name).plot(ax)
        ax.set_title("training error, and what is possible")

    panels = [error, *([fits(best)] if one_input else []), *map(rates, curves[:2])]
    panels += [learning(best)] if len(curves) == 1 else []
    title = f"{_title(study, data)}: how wide must a two-layer ReLU network be?"
    name = _title(study, data)
    found = {"summary": _sheet(panels, title), "width_curves": _sheet([error], name)}
    if one_input:
        found["fits"] = _sheet([fits(curve) for curve in curves], name)
    if bounds is not None:
        found["limits"] = _sheet([possible], name)
    found["learning_curves"] = _sheet([learning(curve) for curve in curves], name)
    found["learning_rate_map"] = _sheet([rates(curve) for curve in curves], name)
    return found


def bias_figures(study: BiasStudy, data: str, optimizer: str) -> dict[str, Figure]:
    """Return the ablation's figures on a dataset with an optimizer: summary, error by arm, fits by arm."""
    display = BiasAblationDisplay.from_study(study, data, optimizer)
    title = f"{_title(study, data)}: what is the bias worth? ({optimizer}, best learning rate per width and arm)"

    def error(ax: Axes) -> None:
        display.plot(ax)

    found = {"error_by_arm": _sheet([error], title)}
    bounds = study.bounds[data]
    if bounds is not None:
        limits = LimitDisplay(
            display.errors.curves, bounds, arms=list(bounds.no_bias), y_name=study.datasets[data].y_name
        )

        def possible(ax: Axes) -> None:
            limits.plot(ax)

        found["limits"] = _sheet([possible], f"{_title(study, data)}, {optimizer}: what is possible")
    if not display.fits:
        return {"summary": found["error_by_arm"]} | found
    n_arms, width = len(display.fits), display.errors.curves[0].width[-1]
    with matplotlib.rc_context(STYLE):
        fits = Figure(figsize=(2.3 * n_arms, 2.8), layout="constrained")
        display.plot_fits(fits.subplots(1, n_arms, sharex=True, sharey=True))
        fits.suptitle(
            f"{_title(study, data)}, {optimizer}: fits at width {width}, seed with median error", fontsize=9.5
        )
        summary = Figure(figsize=(9, 6.6), layout="constrained")
        halves: Any = summary.subfigures(2, 1, height_ratios=(1.45, 1))
        upper, lower = halves
        display.plot(upper.subplots())
        upper.suptitle(title, fontsize=11, fontweight="bold")
        display.plot_fits(lower.subplots(1, n_arms, sharex=True, sharey=True))
        lower.suptitle(f"fits at width {width} over the training data (seed with median error)", fontsize=9.5)
    return {"summary": summary} | found | {"fits_by_arm": fits}


def fit_figures(study: FitStudy, data: str) -> dict[str, Figure]:
    """Return the fit report on a dataset: fits at the reported epochs, the test fit, and the learning curve."""
    curve = study.curve(data)
    settings, n_seeds = study.settings, len(curve.seeds)
    seed = int(study.specs.seed[curve.typical[0]])

    def learning(ax: Axes) -> None:
        LearningCurveDisplay.from_study(study, curve).plot(ax)

    title = f"{_title(study, data)}: width {settings['width']}, {settings['optimizer']}, "
    title += f"learning rate {settings['lr']:g}"
    found = {"learning_curves": _sheet([learning], title)}
    fits = study.fits(curve)
    if not fits:
        return found

    def panel(place: int, part: str, words: str) -> Callable[[Axes], None]:
        def draw(ax: Axes) -> None:
            FitDisplay.from_study(study, curve, part=part, only=place).plot(
                ax, first_colour=part == "test", legend=False
            )
            fit = fits[place]
            ax.set_title(f"epoch {fit.epoch}: {words} MSE {study.mse(fit.model, fit.epoch, part):.3g}")

        return draw

    panels = [panel(place, "train", "training") for place in range(len(fits))] + [panel(-1, "test", "test")]
    title += f" (seed {seed}, the median of {n_seeds})"
    return {"report": _sheet(panels, title, columns=3, panel_size=(3.0, 2.4), share=True)} | found


def render(figure: Figure, suffix: str) -> bytes:
    """Return a figure as the content of a file; the same figure gives the same bytes.

    Raises
    ------
    ValueError
        `suffix` is none of "png", "svg" and "pdf".
    """
    check_format(suffix)
    # A date would make two runs differ.
    stamp: dict[str, Any] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[suffix]
    content = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(content, format=suffix, metadata=stamp)
    return content.getvalue()


def show(study: Study) -> None:
    """Open a window per figure of a study and wait until they are closed: what `--show` of the scripts does."""
    from matplotlib import pyplot

    for name, figure in study.figures().items():
        # The study's figures have no window: each takes over that of an empty one.
        window = pyplot.figure(num=name, figsize=tuple(figure.get_size_inches()))
        window.canvas.figure = figure
        figure.set_label(name)
        figure.set_canvas(window.canvas)
    pyplot.show()


def _sheet(
    panels: Sequence[Callable[[Axes], None]], title: str = "", *, columns: int = 2,
    panel_size: tuple[float, float] = (4.5, 3.4), share: bool = False,
) -> Figure:  # fmt: skip
    """Return a figure with one axes per panel, each drawn by its function."""
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    size = (panel_size[0] * columns, panel_size[1] * rows) if len(panels) > 1 else (7.5, 4.6)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share).ravel()
        for ax, draw in zip(axes, panels, strict=False):
            draw(ax)
        for ax in axes[len(panels) :]:
            ax.remove()
        if share:
            for ax in axes:
                ax.label_outer()
        if title:
            figure.suptitle(title, fontsize=11, fontweight="bold")
    return figure


def _axes(ax: Axes | None) -> tuple[Axes, Figure]:
    if ax is None:
        ax = Figure(figsize=(6.4, 4.4), layout="constrained").subplots()
    figure = ax.get_figure(root=True)
    assert figure is not None
    return ax, figure


def _about(dataset: Dataset) -> dict[str, Any]:
    return {"y_name": dataset.y_name, "noise_variance": dataset.noise_variance}


def _title(study: Study, data: str) -> str:
    target = study.datasets[data].target
    return data if target is None or target.formula == target.name else target.formula


def _log_width_axis(ax: Axes, widths: NDArray[np.int64]) -> None:
    low, high = int(widths.min()), int(widths.max())
    ax.set_xscale("log", base=2)
    powers = [2**power for power in range(31) if low <= 2**power <= high]
    ticks = powers[:: -(-len(powers) // 8)] if len(powers) > 1 else sorted({low, high})
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_xlim(low / 1.25, high * 1.25)
    ax.set_xlabel("width (hidden units)")


def _draw_floor(ax: Axes, noise_variance: float) -> None:
    """Draw the variance of the data's noise as a line with its name on it: no legend entry, no line through one."""
    ax.axhline(noise_variance, color=NOTE_COLOUR, linewidth=1, linestyle=":")
    ax.set_ylim(bottom=min(noise_variance / 3, ax.get_ylim()[0]))
    ax.text(
        0.01, noise_variance / 1.2, "noise variance: best possible in the mean", color=NOTE_COLOUR, fontsize=7,
        va="top", transform=ax.get_yaxis_transform(),
    )  # fmt: skip


def _draw_legend(ax: Axes, n_seeds: int, noise_variance: float | None) -> None:
    """Draw a legend that says what line and band are, above the line of the noise variance if there is one."""
    low, high = np.log(ax.get_ylim())
    bottom = (np.log(noise_variance) - low) / (high - low) if noise_variance else 0.0
    title = f"median of {n_seeds} seed{'s' * (n_seeds != 1)};\nband: spread (interquartile range)"
    ax.legend(title=title, title_fontsize=8, alignment="left", loc="best", bbox_to_anchor=(0, bottom, 1, 1 - bottom))


def _rate(lr: float) -> str:
    """Return a learning rate as a power of two where it is one (to half a step), else as a short number."""
    power = round(2 * math.log2(lr)) / 2
    return f"$2^{{{power:g}}}$" if math.isclose(lr, 2.0**power, rel_tol=1e-12) else f"{lr:.3g}"


def _ceiling(*errors: NDArray[np.float64]) -> float:
    """Return the top of an axis for these errors: twice the largest, but at most DECADES above the smallest.

    Models on their way to divergence reach errors near 1e300, which would flatten everything else.
    """
    values = np.concatenate([array.ravel() for array in errors])
    values = values[np.isfinite(values) & (values > 0)]
    return 2 * float(min(values.max(), values.min() * 10.0**DECADES)) if values.size else 1.0


def _gaps(values: NDArray[np.float64], ceiling: float) -> NDArray[np.float64]:
    """Return the values with NaN, which matplotlib leaves out, in place of those above a log axis, and of zeros."""
    return np.where((values > 0) & (values < ceiling), values, np.nan)
