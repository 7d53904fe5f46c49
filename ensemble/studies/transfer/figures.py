"""The figures of the transfer study: a summary, the maps of error, and the coordinate check."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ensemble.analysis import PARAMETRIZATIONS, QUANTITIES, Curve, ridge_movement
from ensemble.plots.coordinates import CoordinateCheckDisplay
from ensemble.plots.rates import LearningRateMapDisplay
from ensemble.plots.sheets import panel, sheet
from ensemble.plots.style import title_of
from ensemble.studies.save import by_part
from ensemble.studies.transfer.study import TransferStudy


def figures(study: TransferStudy) -> Iterator[tuple[str, Figure]]:
    """Yield the transfer study's figures with their names, each dataset with its own."""
    return by_part(list(study.datasets), lambda data: _on(study, data))


def _on(study: TransferStudy, data: str) -> Iterator[tuple[str, Figure]]:
    """Yield the transfer study's figures on a dataset: the summary, the maps, the coordinate check."""
    optimizers = study.settings["optimizers"]
    y_name = study.datasets[data].y_name
    # Beyond the error of the best constant a rate is of no use, however far beyond: that is where the colours end.
    useless = float(np.var(study.datasets[data].parts()["val"][1]))

    def rates(curve: Curve, row: Sequence[Curve]) -> Callable[[Axes], None]:
        def draw(ax: Axes) -> None:
            lowest = min(float(one.validation_median.min()) for one in row)
            limits = (lowest, useless) if 0 < lowest < useless else None
            display = LearningRateMapDisplay(curve, y_name=y_name, limits=limits).plot(ax, colorbar=curve is row[-1])
            factor = 2 ** ridge_movement(curve)
            words = "best rate (circles) " + ("does not move" if factor == 1 else f"moves {factor:.3g}-fold")
            words = "no best rate: all diverged" if np.isnan(factor) else words
            cells = display.mesh_.get_array()
            grey = " (grey: diverged)" if cells is not None and np.ma.getmaskarray(cells).any() else ""
            ax.set_title(f"{curve.label}{grey}\n{words}")

        return draw

    def check(optimizer: str, quantity: str) -> Callable[[Axes], None]:
        checks = [study.checks[data, optimizer, kind] for kind in PARAMETRIZATIONS]
        return panel(CoordinateCheckDisplay(checks, quantity), f"{optimizer}: {QUANTITIES[quantity]}")

    maps, checks, both = [], [], []
    for optimizer in optimizers:
        row = [study.curve(optimizer, kind, data) for kind in PARAMETRIZATIONS]
        maps += [rates(curve, row) for curve in row]
        found = [check(optimizer, quantity) for quantity in QUANTITIES]
        checks += found
        both += [*maps[-2:], *found[1:]]  # the size itself moves in neither: the summary leaves it out
    size = (3.5, 3.6)
    deep = study.by_depth(data)
    by_depth = [rates(curve, [one for one in deep if one.settings["optimizer"] == curve.settings["optimizer"]])
                for curve in deep]  # fmt: skip
    name = title_of(data, study.datasets[data])
    title = f"{name}: does the best learning rate move with the width?"
    yield "summary", sheet(both, title, columns=4, panel_size=size)
    yield "learning_rate_map", sheet(maps, title, columns=2)
    yield "coordinate_check", sheet(checks, f"{name}: the first steps, by width", columns=3, panel_size=size)
    if by_depth:
        title = f"{name}: does the best learning rate move with the depth? (width {deep[0].width[0]})"
        yield "learning_rate_by_depth", sheet(by_depth, title, columns=2)
