"""A figure as the content of a file, and in a window; laid out once, whatever the format.

The last step of every plot: `drawing` calls `render` here or in a helper process.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import get_registered_canvas_class
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox, offset_copy

from ensemble.plots.style import STYLE

FORMATS = ("png", "svg", "pdf")


def check_format(name: str) -> None:
    """Raise a ValueError where `name` is no format that figures are written in."""
    if name not in FORMATS:
        raise ValueError(f"format {name!r} is unknown; allowed are {', '.join(FORMATS)}")


def render(figure: Figure, suffix: str, configuration: str = "") -> bytes:
    """Return a figure as the content of a file; the same figure gives the same bytes.

    Parameters
    ----------
    figure : Figure
    suffix : str
        "png", "svg" or "pdf".
    configuration : str
        Hash of what the figure shows, kept in the file's metadata: as "Configuration" in PNG, "Identifier" in SVG and
        "Keywords" in PDF.

    Raises
    ------
    ValueError
        `suffix` is none of "png", "svg" and "pdf".
    """
    check_format(suffix)
    # A date would make two runs differ.
    stamp: dict[str, Any] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[suffix]
    if configuration:
        stamp |= {{"png": "Configuration", "svg": "Identifier", "pdf": "Keywords"}[suffix]: configuration}
    # Level 3 takes two thirds of the time of the default 6, and 3% more bytes.
    more: dict[str, Any] = {"pil_kwargs": {"compress_level": 3}} if suffix == "png" else {}
    content = io.BytesIO()
    dpi = figure.dpi
    try:
        figure.dpi = STYLE["savefig.dpi"]
        with matplotlib.rc_context(STYLE):
            _lay_out(figure)
            # `figure.savefig` would draw everything twice, the first time for the layout alone.
            getattr(_canvas(figure, suffix), f"print_{suffix}")(content, metadata=stamp, **more)
    finally:
        figure.dpi = dpi
    return content.getvalue()


def small_png(content: bytes) -> bytes:
    """Return a PNG of lines and words in 64 colours: a quarter of the bytes, and no difference that is seen."""
    from PIL import Image  # which matplotlib needs and loads

    image = Image.open(io.BytesIO(content)).convert("RGB")
    small = image.quantize(64, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    found = io.BytesIO()
    small.save(found, "png", compress_level=6)
    return found.getvalue()


def _canvas(figure: Figure, suffix: str) -> Any:
    """Give a figure the canvas of a format; what a format needs is loaded where it is asked for."""
    return get_registered_canvas_class(suffix)(figure)


def _lay_out(figure: Figure) -> None:
    """Place everything, once for all formats: a second time would move it by a hair."""
    engine = figure.get_layout_engine()
    if engine is None:
        return
    _canvas(figure, "png")
    panels = [ax for ax in figure.axes if ax.get_subplotspec() is not None]
    for ax in panels:
        ax.get_tightbbox = _Around(ax)  # type: ignore[method-assign]
    try:
        engine.execute(figure)
    finally:
        for ax in panels:
            del ax.get_tightbbox
    figure.set_layout_engine("none")


class _Around:
    """The box around a panel with its ticks and words, in place of `Axes.get_tightbbox` while the layout is found.

    Constrained layout asks twice, before and after the panels have moved, and measuring takes most of its time. The
    first answer is a guess, good enough to move the panels nearly to their places.
    """

    GUESS = (-0.55, -0.4, 0.05, 0.25)  # inches that are taken left, below, right and above

    def __init__(self, ax: Axes) -> None:
        self.ax = ax
        self.asked = 0

    def __call__(self, *args: Any, **how: Any) -> Any:
        self.asked += 1
        if self.asked > 1:
            found = Axes.get_tightbbox(self.ax, *args, **how)
            self._fix()
            return found
        around = np.reshape(self.GUESS, (2, 2)) * self.ax.figure.dpi
        return Bbox(self.ax.get_window_extent().get_points() + around)

    def _fix(self) -> None:
        """Fix title and labels where they are now beside the panel: drawing would measure all ticks again for them."""
        ax = self.ax
        if ax.title.get_position()[1] == 1:  # no axis at the top
            ax.set_title(ax.get_title(), y=1)
        for axis, start in ((ax.xaxis, (0.5, 0.0)), (ax.yaxis, (0.0, 0.5))):
            label = axis.label
            place = label.get_transform().transform(label.get_position())
            x, y = (place - ax.transAxes.transform(start)) / ax.figure.dpi
            axis.set_label_coords(*start, transform=offset_copy(ax.transAxes, ax.get_figure(root=True), x, y))


def show(figures: Mapping[str, Figure]) -> None:
    """Open a window per figure, named as in `figures`, and wait until they are closed."""
    from matplotlib import pyplot

    for name, figure in figures.items():
        # The figures have no window: each takes over that of an empty one.
        window = pyplot.figure(num=name, figsize=tuple(figure.get_size_inches()))
        window.canvas.figure = figure
        figure.set_label(name)
        figure.set_canvas(window.canvas)
    pyplot.show()
