"""What all plots share: colours, type, axes, and sheets of panels."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
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
from ensemble.statistics import Errorbar, few_note, quartiles

# Okabe and Ito's colours, told apart with any colour vision; black and yellow are left out (text; too pale for lines).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (7, 1, 1, 1, 1, 1)), (0, (3, 3)))
AXES = {  # what curves are drawn against
    "width": "width (hidden units)", "multiply_adds": "multiply-adds per sample", "hidden_layers": "hidden layers",
}  # fmt: skip
DECADES = 10  # of an error axis, at most
DATA_COLOUR, NOTE_COLOUR = "0.55", "0.25"

STYLE: dict[Any, Any] = {
    "font.size": 9.0, "axes.titlesize": 9.5, "axes.labelsize": 9.0, "legend.fontsize": 8.0, "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": "0.92", "grid.linewidth": 0.6, "axes.axisbelow": True, "legend.framealpha": 0.85,
    "legend.edgecolor": "none", "lines.linewidth": 1.6, "lines.markersize": 4.5, "figure.dpi": 100.0,
    "savefig.dpi": 144.0, "figure.facecolor": "white", "svg.hashsalt": "ensemble", "svg.fonttype": "none",
}  # fmt: skip


def look(place: int) -> tuple[str, str]:
    """Return the colour and the marker of the curve in a place."""
    return COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]


class Display(Protocol):
    """What every display can do: draw itself into an axes."""

    def plot(self, ax: Axes | None = None) -> Any:
        """Draw and return self."""


def panel(display: Display, title: str) -> Callable[[Axes], None]:
    """Return the panel of a `sheet` that shows a display under a title."""

    def draw(ax: Axes) -> None:
        display.plot(ax)
        ax.set_title(title)

    return draw


def sheet(
    panels: Sequence[Callable[[Axes], None]], title: str = "", *, columns: int = 2,
    panel_size: tuple[float, float] = (4.5, 3.4), share: bool = False, legend_at: int | None = None,
) -> Figure:  # fmt: skip
    """Return a figure with one axes per panel, each drawn by its function.

    With `legend_at` the legend of that panel, which must have drawn one, is moved below all panels: it serves all.
    """
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
        if legend_at is not None:
            _share_legend(figure, list(axes[: len(panels)]), legend_at)
        if title:
            figure.suptitle(title, fontsize=11, fontweight="bold")
    return figure


def _share_legend(figure: Figure, axes: Sequence[Axes], place: int) -> None:
    """Put the legend of one axes below the figure, and take those of all axes away."""
    legend = axes[place].get_legend()
    assert legend is not None
    entries, words = legend.legend_handles, [text.get_text() for text in legend.get_texts()]
    heading = legend.get_title().get_text().replace("\n", " ")
    for ax in axes:
        own = ax.get_legend()
        if own is not None:
            own.remove()
    figure.legend(
        [entry for entry in entries if entry is not None], words, loc="outside lower center",
        ncols=len(words) if len(words) <= 5 else -(-len(words) // 2),
        title=heading, title_fontsize=8,
    )  # fmt: skip


def panel_shape(count: int) -> tuple[float, float]:
    """Return width and height, in inches, of each of `count` panels: smaller where there are many."""
    return (4.5, 3.4) if count <= 4 else (3.6, 2.9)


@contextmanager
def drawing(ax: Axes | None) -> Iterator[tuple[Axes, Figure]]:
    """Yield `ax`, or the axes of a new figure, with its figure; what is drawn meanwhile has the style of all plots."""
    with matplotlib.rc_context(STYLE):
        if ax is None:
            ax = Figure(figsize=(6.4, 4.4), layout="constrained").subplots()
        figure = ax.get_figure(root=True)
        assert figure is not None
        yield ax, figure


def about(dataset: Dataset) -> dict[str, Any]:
    """Return what displays of errors say about a dataset, as their keywords."""
    return {"y_name": dataset.y_name, "noise_variance": dataset.noise_variance}


def name_of(data: str) -> str:
    """Return a dataset's name as words, for the titles of small panels."""
    return data.replace("_", " ")


