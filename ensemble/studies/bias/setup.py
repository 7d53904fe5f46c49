"""The setup of the bias ablation, which asks what the hidden and the output bias are worth, and at which width.

The four arms (each bias on or off) start from the same weights, seed by seed; each arm has the learning rate that
suits it at each width, chosen on validation data. The targets go from those that need the bias to |x|, which does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ensemble.specs import grid
from ensemble.studies.bias.study import BiasStudy
from ensemble.studies.inputs import Data, as_datasets, noise_of, seeds_of, values_of
from ensemble.studies.study import Setup

if TYPE_CHECKING:
    from ensemble.plots import Figure

__all__ = ["LRS", "OPTIMIZERS", "TARGETS", "WIDTHS", "bias_ablation"]

TARGETS = ("reciprocal_sine", "chirp", "soft_absolute", "absolute")
WIDTHS = (2, 4, 8, 16, 32, 64, 160, 640)
# Wide enough that with gd no arm of 8 units or more that is still learning has its best rate at an end. At its floor an
# arm has no best rate: the noise of the validation data chooses, and may choose an end.
LRS = tuple(2.0 ** (step / 2) for step in range(-14, 0))
OPTIMIZERS = ("gd",)


def bias_ablation(
    data: Data = TARGETS,
    *,
    widths: Iterable[int] = WIDTHS,
    seeds: int | Iterable[int] = 16,
    lrs: Iterable[float] = LRS,
    optimizers: Iterable[str] = OPTIMIZERS,
    epochs: int = 500,
    noise: float = 0.01,
) -> Setup[BiasStudy]:
    """Return the bias ablation before training: the four arms over widths, seeds, learning rates and optimizers.

    Parameters
    ----------
    data, widths, seeds, lrs, optimizers, epochs, noise
        As in `width_study`.

    Raises
    ------
    ValueError
        A value that is not allowed, or data that cannot be split.
    """
    datasets, notes = as_datasets(data, noise)
    settings: dict[str, Any] = {
        "widths": values_of("widths", widths), "seeds": seeds_of(seeds), "lrs": values_of("lrs", lrs),
        "optimizers": values_of("optimizers", optimizers), "epochs": epochs, "noise": noise_of(data, noise),
    }  # fmt: skip
    specs = grid(
        data=list(datasets), optimizer=settings["optimizers"], hidden_bias=[True, False], output_bias=[True, False],
        lr=settings["lrs"], width=settings["widths"], seed=settings["seeds"],
    )  # fmt: skip
    return Setup(BiasStudy, _figures, specs, datasets, epochs, settings, notes)


def _figures(study: BiasStudy) -> dict[str, Figure]:
    from ensemble.studies.bias.figures import bias_figures
    from ensemble.studies.save import by_part

    return by_part({name: bias_figures(study, name) for name in study.settings["optimizers"]})
