"""The engine "dense": any number of inputs and hidden layers, one model at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Dataset
from ensemble.engines.compiled import Compiled
from ensemble.rules.batches import effective, steps_per_epoch
from ensemble.rules.optimizers import step_seconds
from ensemble.specs import Specs

__all__ = ["ENGINE"]


class Dense(Compiled):
    """`kernels/dense.py`, which hands models with more than one hidden layer on to `kernels/deep.py`."""

    name = "dense"

    def seconds(self, specs: Specs, data: Dataset) -> NDArray[np.float64]:
        """Return the time of one epoch of each model, (M,); units go by 16."""
        n, d, layers = data.n_train, data.n_inputs, specs.hidden_layers
        h = np.ceil(specs.width / 16.0) * 16
        parameters = (d + 2) * h + (layers - 1) * (specs.width + 1) * h
        size, steps = effective(specs.batch_size, n), steps_per_epoch(specs.batch_size, n)
        batches = np.where(size > 0, (5e-9 + 1e-9 * d) * n, 0.0)  # drawn and copied
        shallow = 0.7e-6 + steps * 0.3e-6 + 8e-9 * n + 2.0 * (2 * d + 3) * n * h / 5e10
        operations = (4 * d + 6 + 6 * (layers - 1) * specs.width) * h  # for each sample; dL/dx is not needed
        deep = steps * (0.3e-6 + 1.6e-9 * parameters) + n * (2.5e-9 * layers + operations / 1e11)
        update = steps * step_seconds(specs.optimizer) * parameters
        seconds: NDArray[np.float64] = batches + np.where(layers == 1, shallow, deep) + update
        return seconds


ENGINE = Dense()
