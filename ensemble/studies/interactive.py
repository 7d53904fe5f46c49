"""The plots of a study's page, which are switched, played and asked with the mouse; made with Bokeh.

All numbers come from the study's curves; only the epochs between are computed here, by training the few shown models
once more with snapshots (a model's bits do not depend on the others).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ensemble.analysis import Bounds, Curve, LearningCurve, few, interval_of
from ensemble.data import Dataset
from ensemble.results import Result
from ensemble.statistics import quartiles
from ensemble.studies.lines import Part, empty, histories, legend_below, rates, shades, single
from ensemble.training import train

__all__ = ["Shown", "plots"]

MEASURES = {"test MSE": "test_loss", "training MSE": "train_loss", "validation MSE": "val_loss"}
FITS, FRAMES, POINTS = 4, 20, 160  # widths whose fits are drawn, epochs of the slider, points of a fitted curve


class Shown(NamedTuple):
    """What a page shows.

    Attributes
    ----------
    about : mapping
        What `study.json` holds.
    question, answer : str
        The study's, in words.
    rows : sequence of mappings
        What `summary.csv` holds.
    result : Result
    datasets : mapping of Dataset by name
    panels : mapping of list of Curve by name
        Curves of error against width that share a panel; empty for a study without them.
    fits : mapping of list of Curve by name
        Curves whose fits are shown, epoch by epoch.
    histories : mapping of list of LearningCurve by name
        Errors against epoch that share a panel.
    maps : mapping of Curve by name
        Whose validation error is shown against the learning rate.
    bounds : mapping of Bounds or None by dataset
    """

    about: Mapping[str, Any]
    question: str
    answer: str
    rows: Sequence[Mapping[str, Any]]
    result: Result
    datasets: Mapping[str, Dataset]
    panels: Mapping[str, list[Curve]]
    fits: Mapping[str, list[Curve]]
    histories: Mapping[str, list[LearningCurve]]
    maps: Mapping[str, Curve]
    bounds: Mapping[str, Bounds | None]


def plots(shown: Shown) -> tuple[Any, list[Part]]:
    """Return the controls of all plots, None where there is nothing to choose, and the plots."""
    from bokeh.layouts import row
    from bokeh.models import Select

    groups = list(dict.fromkeys([*shown.panels, *shown.fits]))
    if not groups:
        return None, [*histories(shown.histories), *rates(shown.maps)]
    group = Select(title="data", value=groups[0], options=groups, name="group", sizing_mode="stretch_width")
    measure = Select(
        title="error", value="test MSE", options=list(MEASURES), name="measure", sizing_mode="stretch_width"
    )
    chosen = [*([group] if len(groups) > 1 else []), *([measure] if shown.panels else [])]
    parts = [*(_errors(shown, group, measure) if shown.panels else []), *_fits(shown, group)]
    controls = row(*chosen, name="controls", sizing_mode="stretch_width", max_width=520) if chosen else None
    return controls, [*parts, *histories(shown.histories), *rates(shown.maps)]


def _colours(labels: list[str]) -> list[str]:
    from ensemble.plots import style  # matplotlib is loaded where something is drawn, and no sooner

    return [style.look(place, label)[0] for place, label in enumerate(labels)]


def _width_ticks(plot: Any, curve: Curve) -> None:
    """Name widths on the axis as 1, 4, 16, ..., and what else a curve is drawn against at its points."""
    from bokeh.models import FixedTicker, NumeralTickFormatter

    low, high = int(curve.across.min()), int(curve.across.max())
    powers = [2**power for power in range(31) if low <= 2**power <= high]
    ticks = powers[:: -(-len(powers) // 6)] if len(powers) > 1 and curve.axis == "width" else curve.across.tolist()
    plot.xaxis.ticker = FixedTicker(ticks=ticks)
    plot.xaxis.formatter = NumeralTickFormatter(format="0,0")


# ---- error against width ----


def _errors(shown: Shown, group: Any, measure: Any) -> list[Part]:
    """Return the plot of error against width, switched by the two selects."""
    from bokeh.models import ColumnDataSource, CustomJS, HoverTool

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
    names = {"width": "width (hidden units)", "multiply_adds": "multiply-adds (per sample)"}
    across = names.get(curves[0].axis, curves[0].axis.replace("_", " "))
    plot = empty("errors", x_axis_type="log", y_axis_type="log", x_axis_label=across, y_axis_label="MSE")
    lines, seeds, hovered = [], [], []
    for place, (label, colour) in enumerate(zip(labels, _colours(labels), strict=True)):
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
    # A test error may be below the variance of the noise by chance: it is a limit in the mean alone.
    limit = "lower limit (test: in the mean)"
    plot.line("across", "floor", source=floor, color="black", line_dash="dashed", legend_label=limit)
    _width_ticks(plot, curves[0])
    legend_below(plot)
    limited = plot.legend[0].items[-1]
    limited.visible = len(first[-1]["line"]["floor"]) > 0
    change = CustomJS(
        args={
            "data": data,
            "lines": lines,
            "seeds": seeds,
            "floor": floor,
            "group": group,
            "measure": measure,
            "limited": limited,
        },
        code="""
            if (data[group.value] === undefined) { return; }
            const shown = data[group.value][measure.value];
            lines.forEach((line, i) => { line.data = shown[i].line; seeds[i].data = shown[i].seeds; });
            floor.data = shown[shown.length - 1].line;
            limited.visible = floor.data.floor.length > 0;
        """,
    )
    group.js_on_change("value", change)
    measure.js_on_change("value", change)
    return [("errors", f"Error against {across.split(' (')[0]}", plot)]


def _curve_data(curve: Curve, measure: str) -> dict[str, Any]:
    """Return one curve for one measure: columns of the line, and of the single seeds."""
    errors, ((low, high), _), n = curve.of(measure), curve.band(measure), len(curve.seeds)
    line = {
        "across": curve.across.astype(np.int32), "width": curve.width.astype(np.int32),
        "median": single(quartiles(errors)[1]), "low": single(low), "high": single(high),
        "lr": curve.lr, "label": [curve.label] * len(curve.width), "n": [n] * len(curve.width),
        "diverged": np.isinf(errors).sum(axis=1).astype(np.int32),
    }  # fmt: skip
    seeds = {
        "across": np.repeat(line["across"], n), "width": np.repeat(line["width"], n),
        "error": single(errors.ravel()),
        "seed": np.tile(curve.seeds, len(curve.width)).astype(np.float64), "lr": np.repeat(curve.lr, n),
    }  # fmt: skip
    return {"line": line, "seeds": seeds}


def _floor_data(shown: Shown, curve: Curve, measure: str) -> dict[str, Any]:
    """Return what no model can beat: on training data by width, on other data the noise variance in the mean."""
    bound, noise = shown.bounds.get(curve.data), shown.datasets[curve.data].noise_variance
    widths, floor = np.zeros(0, np.int64), np.zeros(0)
    if measure == "training MSE" and bound is not None:
        widths, floor = bound.width, np.where(bound.floor > 0, bound.floor, np.nan)
    elif measure != "training MSE" and noise:
        widths, floor = curve.across, np.full(len(curve.width), noise)
    return {"line": {"across": widths.astype(np.int32), "floor": single(floor)}}


# ---- fits, epoch by epoch ----


def _fits(shown: Shown, group: Any) -> list[Part]:
    """Return the plot of fitted curves with select, slider and play; none for several inputs, or other widths."""
    from bokeh.layouts import column, row
    from bokeh.models import Button, ColumnDataSource, CustomJS, Select, Slider

    datasets = shown.datasets
    drawn = {name: curves for name, curves in shown.fits.items() if datasets[curves[0].data].n_inputs == 1}
    if not drawn or shown.result.epochs[-1] == 0:
        return []
    if len({tuple(curve.width.tolist()) for curves in drawn.values() for curve in curves}) > 1:
        return []
    labels = [curve.label for curve in next(iter(drawn.values()))]
    widths = few(next(iter(drawn.values()))[0].width, FITS)
    epochs, frames = _frames(shown, drawn, widths)
    samples = {}
    for name, curves in drawn.items():
        dataset = datasets[curves[0].data]
        samples[name] = {"x": single(dataset.x_train[:, 0]), "y": single(dataset.y_train)}
    begin = group.value if group.value in drawn else next(iter(drawn))
    dataset = datasets[drawn[begin][0].data]
    which = Select(title="fits of", value=labels[0], options=labels, name="fits", width=150)
    last = len(epochs) - 1
    slider = Slider(
        title=f"epoch {epochs[-1]}", start=0, end=last, value=last, step=1, show_value=False, name="epoch",
        sizing_mode="stretch_width",
    )  # fmt: skip
    play = Button(label="► play", name="play", width=80, align="end")
    plot = empty("fitted", x_axis_label=dataset.x_names[0], y_axis_label=dataset.y_name)
    points = ColumnDataSource(samples[begin], name="samples")
    plot.scatter("x", "y", source=points, color="#999999", size=3, alpha=0.5, legend_label="training data")
    sources = []
    for place, (width, colour) in enumerate(zip(widths, shades(len(widths)), strict=True)):
        start = frames[begin][labels[0]]
        source = ColumnDataSource({"x": start["x"], "y": start["y"][place][-1]}, name=f"fit {width}")
        plot.line("x", "y", source=source, color=colour, line_width=2, legend_label=f"width {width}")
        sources.append(source)
    legend_below(plot)
    change = CustomJS(
        args={
            "frames": frames, "samples": samples, "epochs": epochs, "sources": sources, "points": points,
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
    play.js_on_event(
        "button_click",
        CustomJS(
            args={"slider": slider, "play": play},
            code="""
                const stop = () => { clearInterval(window.playing); window.playing = null; play.label = '► play'; };
                if (window.playing) { stop(); return; }
                if (slider.value >= slider.end) { slider.value = 0; }
                play.label = '❚❚ stop';
                window.playing = setInterval(() => {
                    slider.value = Math.min(slider.value + 1, slider.end);
                    if (slider.value >= slider.end) { stop(); }
                }, 350);
            """,
        ),
    )
    used = [play, slider] if len(labels) == 1 else [which, play, slider]
    controls = row(*used, sizing_mode="stretch_width")
    return [("fit", "Fits, epoch by epoch", column(controls, plot, name="fit", sizing_mode="stretch_width"))]


def _frames(shown: Shown, groups: Mapping[str, list[Curve]], widths: list[int]) -> tuple[list[int], dict[str, Any]]:
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
    again = train(
        result.specs[np.array(models)], dict(datasets), epochs=last, record=[], snapshots=epochs, progress=False
    )
    found: dict[str, Any] = {}
    at = 0
    for name, curves in groups.items():
        found[name] = {}
        for curve in curves:
            x = np.linspace(*interval_of(datasets[curve.data]), POINTS)
            y = []
            for _ in widths:
                with np.errstate(over="ignore", invalid="ignore"):  # the weights of a diverged model
                    y.append([single(again.snapshots[epoch][at].predict(x)) for epoch in epochs])
                at += 1
            found[name][curve.label] = {"x": single(x), "y": y}
    return epochs, found
