"""Which networks are trained: specs from the settings.

`picture` trains them; `code` writes the same call down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ensemble.play.settings import BEST, CHOSEN, Settings
from ensemble.specs import COLUMNS, Specs, grid
from ensemble.training import Loss

__all__ = ["axes_of", "loss_of", "specs_of", "widths_of"]

# "best" is the best of these. The widths' studies put the ridge of gd and adam in their middle.
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
HIGH_RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # gd, and what mu-P divides by the width
CURVE_TO = 64  # widths up to here are always compared


def widths_of(settings: Settings) -> list[int]:
    """Return the widths of the curve of error against width: powers of two, and the one that is shown."""
    powers = [2**power for power in range(10) if 2**power <= max(CURVE_TO, settings.width)]
    return sorted({*powers, settings.width})


def rates_of(settings: Settings) -> tuple[float, ...]:
    """Return the learning rates that are tried."""
    if settings.rate != BEST:
        return (settings.rate,)
    return HIGH_RATES if settings.optimizer == "gd" or settings.parametrization == "mup" else RATES


def axes_of(settings: Settings, widths: Sequence[int]) -> dict[str, Any]:
    """Return the arguments of `grid`: those that vary, and those that are not its defaults."""
    named = ("hidden_layers", "optimizer", "batch_size", "init", "parametrization", "hidden_bias", "output_bias")
    axes = {"width": list(widths), "seed": range(settings.seeds), "lr": list(rates_of(settings))}
    fixed = {name: getattr(settings, name) for name in named if name in CHOSEN}
    return axes | {name: value for name, value in fixed.items() if value != COLUMNS[name].default}


def specs_of(settings: Settings, widths: Sequence[int]) -> Specs:
    """Return the models of these widths."""
    return grid(**axes_of(settings, widths))


def loss_of(settings: Settings) -> Loss:
    """Return the name of the loss: cross-entropy for labels."""
    return "cross_entropy" if settings.labelled else "mse"
