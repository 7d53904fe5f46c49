"""The engines there are, by name, and which of them trains which model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Dataset
from ensemble.engines import dense, pieces, reference, spline
from ensemble.engines.base import Engine
from ensemble.specs import Specs

__all__ = ["ENGINES", "REGISTRY", "check_engine", "choose_engines", "epoch_seconds"]

# Each is faster than those before it, where it fits: "auto" takes the last that fits a model, and never times anything.
REGISTRY: dict[str, Engine] = {
    engine.name: engine for engine in (reference.ENGINE, dense.ENGINE, pieces.ENGINE, spline.ENGINE)
}
ENGINES = ("auto", *REGISTRY)


def check_engine(engine: str) -> str:
    """Return the name of an engine, or "auto", as it is; a ValueError for any other."""
    if engine not in ENGINES:
        raise ValueError(f"engine {engine!r} is unknown; allowed are {', '.join(ENGINES)}")
    return engine


def choose_engines(
    engine: str,
    specs: Specs,
    n_inputs: int,
    loss: str = "mse",
    in_batches: NDArray[np.bool_] | None = None,
    n_outputs: int = 1,
) -> NDArray[np.str_]:
    """Return which engine trains each model, (M,).

    The one that is asked for; for "auto", the last of `REGISTRY` that fits the model's settings, the numbers of inputs
    and outputs, the loss, and whether it has batches smaller than its data (`in_batches` (M,), none by default).

    Raises
    ------
    ValueError
        An unknown engine, or one that cannot train one of the models.
    """
    check_engine(engine)
    in_batches = np.zeros(len(specs), dtype=np.bool_) if in_batches is None else in_batches
    last = np.full(len(specs), max(ENGINES, key=len))
    for name, one in REGISTRY.items():
        last[one.fits(specs, n_inputs, loss, in_batches, n_outputs)] = name
    if engine == "auto":
        return last
    limits = REGISTRY[engine].limits(specs, n_inputs, loss, in_batches, n_outputs)
    if limits:
        models, why = limits[0]
        raise ValueError(f"engine {engine!r} {why}; use {str(last[models][0])!r} or 'auto'")
    return np.full(len(specs), engine)


def epoch_seconds(engine: str, specs: Specs, data: Dataset, loss: str = "mse") -> NDArray[np.float64]:
    """Estimate the time of one epoch of each model on one core, shape (M,), in seconds.

    For cutting work into chunks of equal cost and for telling the user what to expect; results never depend on it.
    """
    return REGISTRY[engine].seconds(specs, data, loss)
