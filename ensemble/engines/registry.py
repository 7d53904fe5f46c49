"""The engines there are, by name; "auto" is the last that fits the data and the loss."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Dataset
from ensemble.engines import dense, reference, spline
from ensemble.engines.base import Engine
from ensemble.specs import Specs

__all__ = ["ENGINES", "REGISTRY", "choose_engine", "epoch_seconds"]

# Each is faster than those before it, where it fits.
REGISTRY: dict[str, Engine] = {engine.name: engine for engine in (reference.ENGINE, dense.ENGINE, spline.ENGINE)}
ENGINES = ("auto", *REGISTRY)


def choose_engine(engine: str, n_inputs: int, loss: str = "mse") -> str:
    """Return which engine trains a model: by name, or for "auto" by the number of inputs and the loss, never by timing.

    Raises
    ------
    ValueError
        An unknown engine, or one that cannot train this many inputs or this loss.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine {engine!r} is unknown; allowed are {', '.join(ENGINES)}")
    fitting = [name for name, found in REGISTRY.items() if found.fits(n_inputs, loss)]
    if engine == "auto":
        return fitting[-1]
    if not REGISTRY[engine].minimizes(loss):
        raise ValueError(f"engine {engine!r} cannot minimize {loss!r}; use {fitting[-1]!r} or 'auto'")
    if engine not in fitting:
        most = REGISTRY[engine].most_inputs
        inputs = "one input" if most == 1 else f"up to {most} inputs"
        raise ValueError(
            f"engine {engine!r} is for {inputs}, but the data has {n_inputs}; use {fitting[-1]!r} or 'auto'"
        )
    return engine


def epoch_seconds(engine: str, specs: Specs, data: Dataset) -> NDArray[np.float64]:
    """Estimate the time of one epoch of each model on one core, shape (M,), in seconds.

    For cutting work into chunks of equal cost and for telling the user what to expect; results never depend on it.
    """
    return REGISTRY[engine].seconds(specs, data)
