"""The figures of the width study: a summary, and one figure per topic with a panel per dataset (and optimizer)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import matplotlib
from matplotlib.axes import Axes

from ensemble.analysis import Curve, Film, interval_of, percent, variance_of
from ensemble.plots.curves import LearningCurveDisplay, WidthCurveDisplay
from ensemble.plots.figure import Figure
from ensemble.plots.fits import FitDisplay
from ensemble.plots.limits import LimitDisplay
from ensemble.plots.rates import LearningRateMapDisplay
from ensemble.plots.sheets import Panel, constants, panel, panel_shape, sheet
from ensemble.plots.style import STYLE, about, exact_error, name_of, title_of, width_looks
from ensemble.plots.units import DeadUnitDisplay, KinkFilmDisplay
from ensemble.studies.width import titles
from ensemble.studies.width.study import WidthStudy

SLIDE = (3.3, 2.85)  # inches of a panel of the summary, four in a row


def figures(study: WidthStudy) -> Iterator[tuple[str, Figure]]:
    """Yield the width study's figures with their names.

    Those that show what is possible come last: finding that out takes as long as drawing the others.
    """
    panels = _Panels(study)
    names = [name for name, found in study.reach.items() if not found.constant]
    if not names:
        yield "summary", constants(study.datasets)
        return
    curves = [curve for name in names for curve in study.curves(name)]
    fitted = [curve for curve in curves if study.datasets[curve.data].n_inputs == 1]
    n_curves = len(study.curves())
    columns = n_curves if 1 < n_curves <= 4 and len(names) == 1 else min(4, len(curves))
    after = f"after {study.setup.epochs} epochs"
    yield (
        "width_curves",
        sheet([panels.error(name) for name in names], f"{titles.answer(study.reach.values())} ({after})", legend_at=0),
    )
    if fitted:
        left = titles.last(study, dict.fromkeys(curve.data for curve in fitted))
        yield "fits", sheet(
            [panels.fits(curve) for curve in fitted], f"Fits {after}, each by the seed with the median error: {left}",
            columns=columns, panel_size=panel_shape(len(fitted)), legend_at=0,
        )  # fmt: skip
    yield "learning_curves", sheet(
        [panels.learning(curve) for curve in curves],
        f"Test error against epoch at the best learning rate of each width: {titles.rise(study, curves)}",
        columns=columns, panel_size=panel_shape(len(curves)), legend_at=0,
    )  # fmt: skip
    yield "learning_rate_map", panels.maps(curves, columns)
    title = titles.deadliest(study)
    yield "dead_units", sheet([panels.dead(name) for name in names], title, legend_at=0)
    if study.films:
        yield "kink_film", sheet(
            [panels.film(film) for film in study.films],
            f"{titles.gathered(study, study.films)}\n"
            "a line per hidden unit, darker where it bends the last fit more; dotted: the ends of the data",
            columns=len(study.films) // len({film.data for film in study.films}), panel_size=(3.3, 2.3),
        )  # fmt: skip
    yield "summary", panels.summary(names)
    bounded = [name for name in names if study.bounds[name] is not None]
    if bounded:
        possible = titles.principle(study.needed[name] for name in bounded)
        title = f"Training error {after}, and what is possible" + f": {possible} for 1% of the variance" * bool(
            possible
        )
        yield "limits", sheet([panels.possible(name) for name in bounded], title, legend_at=0)


def width_display(study: WidthStudy, data: str | None = None, *, details: bool = True) -> WidthCurveDisplay:
    """Return the display of test error on a dataset (default: the first), with all `details` or the medians alone."""
    curves = study.curves(data)
    dataset = study.datasets[curves[0].data]
    if not details:
        return WidthCurveDisplay(curves, **about(dataset))
    return WidthCurveDisplay(
        curves, fixed=True, mean_predictions=[study.mean_prediction(curve) for curve in curves],
        # Its weights, its bias and its output weight; with more hidden layers it has no number of its own.
        parameters_per_unit=dataset.n_inputs + 2 if study.settings["hidden_layers"] == [1] else None,
        **about(dataset),
    )  # fmt: skip


class _Panels:
    """The panels of a width study, each a function that draws into an axes."""

    def __init__(self, study: WidthStudy) -> None:
        self.study = study

    def title(self, name: str) -> str:
        return title_of(name, self.study.datasets[name])

    def summary(self, names: Sequence[str]) -> Figure:
        """Return the one slide: fits, test error, and training error against what is possible, dataset by dataset."""
        study = self.study
        shown = names[:4]
        drawn = all(study.datasets[name].n_inputs == 1 for name in shown)
        bounded = all(study.bounds[name] is not None for name in shown)
        more = f" (the first {len(shown)} of {len(names)} datasets)" if len(names) > len(shown) else ""
        answer = titles.answer(study.needed.values())
        if len(names) == 1:
            (name,) = names
            best, found = study.best_curve(name), study.needed[name]
            panels = [self.error(name, details=False, title=f"test error, best learning rate per width\n{found.title}")]
            if bounded:
                panels.append(self.possible(name, f"training error, and what is possible\n{found.principle}"))
            panels += [self.fits(best)] if drawn else []
            legends = [*reversed(range(len(panels) - drawn)), *([len(panels) - 1] if drawn else [])]
            panels.append(_map(self.rates(best), colorbar=True))
            return sheet(
                panels, f"How wide must {study.networks} be for {self.title(name)}? {answer}", legend_at=legends
            )
        rows: list[list[Panel]] = []
        if drawn:
            rows.append([self.fits(study.best_curve(name), short=False) for name in shown])
        rows.append([self.error(name, details=False) for name in shown])
        if bounded:
            rows.append([self.possible(name, study.needed[name].principle) for name in shown])
        panels = [panel for row in rows for panel in row]
        # The legend of the last row heads those of the others.
        legends = [len(shown) * row for row in reversed(range(len(rows)))]
        title = f"How wide must {study.networks} be? {answer}{more}"
        return sheet(panels, title, columns=len(shown), panel_size=SLIDE, legend_at=legends)

    def error(self, name: str, *, details: bool = True, title: str = "") -> Panel:
        display = width_display(self.study, name, details=details)
        return panel(display, title or f"{self.title(name)}\n{self.study.reach[name].title}")

    def fits(self, curve: Curve, *, short: bool = True) -> Panel:
        name = name_of(curve.data) if short else self.title(curve.data)
        fits = self.study.fits(curve)
        display = FitDisplay.over(fits, self.study.datasets[curve.data])

        def draw(ax: Axes) -> None:
            display.plot(ax, looks=width_looks(len(fits)))
            ax.set_title(f"{name}, {curve.label}")

        return draw

    def possible(self, name: str, title: str = "") -> Panel:
        bounds, dataset = self.study.bounds[name], self.study.datasets[name]
        assert bounds is not None
        display = LimitDisplay(
            self.study.curves(name), bounds, y_name=dataset.y_name, exact=exact_error(dataset)
        )  # fmt: skip
        return panel(display, title or f"{self.title(name)}\n{self.study.needed[name].principle}".strip())

    def learning(self, curve: Curve) -> Panel:
        curves = self.study.learning_curves(curve)
        display = LearningCurveDisplay(curves, details=False, **about(self.study.datasets[curve.data]))
        left = percent(self.study.reach[curve.data].left[curve.label])
        return panel(display, f"{name_of(curve.data)}, {curve.label}: leaves {left}")

    def rates(self, curve: Curve, limits: tuple[float, float] | None = None) -> LearningRateMapDisplay:
        unit = variance_of(self.study.datasets[curve.data], "val")
        return LearningRateMapDisplay(curve, limits=limits, unit=unit or None)

    def maps(self, curves: Sequence[Curve], columns: int) -> Figure:
        """Return the maps of all curves in one scale of colours: shares of the variance."""
        lowest = [
            float(curve.validation_median.min()) / variance_of(self.study.datasets[curve.data], "val")
            for curve in curves
        ]
        limits = (min(lowest), 1.0) if 0 < min(lowest) < 1 else (1e-3, 1.0)
        title = f"The best learning rate differs over widths and targets: {titles.rates(curves)}"
        note = "circles: best rate, where rates differ; grey: diverged"
        displays = [self.rates(curve, limits) for curve in curves]
        figure = sheet(
            [_map(display) for display in displays], f"{title}\n({note})", columns=columns,
            panel_size=panel_shape(len(curves)),
        )  # fmt: skip
        with matplotlib.rc_context(STYLE):
            displays[0].draw_colorbar(figure, figure.axes, len(curves[0].seeds))
        return figure

    def dead(self, name: str) -> Panel:
        curves = self.study.curves(name)
        display = DeadUnitDisplay(
            curves, [self.study.dead_units(curve) for curve in curves], self.study.dead_at_start(curves[0])
        )
        return panel(display, f"{self.title(name)}\n{titles.deadliest(self.study, name)}")

    def film(self, film: Film) -> Panel:
        dataset, optimizer = self.study.datasets[film.data], self.study.specs[film.model].optimizer
        interval = interval_of(dataset)
        display = KinkFilmDisplay(film, interval, x_name=dataset.x_names[0])
        inside = f"{film.inside(interval)} of {film.width} inside"
        return panel(display, f"{name_of(film.data)}, {optimizer}: {inside}")


def _map(display: LearningRateMapDisplay, *, colorbar: bool = False) -> Panel:
    """Return the panel of a map, with a colour bar of its own or without."""

    def draw(ax: Axes) -> None:
        display.plot(ax, colorbar=colorbar)
        ax.set_title(f"{name_of(display.curve.data)}, {display.curve.label}: {titles.moved(display.curve)}")

    return draw
