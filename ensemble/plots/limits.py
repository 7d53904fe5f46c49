"""The display of training error against what is possible: floors, and networks that exist."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ensemble.analysis import Bounds, Curve
from ensemble.plots import style
from ensemble.statistics import Errorbar


@dataclass(eq=False, repr=False)
class LimitDisplay:
    """Training error against what is possible: floors that no network can pass, networks that exist.

    Parameters
    ----------
    curves : sequence of Curve
        Their training errors are drawn, median over seeds with a band.
    bounds : Bounds
    arms : sequence of str
        Which of the no-bias floors are drawn.
    y_name : str
        Name or unit of the output, for the axis label.
    errorbar : {"ci", "pi"}, pair of that and a number, or None
        What the band is; see `ensemble.statistics.error_band`.
    exact : float
        Errors up to this are rounding, and not drawn.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
    lines_ : list of Line2D
        Median over seeds, one per curve.
    floor_ : PolyCollection
        The area below the width floor.
    built_ : list of Line2D
        The networks that exist; empty where none were built.
    no_bias_ : list of Line2D
        The no-bias floors, one per arm.
    """

    curves: Sequence[Curve]
    bounds: Bounds
    _: KW_ONLY
    arms: Sequence[str] = ()
    y_name: str = "y"
    errorbar: Errorbar | None = "ci"
    exact: float = 0.0

    def plot(self, ax: Axes | None = None, *, legend: bool = True) -> LimitDisplay:
        """Draw into `ax` (default: a figure of its own) and return self."""
        with style.drawing(ax) as (self.ax_, self.figure_):
            style.log_width_axis(self.ax_, self.bounds.width)
            style.log_axis(self.ax_)
            self.ax_.set_ylabel(f"training MSE ({style.plain(self.y_name)}²)")
            band = ""
            ceiling = style.ceiling_of(*(curve.of("train_loss") for curve in self.curves), exact=self.exact)
            self.lines_: list[Line2D] = []
            for place, curve in enumerate(self.curves):
                line, _, band = style.draw_errors(
                    self.ax_, place, curve, "train_loss", curve.label, ceiling, self.errorbar, self.exact
                )
                self.lines_.append(line)
            self._draw_possible(ceiling)
            style.tidy_log_axis(self.ax_)
            title = f"trained: {style.legend_title(len(self.curves[0].seeds), band)}"
            if legend:
                style.beside(self.ax_, title=title)
        return self

    def _draw_possible(self, ceiling: float) -> None:
        bounds = self.bounds
        self.built_: list[Line2D] = []
        if len(bounds.built):
            self.built_ = self.ax_.plot(
                bounds.built_width, style.gaps(bounds.built, np.inf, self.exact), color="black", marker="x",
                linestyle="--", linewidth=1, label="built: a network of this width that exists",
            )  # fmt: skip
        self.no_bias_: list[Line2D] = []
        for arm in self.arms:
            place = [curve.label for curve in self.curves].index(arm)
            line = self.ax_.axhline(
                bounds.no_bias[arm], color=style.look(place, arm)[0], linewidth=1, linestyle=(0, (1, 1))
            )
            self.no_bias_.append(line)
        if self.arms:
            label = "exact floor of the arm in its colour"
            self.ax_.plot([], [], color=style.NOTE_COLOUR, linewidth=1, linestyle=(0, (1, 1)), label=label)
        floor = style.gaps(bounds.floor, np.inf, self.exact)
        trained = [curve.of("train_loss").ravel() for curve in self.curves]
        # What passes through every sample has no place on a log axis: its line leaves five decades below at most.
        lowest = style.error_limits(self.ax_, ceiling, *trained, exact=self.exact)
        exists = np.concatenate([floor, bounds.built])
        exists = exists[(exists > max(lowest / 1e5, self.exact)) & (exists < ceiling)]
        bottom = min(self.ax_.get_ylim()[0], exists.min(initial=np.inf) / 3)
        self.ax_.set_ylim(bottom, ceiling)
        self.floor_ = self.ax_.fill_between(
            bounds.width, bottom / 10, floor, facecolor="0.88", edgecolor="0.5", hatch="///", linewidth=0.8,
            label="impossible at this width", zorder=0.5,
        )  # fmt: skip
