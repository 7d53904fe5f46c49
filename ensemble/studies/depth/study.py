"""The depth study: whether, for the same computation, more hidden layers do more than more width.

A width at one hidden layer sets how many multiply-adds a sample costs; each depth gets the width that spends as much.
Depths x computations x seeds x learning rates x optimizers are trained in one pass, with two arms beside them: other
initial weights, and sawtooths of fewer teeth, which show where training finds what a deep network can do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial, reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.analysis import (
    VERDICTS,
    Curve,
    Deeper,
    Difference,
    Fit,
    PieceFilm,
    bounds_of,
    choose,
    count_pieces,
    deeper,
    difference,
    equal_widths,
    layer_spread,
    multiply_adds,
    piece_films,
    variance_of,
)
from ensemble.data import sample
from ensemble.networks import initialize
from ensemble.specs import CHOICES, Init, grid
from ensemble.statistics import few_note
from ensemble.studies.depth.beside import InitialWeights, Sawtooth, compared, half, teeth_of
from ensemble.studies.inputs import Data, as_datasets, noise_of, seeds_of, values_of
from ensemble.studies.study import Rows, Setup, Study

__all__ = ["HIDDEN_LAYERS", "INIT", "LRS", "OPTIMIZERS", "TARGETS", "WIDTHS", "DepthStudy", "depth_study"]

TARGETS = ("reciprocal_sine", "quadratic", "chirp", "sawtooth")
WIDTHS = (10, 40, 160, 640, 2560)  # of one hidden layer: 20, 80, 320, 1,280 and 5,120 multiply-adds of one input
HIDDEN_LAYERS = (1, 2, 3, 4)
OPTIMIZERS = ("gd", "adam")
INIT: Init = "uniform"  # the best over depths: `tables` of this study, figure "initial"


def _powers(low: int, high: int) -> tuple[float, ...]:
    return tuple(2.0**power for power in range(low, high + 1))


# By optimizer, for one hidden layer and for more: the best rate of gd falls as fast as one layer gets wider.
LRS = {
    "gd": (_powers(-10, -2), _powers(-5, 0)),
    "momentum": (_powers(-13, -5), _powers(-8, -3)),
    "adam": (_powers(-10, -4), _powers(-9, -4)),
}


def depth_study(
    data: Data = TARGETS,
    *,
    widths: Iterable[int] = WIDTHS,
    hidden_layers: Iterable[int] = HIDDEN_LAYERS,
    seeds: int | Iterable[int] = 16,
    lrs: Iterable[float] | None = None,
    optimizers: Iterable[str] = OPTIMIZERS,
    epochs: int = 500,
    noise: float = 0.01,
    batch_size: int = 0,
    init: Init = INIT,
) -> Setup[DepthStudy]:
    """Return the depth study before training.

    Parameters
    ----------
    data, seeds, optimizers, epochs, noise, batch_size
        As in `width_study`.
    widths : iterable of int
        Of one hidden layer: each sets a number of multiply-adds per sample, (D + 1) H, which every depth spends.
    hidden_layers : iterable of int
        Depths, two or more; the least is what the others are held against.
    lrs : iterable of float, optional
        Learning rates of all models; default: for each optimizer a grid for one hidden layer and one for more, `LRS`.
    init : str
        Initial weights of all models but those of the comparison of initial weights, which has all four.

    Raises
    ------
    ValueError
        A value that is not allowed, widths so small that a depth has the same width twice, or data that cannot be
        split.
    """
    datasets, notes = as_datasets(data, noise, batch_size)
    n_inputs = next(iter(datasets.values())).n_inputs
    names = list(datasets)
    layers = sorted(values_of("hidden_layers", hidden_layers))
    if len(layers) < 2:
        raise ValueError(f"hidden_layers is {layers}; the depth study compares two depths or more")
    shallow = sorted(values_of("widths", widths))
    grid(width=shallow, hidden_layers=layers)  # names a value that is not allowed
    by_depth = equal_widths(shallow, layers, n_inputs)
    settings: dict[str, Any] = {
        "widths": shallow, "hidden_layers": layers, "widths_by_depth": by_depth, "seeds": seeds_of(seeds),
        "lrs": None if lrs is None else values_of("lrs", lrs), "optimizers": values_of("optimizers", optimizers),
        "epochs": epochs, "noise": noise_of(data, noise), "init": init, "targets": names, "batch_size": batch_size,
    }  # fmt: skip
    others: Any = [name for name in CHOICES["init"] if name != init]
    teeth = teeth_of(datasets)
    tents = [f"sawtooth-{k}" for k in range(1, teeth[1])] if teeth else []
    easier = {name: sample(name, noise=noise) for name in tents if name not in names}
    parts = []
    for name in settings["optimizers"]:
        for depth in layers:
            # An optimizer without a grid of its own is an unknown one: `grid` says so.
            rates = settings["lrs"] or LRS.get(name, LRS["gd"])[min(depth, 2) - 1]
            some = partial(grid, optimizer=name, hidden_layers=depth, lr=rates, batch_size=batch_size)
            parts.append(some(data=names, init=init, width=by_depth[depth], seed=settings["seeds"]))
            at = by_depth[depth][(len(shallow) - 1) // 2]
            parts.append(some(data=compared(names), init=others, width=at, seed=half(settings["seeds"])))
            if easier:
                parts.append(some(data=list(easier), init=init, width=at, seed=settings["seeds"]))
    return Setup(DepthStudy, reduce(add, parts), datasets | easier, epochs, settings, notes, record=())


@dataclass(frozen=True)
class DepthStudy(Study):
    """A trained depth study: one curve of test error against computation per dataset, optimizer and depth."""

    name = "depth_study"
    question = "Is the same computation better spent on depth than on width?"

    @property
    def targets(self) -> list[str]:
        """The datasets that were asked for; the others are the sawtooths of fewer teeth."""
        names: list[str] = self.settings["targets"]
        return names

    @property
    def hidden_layers(self) -> list[int]:
        """The depths, ascending."""
        depths: list[int] = self.settings["hidden_layers"]
        return depths

    @property
    def middle(self) -> int:
        """Place of the computation at which initial weights and sawtooths are compared."""
        return (len(self.settings["widths"]) - 1) // 2

    def curves(self, data: str | None = None, optimizer: str | None = None) -> list[Curve]:
        """Return one curve per depth on a dataset with an optimizer (default: the first, and the best)."""
        return self._curves[data or self.first, optimizer or self.best_optimizer]

    @cached_property
    def _curves(self) -> dict[tuple[str, str], list[Curve]]:
        return {
            (data, optimizer): [self._curve(data, optimizer, depth) for depth in self.hidden_layers]
            for data in self.targets
            for optimizer in self.settings["optimizers"]
        }

    def _curve(self, data: str, optimizer: str, depth: int, init: str | None = None) -> Curve:
        label = f"{depth} hidden layer{'s' * (depth > 1)}"
        settings = {"optimizer": optimizer, "hidden_layers": depth, "init": init or self.settings["init"]}
        curve = choose(self.specs, self.result, label, data, **settings)
        spent = multiply_adds(curve.width, depth, self.datasets[data].n_inputs)
        return replace(curve, axis="multiply_adds", positions=spent)

    @cached_property
    def best_optimizer(self) -> str:
        """The optimizer with the least validation error at the largest computation, in the mean of its logarithm."""

        def error(optimizer: str) -> float:
            found = [c.validation_median[-1].min() for data in self.targets for c in self._curves[data, optimizer]]
            with np.errstate(divide="ignore"):
                return float(np.mean(np.log(found)))

        names: list[str] = self.settings["optimizers"]
        return min(names, key=error)

    def differences(self, data: str | None = None, optimizer: str | None = None) -> list[Difference]:
        """Return each deeper network against the shallowest (defaults as in `curves`)."""
        base = self.curves(data, optimizer)[0]
        return self._differences[base.data, base.settings["optimizer"]]

    @cached_property
    def _differences(self) -> dict[tuple[str, str], list[Difference]]:
        return {part: [difference(arm, base) for arm in arms] for part, (base, *arms) in self._curves.items()}

    def variance(self, data: str) -> float:
        """Return the variance of a dataset's test part, the error of the best constant; NaN where y is constant."""
        return variance_of(self.datasets[data], "test") or np.nan

    def deeper(self, data: str, optimizer: str | None = None, place: int = -1) -> Deeper:
        """Return the best deeper network against the shallowest at one computation (default: the largest)."""
        return deeper(self.curves(data, optimizer), place, self.variance(data))

    def panels(self) -> dict[str, list[Curve]]:
        """Return the curves of each dataset and optimizer."""
        several = len(self.settings["optimizers"]) > 1
        return {f"{data}, {name}" if several else data: curves for (data, name), curves in self._curves.items()}

    def fits(self, data: str, place: int = -1) -> list[Fit]:
        """Return the fit of each depth at one computation (default: the largest), by the seed with the median error.

        None for data of several inputs.
        """
        if self.datasets[data].n_inputs > 1:
            return []
        return [self.fit(curve.label, int(curve.typical_models[place])) for curve in self.curves(data)]

    @property
    def fit_places(self) -> list[int]:
        """Places of the computations whose fits are drawn: the second and the last."""
        last = len(self.settings["widths"]) - 1
        return sorted({min(1, last), last})

    def fitted(self) -> list[tuple[str, Fit]]:
        """Return every fitted curve of the plots, with its depth."""
        pairs = [(data, place) for place in self.fit_places for data in self.targets]
        return [(fit.label, fit) for data, place in pairs for fit in self.fits(data, place)]

    # ---- pieces ----

    @cached_property
    def films(self) -> list[PieceFilm]:
        """Pieces per layer over epochs of the deepest network on each dataset with one input, largest computation."""
        models = [
            int(self.curves(data)[-1].typical_models[-1]) for data in self.targets if self.datasets[data].n_inputs == 1
        ]
        return piece_films(np.array(models), self.result, self.datasets) if models else []

    @cached_property
    def pieces(self) -> dict[str, list[NDArray[np.int64]]]:
        """Pieces of the last hidden layer after training by dataset with one input: (W, S) per depth."""
        found = {}
        for data in self.targets:
            dataset = self.datasets[data]
            if dataset.n_inputs > 1:
                continue
            x = np.sort(dataset.x_train[:, 0])
            count = np.vectorize(lambda model, x=x: count_pieces(self.result.networks[int(model)], x)[-1])
            found[data] = [count(curve.chosen_models) for curve in self.curves(data)]
        return found

    # ---- what is beside ----

    @cached_property
    def initial(self) -> InitialWeights:
        """The comparison of initial weights at the middle computation."""
        depth, data = self.hidden_layers[-1], self.datasets[self.first]
        seeds, own = self.settings["seeds"], self.settings["init"]
        errors = {}
        for name in compared(self.targets):
            for optimizer in self.settings["optimizers"]:
                for init in CHOICES["init"]:
                    at = self.middle if init == own else 0
                    found = [self._curve(name, optimizer, each, init).errors[at] for each in self.hidden_layers]
                    errors[name, optimizer, init] = np.array(found)[:, : len(half(seeds))]
        width = self.settings["widths_by_depth"][depth][self.middle]
        x = data.x_train if data.scale is None else data.scale.inputs(data.x_train)
        every: Any = CHOICES["init"]
        spread = {
            init: layer_spread(
                initialize(grid(width=width, hidden_layers=depth, init=init, seed=seeds), data.n_inputs), x
            )
            for init in every
        }
        return InitialWeights(self.hidden_layers, width, int(self.curves()[0].across[self.middle]), errors, spread)

    @cached_property
    def sawtooth(self) -> Sawtooth | None:
        """What is possible on the sawtooth, and what training finds; None where no dataset is one."""
        found = teeth_of({name: self.datasets[name] for name in self.targets})
        if found is None:
            return None
        name, k = found
        tents, left = [*(f"sawtooth-{tent}" for tent in range(1, k)), name], {}
        for depth in self.hidden_layers:
            rows = []
            for each in tents:
                curve = self._curve(each, self.best_optimizer, depth)
                rows.append(curve.errors[self.middle if each in self.targets else 0] / self.variance(each))
            left[depth] = np.array(rows)
        floor = bounds_of(name, self.datasets[name], np.arange(1, 2**k + 1), (), self.folder)
        assert floor is not None  # sampled, with one input
        return Sawtooth(name, k, self.datasets[name], floor, self.curves(name), left)

    # ---- tables ----

    def tables(self) -> dict[str, Rows]:
        """Return the rows of every CSV file, the pieces over epochs among them."""
        return super().tables() | {"pieces": [row for film in self.films for row in film.rows()]}

    def summary_rows(self) -> Rows:
        """Return one row per point of the plots."""
        rows: Rows = []
        for (data, optimizer), curves in self._curves.items():
            for curve in curves:
                rows += curve.error_rows("error_by_depth")
            for each in self._differences[data, optimizer]:
                rows += each.rows("ratios")
        for data, counts in self.pieces.items():
            for curve, found in zip(self.curves(data), counts, strict=True):
                rows += curve.unit_rows("pieces", "pieces_of_last_layer", found)
        rows += self.initial.rows("initial")
        return rows + (self.sawtooth.rows("sawtooth") if self.sawtooth else [])

    # ---- words ----

    def answer(self) -> str:
        """Return the answer in a sentence or two: where depth does more than width, where less, where neither."""
        optimizer, found = self.best_optimizer, {data: self.deeper(data) for data in self.targets}
        spent = int(self.curves()[0].across[-1])
        least = self.hidden_layers[0]
        parts = []
        for verdict, words in VERDICTS.items():
            chosen = ", ".join(f"{data} ({one.words})" for data, one in found.items() if one.verdict == verdict)
            parts += [f"{words}: {chosen}"] if chosen else []
        text = f"For {spent:,} multiply-adds per sample ({optimizer}), against {least} hidden layer{'s' * (least > 1)} "
        text += f"(paired by seed, 95% interval): {'; '.join(parts)}."
        if self.sawtooth is not None:
            text += f" {self.sawtooth.answer}"
        return text

    def outcome(self) -> str:
        """Return tables of error by computation and depth, and of the comparison of initial weights."""
        lines: list[str] = []
        for (data, optimizer), curves in self._curves.items():
            n_seeds = len(curves[0].seeds)
            lines.append(
                f"{data}, {optimizer}: median test MSE of {n_seeds} seeds{' (few)' * bool(few_note(n_seeds))} after "
                f"{self.setup.epochs} epochs, best learning rate per depth and width"
            )
            heads = "".join(f"{f'L = {depth}':>10} " for depth in self.hidden_layers)
            lines.append(f"  multiply-adds{heads}   best deeper against L = {self.hidden_layers[0]}")
            for i, spent in enumerate(curves[0].across.tolist()):
                cells = "".join(f"{curve.quartiles[1, i]:10.2e}{'*' if curve.at_edge[i] else ' '}" for curve in curves)
                best = self.deeper(data, optimizer, i)
                little = f"; {100 * best.left:.0f}% of the variance left" if 0.5 < best.left < np.inf else ""
                lines.append(f"{spent:15,d}{cells}   {best.words}{little}")
            if any(curve.at_edge.any() for curve in curves):
                lines.append("  * the first or last of the learning rates: a better one may lie beyond")
        return "\n".join([*lines, *self.initial.lines()])
