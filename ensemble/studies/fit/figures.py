"""The figures of the fit report."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ensemble.plots.curves import LearningCurveDisplay
from ensemble.plots.fits import FitDisplay
from ensemble.plots.style import (
    sheet,
    title_of,
)

if TYPE_CHECKING:
    from ensemble.studies.fit.study import FitStudy


def fit_figures(study: FitStudy, data: str) -> dict[str, Figure]:
    """Return the fit report on a dataset: fits at the reported epochs, the test fit, and the learning curve."""
    curve = study.curve(data)
    settings, n_seeds = study.settings, len(curve.seeds)
    seed = int(study.specs.seed[curve.typical[0]])

    def learning(ax: Axes) -> None:
        LearningCurveDisplay.from_study(study, curve).plot(ax)

    title = f"{title_of(study, data)}: width {settings['width']}, {settings['optimizer']}, "
    title += f"learning rate {settings['lr']:g}"
    found = {"learning_curves": sheet([learning], title)}
    fits = study.fits(curve)
    if not fits:
        return found

    def panel(place: int, part: str, words: str) -> Callable[[Axes], None]:
        def draw(ax: Axes) -> None:
            FitDisplay.from_study(study, curve, part=part, only=place).plot(
                ax, first_colour=part == "test", legend=False
            )
            fit = fits[place]
            ax.set_title(f"epoch {fit.epoch}: {words} MSE {study.mse(fit.model, fit.epoch, part):.3g}")

        return draw

    panels = [panel(place, "train", "training") for place in range(len(fits))] + [panel(-1, "test", "test")]
    title += f" (seed {seed}, the median of {n_seeds})"
    return {"report": sheet(panels, title, columns=3, panel_size=(3.0, 2.4), share=True)} | found
