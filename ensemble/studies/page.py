"""A study as one interactive page that opens offline: the extra `report`, built with Bokeh.

`Study.save` writes the page where Bokeh is installed. All numbers come from the study's curves and tables; only the
epochs between are computed here, by training the few shown models once more with snapshots (a model's bits do not
depend on the others).
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensemble.analysis import Bounds, Curve, few, interval_of
from ensemble.data import Dataset
from ensemble.results import Result
from ensemble.statistics import quartiles
from ensemble.studies import files
from ensemble.system.extras import load_extra
from ensemble.training import train

__all__ = ["Shown", "available", "page"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MEASURES = {"test MSE": "test_loss", "training MSE": "train_loss", "validation MSE": "val_loss"}
FITS, FRAMES, POINTS = 4, 20, 160  # widths whose fits are drawn, epochs of the slider, points of a fitted curve
_MOST_ROWS = 3000  # of the table


Panels = Mapping[str, list[Curve]]


def available() -> bool:
    """Return whether Bokeh is installed."""
    return find_spec("bokeh") is not None


class Shown(NamedTuple):
    """What a page shows.

    Attributes
    ----------
    about : mapping
        What `study.json` holds.
    rows : sequence of mappings
        What `summary.csv` holds.
    result : Result
    datasets : mapping of Dataset by name
    panels : mapping of list of Curve by name
        Curves of error against width that share a panel; empty for a study without them.
    bounds : mapping of Bounds or None by dataset
    """

    about: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    result: Result
    datasets: Mapping[str, Dataset]
    panels: Panels
    bounds: Mapping[str, Bounds | None]


def page(shown: Shown) -> str:
    """Return a study as one self-contained HTML page.

    Raises
    ------
    ImportError
        Bokeh is not installed.
    """
    embed = load_extra("bokeh.embed", "report", "interactive pages")
    from bokeh.layouts import column
    from bokeh.models import Div
    from bokeh.resources import INLINE

    title = f"relu-ensemble: {shown.about['study'].replace('_', ' ')}"
    parts: list[Any] = [Div(text=_heading(title, shown), width=980)]
    if shown.panels:
        parts += _plots(shown)
    parts += [Div(text="<h2>Table</h2><p>A click on a head sorts.</p>"), _table(shown.rows)]
    settings = html.escape(files.json_text(shown.about))
    parts.append(Div(text=f"<h2>Configuration and machine</h2><pre>{settings}</pre>", width=980))
    text: str = embed.file_html(column(*parts), INLINE, title)  # only the scripts that it needs
    return text


def _heading(title: str, shown: Shown) -> str:
    result = shown.result
    diverged = int((result.diverged_at >= 0).sum())
    names = ", ".join(html.escape(name) for name in shown.datasets)
    return (
        f"<h1>{html.escape(title)}</h1><p>{len(result):,} ReLU networks trained for "
        f"{int(result.epochs[-1]):,} epochs on {names}; {diverged:,} diverged. Learning rates are chosen for "
        "each width on validation data. Bands are 95% intervals of the median over seeds; dots are single seeds.</p>"
    )


# ---- plots ----


def _plots(shown: Shown) -> list[Any]:
    from bokeh.layouts import column, row
    from bokeh.models import Select

    names = list(shown.panels)
    group = Select(title="target", value=names[0], options=names, name="group", width=220)
    measure = Select(title="error", value="test MSE", options=list(MEASURES), name="measure", width=220)
    errors = _error_plot(shown, group, measure)
    fits = _fit_plot(shown, group)
    return [row(group, measure), row(errors, *([] if fits is None else [column(*fits)]))]


def _error_plot(shown: Shown, group: Any, measure: Any) -> Any:
    """Return the plot of error against width, switched by the two selects."""
    from bokeh.models import ColumnDataSource, CustomJS, HoverTool
    from bokeh.plotting import figure

    curves = next(iter(shown.panels.values()))
    labels = [curve.label for curve in curves]
    data = {
        name: {
            words: [_curve_data(curve, loss) for curve in curves] + [_floor_data(shown, curves[0], words)]
            for words, loss in MEASURES.items()
        }
        for name, curves in shown.panels.items()
    }
    first = data[group.value][measure.value]
    plot = figure(
        x_axis_type="log", y_axis_type="log", width=540, height=460,
        x_axis_label="width (hidden units)" if curves[0].axis == "width" else curves[0].axis.replace("_", " "),
        y_axis_label="mean squared error", tools="pan,wheel_zoom,box_zoom,reset,save", active_drag=None, name="errors",
    )  # fmt: skip
    lines, seeds, hovered = [], [], []
    for place, label in enumerate(labels):
        colour = COLOURS[place % len(COLOURS)]
        line = ColumnDataSource(first[place]["line"], name=f"line {label}")
        dots = ColumnDataSource(first[place]["seeds"], name=f"seeds {label}")
        plot.varea("across", "low", "high", source=line, color=colour, alpha=0.2, legend_label=label)
        plot.line("across", "median", source=line, color=colour, line_width=2, legend_label=label)
        hovered.append(plot.scatter("across", "median", source=line, color=colour, size=8, legend_label=label))
        dotted = plot.scatter("across", "error", source=dots, color=colour, size=4, alpha=0.4, legend_label=label)
        words = [("", label), ("width", "@width"), ("seed", "@seed"), ("error", "@error{0.00e}"), ("rate", "@lr")]
        plot.add_tools(HoverTool(renderers=[dotted], tooltips=words))
        lines.append(line)
        seeds.append(dots)
    plot.add_tools(
        HoverTool(
            renderers=hovered,
            tooltips=[
                ("", "@label"), ("width", "@width"), ("median", "@median{0.00e}"),
                ("95% interval", "@low{0.00e} to @high{0.00e}"), ("rate", "@lr"), ("diverged", "@diverged of @n"),
            ],
        )
    )  # fmt: skip
    floor = ColumnDataSource(first[-1]["line"], name="floor")
    plot.line("across", "floor", source=floor, color="black", line_dash="dashed", legend_label="nothing can be below")
    _legend_below(plot)
    change = CustomJS(
        args={"data": data, "lines": lines, "seeds": seeds, "floor": floor, "group": group, "measure": measure},
        code="""
            const shown = data[group.value][measure.value];
            lines.forEach((line, i) => { line.data = shown[i].line; seeds[i].data = shown[i].seeds; });
            floor.data = shown[shown.length - 1].line;
        """,
    )
    group.js_on_change("value", change)
    measure.js_on_change("value", change)
    return plot


def _legend_below(plot: Any) -> None:
    """Put the legend where it covers nothing; a click on an entry hides what it names."""
    plot.add_layout(plot.legend[0], "below")
    plot.legend.click_policy = "hide"
    plot.legend.orientation = "horizontal"
    plot.legend.border_line_alpha = 0


def _curve_data(curve: Curve, measure: str) -> dict[str, Any]:
    """Return one curve for one measure: columns of the line, and of the single seeds."""
    errors, ((low, high), _), n = curve.of(measure), curve.band(measure), len(curve.seeds)
    line = {
        "across": curve.across.tolist(), "width": curve.width.tolist(),
        "median": _plain(quartiles(errors)[1]), "low": _plain(low), "high": _plain(high),
        "lr": curve.lr.tolist(), "label": [curve.label] * len(curve.width), "n": [n] * len(curve.width),
        "diverged": np.isinf(errors).sum(axis=1).tolist(),
    }  # fmt: skip
    seeds = {
        "across": np.repeat(curve.across, n).tolist(), "width": np.repeat(curve.width, n).tolist(),
        "error": _plain(errors.ravel()),
        "seed": np.tile(curve.seeds, len(curve.width)).tolist(), "lr": np.repeat(curve.lr, n).tolist(),
    }  # fmt: skip
    return {"line": line, "seeds": seeds}


def _floor_data(shown: Shown, curve: Curve, measure: str) -> dict[str, Any]:
    """Return what no model can beat: on training data by width, on other data the noise variance in the mean."""
    bound, noise = shown.bounds.get(curve.data), shown.datasets[curve.data].noise_variance
    if measure == "training MSE":
        widths, floor = ([], []) if bound is None else (bound.width, np.where(bound.floor > 0, bound.floor, np.nan))
    else:
        widths, floor = (curve.across, np.full(len(curve.width), noise)) if noise else ([], [])
    return {"line": {"across": np.asarray(widths).tolist(), "floor": _plain(np.asarray(floor, dtype=np.float64))}}


def _fit_plot(shown: Shown, group: Any) -> list[Any] | None:
    """Return the plot of fitted curves with its select and slider; None for several inputs, or other widths."""
    from bokeh.models import ColumnDataSource, CustomJS, Select, Slider
    from bokeh.plotting import figure

    datasets = shown.datasets
    drawn = {name: curves for name, curves in shown.panels.items() if datasets[curves[0].data].n_inputs == 1}
    if not drawn or shown.result.epochs[-1] == 0:
        return None
    if len({tuple(curve.width.tolist()) for curves in drawn.values() for curve in curves}) > 1:
        return None
    labels = [curve.label for curve in next(iter(drawn.values()))]
    widths = few(next(iter(drawn.values()))[0].width, FITS)
    epochs, frames = _frames(shown, drawn, widths)
    samples = {}
    for name, curves in drawn.items():
        dataset = datasets[curves[0].data]
        samples[name] = {"x": _single(dataset.x_train[:, 0]), "y": _single(dataset.y_train)}
    begin = group.value if group.value in drawn else next(iter(drawn))
    which = Select(title="fits of", value=labels[0], options=labels, name="fits", width=180)
    slider = Slider(
        title="epoch", start=0, end=len(epochs) - 1, value=len(epochs) - 1, step=1, show_value=False, name="epoch",
        width=300,
    )  # fmt: skip
    slider.title = f"epoch {epochs[-1]}"
    plot = figure(width=540, height=400, x_axis_label="x", y_axis_label="y", tools="pan,wheel_zoom,reset,save",
                  active_drag=None, name="fitted")  # fmt: skip
    points = ColumnDataSource(samples[begin], name="samples")
    plot.scatter("x", "y", source=points, color="#999999", size=3, alpha=0.5, legend_label="training data")
    curves_shown = []
    for place, width in enumerate(widths):
        source = ColumnDataSource(
            {"x": frames[begin][labels[0]]["x"], "y": frames[begin][labels[0]]["y"][place][-1]}, name=f"fit {width}"
        )
        plot.line("x", "y", source=source, color=COLOURS[place % len(COLOURS)], line_width=2,
                  legend_label=f"width {width}")  # fmt: skip
        curves_shown.append(source)
    _legend_below(plot)
    change = CustomJS(
        args={
            "frames": frames, "samples": samples, "epochs": epochs, "sources": curves_shown, "points": points,
            "group": group, "which": which, "slider": slider,
        },
        code="""
            slider.title = 'epoch ' + epochs[slider.value];
            const own = frames[group.value];
            if (own === undefined) { return; }
            points.data = samples[group.value];
            const shown = own[which.value];
            sources.forEach((source, i) => { source.data = {x: shown.x, y: shown.y[i][slider.value]}; });
        """,
    )  # fmt: skip
    for control in (group, which, slider):
        control.js_on_change("value", change)
    return [which, slider, plot]


def _frames(shown: Shown, groups: Panels, widths: list[int]) -> tuple[list[int], dict[str, Any]]:
    """Return epochs, and by group and curve the predictions of each width's typical model at each of them."""
    result, datasets = shown.result, shown.datasets
    last = int(result.epochs[-1])
    epochs = [0, *np.unique(np.geomspace(1, last, FRAMES).astype(np.int64)).tolist()]
    models = [
        int(curve.typical_models[place])
        for curves in groups.values()
        for curve in curves
        for place in np.flatnonzero(np.isin(curve.width, widths))
    ]
    again = train(result.specs[np.array(models)], datasets, epochs=last, record=[], snapshots=epochs, progress=False)
    found: dict[str, Any] = {}
    at = 0
    for name, curves in groups.items():
        found[name] = {}
        for curve in curves:
            x = np.linspace(*interval_of(datasets[curve.data]), POINTS)
            y = []
            for _ in widths:
                with np.errstate(over="ignore", invalid="ignore"):  # the weights of a diverged model
                    y.append([_single(again.snapshots[epoch][at].predict(x)) for epoch in epochs])
                at += 1
            found[name][curve.label] = {"x": _single(x), "y": y}
    return epochs, found


