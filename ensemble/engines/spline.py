"""The engine "spline": one input and one hidden layer, exact in O(N + H) or O(H) a step."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Dataset
from ensemble.engines.compiled import Compiled
from ensemble.engines.prepared import n_outputs, parts
from ensemble.rules.batches import effective, steps_per_epoch
from ensemble.rules.losses import LOSSES
from ensemble.rules.optimizers import step_seconds
from ensemble.specs import Specs

__all__ = ["ENGINE"]


class Spline(Compiled):
    """`kernels/spline.py`; for batches, several outputs and labels the kernels beside it."""

    name = "spline"
    most_inputs = 1
    most_hidden_layers = 1
    most_outputs = None
    losses = ("mse", "cross_entropy")

    def prepare(self, data: Dataset, loss: str) -> Any:
        """Return the dataset as the kernel wants it, which for labels or several outputs is another one."""
        if self._has_outputs(data, loss):
            return self.kernel().prepare_outputs(*parts(data, loss))
        return super().prepare(data, loss)

    def _has_outputs(self, data: Dataset, loss: str) -> bool:
        """Return whether `kernels/spline_outputs.py` is needed."""
        return data.n_outputs > 1 or LOSSES[loss].takes_labels

    def seconds(self, specs: Specs, data: Dataset, loss: str = "mse") -> NDArray[np.float64]:
        """Return the time of one epoch of each model, (M,): of the segment form, or of the cell form, or in batches."""
        n = data.n_train
        h: NDArray[Any] = specs.width
        size, steps = effective(specs.batch_size, n), steps_per_epoch(specs.batch_size, n)
        order = np.where(size > 0, 5e-9 * n, 0.0)
        if self._has_outputs(data, loss):
            outputs = n_outputs(data, loss)
            walked = np.where(size > 0, size, n) * (6e-9 if LOSSES[loss].takes_labels else 4e-9)
            step = 2e-7 + 3e-9 * h + outputs * (1e-7 + walked + 3e-9 * h)
            return order + steps * (step + (2 + outputs) * h * step_seconds(specs.optimizer))
        step = np.where(h <= 3 * n // 8, 2e-8 + 8e-9 * h, 1.2e-9 * n + 5e-9 * h)
        step = np.where(size > 0, 1e-7 + 3e-9 * size + 4e-9 * h, step) + 3 * h * step_seconds(specs.optimizer)
        seconds: NDArray[np.float64] = order + steps * step
        return seconds


ENGINE = Spline()
