"""The engine "dense": any number of inputs, forward and backward fused for one model at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Dataset
from ensemble.engines.compiled import Compiled
from ensemble.rules.optimizers import step_seconds
from ensemble.specs import Specs

__all__ = ["ENGINE"]


class Dense(Compiled):
    """`kernels/dense.py`."""

    name = "dense"
    takes_batches = False
    most_hidden_layers = 1

    def seconds(self, specs: Specs, data: Dataset) -> NDArray[np.float64]:
        """Return the time of one epoch of each model, (M,); units go by 16."""
        n, d = data.n_train, data.n_inputs
        h: NDArray[Any] = -(-specs.width // 16) * 16
        parameters = (d + 2) * h
        seconds: NDArray[np.float64] = (
            1e-6 + 8e-9 * n + 2.0 * (2 * d + 3) * n * h / 5e10 + step_seconds(specs.optimizer) * parameters
        )
        return seconds


ENGINE = Dense()
