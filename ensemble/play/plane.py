"""The large plots for two inputs: what the median network says over a square, and where the networks disagree.

Takes a `Picture`; the slider of `player` moves both through the epochs in the browser, without the server.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.layouts import row
from bokeh.models import LinearColorMapper, Range1d
from bokeh.plotting import figure

from ensemble.play.look import TEST, TRAIN, plain_axes, single, source
from ensemble.play.picture import Picture, Plane

__all__ = ["PlaneView"]

MOST_POINTS = 600
SURE = 3.0  # of a logit: as sure as a colour gets, 95%
PALE = ("#7fb8d9", "#ffffff", "#eaae7f")  # half of blue and orange: points of the full colours can be seen on them


class PlaneView:
    """Two figures side by side, and their sources.

    Attributes
    ----------
    layout : bokeh layout
    frames : ColumnDataSource
        A row per epoch of the slider; `MOVE` shows one of them.
    """

    # In the browser: show row i of `frames`.
    MOVE = """
        const plane = plane_frames.data;
        if (i < plane.epoch.length) {
            plane_image.data = {...plane_image.data, typical: [plane.typical[i]], minority: [plane.minority[i]]};
        }
    """

    def __init__(self, side: int) -> None:
        self.x_range, self.y_range = Range1d(-1, 1), Range1d(-1, 1)
        self.image = source("plane", "typical", "minority", "x", "y", "dw", "dh")
        self.frames = source("plane_frames", "epoch", "typical", "minority")
        self.points = source("labelled", "x", "y", "colour")
        sides = LinearColorMapper(palette=_between(*PALE), low=-SURE, high=SURE)
        doubt = LinearColorMapper(palette=_between("#ffffff", "#c9a0dc", "#4b2170"), low=0.0, high=0.5)
        figures = []
        for title, column, mapper in (
            ("Median network", "typical", sides),
            ("Where the networks disagree", "minority", doubt),
        ):
            plot = figure(
                frame_width=side, frame_height=side, x_range=self.x_range, y_range=self.y_range, tools="",
                toolbar_location=None, title=title, x_axis_label="x1", y_axis_label="x2", name=column,
            )  # fmt: skip
            plain_axes(plot)
            plot.grid.visible = False
            plot.image(column, "x", "y", "dw", "dh", source=self.image, color_mapper=mapper)
            plot.scatter(
                "x", "y", source=self.points, size=5, fill_color="colour", line_color="white", line_width=0.6
            )  # fmt: skip
            figures.append(plot)
        figures[1].yaxis.visible = False
        self.layout = row(*figures, spacing=0, name="plane_plots")

    def arguments(self) -> dict[str, Any]:
        """Return what `MOVE` names."""
        return {"plane_frames": self.frames, "plane_image": self.image}

    def show(self, picture: Picture) -> None:
        """Draw a picture, at its last epoch."""
        view, data = picture.view, picture.data
        assert isinstance(view, Plane)
        x, label = data.x_train[:MOST_POINTS], data.y_train[:MOST_POINTS]
        self.points.data = {
            "x": single(x[:, 0]), "y": single(x[:, 1]), "colour": [TRAIN if one > 0.5 else TEST for one in label],
        }  # fmt: skip
        self.frames.data = {
            "epoch": picture.frames.tolist(),
            "typical": [single(np.clip(image, -SURE, SURE)) for image in view.typical],
            "minority": [single(image) for image in view.minority],
        }
        side = view.high - view.low
        self.image.data = {
            "typical": [self.frames.data["typical"][-1]], "minority": [self.frames.data["minority"][-1]],
            "x": [view.low[0]], "y": [view.low[1]], "dw": [side[0]], "dh": [side[1]],
        }  # fmt: skip
        self.x_range.update(start=float(view.low[0]), end=float(view.high[0]))
        self.y_range.update(start=float(view.low[1]), end=float(view.high[1]))


def _between(*colours: str) -> list[str]:
    """Return 255 colours that pass through these."""
    stops = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in colours], dtype=np.float64)
    at, places = np.linspace(0, 1, 255), np.linspace(0, 1, len(stops))
    mixed = np.stack([np.interp(at, places, stops[:, i]) for i in range(3)], axis=1)
    return ["#" + "".join(f"{round(part):02x}" for part in one) for one in mixed.tolist()]
