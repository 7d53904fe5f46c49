"""The engine "pieces": one input and any number of hidden layers, exact at a cost that hardly grows with samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Dataset
from ensemble.engines import spline
from ensemble.engines.compiled import Compiled
from ensemble.engines.prepared import n_outputs
from ensemble.rules.losses import LOSSES
from ensemble.rules.optimizers import step_seconds
from ensemble.specs import Specs

__all__ = ["ENGINE"]


class Pieces(Compiled):
    """`kernels/pieces.py`."""

    name = "pieces"
    takes_batches = False
    most_inputs = 1
    most_outputs = None
    losses = ("mse", "cross_entropy")

    def limits(
        self, specs: Specs, n_inputs: int, loss: str, in_batches: NDArray[np.bool_], n_outputs: int = 1
    ) -> list[tuple[NDArray[np.bool_], str]]:
        """Return what it cannot train: with labels or several outputs models of one hidden layer too."""
        limits, shallow = super().limits(specs, n_inputs, loss, in_batches, n_outputs), specs.hidden_layers == 1
        if shallow.any() and (loss != "mse" or n_outputs > 1):
            i = int(shallow.argmax())
            why = f"has labels or several outputs with two hidden layers or more only, but specs[{i}] has one"
            limits.append((shallow, why))
        return limits

    def seconds(self, specs: Specs, data: Dataset, loss: str = "mse") -> NDArray[np.float64]:
        """Return the time of one epoch of each model, (M,): walks along the events of each layer, and products."""
        h, layers, outputs = specs.width.astype(np.float64), specs.hidden_layers, n_outputs(data, loss)
        stride = np.ceil(h / 16) * 16
        events = np.minimum(h, data.n_train)  # of each layer more than of the one before
        walks = (layers - 1) * layers / 2 * events * (1.2e-9 * stride + 40e-9)
        products = np.maximum(layers - 1, 0) * (layers - 2) / 2 * events * 3 * stride**2 * 2.5e-11
        parameters = (2 + outputs) * stride + (layers - 1) * (stride + 1) * stride
        seconds = 0.7e-6 + walks + products + parameters * (0.2e-9 + step_seconds(specs.optimizer))
        if outputs > 1 or LOSSES[loss].takes_labels:
            seconds += layers * events * outputs * (0.22e-9 * stride + 8e-9)
        if LOSSES[loss].takes_labels:
            seconds += data.n_train * (15e-9 + 8e-9 * outputs)
        return np.where(layers == 1, spline.ENGINE.seconds(specs, data), seconds)


ENGINE = Pieces()
