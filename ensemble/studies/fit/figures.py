"""The figures of the fit study: the fit at each shown epoch, and the learning curve."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ensemble.plots.curves import LearningCurveDisplay
from ensemble.plots.fits import FitDisplay
from ensemble.plots.sheets import sheet
from ensemble.plots.style import about, title_of
from ensemble.studies.fit.study import FitStudy
from ensemble.studies.save import by_part


def figures(study: FitStudy) -> Iterator[tuple[str, Figure]]:
    """Yield the fit study's figures with their names, each dataset with its own."""
    return by_part(list(study.datasets), lambda data: _on(study, data))


def _on(study: FitStudy, data: str) -> Iterator[tuple[str, Figure]]:
    """Yield the figures on a dataset: fits at the shown epochs with the test fit, and the learning curve."""
    curve, dataset = study.curve(data), study.datasets[data]
    settings, n_seeds = study.settings, len(curve.seeds)
    seed = int(study.specs.seed[curve.typical_models[0]])

    def learning(ax: Axes) -> None:
        LearningCurveDisplay(study.learning_curves(curve), **about(dataset)).plot(ax)

    title = f"{title_of(data, dataset)}: width {settings['width']}, {settings['optimizer']}, "
    title += f"learning rate {settings['lr']:g}"
    fits = study.fits(curve)

    def panel(place: int, part: str, words: str) -> Callable[[Axes], None]:
        def draw(ax: Axes) -> None:
            fit = fits[place]
            FitDisplay.over([fit], dataset, part).plot(ax, first_colour=part == "test", legend=False)
            ax.set_title(f"epoch {fit.epoch}: {words} MSE {study.mse(fit.model, fit.epoch, part):.3g}")

        return draw

    if fits:
        panels = [panel(place, "train", "training") for place in range(len(fits))] + [panel(-1, "test", "test")]
        of_seed = f"{title} (seed {seed}, the median of {n_seeds})"
        yield "fits", sheet(panels, of_seed, columns=3, panel_size=(3.0, 2.4), share=True)
    yield "learning_curves", sheet([learning], title)