# ---- table ----


def _table(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return the summary as a sortable table: the points of its main curves, or all rows where it has none."""
    from bokeh.models import ColumnDataSource, DataTable, TableColumn

    main = [row for row in rows if row.get("measure") == "test_loss" and "width" in row and "epoch" not in row]
    rows = (main or rows)[:_MOST_ROWS]
    heads = list(dict.fromkeys(name for row in rows for name, value in row.items() if value not in ("", None)))
    heads = [name for name in heads if name != "figure"]
    columns = {name: [_cell(row.get(name, "")) for row in rows] for name in heads}
    return DataTable(
        source=ColumnDataSource(columns, name="table"), columns=[TableColumn(field=name, title=name) for name in heads],
        width=1080, height=360, index_position=None, reorderable=False, name="table",
    )  # fmt: skip


def _cell(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return float(f"{value:.4g}") if np.isfinite(value) else str(value)
    return "" if value is None else value


def _single(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return numbers in single precision, as a screen needs them, and NaN for what cannot be drawn."""
    with np.errstate(over="ignore"):
        small = np.asarray(values).astype(np.float32)
    return np.where(np.isfinite(small), small, np.float32(np.nan))


def _plain(values: NDArray[np.float64]) -> list[float]:
    """Return numbers with six digits, which is more than a screen shows, and NaN for what cannot be drawn."""
    return [float(f"{value:.6g}") if np.isfinite(value) else float("nan") for value in values.tolist()]
