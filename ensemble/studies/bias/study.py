"""What the bias ablation finds: one curve of test error against width per dataset, optimizer and arm.

An arm is a network type with one or both biases removed, or none; its ratio to both biases is what those are worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ensemble.analysis import (
    Bounds,
    Curve,
    Difference,
    Fit,
    bound_rows,
    bounds_of,
    choose,
    difference,
    difference_rows,
    error_rows,
    few_note,
    quartiles,
)
from ensemble.studies.study import Rows, Study

__all__ = ["ARMS", "MISSING_BIAS", "BiasStudy"]

# Label of each arm by (hidden_bias, output_bias).
ARMS = {
    (True, True): "both biases",
    (True, False): "hidden bias only",
    (False, True): "output bias only",
    (False, False): "no bias",
}
MISSING_BIAS = {"output bias only": "hidden bias", "hidden bias only": "output bias", "no bias": "both biases"}


@dataclass(frozen=True)
class BiasStudy(Study):
    """A trained bias ablation: one curve of test error against width per dataset, optimizer and arm."""

    name = "bias_ablation"

    def curves(self, data: str | None = None, optimizer: str | None = None) -> list[Curve]:
        """Return one curve per arm on a dataset with an optimizer (default: the first of each)."""
        return self._curves[data or self.first, optimizer or self.settings["optimizers"][0]]

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
        return {part: [difference(arm, both) for arm in arms] for part, (both, *arms) in self._curves.items()}

    def better_rate_possible(self, curve: Curve) -> NDArray[np.bool_]:
        """Return whether a better learning rate may lie beyond the grid, (W,): chosen at an end, and not at the floor.

        An arm whose median training error is within 1% of its exact no-bias floor can gain nothing from another rate.
        """
        bounds = self.bounds[curve.data]
        floor = bounds.no_bias.get(curve.label, 0.0) if bounds is not None else 0.0
        return np.asarray(curve.at_edge & (quartiles(curve.train_errors)[1] > 1.01 * floor))

    @cached_property
    def bounds(self) -> dict[str, Bounds | None]:
        """What is possible on each dataset; None where it is not known."""
        return {name: bounds_of(name, data, self.specs.width, (), self.folder) for name, data in self.datasets.items()}

    def parts(self) -> list[tuple[str, str]]:
        """Return each pair of dataset and optimizer: one set of figures."""
        return [(data, optimizer) for data in self.datasets for optimizer in self.settings["optimizers"]]

    def panels(self) -> dict[str, list[Curve]]:
        """Return the arms on each dataset, with each optimizer where there are several."""
        several = len(self.settings["optimizers"]) > 1
        return {f"{data}, {name}" if several else data: self.curves(data, name) for data, name in self.parts()}

    def fits(self, curve: Curve) -> list[Fit]:
        """Return the fit of an arm at its largest width, by the seed with the median test MSE; D = 1 only."""
        if self.datasets[curve.data].n_inputs > 1:
            return []
        return [self.fit(f"width {curve.width[-1]}", int(curve.typical_models[-1]))]

    def fitted(self) -> list[tuple[str, Fit]]:
        """Return every fitted curve of the plots, with its arm."""
        return [
            (curve.label, fit)
            for data, optimizer in self.parts()
            for curve in self.curves(data, optimizer)
            for fit in self.fits(curve)
        ]

    def summary_rows(self) -> Rows:
        """Return one row per point of the curves."""
        rows: Rows = []
        for data, optimizer in self.parts():
            bounds = self.bounds[data]
            for curve in self.curves(data, optimizer):
                rows += [{"arm": curve.label} | row for row in error_rows("error_by_arm", curve)]
                if bounds is not None:
                    rows += [{"arm": curve.label} | row for row in error_rows("limits", curve, "train_loss")]
            for each in self.differences(data, optimizer):
                rows += difference_rows("differences", each)
            rows += [] if bounds is None else bound_rows("limits", bounds)
        return rows

    def outcome(self) -> str:
        """Return a table of width and median test MSE per arm, and what each bias is worth at the largest width."""
        lines = []
        for data, optimizer in self.parts():
            curves = self.curves(data, optimizer)
            n_seeds = len(curves[0].seeds)
            open_ended = [self.better_rate_possible(curve) for curve in curves]
            few_seeds = " (few)" * bool(few_note(n_seeds))
            lines.append(
                f"{data}, {optimizer}: median test MSE over {n_seeds} seeds{few_seeds} after {self.setup.epochs} "
                "epochs, best learning rate per width and arm"
            )
            lines.append("   width" + "".join(f"{curve.label:>17} " for curve in curves).rstrip())
            for i, width in enumerate(curves[0].width.tolist()):
                cells = (
                    f"{curve.quartiles[1, i]:17.2e}{'*' if edge[i] else ' '}"
                    for curve, edge in zip(curves, open_ended, strict=True)
                )
                lines.append(f"{width:8d}" + "".join(cells).rstrip())
            if np.any(open_ended):
                lines.append("  * at the first or last learning rate: a better one may lie beyond")
            differences = {each.arm.label: each for each in self.differences(data, optimizer)}
            lines.append(f"  worth at width {curves[0].width[-1]} (paired by seed, 95% interval, {n_seeds} seeds):")
            lines += [f"    {bias}: {differences[arm].worth}" for arm, bias in MISSING_BIAS.items()]
            left = float(curves[0].quartiles[1, -1] / np.var(self.datasets[data].parts()["test"][1]))
            if 0.5 < left < np.inf:
                lines.append(
                    f"    with both biases {100 * left:.3g}% of the variance is left: where so little is "
                    "learned, little can be lost"
                )
        return "\n".join(lines)
