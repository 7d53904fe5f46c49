"""Displays of what the hidden units do: dead ones by width, and kinks on the move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from ensemble.analysis import Curve, Film
from ensemble.plots import style
from ensemble.statistics import quartiles

JUMP = 0.25  # of the data's interval: a kink that goes further between two frames is not followed


@dataclass(eq=False, repr=False)
class DeadUnitDisplay:
    """Fraction of hidden units that are active on no training sample, against width.

    Parameters
    ----------
    curves : sequence of Curve
    dead : sequence of (W, S) arrays
        One per curve: the fraction for each width and seed.
    initial : (W, S) array, optional
        The fraction before training, at the widths of the first curve.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
    lines_ : list of Line2D
        Median over seeds, one per curve.
    bands_ : list of PolyCollection
    initial_ : Line2D or None
        Median before training.
    """

    curves: Sequence[Curve]
    dead: Sequence[NDArray[np.float64]]
    initial: NDArray[np.float64] | None = None

    def plot(self, ax: Axes | None = None, *, legend: bool = True) -> DeadUnitDisplay:
        """Draw into `ax` (default: a figure of its own) and return self."""
        with style.drawing(ax) as (self.ax_, self.figure_):
            style.log_width_axis(self.ax_, np.concatenate([curve.width for curve in self.curves]))
            self.lines_: list[Line2D] = []
            self.bands_: list[PolyCollection] = []
            for place, (curve, dead) in enumerate(zip(self.curves, self.dead, strict=True)):
                colour, marker = style.look(place, curve.label)
                low, median, high = quartiles(dead)
                self.bands_.append(self.ax_.fill_between(curve.width, low, high, color=colour, alpha=0.2, linewidth=0))
                self.lines_ += self.ax_.plot(
                    curve.width, median, color=colour, marker=marker, label=curve.label, markeredgecolor="white",
                    markeredgewidth=0.5,
                )  # fmt: skip
            self.initial_ = None
            if self.initial is not None:
                (self.initial_,) = self.ax_.plot(
                    self.curves[0].width, quartiles(self.initial)[1], color=style.NOTE_COLOUR, linewidth=1,
                    linestyle=":", label="before training",
                )  # fmt: skip
            self.ax_.set_ylim(-0.02, max(0.1, *(1.05 * float(dead.max()) for dead in self.dead)))
            self.ax_.yaxis.set_major_formatter(PercentFormatter(1.0))
            self.ax_.set_ylabel("dead hidden units")
            if legend:
                style.draw_legend(self.ax_, len(self.curves[0].seeds), "spread (interquartile range)")
        return self


@dataclass(eq=False, repr=False)
class KinkFilmDisplay:
    """Where the kinks of one model's hidden units are, epoch by epoch: one line per unit.

    Parameters
    ----------
    film : Film
    interval : (float, float)
        Of the data; kinks outside bend nothing that is seen.
    x_name : str
        For the axis label.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
    lines_ : LineCollection
        One line per hidden unit, darker the more the unit bends the last fit.
    """

    film: Film
    interval: tuple[float, float]
    _: KW_ONLY
    x_name: str = "x"

    def plot(self, ax: Axes | None = None) -> KinkFilmDisplay:
        """Draw into `ax` (default: a figure of its own) and return self."""
        film, (low, high) = self.film, self.interval
        with style.drawing(ax) as (self.ax_, self.figure_):
            style.epoch_axis(self.ax_, int(film.epochs[-1]))
            span = high - low
            # A kink leaves on one side and comes back on the other where its weight passes 0, and one step may throw it
            # far: it was nowhere between, and no line is drawn there.
            kinks = np.where(np.abs(film.kinks - (low + high) / 2) < 0.65 * span, film.kinks, np.nan)
            lines = []
            for kink in kinks.T:
                jumps = np.flatnonzero(np.abs(np.diff(kink)) > JUMP * span)
                lines.append(np.insert(np.column_stack([film.epochs, kink]).astype(float), jumps + 1, np.nan, axis=0))
            strength = film.bend / max(float(film.bend.max()), 1e-300)
            faint = np.clip(8 / film.width, 0.12, 0.5)
            self.lines_ = LineCollection(
                lines, colors=style.COLOURS[0], alpha=np.clip(faint + (1 - faint) * strength, 0, 1), linewidths=0.8
            )
            self.ax_.add_collection(self.lines_, autolim=False)
            self.ax_.set_ylim(low - 0.15 * span, high + 0.15 * span)
            for edge in (low, high):
                self.ax_.axhline(edge, color="0.4", linewidth=0.8, linestyle=":")
            self.ax_.set_ylabel(f"kink ({style.plain(self.x_name)})")
        return self
