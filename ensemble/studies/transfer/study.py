"""The transfer study: whether the best learning rate moves with width and depth, and whether mu-P holds it still.

Both parametrizations start from the same "fan_in" draw; `rules.optimizers.layer_factors` has the table of what mu-P
changes. Widths x learning rates x seeds x parametrizations x optimizers are trained in one pass, at one depth, and
beside them other depths at the narrowest width; then a few steps of each parametrization at one fixed rate show why the
rate moves with the width (the coordinate check). mu-P is not made for depth: the maps say what it does there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial, reduce
from itertools import product
from operator import add
from typing import Any

import numpy as np

from ensemble.analysis import (
    MOMENTS,
    PARAMETRIZATIONS,
    QUANTITIES,
    CoordinateCheck,
    Curve,
    choose,
    coordinate_check,
    joined,
    ridge_movement,
    transfer_price,
)
from ensemble.specs import grid
from ensemble.studies.inputs import Data, as_datasets, noise_of, seeds_of, values_of
from ensemble.studies.study import Rows, Setup, Study

__all__ = ["HIDDEN_LAYERS", "OPTIMIZERS", "RATES", "WIDTHS", "TransferStudy", "moved", "transfer_study"]

WIDTHS = tuple(2**power for power in range(5, 11))
HIDDEN_LAYERS = (1, 2, 4)
OPTIMIZERS = ("gd", "adam")


def _powers(low: int, high: int) -> tuple[float, ...]:
    return tuple(2.0**power for power in range(low, high + 1))


# Eleven powers of two each, so that a step of the ridge is as long on one map as on the next.
RATES = {
    "gd": {"standard": _powers(-13, -3), "mup": _powers(-9, 1)},
    "momentum": {"standard": _powers(-13, -3), "mup": _powers(-9, 1)},
    "adam": {"standard": _powers(-11, -1), "mup": _powers(-7, 3)},
}


def transfer_study(
    data: Data = "reciprocal_sine",
    *,
    widths: Iterable[int] = WIDTHS,
    hidden_layers: Iterable[int] = HIDDEN_LAYERS,
    seeds: int | Iterable[int] = 16,
    lrs: Iterable[float] | None = None,
    optimizers: Iterable[str] = OPTIMIZERS,
    epochs: int = 500,
    noise: float = 0.01,
    batch_size: int = 0,
) -> Setup[TransferStudy]:
    """Return the transfer study before training: every width, seed and learning rate in both parametrizations.

    Parameters
    ----------
    data, widths, seeds, optimizers, epochs, noise, batch_size
        As in `width_study`; the coordinate check takes full-batch steps always.
    hidden_layers : iterable of int
        The first is that of all widths; all of them are trained at the narrowest width.
    lrs : iterable of float, optional
        Learning rates of all models; default: for each optimizer and parametrization a grid of its own, `RATES`.

    Raises
    ------
    ValueError
        A value that is not allowed, fewer than 2 seeds, or data that cannot be split.
    """
    datasets, notes = as_datasets(data, noise, batch_size)
    settings: dict[str, Any] = {
        "widths": values_of("widths", widths), "hidden_layers": values_of("hidden_layers", hidden_layers),
        "seeds": seeds_of(seeds),
        "lrs": None if lrs is None else values_of("lrs", lrs), "optimizers": values_of("optimizers", optimizers),
        "epochs": epochs, "noise": noise_of(data, noise), "init": "fan_in",
        "batch_size": batch_size,
    }  # fmt: skip
    base, *others = settings["hidden_layers"]
    parts = []
    for optimizer, parametrization in product(settings["optimizers"], PARAMETRIZATIONS):
        some = partial(
            grid, data=list(datasets), optimizer=optimizer, parametrization=parametrization, init=settings["init"],
            # An optimizer without a grid of its own is an unknown one: `grid` says so.
            lr=settings["lrs"] or RATES.get(optimizer, RATES["gd"])[parametrization], seed=settings["seeds"],
            batch_size=batch_size,
        )  # fmt: skip
        parts.append(some(width=settings["widths"], hidden_layers=base))
        if others:
            parts.append(some(width=min(settings["widths"]), hidden_layers=others))
    return Setup(TransferStudy, reduce(add, parts), datasets, epochs, settings, notes, record=())


@dataclass(frozen=True)
class TransferStudy(Study):
    """A trained transfer study: a map of error over learning rate and width per optimizer and parametrization."""

    name = "rate_transfer"
    question = "Does the best learning rate move with the width, and does mu-P hold it still?"

    def curve(self, optimizer: str, parametrization: str, data: str | None = None) -> Curve:
        """Return the models of an optimizer and a parametrization on a dataset (default: the first), by width."""
        return self._curve(optimizer, parametrization, data or self.first, self.settings["hidden_layers"][0])

    def _curve(self, optimizer: str, parametrization: str, data: str, depth: int, width: int | None = None) -> Curve:
        label = f"{optimizer}, {PARAMETRIZATIONS[parametrization]}"
        settings = {"optimizer": optimizer, "parametrization": parametrization, "hidden_layers": depth}
        if width is not None:
            settings["width"] = width
        return choose(self.specs, self.result, label, data, **settings)

    def by_depth(self, data: str | None = None) -> list[Curve]:
        """Return curves as `curves` does, but over hidden layers at the narrowest width; none for a single depth."""
        depths, width = sorted(self.settings["hidden_layers"]), min(self.settings["widths"])
        if len(depths) == 1:
            return []
        found = []
        for pair in product(self.settings["optimizers"], PARAMETRIZATIONS):
            each = [self._curve(*pair, data or self.first, depth, width) for depth in depths]
            found.append(joined(each, each[0].label, "hidden_layers"))
        return found

    def curves(self, data: str | None = None) -> list[Curve]:
        """Return one curve per optimizer and parametrization on a dataset (default: the first)."""
        pairs = product(self.settings["optimizers"], PARAMETRIZATIONS)
        return [self.curve(optimizer, parametrization, data) for optimizer, parametrization in pairs]

    def maps(self) -> dict[str, Curve]:
        """Return every curve of every dataset."""
        several = len(self.datasets) > 1
        found = {data: self.curves(data) for data in self.datasets}
        return {
            f"{data}, {curve.label}" if several else curve.label: curve
            for data, curves in found.items()
            for curve in curves
        }

    @cached_property
    def checks(self) -> dict[tuple[str, str, str], CoordinateCheck]:
        """The coordinate checks by dataset, optimizer and parametrization."""
        checks = [coordinate_check(self.datasets[data], curve) for data in self.datasets for curve in self.curves(data)]
        return {(check.data, check.optimizer, check.parametrization): check for check in checks}

    def summary_rows(self) -> Rows:
        """Return one row per cell of the maps and per point of the coordinate checks, with its line's slope."""
        rows: Rows = []
        for data in self.datasets:
            for curve in self.curves(data):
                rows += curve.map_rows("learning_rate_map")
            for curve in self.by_depth(data):
                rows += curve.map_rows("learning_rate_by_depth")
        for check in self.checks.values():
            rows += check.rows("coordinate_check")
        return rows

    def outcome(self) -> str:
        """Return tables of the best rate per width, of how far it moves, and of the coordinate check's slopes."""
        return "\n".join(line for data in self.datasets for line in self._outcome_of(data))

    def _outcome_of(self, data: str) -> list[str]:
        curves = self.curves(data)
        lines = [
            f"{data}: best learning rate (validation), median test MSE of {len(curves[0].seeds)} seeds after "
            f"{self.setup.epochs} epochs",
            " " * 26 + "".join(f"{curve.label:>20}" for curve in curves),
        ]
        for i, width in enumerate(curves[0].width.tolist()):
            cells = "".join(f"{_rate(curve, i):>9}{curve.quartiles[1, i]:11.2e}" for curve in curves)
            lines.append(f"{f'width {width}':<26}{cells}")
        lines.append(_moves(curves))
        prices = [transfer_price(curve) for curve in curves]
        lines.append(f"{'widest at narrowest rate':<26}" + "".join(f"{_price(price):>20}" for price in prices))
        deep = self.by_depth(data)
        if deep:
            lines.append(f"the same by depth, width {deep[0].width[0]}")
            for i, depth in enumerate(deep[0].across.tolist()):
                cells = "".join(f"{_rate(curve, i):>9}{curve.quartiles[1, i]:11.2e}" for curve in deep)
                lines.append(f"{f'{depth} hidden layers':<26}{cells}")
            lines.append(_moves(deep))
            prices = [transfer_price(curve) for curve in deep]
            lines.append(f"{'deepest at shallowest rate':<26}" + "".join(f"{_price(price):>20}" for price in prices))
        if any(curve.at_edge.any() for curve in (*curves, *deep)):
            lines.append("* at the edge of its grid: the best rate may lie beyond")
        checks = [check for check in self.checks.values() if check.data == data]
        lines.append("coordinate check: slope against width, log-log (95% interval over seeds)")
        lines.append(" " * 42 + "".join(f"{curve.label:>24}" for curve in curves))
        lines.append(f"{'at learning rate':<42}" + "".join(f"{_power(check.lr):>24}" for check in checks))
        for (q, name), e in product(enumerate(QUANTITIES.values()), (0, len(MOMENTS) - 1)):
            cells = "".join(f"{'{:.2f} [{:.2f}, {:.2f}]'.format(*check.slope[:, q, e]):>24}" for check in checks)
            lines.append(f"{f'{name}, epoch {MOMENTS[e]}':<42}{cells}")
        return lines

    def answer(self) -> str:
        """Return how far the best rate moves over widths and over depths, in a sentence per dataset."""
        return "\n".join(map(self._answer, self.datasets))

    def _answer(self, data: str) -> str:
        if self.constant(data):
            return f"{data}: y is constant, there is nothing to learn."
        parts = []
        for curves, what in ((self.curves(data), "widths"), (self.by_depth(data), "depths")):
            if not curves:
                continue
            parts.append(moved(curves, what))
        return f"{data}: {'; '.join(parts)}."


