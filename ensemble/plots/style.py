"""What all plots share: colours, type, and axes.

Used by every display; sheets of several panels are in `sheets`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    FixedLocator,
    LogFormatterSciNotation,
    LogLocator,
    NullFormatter,
    NullLocator,
    StrMethodFormatter,
)
from numpy.typing import NDArray

from ensemble.analysis import Curve
from ensemble.data import Dataset
from ensemble.plots.figure import Figure
from ensemble.statistics import Errorbar, few_note, quartiles

# Okabe and Ito's colours, told apart with any colour vision; black and yellow are left out (text; too pale for lines).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
# What has the same colour in every figure, by the label of its curve; other labels take a colour by their place. No
# other kind of thing has the colours of the optimizers; Tol's muted colours are those of the depths.
LOOKS = {
    "gd": ("#0072B2", "o"), "adam": ("#D55E00", "s"), "momentum": ("#009E73", "^"),
    "both biases": ("#222222", "o"), "hidden bias only": ("#56B4E9", "s"), "output bias only": ("#E69F00", "^"),
    "no bias": ("#CC79A7", "D"), "standard": ("#56B4E9", "o"), "mu-P": ("#CC79A7", "s"),
    "1 hidden layer": ("#332288", "o"), "2 hidden layers": ("#44AA99", "s"), "3 hidden layers": ("#999933", "^"),
    "4 hidden layers": ("#882255", "D"), "trained to the end": ("#CC6677", "o"), "stopped early": ("#117733", "s"),
    "weight decay": ("#6699CC", "^"),
}  # fmt: skip
WIDTH_COLOURS = "RdPu"  # widths are ordered: a colormap, dark to pale, which nothing else has
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (7, 1, 1, 1, 1, 1)), (0, (3, 3)))
AXES = {  # what curves are drawn against
    "width": "width (hidden units)", "multiply_adds": "multiply-adds per sample", "hidden_layers": "hidden layers",
}  # fmt: skip
DECADES = 10  # of an error axis, at most
REACH = 300  # how far below the lowest error the noise variance is still drawn
EXACT = 1e-10  # an error of this share of the largest |y| is rounding: a constant is learned exactly
DATA_COLOUR, NOTE_COLOUR = "0.55", "0.25"

STYLE: dict[Any, Any] = {
    "font.size": 9.0, "axes.titlesize": 9.5, "axes.labelsize": 9.0, "legend.fontsize": 8.0, "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": "0.92", "grid.linewidth": 0.6, "axes.axisbelow": True, "legend.framealpha": 0.85,
    "legend.edgecolor": "none", "lines.linewidth": 1.6, "lines.markersize": 4.5, "figure.dpi": 100.0,
    "savefig.dpi": 144.0, "figure.facecolor": "white", "svg.hashsalt": "ensemble", "svg.fonttype": "none",
}  # fmt: skip


def look(place: int, label: str = "") -> tuple[str, str]:
    """Return the colour and the marker of a curve: those of its label in all figures, or those of its place."""
    return LOOKS.get(label, (COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]))


def width_looks(count: int) -> list[dict[str, Any]]:
    """Return the looks of the lines of `count` widths, ascending: the wider, the paler, broader and further down.

    So a wide one stays visible where a narrow one has the same course.
    """
    shades = matplotlib.colormaps[WIDTH_COLOURS](np.linspace(1.0, 0.42, count) if count > 1 else [0.8])
    broad = np.linspace(1.2, 4.5, count) if count > 1 else [1.6]
    return [
        {"color": to_hex(shade), "linewidth": float(width), "zorder": 3 - place / count}
        for place, (shade, width) in enumerate(zip(shades, broad, strict=True))
    ]


@contextmanager
def drawing(ax: Axes | None) -> Iterator[tuple[Axes, matplotlib.figure.Figure]]:
    """Yield `ax`, or the axes of a new figure, with its figure; what is drawn meanwhile has the style of all plots."""
    with matplotlib.rc_context(STYLE):
        if ax is None:
            ax = Figure(figsize=(7.6, 4.4), layout="constrained").subplots()
        figure = ax.get_figure(root=True)
        assert figure is not None
        yield ax, figure


def about(dataset: Dataset) -> dict[str, Any]:
    """Return what displays of errors say about a dataset, as their keywords."""
    return {"y_name": dataset.y_name, "noise_variance": dataset.noise_variance, "exact": exact_error(dataset)}


def exact_error(dataset: Dataset) -> float:
    """Return the MSE up to which a network has learned a dataset exactly, to rounding."""
    return float(EXACT * np.abs(dataset.y_train).max()) ** 2


def plain(name: str) -> str:
    """Return the name of a file or a column such that matplotlib takes no part of it for a formula."""
    return name.replace("$", r"\$")


def name_of(data: str) -> str:
    """Return a dataset's name as words, for the titles of small panels."""
    return plain(data.replace("_", " "))


