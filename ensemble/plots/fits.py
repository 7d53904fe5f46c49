"""The display of fitted curves over the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from ensemble.analysis import Fit
from ensemble.data import Dataset
from ensemble.plots import style


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
    def over(cls, fits: Sequence[Fit], dataset: Dataset, part: str = "train") -> FitDisplay:
        """Take fits with the samples and the names of a dataset: its "train", "val" or "test" part."""
        x, y = dataset.parts()[part]
        return cls(
            fits, x, y, x_name=dataset.x_names[0], y_name=dataset.y_name,
            part={"train": "training", "val": "validation", "test": "test"}[part],
        )  # fmt: skip

    def plot(
        self, ax: Axes | None = None, *, first_colour: int = 0, looks: Sequence[Mapping[str, Any]] = (),
        legend: bool = True,
    ) -> FitDisplay:  # fmt: skip
        """Draw into `ax` (default: a figure of its own) and return self.

        Each fit has its own of the `looks`, matplotlib's keywords for a line, or a colour from place `first_colour` on
        and a dash pattern. Lines lie over the samples.
        """
        with style.drawing(ax) as (self.ax_, self.figure_):
            self.points_ = self.ax_.scatter(
                self.x, self.y, s=9, color=style.DATA_COLOUR, alpha=0.5, linewidths=0, zorder=2.4,
                label=f"{self.part} data",
            )  # fmt: skip
            self.lines_: list[Line2D] = []
            span = float(np.ptp(self.y))
            if span <= style.EXACT * float(np.abs(self.y).max()):  # constant: what differs is rounding
                span = 0.2 * max(float(np.abs(self.y).max()), 1.0)
                self.ax_.set_ylim(self.y.min() - span, self.y.max() + span)
            low, high = self.y.min() - 2 * span, self.y.max() + 2 * span  # what a failed fit may claim of the axes
            for place, fit in enumerate(self.fits, start=first_colour):
                shown = np.where((fit.prediction > low) & (fit.prediction < high), fit.prediction, np.nan)
                look = {
                    "color": style.look(place, fit.label)[0],
                    "linestyle": style.DASHES[len(self.lines_) % 6],
                }
                own = {"zorder": 2.5} | dict(looks[len(self.lines_)] if looks else look)
                self.lines_ += self.ax_.plot(fit.x, shown, label=fit.label, **own)
            self.ax_.set_xlabel(style.plain(self.x_name))
            self.ax_.set_ylabel(style.plain(self.y_name))
            if legend:
                style.beside(self.ax_)
        return self
