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
    most_hidden_layers : int or None
        Largest number of hidden layers, likewise.
    most_outputs : int or None
        Largest number of outputs, likewise; for labels that of logits, 1 for two classes.
    losses : tuple of str or None
        The losses that it can minimize; None: any.
    takes_batches : bool
        Whether it can train in batches smaller than the data.
    unit_bytes : int
        Of arrays that it holds for each sample and hidden unit, of all layers, of a model.
    """

    name: str
    most_inputs: int | None = None
    most_hidden_layers: int | None = None
    most_outputs: int | None = None
    losses: tuple[str, ...] | None = None
    takes_batches: bool = True
    unit_bytes: int = 0

    def limits(
        self, specs: Specs, n_inputs: int, loss: str, in_batches: NDArray[np.bool_], n_outputs: int = 1
    ) -> list[tuple[NDArray[np.bool_], str]]:
        """Return what it cannot train: which models, (M,), and why, in words that follow its name.

        `in_batches` (M,) says which models have batches smaller than their data.
        """
        limits = []
        if self.losses is not None and loss not in self.losses:
            limits.append((np.ones(len(specs), dtype=np.bool_), f"cannot minimize {loss!r}"))
        if self.most_inputs is not None and n_inputs > self.most_inputs:
            most = _at_most(self.most_inputs, "input")
            limits.append((np.ones(len(specs), dtype=np.bool_), f"is for {most}, but the data has {n_inputs}"))
        if self.most_outputs is not None and n_outputs > self.most_outputs:
            most = _at_most(self.most_outputs, "output")
            limits.append((np.ones(len(specs), dtype=np.bool_), f"is for {most}, but the networks have {n_outputs}"))
        if self.most_hidden_layers is not None:
            deep, most = (
                specs.hidden_layers > self.most_hidden_layers,
                _at_most(self.most_hidden_layers, "hidden layer"),
            )
            if deep.any():
                i = int(deep.argmax())
                limits.append((deep, f"is for {most}, but specs[{i}] has {specs.hidden_layers[i]}"))
        if not self.takes_batches and in_batches.any():
            i = int(in_batches.argmax())
            limits.append((in_batches, f"is for full batches, but specs[{i}] has batch_size {specs.batch_size[i]}"))
        return limits

    def fits(
        self, specs: Specs, n_inputs: int, loss: str, in_batches: NDArray[np.bool_], n_outputs: int = 1
    ) -> NDArray[np.bool_]:
        """Return which models it can train, (M,), with D inputs, O outputs and a loss."""
        refused = [models for models, _ in self.limits(specs, n_inputs, loss, in_batches, n_outputs)]
        return ~np.any(refused, axis=0) if refused else np.ones(len(specs), dtype=np.bool_)

    @abstractmethod
    def prepare(self, data: Dataset, loss: str) -> Any:
        """Return a dataset as the engine wants it; made once for all chunks of models, and all losses of labels."""

    @abstractmethod
    def seconds(self, specs: Specs, data: Dataset, loss: str = "mse") -> NDArray[np.float64]:
        """Estimate the time of one epoch of each model on one core, (M,), in seconds; results never depend on it."""

    @abstractmethod
    def train(self, run: Chunk) -> None:
        """Train the networks of a chunk in place, and record its errors and snapshots."""


def _at_most(number: int, noun: str) -> str:
    return f"one {noun}" if number == 1 else f"up to {number} {noun}s"
