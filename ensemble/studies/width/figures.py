"""The figures of the width study: a summary, and one figure per topic with a panel per dataset (and optimizer)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ensemble.analysis import Curve, Film, interval_of
from ensemble.plots.curves import LearningCurveDisplay, WidthCurveDisplay
from ensemble.plots.fits import FitDisplay
from ensemble.plots.limits import LimitDisplay
from ensemble.plots.rates import LearningRateMapDisplay
from ensemble.plots.style import STYLE, about, name_of, panel, panel_shape, sheet, title_of
from ensemble.plots.units import DeadUnitDisplay, KinkFilmDisplay
from ensemble.studies.width.study import WidthStudy

Panel = Callable[[Axes], None]


def figures(study: WidthStudy) -> Iterator[tuple[str, Figure]]:
    """Yield the width study's figures with their names.

    Those that show what is possible come last: finding that out takes as long as drawing the others.
    """
    panels = _Panels(study)
    names = list(study.datasets)
    curves = [curve for name in names for curve in study.curves(name)]
    fitted = [curve for curve in curves if study.datasets[curve.data].n_inputs == 1]
    n_curves = len(study.curves())
    columns = n_curves if 1 < n_curves <= 4 and len(names) == 1 else min(4, len(curves))
    seeds = f"median of {len(curves[0].seeds)} seeds"
    after = f"after {study.setup.epochs} epochs"
    yield "width_curves", sheet(
        [panels.error(name) for name in names],
        f"Test error against width {after}, learning rate chosen for each width", legend_at=0,
    )  # fmt: skip
    if fitted:
        yield "fits", sheet(
            [panels.fits(curve) for curve in fitted], f"Fits {after}, each by the seed with the median error",
            columns=columns, panel_size=panel_shape(len(fitted)), legend_at=0,
        )  # fmt: skip
    yield "learning_curves", sheet(
        [panels.learning(curve) for curve in curves],
        f"Test error against epoch, learning rate chosen for each width ({seeds}; band: spread, interquartile range)",
        columns=columns, panel_size=panel_shape(len(curves)),
    )  # fmt: skip
    yield "learning_rate_map", sheet(
        [panels.rates(curve) for curve in curves],
        f"Validation error over learning rate and width ({seeds}; circles: best rate; grey: diverged)",
        columns=columns, panel_size=panel_shape(len(curves)),
    )  # fmt: skip
    yield "dead_units", sheet(
        [panels.dead(name) for name in names], f"Hidden units that are active on no training sample {after}",
        legend_at=0,
    )  # fmt: skip
    if study.films:
        yield "kink_film", sheet(
            [panels.film(film) for film in study.films],
            "Where the kinks go in training: one line per hidden unit, darker where it bends the last fit more;\n"
            "dotted: the ends of the data",
            columns=len(study.films) // len({film.data for film in study.films}), panel_size=(3.3, 2.3),
        )  # fmt: skip
    yield "summary", panels.summary(names)
    bounded = [name for name in names if study.bounds[name] is not None]
    if bounded:
        title = f"Training error {after}, and what is possible"
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
        if len(names) == 1:
            (name,) = names
            best = study.best_curve(name)
            panels = [self.error(name, details=False, title="test error, best learning rate per width")]
            panels += [self.fits(best)] if study.datasets[name].n_inputs == 1 else []
            if study.bounds[name] is not None:
                panels.append(self.possible(name, title="training error, and what is possible"))
            panels += [self.rates(best)]
            return sheet(panels, f"{self.title(name)}: how wide must {study.networks} be?")
        shown = names[:4]
        rows: list[list[Panel]] = []
        if all(study.datasets[name].n_inputs == 1 for name in shown):
            rows.append([self.fits(study.best_curve(name), short=False) for name in shown])
        rows.append([self.error(name, details=False) for name in shown])
        if all(study.bounds[name] is not None for name in shown):
            rows.append([self.possible(name) for name in shown])
        panels = [panel for row in rows for panel in row]
        more = f" (the first {len(shown)} of {len(names)} datasets)" if len(names) > len(shown) else ""
        title = f"How wide must {study.networks} be?{more}"
        figure = sheet(panels, title, columns=len(shown), panel_size=(3.3, 2.75), legend_at=len(panels) - 1)
        if len(rows) == 3:  # the widths of the fits have colours of their own: their legend stays where it was
            with rc_context(STYLE):
                figure.axes[0].legend(fontsize=7)
        return figure

    def error(self, name: str, *, details: bool = True, title: str = "") -> Panel:
        return panel(width_display(self.study, name, details=details), title or self.title(name))

    def fits(self, curve: Curve, *, short: bool = True) -> Panel:
        name = name_of(curve.data) if short else self.title(curve.data)
        dataset = self.study.datasets[curve.data]
        return panel(FitDisplay.over(self.study.fits(curve), dataset), f"{name}, {curve.label}")

    def possible(self, name: str, *, title: str = "") -> Panel:
        bounds, y_name = self.study.bounds[name], self.study.datasets[name].y_name
        assert bounds is not None
        return panel(LimitDisplay(self.study.curves(name), bounds, y_name=y_name), title or self.title(name))

    def learning(self, curve: Curve) -> Panel:
        display = LearningCurveDisplay(self.study.learning_curves(curve), **about(self.study.datasets[curve.data]))

        def draw(ax: Axes) -> None:
            panel(display, f"{name_of(curve.data)}, {curve.label}")(ax)
            legend = ax.get_legend()
            assert legend is not None
            legend.set_title("")  # the figure says it

        return draw

    def rates(self, curve: Curve) -> Panel:
        display = LearningRateMapDisplay(curve, y_name=self.study.datasets[curve.data].y_name)

        def draw(ax: Axes) -> None:
            panel(display, f"{name_of(curve.data)}, {curve.label}")(ax)
            if hasattr(display, "colorbar_"):
                display.colorbar_.set_label(f"validation MSE ({display.y_name}²)")

        return draw

    def dead(self, name: str) -> Panel:
        curves = self.study.curves(name)
        return panel(DeadUnitDisplay(curves, [self.study.dead_units(curve) for curve in curves]), self.title(name))

    def film(self, film: Film) -> Panel:
        dataset, optimizer = self.study.datasets[film.data], self.study.specs[film.model].optimizer
        display = KinkFilmDisplay(film, interval_of(dataset), x_name=dataset.x_names[0])
        return panel(display, f"{name_of(film.data)}, {optimizer}, width {film.width}")
