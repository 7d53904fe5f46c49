"""Plots of a study's page that hold lines and one select: error against epoch, and against the learning rate.

Made with Bokeh for `interactive`, which also takes the look of its plots from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ensemble.analysis import Curve, LearningCurve

__all__ = ["Part", "empty", "histories", "legend_below", "rates", "shades", "single"]

TOOLS = "pan,wheel_zoom,box_zoom,reset,save"
# Of a logarithmic axis: powers of ten, and twice and five times these where there are few. Below two decades Bokeh's
# own ticks are at equal distances, and cover each other.
TICKS = """
    const {start, end} = cb_data.range, decades = Math.log10(end / start), ticks = [];
    const every = Math.ceil(decades / 8);
    for (let p = Math.floor(Math.log10(start)); p <= Math.log10(end); p++) {
        for (const factor of decades > 2.5 ? [1] : [1, 2, 5]) {
            const tick = factor * 10 ** p;
            if (tick >= start && tick <= end && p % every === 0) { ticks.push(tick); }
        }
    }
    return ticks;
"""
Part = tuple[str, str, Any]  # name, heading and model of a plot
Lines = dict[str, dict[str, dict[str, Any]]]  # columns by group and label


def shades(count: int) -> list[str]:
    """Return the colours of widths, ascending, as in the figures."""
    from ensemble.plots import style  # matplotlib is loaded where something is drawn, and no sooner

    return [look["color"] for look in style.width_looks(count)]


def empty(name: str, **words: Any) -> Any:
    """Return a plot without content, as wide as there is room."""
    from bokeh.models import CustomJSTicker, LogAxis
    from bokeh.plotting import figure

    plot = figure(
        height=400, sizing_mode="stretch_width", tools=TOOLS, active_drag=None, toolbar_location="above", name=name,
        **words,
    )  # fmt: skip
    for axis in plot.axis:
        if isinstance(axis, LogAxis):
            axis.ticker = CustomJSTicker(major_code=TICKS)
    return plot


def legend_below(plot: Any, entries: int = 0) -> None:
    """Put the legend where it covers nothing; a click on an entry hides what it names.

    `entries` are seen at once, all where nothing is said; the plot above keeps its height.
    """
    legend = plot.legend[0]
    plot.add_layout(legend, "below")
    plot.height = 344 + 28 * -(-(entries or len(legend.items)) // 2)
    # Two columns, as many as a phone has room for.
    legend.update(
        click_policy="hide", orientation="horizontal", ncols=2, border_line_alpha=0, label_text_font_size="12px",
        location="top_left", spacing=8, padding=2, margin=0,
    )  # fmt: skip


def single(values: ArrayLike) -> NDArray[np.float32]:
    """Return numbers in single precision, as a screen needs them, and NaN for what cannot be drawn.

    Bokeh writes arrays as they are; in lists it looks at each number, which takes most of the time of a page.
    """
    with np.errstate(over="ignore"):
        small = np.asarray(values).astype(np.float32)
    return np.where(np.isfinite(small), small, np.float32(np.nan))


def histories(groups: Mapping[str, list[LearningCurve]]) -> list[Part]:
    """Return the plot of error against epoch, a line for each width; none where there are no curves."""
    lines: Lines = {}
    for name, curves in groups.items():
        lines[name] = {}
        for curve in curves:
            low, median, high = (single(values[1:]) for values in curve.quartiles)  # epoch 0 has no place on a log axis
            words = [f"{curve.lr:.3g}"] * len(median)
            lines[name][f"width {curve.width:,}"] = {
                "x": curve.epochs[1:].astype(np.int32), "y": median, "low": low, "high": high, "lr": words,
            }  # fmt: skip
    tips = [("epoch", "@x"), ("median", "@y{0.00e}"), ("quartiles", "@low{0.00e} to @high{0.00e}"), ("rate", "@lr")]
    title = "Test error against epoch, median and quartiles"
    return _switched("history", title, lines, tips, x_axis_label="epoch", y_axis_label="test MSE")


def rates(groups: Mapping[str, Curve]) -> list[Part]:
    """Return the plot of validation error against learning rate, a line for each width; none where there are none."""
    lines: Lines = {
        name: {
            f"width {width:,}": {"x": curve.lr_grid, "y": single(median)}
            for width, median in zip(curve.width.tolist(), curve.validation_median, strict=True)
        }
        for name, curve in groups.items()
        if len(curve.lr_grid) > 1
    }
    tips = [("rate", "@x{0.0000}"), ("median", "@y{0.00e}")]
    title = "Validation error against learning rate"
    return _switched("rates", title, lines, tips, x_axis_label="learning rate", y_axis_label="validation MSE")


def _switched(name: str, title: str, lines: Lines, tips: list[tuple[str, str]], **axes: str) -> list[Part]:
    """Return the plot of the lines of one group, with a select where there are several."""
    from bokeh.layouts import column
    from bokeh.models import ColumnDataSource, CustomJS, HoverTool, Select

    lines = {group: found for group, found in lines.items() if found}
    if not lines or not any(len(one["x"]) for found in lines.values() for one in found.values()):
        return []
    every = dict.fromkeys(label for found in lines.values() for label in found)
    labels = sorted(every, key=lambda label: int(label.split()[-1].replace(",", "")))  # by width
    first = next(iter(lines))
    nothing: dict[str, list[Any]] = {key: [] for key in next(iter(lines[first].values()))}
    plot = empty(name, x_axis_type="log", y_axis_type="log", **axes)
    sources = []
    for label, colour in zip(labels, shades(len(labels)), strict=True):
        source = ColumnDataSource(lines[first].get(label, nothing), name=f"{name} {label}")
        if "low" in nothing:
            plot.varea("x", "low", "high", source=source, color=colour, alpha=0.2, legend_label=label)
        line = plot.line("x", "y", source=source, color=colour, line_width=2, legend_label=label)
        plot.add_tools(HoverTool(renderers=[line], tooltips=[("", label), *tips]))
        sources.append(source)
    legend_below(plot, max(map(len, lines.values())))
    entries = plot.legend[0].items
    for entry, label in zip(entries, labels, strict=True):
        entry.visible = label in lines[first]
    if len(lines) == 1:
        return [(f"{name} part", title, column(plot, name=f"{name} part", sizing_mode="stretch_width"))]
    select = Select(title="shown", value=first, options=list(lines), name=f"{name} of", sizing_mode="stretch_width")
    select.js_on_change(
        "value",
        CustomJS(
            args={
                "lines": lines,
                "sources": sources,
                "labels": labels,
                "select": select,
                "nothing": nothing,
                "entries": entries,
            },
            code="""
                const shown = lines[select.value];
                sources.forEach((source, i) => { source.data = {...(shown[labels[i]] ?? nothing)}; });
                entries.forEach((entry, i) => { entry.visible = labels[i] in shown; });
            """,
        ),
    )
    return [(f"{name} part", title, column(select, plot, name=f"{name} part", sizing_mode="stretch_width"))]
