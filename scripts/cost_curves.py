"""What one full-batch step costs, by width, samples, hidden layers and number of models: measured, and drawn.

Part of `benchmark.py`, which keeps the figures in its JSON.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from timing import CORES, run_engine, step_seconds, warm

import ensemble
from ensemble.plots import style
from ensemble.plots.rendering import render
from ensemble.plots.sheets import sheet

Points = list[tuple[float, float]]  # (x, microseconds per model and step)

SAMPLES = tuple(10**i for i in range(2, 7))
WIDTHS = (16, 64, 256)  # each with a shade of its own, the same in every panel


def measure(
    data: ensemble.Dataset, sampled: Callable[[int], ensemble.Dataset], repeats: int
) -> dict[str, dict[str, Points]]:
    """Return the points of every line of every panel; `sampled` gives a dataset of N samples."""
    found: dict[str, dict[str, Points]] = {panel: {} for panel in ("width", "samples", "depth", "models")}

    def add(panel: str, line: str, x: float, run: Callable[[], object], steps: int) -> None:
        seconds = float(np.median(warm([run], repeats)))
        found[panel].setdefault(line, []).append((x, seconds / steps * 1e6))

    for width in [2**i for i in range(13)]:
        models = max(4, 2048 // width)
        for optimizer in ("gd", "adam"):
            specs = ensemble.grid(width=width, seed=range(models), optimizer=optimizer, lr=1e-3)  # none diverges
            add("width", optimizer, width, run_engine(specs, data, 400), 400 * models)
        if width <= 1024:
            specs = ensemble.grid(width=width, seed=range(max(2, models // 16)))
            add("width", "dense", width, run_engine(specs, data, 40, engine="dense"), 40 * len(specs))
    for n in SAMPLES:
        many = sampled(n)
        for width in WIDTHS:
            specs = ensemble.grid(width=width, seed=range(2))
            found["samples"].setdefault(str(width), []).append((n, step_seconds(specs, many, 20_000) * 1e6))
        for hidden_layers in (1, 2, 3):
            specs = ensemble.grid(width=64, hidden_layers=hidden_layers, seed=range(2), lr=0.01, init="uniform")
            epochs = 20_000 if hidden_layers == 1 else 2_000
            found["depth"].setdefault(str(hidden_layers), []).append((n, step_seconds(specs, many, epochs) * 1e6))
    for models in [4**i for i in range(8)]:
        for width in (16, 64):
            if width * models <= 2**18:
                specs = ensemble.grid(width=width, seed=range(models))
                add("models", str(width), models, run_engine(specs, data, 500, CORES), 500 * models)
    ensemble.engines.forget_prepared()
    return found


def draw(found: dict[str, dict[str, Points]]) -> bytes:
    """Return the picture, a PNG."""
    return render(figure(found), "png")


def figure(found: dict[str, dict[str, Points]]) -> Figure:
    """Return a panel per message, with the number that it tells in its title."""
    panels = [lambda ax, draw=draw: draw(ax, found) for draw in (_width, _samples, _depth, _models)]
    dense, exact = (dict(map(tuple, found["width"][name])) for name in ("dense", "gd"))
    title = f"One exact full-batch step of width 1,024 takes {exact[1024]:.3g} us a model, one by matrix products "
    return sheet(panels, f"{title}{dense[1024]:,.0f} us (float64)", panel_size=(5.4, 3.4))


def _width(ax: Axes, found) -> None:
    for name, label in {"gd": "exact form, gd", "adam": "exact form, adam", "dense": "matrix products, gd"}.items():
        colour, marker = style.look(3, name)
        _line(ax, found["width"][name], label, color=colour, marker=marker)
    exact, dense = (dict(map(tuple, found["width"][name])) for name in ("gd", "dense"))
    saved = dense[1024] / exact[1024]
    style.log_width_axis(ax, np.array(sorted(exact)))
    _finish(ax, f"Wider: at 1,024 units the exact form costs\n{saved:,.0f} times less than matrix products")


def _samples(ax: Axes, found) -> None:
    for name, points in found["samples"].items():
        _line(ax, points, f"width {name}", **_shade(int(name)))
    few, many = found["samples"]["64"][1][1], found["samples"]["64"][-1][1]
    _sample_axis(ax)
    _finish(ax, f"More samples: 1,000 times as many cost\n{many / few:.1f} times as much at width 64")


def _depth(ax: Axes, found) -> None:
    for name, points in found["depth"].items():
        layers = int(name)
        words = f"{layers} hidden layer{'s' * (layers > 1)} of 64"
        colour, marker = style.look(layers - 1, words.removesuffix(" of 64"))
        _line(ax, points, words, color=colour, marker=marker)
    ratios = [points[-1][1] / points[1][1] for name, points in found["depth"].items() if name != "1"]
    _sample_axis(ax)
    _finish(ax, f"Deeper: 1,000 times the samples cost\n{min(ratios):.1f} to {max(ratios):.1f} times as much")


def _models(ax: Axes, found) -> None:
    for name, points in found["models"].items():
        _line(ax, points, f"width {name}", **_shade(int(name)))
    alone, last = found["models"]["16"][0][1], found["models"]["16"][-1]
    _thousands(ax, "models in one call")
    _finish(ax, f"In company: one model of {last[0]:,.0f} costs\n{alone / last[1]:.0f} times less than one alone")


def _line(ax: Axes, points: Points, label: str, **looks) -> None:
    ax.plot(*np.transpose(points), label=label, markeredgecolor="white", markeredgewidth=0.5, **looks)


def _shade(width: int) -> dict[str, object]:
    place = WIDTHS.index(width)
    return {"color": style.width_looks(len(WIDTHS))[place]["color"], "marker": style.MARKERS[place]}


def _sample_axis(ax: Axes) -> None:
    _thousands(ax, "training samples N")


def _thousands(ax: Axes, label: str) -> None:
    ax.set(xscale="log", xlabel=label)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())


def _finish(ax: Axes, title: str) -> None:
    ax.set(yscale="log", ylabel="us per model and step", title=title)
    low, high = ax.get_ylim()
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 300 * low else (1.0,)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,g}"))
    ax.yaxis.set_minor_locator(NullLocator())
    style.beside(ax)