def title_of(name: str, dataset: Dataset) -> str:
    """Return the formula of a dataset's target, or the dataset's name."""
    target = dataset.target
    return name if target is None or target.formula == target.name else target.formula


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
        return re.sub(r"\^\{(.*)\}", lambda power: _raised(power[1]), text)


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
    elif high < 30 * low:
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
    ax.set_xlabel("epoch (full-batch steps)")


def draw_errors(
    ax: Axes, place: int, curve: Curve, measure: str, label: str, ceiling: float, errorbar: Errorbar | None
) -> tuple[Line2D, PolyCollection | None, str]:
    """Draw a measure of a curve's models against width: the median over seeds, and a band where there are several.

    Returns the line, the band, and what the band is in words.
    """
    colour, marker = look(place)
    band, words = None, ""
    if errorbar is not None and len(curve.seeds) > 1:
        (low, high), words = curve.band(measure, errorbar)
        low, high = gaps(low, ceiling), gaps(np.minimum(high, ceiling), np.inf)
        band = ax.fill_between(curve.across, low, high, color=colour, alpha=0.2, linewidth=0)
    (line,) = ax.plot(
        curve.across, gaps(quartiles(curve.of(measure))[1], ceiling), color=colour, marker=marker, label=label,
        markeredgecolor="white", markeredgewidth=0.5,
    )  # fmt: skip
    return line, band, words


def draw_floor(ax: Axes, noise_variance: float, in_legend: bool = False) -> Line2D:
    """Draw the variance of the data's noise as a line, with its name on it or in the legend, and return the line."""
    line = ax.axhline(noise_variance, color=NOTE_COLOUR, linewidth=1, linestyle=":")
    ax.set_ylim(bottom=min(noise_variance / 3, ax.get_ylim()[0]))
    if in_legend:
        line.set_label("noise variance: best in the mean")
        return line
    ax.text(
        0.01, noise_variance / 1.2, "noise variance: best possible in the mean", color=NOTE_COLOUR, fontsize=7,
        va="top", transform=ax.get_yaxis_transform(),
    )  # fmt: skip
    return line


def draw_legend(
    ax: Axes, n_seeds: int, noise_variance: float | None, band: str = "", more: Sequence[Artist] = ()
) -> None:
    """Draw a legend that says what line and band are, above the line of the noise variance if there is one."""
    low, high = np.log(ax.get_ylim())
    bottom = (np.log(noise_variance) - low) / (high - low) if noise_variance else 0.0
    handles = [*ax.get_legend_handles_labels()[0], *more]
    ax.legend(
        handles=handles, title=legend_title(n_seeds, band), title_fontsize=8, alignment="left", loc="best",
        bbox_to_anchor=(0, bottom, 1, 1 - bottom),
    )  # fmt: skip


def legend_title(n_seeds: int, band: str = "") -> str:
    """Return the words on what a line and its band are; fewer than 10 seeds are called "few"."""
    few = " (few)" * bool(few_note(n_seeds))
    return f"median of {n_seeds} seed{'s' * (n_seeds != 1)}{few}" + (f";\nband: {band}" if band else "")


def rate_text(lr: float) -> str:
    """Return a learning rate as a power of two where it is one (to half a step), else as a short number."""
    power = round(2 * math.log2(lr)) / 2
    return f"2{_raised(f'{power:g}')}" if math.isclose(lr, 2.0**power, rel_tol=1e-12) else f"{lr:.3g}"


def _raised(number: str) -> str:
    """Return a number as superscript, the point as a raised dot."""
    return number.translate(str.maketrans("-.0123456789", "⁻·⁰¹²³⁴⁵⁶⁷⁸⁹"))


def ceiling_of(*errors: NDArray[np.float64]) -> float:
    """Return the top of an axis for these errors: twice the largest, but at most DECADES above the smallest.

    Models on their way to divergence reach errors near 1e300, which would flatten everything else.
    """
    values = np.concatenate([array.ravel() for array in errors])
    values = values[np.isfinite(values) & (values > 0)]
    return 2 * float(min(values.max(), values.min() * 10.0**DECADES)) if values.size else 1.0


def gaps(values: NDArray[np.float64], ceiling: float) -> NDArray[np.float64]:
    """Return the values with NaN, which matplotlib leaves out, in place of those above a log axis, and of zeros."""
    return np.where((values > 0) & (values < ceiling), values, np.nan)
