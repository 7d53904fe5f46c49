"""The engine "spline": one input and one hidden layer, exact in O(N + H) or O(H) a step."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Dataset
from ensemble.engines.compiled import Compiled
from ensemble.rules.batches import effective, steps_per_epoch
from ensemble.rules.optimizers import step_seconds
from ensemble.specs import Specs

__all__ = ["ENGINE"]


class Spline(Compiled):
    """`kernels/spline.py`."""

    name = "spline"
    most_inputs = 1
    most_hidden_layers = 1

    def seconds(self, specs: Specs, data: Dataset, loss: str = "mse") -> NDArray[np.float64]:
        """Return the time of one epoch of each model, (M,): of the segment form, or of the cell form, or in batches."""
        n = data.n_train
        h: NDArray[Any] = specs.width
        size, steps = effective(specs.batch_size, n), steps_per_epoch(specs.batch_size, n)
        step = np.where(h <= 3 * n // 8, 2e-8 + 8e-9 * h, 1.2e-9 * n + 5e-9 * h)
        step = np.where(size > 0, 1e-7 + 3e-9 * size + 4e-9 * h, step) + 3 * h * step_seconds(specs.optimizer)
        seconds: NDArray[np.float64] = np.where(size > 0, 5e-9 * n, 0.0) + steps * step
        return seconds


ENGINE = Spline()
