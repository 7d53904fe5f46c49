"""Which models to train: their settings, one row per model."""

from ensemble.specs.columns import (
    CHOICES,
    COLUMNS,
    RESULT_COLUMNS,
    Axes,
    Init,
    Optimizer,
    Parametrization,
    Schedule,
)
from ensemble.specs.grid import grid
from ensemble.specs.rows import Spec, Specs

__all__ = [
    "CHOICES", "COLUMNS", "RESULT_COLUMNS", "Axes", "Init", "Optimizer", "Parametrization", "Schedule", "Spec", "Specs",
    "grid",
]  # fmt: skip
