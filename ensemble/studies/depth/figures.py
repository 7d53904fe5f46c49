"""The figures of the depth study: a summary, and one figure each for errors, ratios, fits, pieces, initial weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter
from numpy.typing import NDArray

from ensemble.analysis import PieceFilm, multiply_adds, percent
from ensemble.plots import style
from ensemble.plots.curves import WidthCurveDisplay
from ensemble.plots.differences import PairedDifferenceDisplay
from ensemble.plots.figure import Figure
from ensemble.plots.fits import FitDisplay
from ensemble.plots.pieces import PieceCountDisplay, PieceFilmDisplay
from ensemble.plots.sheets import constants, head_legend, panel, sheet
from ensemble.plots.style import STYLE, about, legend_title, name_of, title_of
from ensemble.specs import CHOICES
from ensemble.statistics import bootstrap_interval, quartiles
from ensemble.studies.depth.study import DepthStudy

Panel = Callable[[Axes], None]
SIZE = (3.4, 2.9)  # inches of a panel where there are four in a row

# Colours that no depth has.
INITS: dict[str, Any] = {"normal": "#E69F00", "he": "#56B4E9", "uniform": "black", "fan_in": "0.55"}
INIT_WORDS = {"normal": "N(0, 0.1²), the original's", "he": "he", "uniform": "uniform (PyTorch's)", "fan_in": "fan_in"}


def figures(study: DepthStudy) -> Iterator[tuple[str, Figure]]:
    """Yield the depth study's figures with their names."""
    names, optimizers = study.targets, study.settings["optimizers"]
    if all(map(study.constant, names)):
        yield "summary", constants({name: study.datasets[name] for name in names})
        return
    columns = min(4, len(names)) if len(names) > 1 else len(optimizers)
    every = [(data, optimizer) for optimizer in optimizers for data in names]
    noted = int(np.argmax([any(c.diverged.any() for c in study.curves(*each)) for each in every]))
    ratios = [np.array([one.ratio for one in study.differences(*each)]) for each in every]
    beyond = [~np.isfinite(each) | (each == 0) for each in ratios]
    count = sum(study.deeper(*each).verdict == "more" for each in every)
    title = f"For {_cost(study, -1)}, depth does more than width in {count} of {len(every)} cases"
    after = f"{study.setup.epochs} epochs, best learning rate per depth and width"
    size = SIZE if columns > 1 else (5.2, 3.6)
    yield "summary", _summary(study)
    yield "error_by_depth", sheet(
        [_errors(study, *each) for each in every], f"{title} ({after})", columns=columns, panel_size=size,
        legend_at=noted,
    )  # fmt: skip
    yield "ratios", sheet(
        [_ratios(study, *each) for each in every], f"{title} ({after})", columns=columns, panel_size=size,
        legend_at=int(np.argmax([one.any() for one in beyond])),
    )  # fmt: skip
    shown = [data for data in names if study.fits(data)]
    if shown:
        panels = [_fits(study, data, place) for place in study.fit_places for data in shown]
        left = f"for {_cost(study, -1)} the {_left(study, *shown, places=slice(-1, None))}"
        title = f"Fits of {study.best_optimizer}, each by the seed with the median error: {left}"
        yield "fits", sheet(panels, title, columns=max(2, len(shown)), panel_size=SIZE, legend_at=0)
        yield "pieces", _pieces(study)
    yield "initial", _initial(study)
    if study.sawtooth is not None:
        yield "sawtooth", _sawtooth(study)


def _cost(study: DepthStudy, place: int) -> str:
    return f"{int(study.curves()[0].across[place]):,} multiply-adds per sample"


def _summary(study: DepthStudy) -> Figure:
    """Return the one slide: fits, errors and ratios of the best optimizer, dataset by dataset."""
    shown, best = study.targets[:4], study.best_optimizer
    rows: list[list[Panel]] = []
    if all(study.fits(data) for data in shown):
        rows.append([_fits(study, data, title=title_of(data, study.datasets[data])) for data in shown])
    rows.append([_errors(study, data, best, f"{name_of(data)}\n{_left(study, data)}") for data in shown])
    rows.append([_ratios(study, data, best, _answer(study, data)) for data in shown])
    found = {data: study.deeper(data) for data in shown}
    more = [f"{name_of(data)} ({one.ratio:.2g}x the error)" for data, one in found.items() if one.verdict == "more"]
    rest = [name_of(data) for data, one in found.items() if one.verdict != "more"]
    title = f"For {_cost(study, -1)}, depth does "
    title += f"more than width\non {' and '.join(more)}" if more else "nowhere more than width"
    title += f", not on {' or '.join(rest)}" if more and rest else ""
    columns = len(shown) if len(shown) > 1 else 2
    panels = [each for row in rows for each in row]
    figure = sheet(panels, title, columns=columns, panel_size=SIZE, legend_at=len(panels) - 2 * len(shown))
    for place, ax in enumerate(figure.axes):
        if len(shown) > 1 and place % columns:
            ax.set_ylabel("")
    words = legend_title(len(study.settings["seeds"]), "95% interval; dots: single seeds").replace("\n", " ")
    head_legend(
        figure,
        f"{best}, {words}. Fits: largest computation, seed with the median error.\n"
        "Last row: median of ratios paired by seed, bar: its 95% interval at that point alone; "
        f"ring: differs from 1 with all {len(study.settings['widths'])} tested (signed rank, Holm)",
    )
    return figure


