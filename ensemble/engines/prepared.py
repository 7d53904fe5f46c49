"""Datasets as engines want them, made once: chunks of one run, and runs on equal data, share them."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Dataset
from ensemble.engines.base import Engine

__all__ = ["forget_prepared", "parts", "prepared"]

_PREPARED: dict[tuple[str, str], Any] = {}
_MOST_PREPARED = 16
_preparing = threading.Lock()


def prepared(data: Dataset, engine: Engine) -> Any:
    """Return what `engine.prepare` makes of a dataset, from memory where it has been made before."""
    key = (data.digest, engine.name)
    with _preparing:
        if key not in _PREPARED:
            while len(_PREPARED) >= _MOST_PREPARED:
                del _PREPARED[next(iter(_PREPARED))]
            _PREPARED[key] = engine.prepare(data)
        return _PREPARED[key]


def forget_prepared() -> None:
    """Forget all prepared datasets, such as for a measurement that starts cold."""
    with _preparing:
        _PREPARED.clear()


def parts(data: Dataset) -> tuple[NDArray[np.float64], ...]:
    """Return x (N, D) and y (N,) of the training, test and validation part, in training units; absent ones empty."""
    arrays: list[NDArray[np.float64]] = []
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test), (data.x_val, data.y_val)):
        if x is None or y is None:
            x, y = np.empty((0, data.n_inputs)), np.empty(0)
        elif data.scale is not None:
            x, y = data.scale.inputs(x), data.scale.outputs(y)
        arrays += [np.array(x, order="C"), np.array(y, order="C")]  # writeable: read-only is another type to numba
    return tuple(arrays)
