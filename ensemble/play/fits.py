"""The large plot for one input: points, target, the fits of all networks with their band, and kinks, by epoch.

Takes a `Picture`; the slider of `player` moves it through the epochs in the browser, without the server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, FreehandDrawTool, Range1d
from bokeh.plotting import figure
from numpy.typing import NDArray

from ensemble.data import Dataset
from ensemble.play.look import GREY, INK, TEST, legend_above, plain_axes, show_entry, single, source
from ensemble.play.picture import Fits, Picture
from ensemble.play.source import drawn_of

__all__ = ["FitView"]

MOST_POINTS = 1000  # of the data that are drawn: more cannot be told apart


class FitView:
    """The figure, its sources, and the tool to draw a target with.

    Attributes
    ----------
    figure : bokeh figure
    frames : ColumnDataSource
        A row per epoch of the slider; `MOVE` shows one of them.
    drawn : ColumnDataSource
        What the mouse has drawn: lists of xs and of ys.
    """

    # In the browser: show row i of `frames`. Sources are replaced as a whole, such that one redraw follows.
    MOVE = """
        const fits = fit_frames.data;
        if (i < fits.epoch.length) {
            fit_lines.data = {...fit_lines.data, y: fits.y[i]};
            fit_band.data = {...fit_band.data, low: fits.low[i], high: fits.high[i], middle: fits.middle[i]};
            fit_kinks.data = {x: fits.kink_x[i], y: fits.kink_y[i]};
        }
    """

    def __init__(self, width: int, height: int) -> None:
        self.x_range, self.y_range = Range1d(-3, 3), Range1d(-1, 1)
        self.figure = figure(
            width=width, height=height, x_range=self.x_range, y_range=self.y_range, tools="", toolbar_location=None,
            x_axis_label="x", y_axis_label="y", name="fits", output_backend="canvas",
        )  # fmt: skip
        plain_axes(self.figure)
        self.points = source("points", "x", "y")
        self.target = source("target", "x", "y")
        self.lines = source("lines", "x", "y")
        self.band = source("band", "x", "low", "high", "middle")
        self.kinks = source("kinks", "x", "y")
        self.frames = source("fit_frames", "epoch", "y", "low", "high", "middle", "kink_x", "kink_y")
        self.drawn = ColumnDataSource({"xs": [], "ys": []}, name="drawn")
        plot = self.figure
        plot.scatter("x", "y", source=self.points, color=GREY, size=3.5, alpha=0.7, legend_label="training points")
        plot.line("x", "y", source=self.lines, color=TEST, alpha=0.28, line_width=1, legend_label="each network")
        plot.varea("x", "low", "high", source=self.band, color=TEST, alpha=0.18, legend_label="middle half of them")
        plot.line("x", "y", source=self.target, color=INK, line_width=1.3, line_dash="dashed", legend_label="target")
        plot.line("x", "middle", source=self.band, color=TEST, line_width=2.6, legend_label="median network")
        plot.scatter(
            "x", "y", source=self.kinks, size=6.5, fill_color="white", line_color=TEST, line_width=1.6,
            legend_label="its kinks",
        )  # fmt: skip
        pen = plot.multi_line("xs", "ys", source=self.drawn, color=INK, line_width=2.5)
        self.pen = FreehandDrawTool(renderers=[pen], num_objects=1)
        plot.add_tools(self.pen)
        plot.toolbar.active_drag = None
        legend_above(plot)

    def arguments(self) -> dict[str, Any]:
        """Return what `MOVE` names."""
        return {
            "fit_frames": self.frames, "fit_lines": self.lines, "fit_band": self.band, "fit_kinks": self.kinks,
        }  # fmt: skip

    def drawing(self, on: bool) -> None:
        """Let the mouse draw a target, or not."""
        self.figure.toolbar.active_drag = self.pen if on else None
        if self.drawn.data["xs"]:
            self.drawn.data = {"xs": [], "ys": []}

    def show(self, picture: Picture) -> None:
        """Draw a picture, at its last epoch."""
        view, data = picture.view, picture.data
        assert isinstance(view, Fits)
        x, y = _thinned(data)
        self.points.data = {"x": single(x), "y": single(y)}
        self.figure.xaxis.axis_label, self.figure.yaxis.axis_label = data.x_names[0], data.y_name
        target = np.zeros(0) if data.target is None else data.target(view.x)
        show_entry(self.figure, "target", data.target is not None)
        self.target.data = {"x": single(view.x[: len(target)]), "y": single(target)}
        apart = np.full((*view.predictions.shape[:2], 1), np.nan)  # between two networks' lines
        rows = np.concatenate([view.predictions, apart], axis=2).reshape(len(picture.frames), -1)
        self.frames.data = {
            "epoch": picture.frames.tolist(),
            "y": [single(row) for row in rows],
            "low": [single(row[0]) for row in view.quartiles],
            "high": [single(row[2]) for row in view.quartiles],
            "middle": [single(row[picture.typical]) for row in view.predictions],
            "kink_x": [single(kinks[0]) for kinks in view.kinks],
            "kink_y": [single(kinks[1]) for kinks in view.kinks],
        }
        last = {name: column[-1] for name, column in self.frames.data.items()}
        all_x = np.tile(np.append(view.x, np.nan), view.predictions.shape[1])
        self.lines.data = {"x": single(all_x), "y": last["y"]}
        self.band.data = {"x": single(view.x)} | {name: last[name] for name in ("low", "high", "middle")}
        self.kinks.data = {"x": last["kink_x"], "y": last["kink_y"]}
        self._ranges(view.x, [y, target])

    def show_drawn(self, picture: Picture) -> None:
        """Leave room around a drawn target to draw the next."""
        _, _, knots = drawn_of(picture.settings)
        room = max(1.6, 1.3 * float(np.abs(knots).max()))
        self.x_range.update(start=-3.1, end=3.1)
        self.y_range.update(start=-room, end=room)

    def _ranges(self, x: NDArray[np.float64], values: Sequence[NDArray[np.float64]]) -> None:
        y = np.concatenate(list(values))
        room = 0.1 * float(y.max() - y.min()) or 1.0
        self.x_range.update(start=float(x[0]), end=float(x[-1]))
        self.y_range.update(start=float(y.min()) - room, end=float(y.max()) + room)


def _thinned(data: Dataset) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    step = -(-data.n_train // MOST_POINTS)
    return data.x_train[::step, 0], data.y_train[::step]
