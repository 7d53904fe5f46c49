"""The figures of the width study."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ensemble.plots.curves import LearningCurveDisplay, LimitDisplay, WidthCurveDisplay
from ensemble.plots.fits import FitDisplay
from ensemble.plots.rates import LearningRateMapDisplay
from ensemble.plots.style import (
    sheet,
    title_of,
)
from ensemble.studies.curves import Curve

if TYPE_CHECKING:
    from ensemble.studies.width import WidthStudy


def width_figures(study: WidthStudy, data: str) -> dict[str, Figure]:
    """Return the width study's figures on a dataset by name: the summary, and its panels one by one."""
    curves = study.curves(data)
    best = min(curves, key=lambda curve: float(curve.validation_median.min()))
    one_input = study.datasets[data].n_inputs == 1

    def error(ax: Axes) -> None:
        WidthCurveDisplay.from_study(study, data).plot(ax)
        ax.set_title("test error, best learning rate per width")

    def fits(curve: Curve) -> Callable[[Axes], None]:
        def draw(ax: Axes) -> None:
            FitDisplay.from_study(study, curve).plot(ax)
            ax.set_title(f"{curve.label}: fits after {study.setup.epochs} epochs (seed with median error)")

        return draw

    def learning(curve: Curve) -> Callable[[Axes], None]:
        def draw(ax: Axes) -> None:
            LearningCurveDisplay.from_study(study, curve).plot(ax)
            ax.set_title(f"{curve.label}: learning curves")

        return draw

    def rates(curve: Curve) -> Callable[[Axes], None]:
        def draw(ax: Axes) -> None:
            LearningRateMapDisplay.from_study(study, curve).plot(ax)

        return draw

    bounds = study.bounds[data]

    def possible(ax: Axes) -> None:
        assert bounds is not None
        LimitDisplay(curves, bounds, y_name=study.datasets[data].y_name).plot(ax)
        ax.set_title("training error, and what is possible")

    panels = [error, *([fits(best)] if one_input else []), *map(rates, curves[:2])]
    panels += [learning(best)] if len(curves) == 1 else []
    title = f"{title_of(study, data)}: how wide must a two-layer ReLU network be?"
    name = title_of(study, data)
    found = {"summary": sheet(panels, title), "width_curves": sheet([error], name)}
    if one_input:
        found["fits"] = sheet([fits(curve) for curve in curves], name)
    if bounds is not None:
        found["limits"] = sheet([possible], name)
    found["learning_curves"] = sheet([learning(curve) for curve in curves], name)
    found["learning_rate_map"] = sheet([rates(curve) for curve in curves], name)
    return found
