"""The display of error over learning rate and width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from ensemble.analysis import Curve
from ensemble.plots import style

LEARNED = 0.9  # of the variance: what leaves more has learned nothing, and no rate is best


@dataclass(eq=False, repr=False)
class LearningRateMapDisplay:
    """Median validation error over learning rate and width as a heat map, the best rate of each width marked.

    Parameters
    ----------
    curve : Curve
    y_name : str
        Name or unit of the output, for the label of the colour bar.
    limits : (float, float), optional
        Errors at which the colours begin and end, such as those of several maps side by side; default: the map's own.
    unit : float, optional
        Errors are shown as shares of this, such as the variance of y; `limits` too.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
    mesh_ : QuadMesh
        Widths, or what else the curve is drawn against, across, learning rates upwards; grey where the median over
        seeds diverged, or is far off.
    ridge_ : Line2D
        The chosen learning rate of each width; where the rates hardly differ it would follow noise, and is left out.
    colorbar_ : Colorbar
        If one was asked for, and some cell is not grey.
    """

    curve: Curve
    _: KW_ONLY
    y_name: str = "y"
    limits: tuple[float, float] | None = None
    unit: float | None = None

    def plot(self, ax: Axes | None = None, *, colorbar: bool = True) -> LearningRateMapDisplay:
        """Draw into `ax` (default: a figure of its own), with a colour bar beside it or not, and return self."""
        curve = self.curve
        with style.drawing(ax) as (self.ax_, self.figure_):
            medians = curve.validation_median.T / (self.unit or 1.0)  # (L, W)
            learned = curve.rate_matters & (self.unit is None or medians.min(axis=0) < LEARNED)
            ridge = np.where(learned, curve.lr_index + 0.5, np.nan)
            ceiling = style.ceiling_of(medians)
            positive = medians[(medians > 0) & (medians <= ceiling)]
            # An error of exactly 0 takes the colour of the smallest above it.
            errors = np.ma.masked_greater(np.maximum(medians, positive.min(initial=ceiling)), ceiling)
            colours = matplotlib.colormaps["viridis_r"].with_extremes(bad="0.8")
            norm = LogNorm(positive.min(), positive.max() * 1.01) if positive.size else None
            if self.limits is not None:
                norm = LogNorm(*self.limits)
            self.mesh_: QuadMesh = self.ax_.pcolormesh(
                errors, cmap=colours, norm=norm, edgecolor="white", linewidth=0.3
            )
            across = np.arange(len(curve.width)) + 0.5
            (self.ridge_,) = self.ax_.plot(
                across, ridge, color="white", marker="o", markeredgecolor="black", markersize=5.5,
                linewidth=1, label="best rate",
            )  # fmt: skip
            self.ax_.grid(visible=False)
            self.ax_.set_xticks(
                across, [str(position) for position in curve.across], rotation=45 if len(across) > 7 else 0
            )
            every = -(-len(curve.lr_grid) // 12)
            labels = [style.rate_text(lr) for lr in curve.lr_grid.tolist()[::every]]
            self.ax_.set_yticks(np.arange(len(curve.lr_grid))[::every] + 0.5, labels)
            self.ax_.tick_params(length=0)
            self.ax_.set_xlabel(style.AXES[curve.axis])
            self.ax_.set_ylabel("learning rate")
            if colorbar and errors.count():
                self.colorbar_ = self.draw_colorbar(self.figure_, [self.ax_], len(curve.seeds))
            grey = "; grey: diverged" if errors.count() < errors.size else ""
            self.ax_.set_title(f"{curve.label} (circles: best learning rate{grey})")
        return self

    def draw_colorbar(self, figure: Figure, axes: Sequence[Axes], n_seeds: int) -> Colorbar:
        """Draw a colour bar beside axes whose maps share their colours, such as this one, and return it."""
        # An arrow on the bar says that errors beyond the last colour share it.
        errors: np.ma.MaskedArray[Any, Any] = np.ma.asarray(self.mesh_.get_array())
        extend = "max" if self.limits is not None and errors.max() > self.limits[1] else "neither"
        bar = figure.colorbar(self.mesh_, ax=axes, pad=0.02, extend=extend, format=style.LogLabels())
        bar.minorformatter = style.LogLabels()
        measure = "validation MSE / variance" if self.unit else f"validation MSE ({style.plain(self.y_name)}²)"
        bar.set_label(f"{measure},\nmedian of {n_seeds} seeds")
        bar.outline.set_visible(False)
        return bar
