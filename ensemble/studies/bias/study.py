"""The bias ablation: what the hidden and the output bias are worth, and at which width.

An arm is a network type with one or both biases removed, or none. The four arms start from the same weights, seed by
seed; each has the learning rate that suits it at each width, chosen on validation data. An arm's ratio to both biases
is what those are worth. The targets go from those that need the bias to |x|, which does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.analysis import Bounds, Curve, Difference, Fit, bound_rows, bounds_of, choose, difference
from ensemble.specs import grid
from ensemble.statistics import few_note, quartiles
from ensemble.studies.inputs import Data, as_datasets, noise_of, seeds_of, values_of
from ensemble.studies.study import Rows, Setup, Study

__all__ = ["ARMS", "LRS", "MISSING_BIAS", "OPTIMIZERS", "TARGETS", "WIDTHS", "BiasStudy", "bias_ablation"]

TARGETS = ("reciprocal_sine", "chirp", "soft_absolute", "absolute")
WIDTHS = (2, 4, 8, 16, 32, 64, 160, 640)
# Wide enough that with gd no arm of 8 units or more that is still learning has its best rate at an end. At its floor an
# arm has no best rate: the noise of the validation data chooses, and may choose an end.
LRS = tuple(2.0 ** (step / 2) for step in range(-14, 0))
OPTIMIZERS = ("gd",)

# Label of each arm by (hidden_bias, output_bias).
ARMS = {
    (True, True): "both biases",
    (True, False): "hidden bias only",
    (False, True): "output bias only",
    (False, False): "no bias",
}
MISSING_BIAS = {"output bias only": "hidden bias", "hidden bias only": "output bias", "no bias": "both biases"}


def bias_ablation(
    data: Data = TARGETS,
    *,
    widths: Iterable[int] = WIDTHS,
    hidden_layers: int = 1,
    seeds: int | Iterable[int] = 16,
    lrs: Iterable[float] = LRS,
    optimizers: Iterable[str] = OPTIMIZERS,
    epochs: int = 500,
    noise: float = 0.01,
    batch_size: int = 0,
) -> Setup[BiasStudy]:
    """Return the bias ablation before training: the four arms over widths, seeds, learning rates and optimizers.

    Parameters
    ----------
    data, widths, seeds, lrs, optimizers, epochs, noise, batch_size
        As in `width_study`.
    hidden_layers : int
        Of all models.

    Raises
    ------
    ValueError
        A value that is not allowed, or data that cannot be split.
    """
    datasets, notes = as_datasets(data, noise, batch_size)
    settings: dict[str, Any] = {
        "widths": values_of("widths", widths), "hidden_layers": hidden_layers, "seeds": seeds_of(seeds),
        "lrs": values_of("lrs", lrs), "optimizers": values_of("optimizers", optimizers), "epochs": epochs,
        "noise": noise_of(data, noise), "batch_size": batch_size,
    }  # fmt: skip
    specs = grid(
        data=list(datasets), optimizer=settings["optimizers"], hidden_bias=[True, False], output_bias=[True, False],
        lr=settings["lrs"], width=settings["widths"], seed=settings["seeds"], hidden_layers=hidden_layers,
        batch_size=batch_size,
    )  # fmt: skip
    return Setup(BiasStudy, specs, datasets, epochs, settings, notes)


@dataclass(frozen=True)
class BiasStudy(Study):
    """A trained bias ablation: one curve of test error against width per dataset, optimizer and arm."""

    name = "bias_ablation"
    question = "What is the bias worth?"

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
        return np.asarray(curve.at_edge & (quartiles(curve.of("train_loss"))[1] > 1.01 * floor))

    @cached_property
    def bounds(self) -> dict[str, Bounds | None]:
        """What is possible on each dataset; None where it is not known."""
        depth = self.settings["hidden_layers"]
        return {
            name: bounds_of(name, data, self.specs.width, (), self.folder, depth)
            for name, data in self.datasets.items()
        }

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
                rows += [{"arm": curve.label} | row for row in curve.error_rows("error_by_arm")]
                if bounds is not None:
                    rows += [{"arm": curve.label} | row for row in curve.error_rows("limits", "train_loss")]
            for each in self.differences(data, optimizer):
                rows += each.rows("differences")
            rows += [] if bounds is None else bound_rows("limits", bounds)
        return rows

    def answer(self) -> str:
        """Return what the hidden bias is worth at the largest width, in a sentence per optimizer."""
        said = []
        for optimizer in self.settings["optimizers"]:
            parts = []
            for data in self.datasets:
                worth = {MISSING_BIAS[each.arm.label]: each.worth for each in self.differences(data, optimizer)}
                parts.append(f"{data} {'nothing to learn' if self.constant(data) else worth['hidden bias']}")
            width = self.curves()[0].width[-1]
            said.append(f"With the hidden bias a network of width {width} ({optimizer}) has on {'; on '.join(parts)}.")
        return "\n".join(said)

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
