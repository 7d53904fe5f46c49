"""The bias ablation: it asks what the hidden bias and the output bias are worth, and at which width.

The four arms (each bias on or off) start from the same weights, seed by seed; each arm has the learning rate that
suits it at each width, chosen on validation data.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ensemble.specs import grid
from ensemble.studies.bounds import Bounds, bound_rows, bounds_of
from ensemble.studies.curves import Curve, choose, curve_rows, train_rows
from ensemble.studies.inputs import Data, as_datasets, noise_of, seeds_of, values_of
from ensemble.studies.study import Fit, Setup, Study

if TYPE_CHECKING:
    from ensemble.plots import Figure

__all__ = ["ARMS", "LRS", "OPTIMIZERS", "WIDTHS", "BiasStudy", "bias_ablation", "bias_setup"]

WIDTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 640, 1024)
LRS = tuple(2.0 ** (step / 2) for step in range(-16, -3))
OPTIMIZERS = ("gd",)

# Label of each arm by (hidden_bias, output_bias).
ARMS = {
    (True, True): "both biases",
    (True, False): "hidden bias only",
    (False, True): "output bias only",
    (False, False): "no bias",
}


def bias_setup(
    data: Data = "reciprocal_sine",
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
    data: Data = "reciprocal_sine",
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


@dataclass(frozen=True)
class BiasStudy(Study):
    """A trained bias ablation: one curve of test error against width per dataset, optimizer and arm."""

    name = "bias_ablation"

    def curves(self, data: str | None = None, optimizer: str | None = None) -> list[Curve]:
        """Return one curve per arm on a dataset with an optimizer (default: the first of each)."""
        data = next(iter(self.datasets)) if data is None else data
        optimizer = self.settings["optimizers"][0] if optimizer is None else optimizer
        return [
            choose(self.specs, self.result, label, data, optimizer=optimizer, hidden_bias=hidden, output_bias=output)
            for (hidden, output), label in ARMS.items()
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
        """Return the summary and its parts, per dataset and optimizer."""
        from ensemble import plots

        found: dict[str, Figure] = {}
        for data, optimizer in self.parts():
            end = self.suffix(data=(data, len(self.datasets)), optimizer=(optimizer, len(self.settings["optimizers"])))
            figures = plots.bias_figures(self, data, optimizer)
            found |= {f"{name}{end}": figure for name, figure in figures.items()}
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
            rows += [] if bounds is None else bound_rows("limits", bounds)
        return rows

    def report(self) -> str:
        """Return a table of width and median test MSE per arm."""
        lines = []
        for data, optimizer in self.parts():
            curves = self.curves(data, optimizer)
            lines.append(
                f"{data}, {optimizer}: median test MSE over {len(curves[0].seeds)} seeds "
                f"after {self.setup.epochs} epochs, best learning rate per width and arm"
            )
            lines.append("   width" + "".join(f"{curve.label:>18}" for curve in curves))
            for i, width in enumerate(curves[0].width.tolist()):
                lines.append(f"{width:8d}" + "".join(f"{curve.quartiles[1, i]:18.2e}" for curve in curves))
        return "\n".join(lines)
