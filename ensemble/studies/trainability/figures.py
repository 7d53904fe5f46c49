"""The trainability study's figures: the map with closer and closer looks, box counts, and what a pixel is.

Colours follow ranks within a picture, as in the paper: light is convergence, dark divergence, and both scales run in
even steps of lightness, so that the boundary is as clear in grey and to any colour vision.
"""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.patches import ConnectionPatch, Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from ensemble.plots import style
from ensemble.plots.figure import Figure
from ensemble.plots.sheets import sheet
from ensemble.plots.style import STYLE
from ensemble.statistics import BoxDimension
from ensemble.studies.trainability.maps import LIMIT, PAPER, TAIL, Map, Window, speed_of

if TYPE_CHECKING:
    from ensemble.studies.trainability.trained import TrainabilityStudy

__all__ = ["figures"]

DPI = STYLE["savefig.dpi"]
SIDE = 1024 / DPI  # inches: a pixel of the default map is a pixel of the picture
LEFT, BELOW, ABOVE, GAP, RIGHT = 0.85, 1.45, 0.95, 0.42, 0.3
FRAME = "#F0307A"
# Of examples in the order of their speeds: of those that converged the slowest first, of the others the fastest.
CONVERGED, DIVERGED = ("#9ecae1", "#4292c6", "#08306b"), ("#fb6a4a", "#cb181d", "#67000d")
RULE = (
    f"Light: converged, the mean loss of the last {TAIL} epochs is below that at the start. Dark: diverged, it is not."
)
CHOSEN = " Seed and window were chosen for their boundary: most are smoother."
RICH, PLACE, ALL = "#D55E00", "#56B4E9", "#0072B2"  # of the parts that are looked at closer


def figures(study: TrainabilityStudy) -> Iterator[tuple[str, Figure]]:
    """Yield the map, the box counts, and some networks' losses."""
    yield "trainability", _map(study)
    if study.scales:
        yield "dimension", _dimension(study)
    yield "losses", _losses(study)


# ---- colours ----


def _even(name: str, start: float, end: float) -> NDArray[np.float64]:
    """Return 256 colours of a part of a colour map in even steps of lightness (CIE L*), (256, 3)."""
    colours = matplotlib.colormaps[name](np.linspace(start, end, 256))[:, :3]
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    lightness = np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)
    steps = np.linspace(lightness[0], lightness[-1], 256)
    order = np.argsort(lightness)
    even: NDArray[np.float64] = np.stack([np.interp(steps, lightness[order], colours[order, i]) for i in range(3)], 1)
    return even


def _scales() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the colours of convergence, from slow to fast, and of divergence, from slow to fast."""
    return _even("YlGnBu", 0.0, 0.66), _even("inferno", 0.0, 0.56)


def _rank(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the place of each value among all in ascending order, in 256 equal steps."""
    places = np.empty(len(values), dtype=np.int64)
    places[np.argsort(values, kind="stable")] = np.arange(len(values)) * 256 // max(len(values), 1)
    return places


def picture(found: Map) -> NDArray[np.float64]:
    """Return the colours of a map's pixels, (n, n, 3)."""
    speed, colours = found.speed.ravel(), np.empty((found.speed.size, 3))
    inside = speed <= 0
    converging, diverging = _scales()
    colours[inside] = converging[_rank(speed[inside])]  # the largest losses, so the slowest, come first
    colours[~inside] = diverging[_rank(-speed[~inside])]
    return colours.reshape(found.pixels, found.pixels, 3)


# ---- the map ----


def _map(study: TrainabilityStudy) -> Figure:
    """Return the whole map, and beside it closer and closer looks at the richest part of its boundary."""
    closer = study.rich
    small = (SIDE - 2 * GAP) / 3
    left = LEFT if study.whole.window.side > 0.01 else 1.3  # rates of more digits
    width, height = left + SIDE + RIGHT + (0.6 + small) * bool(closer), BELOW + SIDE + ABOVE
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height))

        def place(x: float, y: float, w: float, h: float) -> Axes:
            return figure.add_axes((x / width, y / height, w / width, h / height))

        whole = place(left, BELOW, SIDE, SIDE)
        _draw(whole, study.whole)
        _rate_axes(whole, study.whole.window)
        before = whole, study.whole.window
        for level, found in enumerate(closer):
            ax = place(left + SIDE + 0.6, BELOW + SIDE - (level + 1) * small - level * GAP, small, small)
            _draw(ax, found)
            ax.set_xticks([])
            ax.set_yticks([])
            ax.set_title(f"{found.zoom:g} times closer: dimension {found.boxes.dimension:.2f}", fontsize=8, pad=4)
            _lead(figure, *before, ax, found.window)
            before = ax, found.window
        half = SIDE / 2 - 0.3
        _legend(study.whole, place(left, 0.5, half, 0.14), place(left + SIDE - half, 0.5, half, 0.14))
        figure.text(left / width, 1 - 0.36 / height, _headline(study), fontsize=14, fontweight="bold", va="center")
        figure.text(
            left / width, 1 - 0.66 / height,
            f"{study.whole.speed.size:,} networks, a pixel each, of different learning rates alone: {study.network}",
            fontsize=9, va="center", color=style.NOTE_COLOUR,
        )  # fmt: skip
        words = RULE + (CHOSEN if study.chosen else "")
        if closer:
            at, y, aligned = left + SIDE + 0.6, 1.05, "top"
            words = "\n".join(wrap(words, 38))
        else:
            at, y, aligned = left, 0.1, "bottom"
        figure.text(at / width, y / height, words, fontsize=7.5, color=style.NOTE_COLOUR, va=aligned)
    return figure