def moved(curves: Sequence[Curve], what: str) -> str:
    """Return how far the best rates move over `what`, standard against mu-P, in words."""
    first, last = curves[0].across[0], curves[0].across[-1]
    parts = []
    for standard, mup in zip(curves[::2], curves[1::2], strict=True):
        move, held = (2 ** ridge_movement(curve) for curve in (standard, mup))
        moves = "does not move" if move == 1 else f"moves {_fold(move)}"
        parts.append(f"of {standard.settings['optimizer']} {moves} (mu-P: {'not' if held == 1 else _fold(held)})")
    return f"over {what} {first:,} to {last:,} the best learning rate {', '.join(parts)}"


def _fold(factor: float) -> str:
    return "by an unknown factor" if np.isnan(factor) else f"{factor:.3g}-fold"


def _rate(curve: Curve, place: int) -> str:
    return _power(float(curve.lr[place])) + "*" * bool(curve.at_edge[place])


def _moves(curves: Sequence[Curve]) -> str:
    return f"{'moves by':<26}" + "".join(f"{f'2^{ridge_movement(curve):g}':>20}" for curve in curves)


def _price(price: float) -> str:
    return "diverges" if np.isinf(price) else f"{price:.3g} x"


def _power(lr: float) -> str:
    power = round(2 * np.log2(lr)) / 2
    return f"2^{power:g}" if np.isclose(lr, 2.0**power, rtol=1e-12, atol=0) else f"{lr:.3g}"
