"""What an engine must offer: data as it wants them, what an epoch costs, and training of one chunk of models.

Each engine is a file of its own, and one line of `registry`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Dataset
from ensemble.engines.chunk import Chunk
from ensemble.specs import Specs

__all__ = ["Engine"]


class Engine(ABC):
    """One way to train models; all give the results that the rules define.

    Attributes
    ----------
    name : str
        What a user asks for.
    most_inputs : int or None
        Largest number of inputs that it can train; None: any.
    losses : tuple of str or None
        The losses that it can minimize; None: any.
    unit_bytes : int
        Of arrays that it holds for each sample and hidden unit of a model.
    """

    name: str
    most_inputs: int | None = None
    losses: tuple[str, ...] | None = None
    unit_bytes: int = 0

    def fits(self, n_inputs: int, loss: str) -> bool:
        """Return whether it can train models of this many inputs on a loss."""
        return (self.most_inputs is None or n_inputs <= self.most_inputs) and self.minimizes(loss)

    def minimizes(self, loss: str) -> bool:
        """Return whether it holds a loss."""
        return self.losses is None or loss in self.losses

    @abstractmethod
    def prepare(self, data: Dataset) -> Any:
        """Return a dataset as the engine wants it; made once for all chunks of models."""

    @abstractmethod
    def seconds(self, specs: Specs, data: Dataset) -> NDArray[np.float64]:
        """Estimate the time of one epoch of each model on one core, (M,), in seconds; results never depend on it."""

    @abstractmethod
    def train(self, run: Chunk) -> None:
        """Train the networks of a chunk in place, and record its errors and snapshots."""
