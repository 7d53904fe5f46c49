"""Displays of linear pieces: of each layer of one model over epochs, and of whole networks against their units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator, StrMethodFormatter
from numpy.typing import NDArray

from ensemble.analysis import Curve, PieceFilm
from ensemble.plots import style


@dataclass(eq=False, repr=False)
class PieceFilmDisplay:
    """Linear pieces of each hidden layer of one model, epoch by epoch, and the number of units up to each layer.

    Parameters
    ----------
    film : PieceFilm

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
    lines_ : list of Line2D
        One per layer, lighter the later the layer.
    units_ : list of Line2D
        Dotted, one per layer.
    """

    film: PieceFilm

    def plot(self, ax: Axes | None = None) -> PieceFilmDisplay:
        """Draw into `ax` (default: a figure of its own), without a legend, and return self."""
        film = self.film
        with style.drawing(ax) as (self.ax_, self.figure_):
            self.lines_: list[Line2D] = []
            self.units_: list[Line2D] = []
            shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, film.pieces.shape[1]))
            for layer, shade in enumerate(shades, start=1):
                self.lines_ += self.ax_.plot(
                    film.epochs, film.pieces[:, layer - 1], color=shade, label=f"layer {layer}"
                )
                self.units_.append(self.ax_.axhline(layer * film.width, color=shade, linewidth=1, linestyle=":"))
            self.ax_.plot(
                [], [], color=style.NOTE_COLOUR, linewidth=1, linestyle=":", label="hidden units up to that layer"
            )
            style.epoch_axis(self.ax_, int(film.epochs[-1]))
            self.ax_.set_ylim(bottom=0)
            self.ax_.set_ylabel("linear pieces of a layer")
        return self


@dataclass(eq=False, repr=False)
class PieceCountDisplay:
    """Linear pieces of trained networks against their number of hidden units: medians, and single seeds faint.

    Parameters
    ----------
    curves : sequence of Curve
        One per depth.
    counts : sequence of (W, S) arrays
        One per curve: pieces of the last hidden layer for each width and seed.
    n_samples : int
        Of the training part: more pieces than that cannot be seen.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
    lines_ : list of Line2D
        Median over seeds, one per curve.
    """

    curves: Sequence[Curve]
    counts: Sequence[NDArray[np.int64]]
    n_samples: int

    def plot(self, ax: Axes | None = None) -> PieceCountDisplay:
        """Draw into `ax` (default: a figure of its own), without a legend, and return self."""
        with style.drawing(ax) as (self.ax_, self.figure_):
            self.lines_: list[Line2D] = []
            most = 1
            for place, (curve, found) in enumerate(zip(self.curves, self.counts, strict=True)):
                colour, marker = style.look(place, curve.label)
                units = curve.width * curve.settings["hidden_layers"]
                most = max(most, int(units.max()))
                shifted = np.repeat(units * (1 + 0.04 * (place - (len(self.curves) - 1) / 2)), found.shape[1])
                self.ax_.scatter(shifted, found.ravel(), s=6, color=colour, alpha=0.22, linewidths=0, zorder=1.5)
                self.lines_ += self.ax_.plot(
                    units, np.median(found, axis=1), color=colour, marker=marker, label=curve.label,
                    markeredgecolor="white", markeredgewidth=0.5,
                )  # fmt: skip
            look: dict[str, Any] = {"color": style.NOTE_COLOUR, "linewidth": 1.0}
            self.ax_.plot([1, most], [1, most], linestyle=":", label="one piece per unit", **look)
            self.ax_.axhline(self.n_samples, linestyle="--", label="one piece per sample", **look)
            self.ax_.set_xscale("log", base=2)
            self.ax_.set_yscale("log", base=2)
            for axis in (self.ax_.xaxis, self.ax_.yaxis):
                axis.set_major_formatter(StrMethodFormatter("{x:g}"))
                axis.set_minor_locator(NullLocator())
            self.ax_.set_xlabel("hidden units of all layers")
            self.ax_.set_ylabel("linear pieces of the network")
        return self
