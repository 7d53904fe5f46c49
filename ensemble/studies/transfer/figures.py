"""The figures of the transfer study: a summary, the maps of error, and the coordinate check."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes

from ensemble.analysis import PARAMETRIZATIONS, QUANTITIES, Curve, ridge_movement, variance_of
from ensemble.plots.coordinates import CoordinateCheckDisplay, slope_text
from ensemble.plots.figure import Figure
from ensemble.plots.rates import LearningRateMapDisplay
from ensemble.plots.sheets import Panel, constants, sheet
from ensemble.plots.style import title_of
from ensemble.studies.save import by_part
from ensemble.studies.transfer.study import TransferStudy, moved


def figures(study: TransferStudy) -> Iterator[tuple[str, Figure]]:
    """Yield the transfer study's figures with their names, each dataset with its own."""
    return by_part(list(study.datasets), lambda data: _on(study, data))


def _on(study: TransferStudy, data: str) -> Iterator[tuple[str, Figure]]:
    """Yield the transfer study's figures on a dataset: the summary, the maps, the coordinate check."""
    if study.constant(data):
        yield "summary", constants({data: study.datasets[data]})
        return
    optimizers = study.settings["optimizers"]
    every = [study.curve(optimizer, kind, data) for optimizer in optimizers for kind in PARAMETRIZATIONS]
    deep = study.by_depth(data)
    # One scale of colours: shares of the variance. Beyond the error of the best constant a rate is of no use, however
    # far beyond: that is where the colours end.
    variance = variance_of(study.datasets[data], "val") or 1.0
    lowest = min(float(curve.validation_median.min()) for curve in (*every, *deep)) / variance
    limits = (lowest, 1.0) if 0 < lowest < 1 else None

    def rates(curve: Curve, last: bool) -> Panel:
        def draw(ax: Axes) -> None:
            display = LearningRateMapDisplay(curve, limits=limits, unit=variance).plot(ax, colorbar=last)
            cells = display.mesh_.get_array()
            grey = " (grey: diverged)" if cells is not None and np.ma.getmaskarray(cells).any() else ""
            ax.set_title(f"{curve.label}{grey}\n{_moves(curve)}")

        return draw

    def check(optimizer: str, quantity: str) -> Panel:
        display = CoordinateCheckDisplay([study.checks[data, optimizer, kind] for kind in PARAMETRIZATIONS], quantity)

        def draw(ax: Axes) -> None:
            display.plot(ax)

        return draw

    maps, checks, both = [], [], []
    for place in range(len(optimizers)):
        maps += [rates(curve, last) for curve, last in zip(every[2 * place :][:2], (False, True), strict=True)]
        # The size of the pre-activations itself moves in neither: it is in the table alone.
        found = [check(optimizers[place], quantity) for quantity in list(QUANTITIES)[1:]]
        checks += found
        both += [*maps[-2:], *found]
    size = (3.5, 3.4)
    name = title_of(data, study.datasets[data])
    title = f"{name}: {moved(every, 'widths')}"
    yield "summary", sheet(both, title, columns=4, panel_size=size, legend_at=2)
    yield "learning_rate_map", sheet(maps, title, columns=2)
    yield "coordinate_check", sheet(
        checks, f"{name}: one step at one rate moves the output {_slopes(study, data)}\n"
        "(coordinate check: where the dark line is flat, one learning rate suits all widths)",
        columns=2, panel_size=(4.5, 3.4), legend_at=0,
    )  # fmt: skip
    if deep:
        pairs = zip(deep, (False, True) * len(optimizers), strict=True)
        title = f"{name}: {moved(deep, 'depths')} (width {deep[0].width[0]})"
        yield "learning_rate_by_depth", sheet([rates(curve, last) for curve, last in pairs], title, columns=2)


def _moves(curve: Curve) -> str:
    """Return how far the best rate of a curve moves, in words."""
    factor = 2 ** ridge_movement(curve)
    if np.isnan(factor):
        return "no best rate: all diverged"
    return "best rate (circles) " + ("does not move" if factor == 1 else f"moves {factor:.3g}-fold")


def _slopes(study: TransferStudy, data: str) -> str:
    """Return how the change of the output grows with the width in the first step, in words."""
    said = []
    for kind, words in PARAMETRIZATIONS.items():
        checks = [study.checks[data, optimizer, kind] for optimizer in study.settings["optimizers"]]
        each = [f"{slope_text(check, 'output_change')} ({check.optimizer})" for check in checks]
        said.append(f"{' and '.join(each)} under {words}")
    return ", ".join(said)