def _headline(study: TrainabilityStudy) -> str:
    middle = study.dimension[0]
    if not study.scales:
        converged = study.shares()[0]
        return f"Where networks train: {converged:.0%} of these do"
    low, high = study.dimension[1:]
    spread = f" ({low:.2f} to {high:.2f} over {len(study.scales)} scales)" if len(study.scales) > 1 else ""
    return f"The edge of training has dimension {middle:.2f}{spread}"


def _extent(window: Window) -> tuple[float, float, float, float]:
    half = window.side / 2
    return -half, half, -half, half


def _draw(ax: Axes, found: Map) -> None:
    """Draw a map over powers of ten from its centre: far within, a float of the rates themselves has no room."""
    ax.imshow(picture(found), origin="lower", extent=_extent(found.window), interpolation="nearest", aspect="equal")
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(True)
        spine.set_linewidth(0.6)


def _rate_axes(ax: Axes, window: Window) -> None:
    """Label the axes of a map with learning rates."""
    for axis, middle, layer in ((ax.xaxis, window.hidden, "hidden"), (ax.yaxis, window.output, "output")):
        low, high = middle - window.side / 2, middle + window.side / 2
        powers = range(int(np.floor(low)), int(np.ceil(high)) + 1)
        steps = (1, 2, 5) if window.side > 1.2 else (1, 1.5, 2, 3, 4, 5, 7)
        nice = [np.log10(step) + power for power in powers for step in steps]
        ticks = [value - middle for value in nice if low < value < high]
        digits = 3
        if len(ticks) < 3:
            ticks = list(MaxNLocator(5).tick_values(-window.side / 2, window.side / 2)[1:-1])
            digits = max(3, int(np.ceil(2 - np.log10(window.side))))
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(
            FuncFormatter(lambda value, _, middle=middle, digits=digits: f"{10 ** (middle + value):.{digits}g}")
        )
        axis.set_label_text(f"learning rate of the {layer} layer")


def _lead(figure: Figure, outer: Axes, around: Window, inner: Axes, window: Window) -> None:
    """Frame a window in the map around it, and lead from there to its own map."""
    left, bottom = (window[i] - around[i] - window.side / 2 for i in range(2))
    right, top = left + window.side, bottom + window.side
    outer.add_patch(Rectangle((left, bottom), window.side, window.side, fill=False, edgecolor=FRAME, linewidth=1.2))
    if inner.get_position().x0 > outer.get_position().x1:  # a line down would cross the map that it comes from
        for y, there in ((top, (0, 1)), (bottom, (0, 0))):
            figure.add_artist(ConnectionPatch(
                (right, y), there, outer.transData, inner.transAxes, color=FRAME, linewidth=0.7, alpha=0.8
            ))  # fmt: skip
    for spine in inner.spines.values():
        spine.set(edgecolor=FRAME, linewidth=1.2)


def _legend(found: Map, left: Axes, right: Axes) -> None:
    """Draw both scales of colour, with the values at their quarters."""
    speed = found.speed.ravel()
    converging, diverging = _scales()
    for ax, colours, values, words in (
        (left, converging[::-1], -speed[speed <= 0], "converged: mean loss over training / initial loss"),
        (right, diverging, speed[speed > 0][::-1], "diverged: epochs until then (sum of initial loss / loss)"),
    ):
        ax.grid(False)
        ax.set_yticks([])
        if not len(values):
            ax.set_axis_off()
            continue
        ax.imshow(colours[None], aspect="auto", extent=(0, 1, 0, 1))
        shares = np.linspace(0, 1, 5)
        ends = ["\nfast", "", "", "", "\nslow"][:: 1 if ax is left else -1]
        found_at = np.quantile(values, shares if ax is left else 1 - shares)
        for digits in range(2, 8):  # as few as tell them apart
            texts = [f"{value:.{digits}g}" for value in found_at]
            if len(set(texts)) == len(set(found_at)):
                break
        ax.set_xticks(shares, [f"{text}{word}" for text, word in zip(texts, ends, strict=True)])
        ax.tick_params(length=2, labelsize=7.5)
        ax.set_title(words, fontsize=8.5, pad=4)


