"""Datasets as engines want them, made once: chunks of one run, and runs on equal data, share them."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Dataset, Scale, n_classes
from ensemble.engines.base import Engine
from ensemble.rules.losses import LOSSES

__all__ = ["forget_prepared", "n_outputs", "parts", "prepared", "scale_of"]

_PREPARED: dict[tuple[str, str, bool], Any] = {}
_MOST_PREPARED = 16
_preparing = threading.Lock()


def prepared(data: Dataset, engine: Engine, loss: str) -> Any:
    """Return what `engine.prepare` makes of a dataset, from memory where it has been made before."""
    key = (data.digest, engine.name, LOSSES[loss].takes_labels)
    with _preparing:
        if key not in _PREPARED:
            while len(_PREPARED) >= _MOST_PREPARED:
                del _PREPARED[next(iter(_PREPARED))]
            _PREPARED[key] = engine.prepare(data, loss)
        return _PREPARED[key]


def forget_prepared() -> None:
    """Forget all prepared datasets, such as for a measurement that starts cold."""
    with _preparing:
        _PREPARED.clear()


def n_outputs(data: Dataset, loss: str) -> int:
    """Return the number of outputs O that networks need: one for each of y; of K classes one where K = 2, else K.

    A ValueError for a loss of labels where y are none.
    """
    if not LOSSES[loss].takes_labels:
        return data.n_outputs
    classes = n_classes(data)
    return 1 if classes == 2 else classes


def scale_of(data: Dataset, loss: str) -> Scale | None:
    """Return how a dataset is standardized to train on, None where it is not: labels stay as they are."""
    if data.scale is None or not LOSSES[loss].takes_labels:
        return data.scale
    return data.scale.of_inputs(n_outputs(data, loss))


def parts(data: Dataset, loss: str = "mse") -> tuple[NDArray[np.float64], ...]:
    """Return x (N, D) with y of the training, test and validation part, in training units; absent ones are empty.

    y is (N,) of one output and of labels, (N, O) of several outputs.
    """
    arrays: list[NDArray[np.float64]] = []
    scale = scale_of(data, loss)
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test), (data.x_val, data.y_val)):
        if x is None or y is None:
            x, y = np.empty((0, data.n_inputs)), np.empty((0, *data.y_train.shape[1:]))
        elif scale is not None:
            x, y = scale.inputs(x), y if LOSSES[loss].takes_labels else scale.outputs(y)
        arrays += [np.array(x, order="C"), np.array(y, order="C")]  # writeable: read-only is another type to numba
    return tuple(arrays)