def _left(study: DepthStudy, *names: str, places: slice = slice(None)) -> str:
    """Return what the best networks, of all or some computations, leave of the variance of each dataset, in words."""
    best = [min(float(one.quartiles[1, places].min()) for one in study.curves(data)) for data in names]
    left = [error / study.variance(data) for error, data in zip(best, names, strict=True)]
    return f"best leaves {percent(*left)} of the variance"


def _answer(study: DepthStudy, data: str, optimizer: str | None = None) -> str:
    """Return the best deeper network against the shallowest at the largest computation, in words."""
    found = study.deeper(data, optimizer)
    return f"{found.says}\n{found.words}"


def _titled(study: DepthStudy, data: str, optimizer: str, title: str) -> str:
    return title or f"{name_of(data)}, {optimizer}: {_answer(study, data, optimizer)}"


def _errors(study: DepthStudy, data: str, optimizer: str, title: str = "") -> Panel:
    curves, dataset = study.curves(data, optimizer), study.datasets[data]
    display = WidthCurveDisplay(curves, shared=True, **about(dataset))

    def draw(ax: Axes) -> None:
        panel(display, _titled(study, data, optimizer, title))(ax)
        errors = np.concatenate([curve.errors.ravel() for curve in curves])
        errors = errors[np.isfinite(errors) & (errors > 0)]
        if len(errors):  # where the noise is far below all errors, its line would leave them no room
            ax.set_ylim(bottom=max(ax.get_ylim()[0], errors.min() / 2))
            style.tidy_log_axis(ax)

    return draw


def _ratios(study: DepthStudy, data: str, optimizer: str, title: str = "") -> Panel:
    return panel(PairedDifferenceDisplay(study.differences(data, optimizer)), _titled(study, data, optimizer, title))


def _fits(study: DepthStudy, data: str, place: int = -1, title: str = "") -> Panel:
    words = title or f"{name_of(data)}, {int(study.curves()[0].across[place]):,} multiply-adds"
    return panel(FitDisplay.over(study.fits(data, place), study.datasets[data]), words)


def _line(ax: Axes, x: Sequence[float], errors: NDArray[np.float64], label: str, **look: Any) -> None:
    """Draw medians of errors (K, S) over x (K,), with their 95% intervals as a band."""
    low, high = bootstrap_interval(errors)
    ceiling = style.ceiling_of(errors)
    ax.fill_between(
        x, style.gaps(low, ceiling), style.gaps(np.minimum(high, ceiling), np.inf), color=look["color"], alpha=0.2,
        linewidth=0,
    )  # fmt: skip
    ax.plot(
        x, style.gaps(quartiles(errors)[1], ceiling), label=label, markeredgecolor="white", markeredgewidth=0.5, **look
    )


def _depth_axis(ax: Axes, depths: Sequence[int]) -> None:
    ax.xaxis.set_major_locator(FixedLocator(list(depths)))
    ax.set_xlabel("hidden layers")


# ---- pieces ----