# ---- the dimension ----


def _dimension(study: TrainabilityStudy) -> Figure:
    """Return box counts against the size of boxes, and the dimension of each map against its zoom."""
    middle, low, high = study.dimension

    def counts(ax: Axes) -> None:
        def line(boxes: BoxDimension, pixels: int, **look: Any) -> None:
            ax.plot(boxes.sizes / pixels, boxes.counts, marker="o", markersize=3, linewidth=1.2, **look)

        line(study.whole.boxes, study.whole.pixels, color="black")
        for found in study.rich:
            line(found.boxes, found.pixels, color=RICH)
        for zoom, maps in study.places.items():
            if zoom in study.scales:
                line(study.scales[zoom], maps[0].pixels, color=ALL)
        ax.set_xscale("log", base=2)
        style.log_axis(ax)
        ax.set_xlabel("side of a box / side of the map")
        ax.set_ylabel("boxes that hold a pixel of the boundary")
        ax.set_title(f"box counts grow with the power {middle:.2f} of 1 / side")

    def by_zoom(ax: Axes) -> None:
        ax.axhspan(*PAPER, color="0.92", zorder=0)
        ax.axhline(1, color=style.NOTE_COLOUR, linewidth=1, linestyle=":")
        shift = 2.0**0.3
        every = [found for maps in study.places.values() for found in maps]
        ax.plot(
            [found.zoom / shift for found in every], [found.boxes.dimension for found in every], "o", color=PLACE,
            markersize=3, alpha=0.7, label="one place",
        )  # fmt: skip
        ax.plot(
            [found.zoom * shift for found in study.rich], [found.boxes.dimension for found in study.rich], "D",
            color=RICH, label="the richest part",
        )  # fmt: skip
        for zoom, (least, largest) in study.intervals.items():
            ax.plot([zoom, zoom], [least, largest], color=ALL, linewidth=1.5)
        pooled = {zoom: boxes.dimension for zoom, boxes in study.scales.items() if zoom > 1}
        ax.plot([*pooled], [*pooled.values()], "o", color=ALL, label="all places, 95% interval")
        ax.plot(1, study.whole.boxes.dimension, "o", color="black", label="the whole map")
        zooms = sorted({found.zoom for found in study.views})
        ax.set_xscale("log", base=2)
        ax.set_xlim(zooms[0] / 2, zooms[-1] * 2)
        ax.xaxis.set_major_locator(FixedLocator(zooms))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.set_xlabel("zoom")
        ax.set_ylabel("box-counting dimension")
        ax.set_ylim(min(0.8, ax.get_ylim()[0]), 2.1)
        note: Any = {"transform": ax.get_yaxis_transform(), "fontsize": 7, "color": style.NOTE_COLOUR}
        ax.text(0.01, PAPER[1] - 0.01, "Sohl-Dickstein 2024: {} to {}".format(*PAPER), va="top", **note)
        ax.text(0.01, 1.0, "a smooth curve: 1", va="bottom", **note)
        ax.legend(loc="upper right")
        ax.set_title(f"{low:.2f} to {high:.2f} from scale to scale")

    return sheet([counts, by_zoom], _headline(study), panel_size=(5.4, 4.2), legend_at=1)


# ---- what a pixel is ----


def _losses(study: TrainabilityStudy) -> Figure:
    """Return the losses of some networks, epoch by epoch: what the colours say."""
    result = study.result
    speeds = speed_of(result.train_loss, result.epochs)
    with np.errstate(all="ignore"):
        losses = result.train_loss / result.train_loss[:, :1]
    over = ~(losses < LIMIT)
    losses = np.where(over, np.where(over.cumsum(axis=1) == 1, LIMIT, np.nan), losses)  # up to where it leaves

    def draw(ax: Axes) -> None:
        for inside, colours in ((speeds <= 0, CONVERGED), (speeds > 0, DIVERGED)):
            for model, colour in zip(np.flatnonzero(inside), colours, strict=False):
                rates = f"{result.specs.hidden_lr_factor[model]:.3g}, {result.specs.output_lr_factor[model]:.3g}"
                ax.plot(result.epochs, style.gaps(losses[model], np.inf), color=colour, linewidth=1.4, label=rates)
        ax.axhline(1, color=style.NOTE_COLOUR, linewidth=1, linestyle=":")
        style.log_axis(ax)
        style.tidy_log_axis(ax)
        style.epoch_axis(ax, study.setup.epochs)
        ax.set_xlabel("epoch")
        ax.set_ylabel("training loss / initial loss")
        ax.legend(title="hidden rate, output rate", title_fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))

    converged = int((speeds <= 0).sum())
    title = f"A pixel is a network: {converged} that converged (blue), {len(speeds) - converged} that did not (red)"
    return sheet([draw], title)