def title_of(name: str, dataset: Dataset) -> str:
    """Return the formula of a dataset's target, or the dataset's name."""
    target = dataset.target
    return plain(name) if target is None or target.formula == target.name else target.formula


def log_width_axis(ax: Axes, widths: NDArray[np.int64]) -> None:
    """Make the x axis one of widths, in powers of two."""
    low, high = int(widths.min()), int(widths.max())
    ax.set_xscale("log", base=2)
    powers = [2**power for power in range(31) if low <= 2**power <= high]
    ticks = powers[:: -(-len(powers) // 8)] if len(powers) > 1 else sorted({low, high})
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.set_xlim(low / 1.25, high * 1.25)
    ax.set_xlabel(AXES["width"])


def across_axis(ax: Axes, curves: Sequence[Curve]) -> None:
    """Make the x axis one of what the curves are drawn against: of widths, or with ticks at the points of the first."""
    log_width_axis(ax, np.concatenate([curve.across for curve in curves]))
    if curves[0].axis != "width":
        ax.xaxis.set_major_locator(FixedLocator(curves[0].across.tolist()))
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        ax.set_xlabel(AXES[curves[0].axis])


class LogLabels(LogFormatterSciNotation):
    """Labels of a logarithmic axis as plain text, such as 10⁻³: formulas take a fifth of the time of drawing."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return the label of a tick."""
        text = (
            super()
            .__call__(x, pos)
            .removeprefix(r"$\mathdefault{")
            .removesuffix("}$")
            .replace(r"\times", "\N{MULTIPLICATION SIGN}")
        )
        return re.sub(r"\^\{(.*)\}", lambda power: raised(power[1]), text)


def log_axis(ax: Axes) -> None:
    """Make the y axis a logarithmic one."""
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(LogLabels())
    ax.yaxis.set_minor_formatter(LogLabels())


def tidy_log_axis(ax: Axes) -> None:
    """Leave out the minor ticks of a logarithmic y axis of some decades: nobody reads them, and they cost most time."""
    low, high = ax.get_ylim()
    if high > 1e3 * low:
        ax.yaxis.set_minor_locator(NullLocator())
    elif high < 100 * low:
        for formatter in (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
            formatter(StrMethodFormatter("{x:.3g}"))
        if high > 3 * low:  # a label at each minor tick would be one too many
            ax.yaxis.set_minor_formatter(NullFormatter())
            ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))


def epoch_axis(ax: Axes, last: int) -> None:
    """Make the x axis one of epochs, in powers of ten with a place for epoch 0."""
    ax.set_xscale("symlog", linthresh=1)
    powers = [10**power for power in range(9) if 10**power <= last]
    ax.xaxis.set_major_locator(FixedLocator([0, *powers]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.set_xlim(0, max(last, 1))
    ax.set_xlabel("epoch")


def draw_errors(
    ax: Axes, place: int, curve: Curve, measure: str, label: str, ceiling: float, errorbar: Errorbar | None,
    exact: float = 0.0,
) -> tuple[Line2D, PolyCollection | None, str]:  # fmt: skip
    """Draw a measure of a curve's models against width: the median over seeds, and a band where there are several.

    Returns the line, the band, and what the band is in words.
    """
    colour, marker = look(place, curve.label)
    band, words = None, ""
    if errorbar is not None and len(curve.seeds) > 1:
        (low, high), words = curve.band(measure, errorbar)
        low, high = gaps(np.maximum(low, exact), ceiling), gaps(np.minimum(high, ceiling), np.inf, exact)
        band = ax.fill_between(curve.across, low, high, color=colour, alpha=0.2, linewidth=0)
    (line,) = ax.plot(
        curve.across, gaps(quartiles(curve.of(measure))[1], ceiling, exact), color=colour, marker=marker, label=label,
        markeredgecolor="white", markeredgewidth=0.5,
    )  # fmt: skip
    return line, band, words


def draw_floor(ax: Axes, noise_variance: float, lowest: float) -> Line2D | None:
    """Draw the variance of the data's noise as a line with an entry in the legend, and return it.

    None where it is so far below the lowest error that curves would be pressed flat to show it.
    """
    if not noise_variance > lowest / REACH:
        return None
    line = ax.axhline(
        noise_variance, color=NOTE_COLOUR, linewidth=1, linestyle=":", label="noise variance: best in the mean"
    )
    ax.set_ylim(bottom=min(noise_variance / 3, ax.get_ylim()[0]))
    return line


def error_limits(ax: Axes, ceiling: float, *errors: NDArray[np.float64], exact: float = 0.0) -> float:
    """Make the y axis end at `ceiling` and span a decade or more, and return the lowest error that is drawn.

    Where every error is 0 to rounding there is nothing to draw, and the panel says so.
    """
    values = np.concatenate([array.ravel() for array in errors])
    values = values[(values > exact) & (values < ceiling)]
    if not values.size:
        ax.set_ylim(1e-3, 1)
        if exact and all((array <= exact).any() for array in errors):
            ax.text(0.5, 0.5, "every error is 0 to rounding", ha="center", va="center", transform=ax.transAxes)
        return 1e-3
    lowest = float(values.min())
    ax.set_ylim(min(lowest / 1.6, ceiling / 10), ceiling)
    return lowest


def draw_legend(ax: Axes, n_seeds: int, band: str = "", more: Sequence[Artist] = (), title: str = "") -> None:
    """Draw a legend beside the axes, where it covers nothing, that says what line and band are."""
    handles = [*ax.get_legend_handles_labels()[0], *more]
    beside(ax, handles=handles, title=title or legend_title(n_seeds, band))


def beside(ax: Axes, **keywords: Any) -> None:
    """Draw a legend to the right of the axes."""
    ax.legend(
        loc="upper left", bbox_to_anchor=(1.0, 1.0), title_fontsize=8, alignment="left", borderaxespad=0.2, **keywords
    )


def legend_title(n_seeds: int, band: str = "") -> str:
    """Return the words on what a line and its band are; fewer than 10 seeds are called "few"."""
    few = " (few)" * bool(few_note(n_seeds))
    return f"median of {n_seeds} seed{'s' * (n_seeds != 1)}{few}" + (f";\nband: {band}" if band else "")


def rate_text(lr: float) -> str:
    """Return a learning rate as a power of two where it is one (to half a step), else as a short number."""
    power = round(2 * math.log2(lr)) / 2
    return f"2{raised(f'{power:g}')}" if math.isclose(lr, 2.0**power, rel_tol=1e-12) else f"{lr:.3g}"


def raised(number: str) -> str:
    """Return a number as superscript, the point as a raised dot."""
    return number.translate(str.maketrans("-.0123456789", "⁻·⁰¹²³⁴⁵⁶⁷⁸⁹"))


def ceiling_of(*errors: NDArray[np.float64], exact: float = 0.0) -> float:
    """Return the top of an axis for these errors: twice the largest, but at most DECADES above the smallest.

    Models on their way to divergence reach errors near 1e300, which would flatten everything else.
    """
    values = np.concatenate([array.ravel() for array in errors])
    values = values[np.isfinite(values) & (values > exact)]
    return 2 * float(min(values.max(), values.min() * 10.0**DECADES)) if values.size else 1.0


def gaps(values: NDArray[np.float64], ceiling: float, exact: float = 0.0) -> NDArray[np.float64]:
    """Return the values with NaN, which matplotlib leaves out, in place of those above a log axis, and of zeros.

    What is not above `exact` counts as 0.
    """
    return np.where((values > exact) & (values < ceiling), values, np.nan)
