"""The figures of the fit study: the fit at each shown epoch, and the learning curve."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from ensemble.plots.curves import LearningCurveDisplay
from ensemble.plots.figure import Figure
from ensemble.plots.fits import FitDisplay
from ensemble.plots.sheets import Panel, sheet
from ensemble.plots.style import about, look, title_of
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
        curves = [replace(one, label=curve.label) for one in study.learning_curves(curve)]  # its optimizer's colour
        LearningCurveDisplay(curves, **about(dataset)).plot(ax)

    answer = study.answers[data]
    setting = f"width {settings['width']}, {settings['optimizer']}, learning rate {settings['lr']:g}"
    title = f"{title_of(data, dataset)}: {answer} ({setting})"
    fits = study.fits(curve)

    def panel(place: int, part: str, words: str) -> Panel:
        def draw(ax: Axes) -> None:
            fit = fits[place]
            display = FitDisplay.over([fit], dataset, part)
            colour = look(0, settings["optimizer"])[0]
            display.plot(ax, looks=[{"color": colour, "zorder": 2.6}], legend=False)
            limits = ax.get_ylim()
            x, predictions = study.others(curve, fit.epoch)
            if n_seeds > 1:
                lines = [np.column_stack([x, prediction]) for prediction in predictions]
                ax.add_collection(LineCollection(lines, colors=colour, alpha=0.3, linewidths=0.6), autolim=False)
                ax.set_ylim(limits)
            of_all = study.spread(data, fit.epoch, part)
            shown = f"epoch {fit.epoch}: {words} MSE {study.mse(fit.model, fit.epoch, part):.3g}"
            ax.set_title(shown + (f"\nmedian {of_all}" if n_seeds > 1 else ""))

        return draw

    if fits:
        panels = [panel(place, "train", "training") for place in range(len(fits))] + [panel(-1, "test", "test")]
        lines = f"line: seed {seed}, the median of {n_seeds} in the end; thin: the others; last panel: test data"
        note = f"\n({lines})" if n_seeds > 1 else ""
        yield "fits", sheet(panels, title + note, columns=3, panel_size=(3.0, 2.5), share=True)
    yield "learning_curves", sheet([learning], title, legend_at=0)