def _pieces(study: DepthStudy) -> Figure:
    """Return pieces by layer over epochs, and pieces after training against the number of units."""
    names = list(study.pieces)

    def over_epochs(film: PieceFilm) -> Panel:
        depth = film.pieces.shape[1]
        end = f"{film.pieces[-1, -1]} pieces at last, {depth * film.width} units"
        return panel(PieceFilmDisplay(film), f"{name_of(film.data)}: {depth} layers of {film.width}\n{end}")

    def against_units(data: str) -> Panel:
        counts, deepest = study.pieces[data], study.curves(data)[-1]
        ratio = np.median(counts[-1][-1]) / (deepest.width[-1] * deepest.settings["hidden_layers"])
        title = f"{name_of(data)}: {ratio:.2g} pieces per unit\nat {deepest.label} of {deepest.width[-1]}"
        return panel(PieceCountDisplay(study.curves(data), counts, study.datasets[data].n_train), title)

    every = np.concatenate([
        np.median(found[-1], axis=-1)[None] / (curve.width[-1] * curve.settings["hidden_layers"])
        for data in names
        for curve, found in zip(study.curves(data), study.pieces[data], strict=True)
        if curve.settings["hidden_layers"] > 1
    ])  # fmt: skip
    most, deepest = float(every.max()), study.curves(names[0])[-1]
    width, depth = int(deepest.width[-1]), deepest.settings["hidden_layers"]
    have = "fewer pieces than units" if most < 1 else "about as many pieces as units" if most < 2 else "more pieces"
    possible = float(width + 1) ** depth
    count = f"{possible:,.0f}" if possible < 1e10 else f"{possible:.0e}"
    title = (
        f"Trained deep networks have {have}: {every.min():.2g} to {most:.2g} per unit\n"
        f"(width {width}, {depth} layers: {count} pieces are possible; {study.best_optimizer})"
    )
    panels = [*(over_epochs(film) for film in study.films), *(against_units(data) for data in names)]
    columns = max(2, len(names))
    figure = sheet(panels, title, columns=columns, panel_size=SIZE)
    with rc_context(STYLE):
        keys = [figure.axes[place].get_legend_handles_labels() for place in (0, len(study.films))]
        handles, labels = [one for each in keys for one in each[0]], [one for each in keys for one in each[1]]
        figure.legend(handles, labels, loc="outside lower center", ncols=-(-len(labels) // 2))
    return figure


# ---- initial weights ----


def _initial(study: DepthStudy) -> Figure:
    """Return what each layer passes on before training, and errors by depth, for all initial weights."""
    found, depths = study.initial, study.hidden_layers
    last = depths[-1]
    kinds = CHOICES["init"]

    def look(init: str) -> dict[str, Any]:
        return {"color": INITS[init], "marker": style.MARKERS[kinds.index(init)]}

    def spread(ax: Axes) -> None:
        for init in kinds:
            _line(ax, range(last + 2), found.spread[init].T, INIT_WORDS[init], **look(init))
        style.log_axis(ax)
        style.tidy_log_axis(ax)
        ax.xaxis.set_major_locator(FixedLocator(range(last + 2)))
        ax.set_xticks(range(last + 2), ["x", *map(str, range(1, last + 1)), "y"])
        ax.set_xlabel("layer (x: inputs, y: output)")
        ax.set_ylabel("spread over samples / that of x")
        ax.set_title(
            f"before training: N(0, 0.1²) lets\n{percent(_passed(study, 'normal'))} of x through {last} layers"
        )
        style.beside(ax)

    def scores(ax: Axes) -> None:
        for init in kinds:
            each = [found.score(init, place) for place in range(len(depths))]
            ax.plot(depths, each, label=INIT_WORDS[init], markeredgecolor="white", markeredgewidth=0.5, **look(init))
        style.log_axis(ax)
        style.tidy_log_axis(ax)
        _depth_axis(ax, depths)
        ax.set_ylabel("error / that of the best weights")
        best = min(kinds, key=found.score)
        ax.set_title(f"all panels to the right: {best} is best,\n{found.score(best):.3g}x the best of each in the mean")

    def errors(data: str, optimizer: str) -> Panel:
        def draw(ax: Axes) -> None:
            for init in kinds:
                _line(ax, depths, found.errors[data, optimizer, init], INIT_WORDS[init], **look(init))
            style.log_axis(ax)
            style.tidy_log_axis(ax)
            _depth_axis(ax, depths)
            ax.set_ylabel(f"test MSE ({style.plain(study.datasets[data].y_name)}²)")
            costs = np.median(found.errors[data, optimizer, "normal"][-1]) / np.median(
                found.errors[data, optimizer, study.settings["init"]][-1]
            )
            ax.set_title(f"{name_of(data)}, {optimizer}: N(0, 0.1²) has\n{costs:.2g}x the error at {last} layers")

        return draw

    names = list(dict.fromkeys(key[0] for key in found.errors))
    panels: list[Panel] = []
    for place, optimizer in enumerate(study.settings["optimizers"]):
        panels += [spread if place == 0 else scores] if place < 2 else []
        panels += [errors(data, optimizer) for data in names]
    score, first = found.score("normal", -1), found.score("normal", 0)
    title = (
        f"Initial weights at {found.spent:,} multiply-adds per sample: the original's N(0, 0.1²) starves a deep network"
        f"\n({score:.3g}x the best error at {last} layers, {first:.3g}x at {depths[0]}); best over depths: "
        f"{min(kinds, key=found.score)}"
    )
    return sheet(panels, title, columns=1 + len(names), panel_size=SIZE, legend_at=0)


def _passed(study: DepthStudy, init: str) -> float:
    return float(np.median(study.initial.spread[init][:, -1]))


# ---- the sawtooth ----


def _sawtooth(study: DepthStudy) -> Figure:
    """Return the network that exists, the floor of one layer, and what training finds, by number of teeth."""
    found = study.sawtooth
    assert found is not None
    dataset, teeth = found.dataset, 2 ** (found.k - 1)
    exact = f"built: {2 * found.k} units in {found.k} layers, exact"

    def fits(ax: Axes) -> None:
        FitDisplay.over(study.fits(found.name), dataset).plot(ax, legend=False)
        x = np.linspace(*dataset.target.interval, 2 ** (found.k + 4) + 1) if dataset.target else dataset.x_train[:, 0]
        ax.plot(x, found.network.predict(x), color="black", linewidth=1, linestyle="--")
        ax.set_title(f"trained for {_cost(study, -1)},\nand built for {found.spent}")

    def possible(ax: Axes) -> None:
        ceiling = style.ceiling_of(*(curve.of("train_loss") for curve in found.curves))
        style.across_axis(ax, found.curves)
        style.log_axis(ax)
        for place, curve in enumerate(found.curves):
            style.draw_errors(ax, place, curve, "train_loss", curve.label, ceiling, "ci")
        error = found.built_error("train")
        ax.plot(found.spent, error, color="black", marker="X", markersize=8, linestyle="", label=exact)
        positive = found.floor.floor[found.floor.floor > 0]
        bottom = min(error or positive.min(), positive.min()) / 4
        spent = multiply_adds(found.floor.width, 1)
        ax.fill_between(
            spent, bottom / 10, np.maximum(found.floor.floor, bottom / 10), facecolor="0.88", edgecolor="0.5",
            hatch="///", linewidth=0.8, label="impossible with one hidden layer", zorder=0.5,
        )  # fmt: skip
        ax.set_ylim(bottom, ceiling)
        ax.set_xlim(left=min(found.spent, 4) / 1.25)
        style.tidy_log_axis(ax)
        ax.set_ylabel("training MSE (y²)")
        finds = "training finds neither" if found.learned < teeth else "training finds it"
        ax.set_title(f"one layer needs {2**found.k - 1} units, {found.k} layers {2 * found.k};\n{finds}")

    def by_teeth(ax: Axes) -> None:
        counts = [2**place for place in range(found.k)]
        for place, (depth, left) in enumerate(found.left.items()):
            label = f"{depth} hidden layer{'s' * (depth > 1)}"
            colour, marker = style.look(place, label)
            _line(ax, counts, left, label, color=colour, marker=marker)
        ax.axhline(1, color=style.NOTE_COLOUR, linewidth=1, linestyle=":")
        ax.text(1, 1.15, "nothing learned", fontsize=7, color=style.NOTE_COLOUR)
        ax.set_xscale("log", base=2)
        style.log_axis(ax)
        ax.set_ylim(top=3)
        style.tidy_log_axis(ax)
        ax.xaxis.set_major_locator(FixedLocator(counts))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.set_xlabel("teeth")
        ax.set_ylabel("test MSE / variance")
        learned = f"up to {found.learned} of {teeth} teeth are learned" if found.learned else "no tooth is learned"
        ax.set_title(f"{_cost(study, study.middle)}:\n{learned} (to 1%)")

    title = (
        f"A sawtooth of {teeth} teeth is exactly a network of {2 * found.k} units in {found.k} layers: training leaves "
        f"{percent(found.trained)} of its variance"
    )
    figure = sheet([fits, possible, by_teeth], title, columns=3, panel_size=(4.4, 3.6))
    with rc_context(STYLE):
        handles, labels = figure.axes[1].get_legend_handles_labels()
        handles.append(Line2D([], [], linestyle="", marker="o", color=style.DATA_COLOUR, alpha=0.5, markersize=3))
        figure.legend(
            handles, [*labels, "training data"], loc="outside lower center", ncols=4,
            title=f"{study.best_optimizer}, median of {len(study.settings['seeds'])} seeds; band: 95% interval",
            title_fontsize=8,
        )  # fmt: skip
    return figure
