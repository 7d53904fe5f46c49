"""The engine "dense": any number of inputs, hidden layers and outputs, one model at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Dataset
from ensemble.engines.compiled import Compiled
from ensemble.engines.prepared import n_outputs
from ensemble.rules.batches import effective, steps_per_epoch
from ensemble.rules.losses import LOSSES
from ensemble.rules.optimizers import step_seconds
from ensemble.specs import Specs

__all__ = ["ENGINE"]


class Dense(Compiled):
    """`kernels/dense.py`, which hands on to `kernels/deep.py` more than one hidden layer or output, and labels."""

    name = "dense"
    losses = ("mse", "cross_entropy")
    most_outputs = None

    def seconds(self, specs: Specs, data: Dataset, loss: str = "mse") -> NDArray[np.float64]:
        """Return the time of one epoch of each model, (M,); units go by 16."""
        n, d, layers, outputs = data.n_train, data.n_inputs, specs.hidden_layers, n_outputs(data, loss)
        labels = LOSSES[loss].takes_labels
        h = np.ceil(specs.width / 16.0) * 16
        parameters = (d + 1 + outputs) * h + (layers - 1) * (specs.width + 1) * h
        size, steps = effective(specs.batch_size, n), steps_per_epoch(specs.batch_size, n)
        batches = np.where(size > 0, (5e-9 + 1e-9 * d) * n, 0.0)  # drawn and copied
        shallow = 0.7e-6 + steps * 0.3e-6 + 8e-9 * n + 2.0 * (2 * d + 3) * n * h / 5e10
        operations = (4 * d + 6 * outputs + 6 * (layers - 1) * specs.width) * h  # each sample's; dL/dx is not needed
        of_outputs = (1e-9 + 1.5e-9 * labels) * outputs  # that no width makes longer
        deep = steps * (0.3e-6 + 1.6e-9 * parameters) + n * (2.5e-9 * layers + of_outputs + operations / 1e11)
        update = steps * step_seconds(specs.optimizer) * parameters
        is_shallow = (layers == 1) & (outputs == 1) & (not labels)
        seconds: NDArray[np.float64] = batches + np.where(is_shallow, shallow, deep) + update
        return seconds


ENGINE = Dense()
