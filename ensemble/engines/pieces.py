"""The engine "pieces": one input and any number of hidden layers, exact at a cost that hardly grows with samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Dataset
from ensemble.engines import spline
from ensemble.engines.compiled import Compiled
from ensemble.rules.optimizers import step_seconds
from ensemble.specs import Specs

__all__ = ["ENGINE"]


class Pieces(Compiled):
    """`kernels/pieces.py`."""

    name = "pieces"
    takes_batches = False
    most_inputs = 1

    def seconds(self, specs: Specs, data: Dataset, loss: str = "mse") -> NDArray[np.float64]:
        """Return the time of one epoch of each model, (M,): walks along the events of each layer, and products."""
        h, layers = specs.width.astype(np.float64), specs.hidden_layers
        stride = np.ceil(h / 16) * 16
        events = np.minimum(h, data.n_train)  # of each layer more than of the one before
        walks = (layers - 1) * layers / 2 * events * (2e-9 * stride + 14e-9)
        products = np.maximum(layers - 1, 0) * (layers - 2) / 2 * events * 3 * stride**2 * 2.5e-11
        parameters = 3 * stride + (layers - 1) * (stride + 1) * stride
        seconds = 0.7e-6 + walks + products + parameters * (0.2e-9 + step_seconds(specs.optimizer))
        return np.where(layers == 1, spline.ENGINE.seconds(specs, data), seconds)


ENGINE = Pieces()
