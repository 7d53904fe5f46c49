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
from numpy.typing import NDArray

from ensemble.analysis import Bounds, Curve, bound_rows, bounds_of, choose, curve_rows, few_note, quartiles, train_rows
from ensemble.specs import grid
from ensemble.statistics import Comparison, compare_over_widths
from ensemble.studies.inputs import Data, as_datasets, noise_of, seeds_of, values_of
from ensemble.studies.study import Fit, Setup, Study

if TYPE_CHECKING:
    from ensemble.plots import Figure

__all__ = [
    "ARMS",
    "LEFT_OUT",
    "LRS",
    "OPTIMIZERS",
    "TARGETS",
    "WIDTHS",
    "BiasStudy",
    "Difference",
    "bias_ablation",
    "bias_setup",
]

Floats = NDArray[np.float64]

TARGETS = ("reciprocal_sine", "chirp", "soft_absolute", "absolute")
WIDTHS = (2, 4, 8, 16, 32, 64, 160, 640)
# Wide enough that with gd no arm of 8 units or more that is still learning has its best rate at an end. At its floor an
# arm has no best rate: the noise of the validation data chooses, and may choose an end.
LRS = tuple(2.0 ** (step / 2) for step in range(-14, 0))
OPTIMIZERS = ("gd",)

# Label of each arm by (hidden_bias, output_bias).
BOTH = "both biases"
ARMS = {
    (True, True): BOTH,
    (True, False): "hidden bias only",
    (False, True): "output bias only",
    (False, False): "no bias",
}

# Each arm is what is left without some bias: its ratio to both biases is what that bias is worth.
LEFT_OUT = {"output bias only": "hidden bias", "hidden bias only": "output bias", "no bias": "both biases"}


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

    @property
    def ratio(self) -> Floats:
        """Median over seeds of the arm's test MSE / that with both biases, (W,); +inf or 0 where one diverged."""
        with np.errstate(over="ignore"):
            return np.exp([found.median_log_ratio for found in self.comparisons])

    @property
    def interval(self) -> Floats:
        """Lower and upper end of the 95% interval of `ratio`, (2, W)."""
        with np.errstate(over="ignore"):
            return np.exp([found.log_ratio_interval for found in self.comparisons]).T

    @property
    def worth(self) -> str:
        """What the bias that the arm lacks is worth at the largest width, in words with number and interval."""
        ratio, (low, high) = self.ratio[-1], self.interval[:, -1]
        if low <= 1 <= high:
            return f"no clear difference: {_times(ratio)} the error without it [{_number(low)}, {_number(high)}]"
        if ratio > 1:
            return f"{_times(ratio)} lower error [{_number(low)}, {_number(high)}]"
        with np.errstate(divide="ignore"):
            ratio, low, high = np.reciprocal([ratio, high, low])
        return f"{_times(ratio)} higher error [{_number(low)}, {_number(high)}]"


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
        both = self.curves(data, optimizer)[0]
        return self._differences[both.data, both.settings["optimizer"]]

    @cached_property
    def _differences(self) -> dict[tuple[str, str], list[Difference]]:
        return {part: [_against(arm, both) for arm in arms] for part, (both, *arms) in self._curves.items()}

    def doubtful(self, curve: Curve) -> NDArray[np.bool_]:
        """Return whether a better learning rate may lie beyond the grid, (W,): chosen at an end, and not at the floor.

        An arm whose median training error is within 1% of its exact no-bias floor can gain nothing from another rate.
        """
        bounds = self.bounds[curve.data]
        floor = bounds.no_bias.get(curve.label, 0.0) if bounds is not None else 0.0
        return np.asarray(curve.at_edge & (quartiles(curve.train_errors)[1] > 1.01 * floor))

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
        """Return a table of width and median test MSE per arm, and what each bias is worth at the largest width."""
        lines = []
        for data, optimizer in self.parts():
            curves = self.curves(data, optimizer)
            n_seeds = len(curves[0].seeds)
            doubtful = [self.doubtful(curve) for curve in curves]
            few_seeds = " (few)" * bool(few_note(n_seeds))
            lines.append(
                f"{data}, {optimizer}: median test MSE over {n_seeds} seeds{few_seeds} after {self.setup.epochs} "
                "epochs, best learning rate per width and arm"
            )
            lines.append("   width" + "".join(f"{curve.label:>17} " for curve in curves).rstrip())
            for i, width in enumerate(curves[0].width.tolist()):
                cells = (
                    f"{curve.quartiles[1, i]:17.2e}{'*' if edge[i] else ' '}"
                    for curve, edge in zip(curves, doubtful, strict=True)
                )
                lines.append(f"{width:8d}" + "".join(cells).rstrip())
            if np.any(doubtful):
                lines.append("  * at the first or last learning rate: a better one may lie beyond")
            differences = {difference.arm.label: difference for difference in self.differences(data, optimizer)}
            lines.append(f"  worth at width {curves[0].width[-1]} (paired by seed, 95% interval, {n_seeds} seeds):")
            lines += [f"    {bias}: {differences[arm].worth}" for arm, bias in LEFT_OUT.items()]
            left = float(curves[0].quartiles[1, -1] / np.var(self.datasets[data].parts()["test"][1]))
            if 0.5 < left < np.inf:
                lines.append(
                    f"    with both biases {100 * left:.3g}% of the variance is left: where so little is "
                    "learned, little can be lost"
                )
        return "\n".join(lines)


def difference_rows(figure: str, difference: Difference) -> list[dict[str, Any]]:
    """Return the rows of `summary.csv` for an arm against both biases: the median of paired ratios of test MSE."""
    arm = difference.arm
    head = {"arm": arm.label, "figure": figure, "data": arm.data, **arm.settings, "measure": "ratio_to_both_biases"}
    rows = []
    points = zip(arm.width.tolist(), difference.comparisons, difference.ratio, difference.interval.T, strict=True)
    for width, found, ratio, (low, high) in points:
        difference_low, difference_high = found.difference_interval
        rows.append(
            head
            | {"width": width, "seeds": found.n, "note": found.note}
            | {"median": float(ratio), "ci_low": float(low), "ci_high": float(high)}
            | {"median_difference": found.median_difference}
            | {"difference_ci_low": difference_low, "difference_ci_high": difference_high}
            | {"probability": found.probability, "p_value": found.p_value, "p_adjusted": found.p_adjusted}
            | {"significant": found.significant}
        )
    return rows


def _against(arm: Curve, both: Curve) -> Difference:
    return Difference(arm, both, compare_over_widths(arm.errors, both.errors, arm.seeds, both.seeds))


def _number(value: float) -> str:
    """Return three digits of a number, without a power of ten up to a million."""
    short = float(f"{value:.3g}")
    return f"{short:,.0f}" if 100 <= short < 1e6 else f"{short:.3g}"


def _times(value: float) -> str:
    return f"{_number(value)}x"
