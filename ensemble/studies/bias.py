"""The bias ablation: it asks what the hidden bias and the output bias are worth, and at which width.

The four arms (each bias on or off) start from the same weights, seed by seed; each arm has the learning rate that
suits it at each width, chosen on validation data. The targets go from those that need the bias to |x|, which does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ensemble.specs import grid
from ensemble.statistics import Comparison, compare_over_widths
from ensemble.studies.bounds import Bounds, bound_rows, bounds_of
from ensemble.studies.curves import Curve, choose, curve_rows, few_note, train_rows
from ensemble.studies.inputs import Data, as_datasets, noise_of, seeds_of, values_of
from ensemble.studies.study import Fit, Setup, Study

if TYPE_CHECKING:
    from ensemble.plots import Figure

__all__ = ["ARMS", "LRS", "OPTIMIZERS", "TARGETS", "WIDTHS", "BiasStudy", "Difference", "bias_ablation", "bias_setup"]

TARGETS = ("reciprocal_sine", "chirp", "soft_absolute", "absolute")
WIDTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 640)
LRS = tuple(2.0 ** (step / 2) for step in range(-16, -3))
OPTIMIZERS = ("gd",)

# Label of each arm by (hidden_bias, output_bias).
BOTH = "both biases"
ARMS = {
    (True, True): BOTH,
    (True, False): "hidden bias only",
    (False, True): "output bias only",
    (False, False): "no bias",
}


def bias_setup(
    data: Data = TARGETS,
    *,
    widths: Iterable[int] = WIDTHS,
    seeds: int | Iterable[int] = 16,
    lrs: Iterable[float] = LRS,
    optimizers: Iterable[str] = OPTIMIZERS,
    epochs: int = 500,
    noise: float = 0.01,
) -> Setup[BiasStudy]:
    """Return the bias ablation before training; parameters and errors as in `bias_ablation`."""
    datasets, notes = as_datasets(data, noise)
    settings: dict[str, Any] = {
        "widths": values_of("widths", widths), "seeds": seeds_of(seeds), "lrs": values_of("lrs", lrs),
        "optimizers": values_of("optimizers", optimizers), "epochs": epochs, "noise": noise_of(data, noise),
    }  # fmt: skip
    specs = grid(
        data=list(datasets), optimizer=settings["optimizers"], hidden_bias=[True, False], output_bias=[True, False],
        lr=settings["lrs"], width=settings["widths"], seed=settings["seeds"],
    )  # fmt: skip
    return Setup(BiasStudy, specs, datasets, epochs, settings, notes)


def bias_ablation(
    data: Data = TARGETS,
    *,
    widths: Iterable[int] = WIDTHS,
    seeds: int | Iterable[int] = 16,
    lrs: Iterable[float] = LRS,
    optimizers: Iterable[str] = OPTIMIZERS,
    epochs: int = 500,
    noise: float = 0.01,
    threads: int | None = None,
    progress: bool | None = None,
) -> BiasStudy:
    """Train the four arms over widths, seeds, learning rates and optimizers, and return the study.

    Parameters
    ----------
    data, widths, seeds, lrs, optimizers, epochs, noise, threads, progress
        As in `width_study`.

    Raises
    ------
    ValueError
        A value that is not allowed, or data that cannot be split.
    """
    setup = bias_setup(data, widths=widths, seeds=seeds, lrs=lrs, optimizers=optimizers, epochs=epochs, noise=noise)
    return setup.run(threads=threads, progress=progress)


class Difference(NamedTuple):
    """An arm against both biases, paired by seed: one comparison for each width (a: the arm, b: both biases)."""

    arm: Curve
    both: Curve
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True)
class BiasStudy(Study):
    """A trained bias ablation: one curve of test error against width per dataset, optimizer and arm."""

    name = "bias_ablation"

    def curves(self, data: str | None = None, optimizer: str | None = None) -> list[Curve]:
        """Return one curve per arm on a dataset with an optimizer (default: the first of each)."""
        data = next(iter(self.datasets)) if data is None else data
        optimizer = self.settings["optimizers"][0] if optimizer is None else optimizer
        return self._curves[data, optimizer]

    @cached_property
    def _curves(self) -> dict[tuple[str, str], list[Curve]]:
        return {
            (data, optimizer): [
                choose(
                    self.specs, self.result, label, data, optimizer=optimizer, hidden_bias=hidden, output_bias=output
                )
                for (hidden, output), label in ARMS.items()
            ]
            for data, optimizer in self.parts()
        }

    def differences(self, data: str | None = None, optimizer: str | None = None) -> list[Difference]:
        """Return each other arm against both biases, on a dataset with an optimizer (default: the first of each)."""
        curves = {curve.label: curve for curve in self.curves(data, optimizer)}
        both = curves.pop(BOTH)
        return [
            Difference(arm, both, compare_over_widths(arm.errors, both.errors, arm.seeds, both.seeds))
            for arm in curves.values()
        ]

    @cached_property
    def bounds(self) -> dict[str, Bounds | None]:
        """What is possible on each dataset; None where it is not known."""
        return {name: bounds_of(name, data, self.specs.width, built=False) for name, data in self.datasets.items()}

    def parts(self) -> list[tuple[str, str]]:
        """Return each pair of dataset and optimizer: one set of figures."""
        return [(data, optimizer) for data in self.datasets for optimizer in self.settings["optimizers"]]

    def fits(self, curve: Curve) -> list[Fit]:
        """Return the fit of an arm at its largest width, by the seed with the median test MSE; D = 1 only."""
        if self.datasets[curve.data].n_inputs > 1:
            return []
        return [self.fit(f"width {curve.width[-1]}", int(curve.typical[-1]))]

    def all_fits(self) -> list[tuple[str, Fit]]:
        """Return every fitted curve of the plots, with its arm."""
        return [
            (curve.label, fit)
            for data, optimizer in self.parts()
            for curve in self.curves(data, optimizer)
            for fit in self.fits(curve)
        ]

    def figures(self) -> dict[str, Figure]:
        """Return the summary and one figure per topic, with a panel per dataset; one set for each optimizer."""
        from ensemble import plots

        found: dict[str, Figure] = {}
        optimizers = self.settings["optimizers"]
        for optimizer in optimizers:
            end = self.suffix(optimizer=(optimizer, len(optimizers)))
            found |= {f"{name}{end}": figure for name, figure in plots.bias_figures(self, optimizer).items()}
        return found

    def summary_rows(self) -> list[dict[str, Any]]:
        """Return one row per point of the curves."""
        rows: list[dict[str, Any]] = []
        for data, optimizer in self.parts():
            bounds = self.bounds[data]
            for curve in self.curves(data, optimizer):
                rows += [{"arm": curve.label} | row for row in curve_rows("error_by_arm", curve)]
                if bounds is not None:
                    rows += [{"arm": curve.label} | row for row in train_rows("limits", curve)]
            for difference in self.differences(data, optimizer):
                rows += difference_rows("differences", difference)
            rows += [] if bounds is None else bound_rows("limits", bounds)
        return rows

    def report(self) -> str:
        """Return a table of width and median test MSE per arm, and what the hidden bias is worth at the last width."""
        lines = []
        for data, optimizer in self.parts():
            curves = self.curves(data, optimizer)
            n_seeds = len(curves[0].seeds)
            few_seeds = " (few)" * bool(few_note(n_seeds))
            lines.append(
                f"{data}, {optimizer}: median test MSE over {n_seeds} seeds{few_seeds} after {self.setup.epochs} "
                "epochs, best learning rate per width and arm"
            )
            lines.append("   width" + "".join(f"{curve.label:>18}" for curve in curves))
            for i, width in enumerate(curves[0].width.tolist()):
                lines.append(f"{width:8d}" + "".join(f"{curve.quartiles[1, i]:18.2e}" for curve in curves))
            for difference in self.differences(data, optimizer):
                last = difference.comparisons[-1]
                low, high = np.exp(last.log_ratio_interval)
                times = float(np.exp(last.median_log_ratio))
                lines.append(
                    f"  {difference.arm.label}, width {curves[0].width[-1]}: {times:.3g} times the error with both "
                    f"biases [{low:.3g}, {high:.3g}]"
                )
        return "\n".join(lines)


def difference_rows(figure: str, difference: Difference) -> list[dict[str, Any]]:
    """Return the rows of `summary.csv` for an arm against both biases: the median of paired ratios of test MSE."""
    arm = difference.arm
    head = {"arm": arm.label, "figure": figure, "data": arm.data, **arm.settings, "measure": "test_mse_ratio_to_both"}
    rows = []
    for width, found in zip(arm.width.tolist(), difference.comparisons, strict=True):
        low, high = np.exp(found.log_ratio_interval).tolist()
        rows.append(
            head
            | {"width": width, "seeds": found.n, "note": found.note}
            | {"median": float(np.exp(found.median_log_ratio)), "ci_low": low, "ci_high": high}
            | {"median_difference": found.median_difference, "probability_of_improvement": found.probability}
            | {"p_value": found.p_value, "p_holm": found.p_adjusted, "significant": found.significant}
        )
    return rows
