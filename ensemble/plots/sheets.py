"""Sheets: figures of several panels, with a title that fits and a legend that serves all.

The studies' figures are made here; a panel is a function that draws into an axes.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from ensemble.data import Dataset
from ensemble.plots.figure import Figure
from ensemble.plots.fits import FitDisplay
from ensemble.plots.style import STYLE, title_of

__all__ = ["Panel", "constants", "head_legend", "panel", "panel_shape", "sheet", "wrapped"]

Panel = Callable[[Axes], None]

TITLE, PANEL_TITLE, LEGEND = 0.097, 0.068, 0.062  # inches of a letter, in the mean


class Display(Protocol):
    """What every display can do: draw itself into an axes."""

    def plot(self, ax: Axes | None = None) -> Any:
        """Draw and return self."""


def panel(display: Display, title: str) -> Panel:
    """Return the panel of a `sheet` that shows a display under a title."""

    def draw(ax: Axes) -> None:
        display.plot(ax)
        ax.set_title(title)

    return draw


def panel_shape(count: int) -> tuple[float, float]:
    """Return width and height, in inches, of each of `count` panels: smaller where there are many."""
    return (4.5, 3.4) if count <= 4 else (3.6, 2.9)


def sheet(
    panels: Sequence[Panel], title: str = "", *, columns: int = 2, panel_size: tuple[float, float] = (4.5, 3.4),
    share: bool = False, legend_at: int | Sequence[int] | None = None,
) -> Figure:  # fmt: skip
    """Return a figure with one axes per panel, each drawn by its function.

    With `legend_at` the legends of those panels, which must have drawn one, are put together below all panels: they
    serve all. Titles are broken into lines that fit.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    size = (panel_size[0] * columns, panel_size[1] * rows) if len(panels) > 1 else (7.5, 4.6)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share).ravel()
        for ax, draw in zip(axes, panels, strict=False):
            draw(ax)
            ax.set_title(wrapped(ax.get_title(), size[0] / columns - 0.4, PANEL_TITLE))
        for ax in axes[len(panels) :]:
            ax.remove()
        if share:
            for ax in axes:
                ax.label_outer()
        if legend_at is not None:
            _share_legend(figure, list(axes[: len(panels)]), [legend_at] if isinstance(legend_at, int) else legend_at)
        if title:
            figure.suptitle(wrapped(title, size[0] - 0.3, TITLE), fontsize=11, fontweight="bold")
    return figure


def wrapped(text: str, inches: float, letter: float) -> str:
    """Return text in lines of at most so many inches, at so many inches a letter; formulas are kept whole."""
    formulas = re.findall(r"(?<!\\)\$[^$]*\$", text)
    for formula in formulas:  # as long as what is drawn, and without a space
        text = text.replace(formula, "\0" * len(re.sub(r"\\[a-zA-Z]+|[\\${}^_ ]", "", formula)), 1)
    lines = [part for line in text.split("\n") for part in textwrap.wrap(line, max(12, int(inches / letter))) or [""]]
    text = "\n".join(lines)
    whole = iter(formulas)
    return re.sub("\0+", lambda _: next(whole), text)


def _share_legend(figure: Figure, axes: Sequence[Axes], places: Sequence[int]) -> None:
    """Put the legends of some axes below the figure, each entry once, and take those of all axes away."""
    entries: dict[str, Any] = {}
    heading = ""
    for place in places:
        legend = axes[place].get_legend()
        assert legend is not None
        heading = heading or legend.get_title().get_text().replace("\n", " ")
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
            entries.setdefault(text.get_text(), handle)
    for ax in axes:
        own = ax.get_legend()
        if own is not None:
            own.remove()
    handles = {words: handle for words, handle in entries.items() if handle is not None}
    needed = sum(0.55 + LEGEND * len(words) for words in handles)
    lines = -(-needed // (figure.get_figwidth() - 0.3))
    figure.legend(
        list(handles.values()), list(handles), loc="outside lower center", ncols=-(-len(handles) // int(lines)),
        title=wrapped(heading, figure.get_figwidth() - 0.3, LEGEND), title_fontsize=8,
    )  # fmt: skip


def head_legend(figure: Figure, text: str) -> None:
    """Put other words over the legend below the panels."""
    heading = figure.legends[0].get_title()
    heading.set_text(wrapped(text, figure.get_figwidth() - 0.3, LEGEND))
    heading.set_multialignment("center")


def constants(datasets: Mapping[str, Dataset]) -> Figure:
    """Return the figure of data with a constant y, where nothing can be learned: the data alone."""

    def points(name: str, dataset: Dataset) -> Panel:
        x = dataset.x_train[:, 0] if dataset.n_inputs == 1 else np.arange(dataset.n_train)
        x_name = dataset.x_names[0] if dataset.n_inputs == 1 else "sample"
        return panel(FitDisplay([], x, dataset.y_train, x_name=x_name, y_name=dataset.y_name), title_of(name, dataset))

    panels = [points(*one) for one in datasets.items()]
    return sheet(panels, "y is constant: there is nothing to learn", legend_at=0)
