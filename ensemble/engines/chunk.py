"""A chunk of models under way: what it is asked for, what it has recorded, and what it leaves.

Made by `run_chunk`, filled by an engine, and read as `Rows` by whoever asked for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Dataset
from ensemble.engines.checkpoint import Checkpoint
from ensemble.engines.state import State
from ensemble.networks import NetworkStack
from ensemble.rules.losses import LOSSES
from ensemble.specs import Specs
from ensemble.system.progress import note

__all__ = ["Chunk", "Rows", "Settings", "Start"]

Array = NDArray[np.float64]

WORTH_SAVING = 5.0  # seconds of work that an interrupt should not lose


class Settings(NamedTuple):
    """What is the same for every model of a run."""

    epochs: int
    record: NDArray[np.int64]  # (E,) ascending, with 0 and the last
    snapshots: tuple[int, ...]  # ascending
    keep_networks: bool
    loss: str = "mse"  # a name in rules.losses.LOSSES
    keep_state: bool = False


class Rows(NamedTuple):
    """A chunk's part of the result, rows in the order of the chunk's specs."""

    losses: dict[str, Array]  # by part of the data that there is, "train" among them; (m, E)
    accuracies: dict[str, Array]  # likewise, of labels; empty with another loss
    diverged_at: NDArray[np.int64]  # (m,)
    networks: NetworkStack | None
    snapshots: dict[int, NetworkStack]
    state: State | None = None  # what optimizers remember after the last epoch


class Start(NamedTuple):
    """Where a chunk starts instead of at initial weights: at given networks, or where an earlier training ended."""

    networks: NetworkStack
    epoch: int = 0
    rows: Rows | None = None  # of what was trained: losses at the first of the recorded epochs, up to `epoch`


class Chunk:
    """A chunk under way: its networks, what it has recorded so far, and whether it must stop."""

    def __init__(
        self, specs: Specs, data: Dataset, settings: Settings, start: Start, stop: threading.Event | None,
        checkpoint: Checkpoint | None,
    ) -> None:  # fmt: skip
        self.specs, self.data, self.settings, self.stop = specs, data, settings, stop
        self.checkpoint, self.saved = checkpoint, time.monotonic()
        self.start, self.first, self.networks = start, start.epoch, start.networks
        self.state = State.fresh(specs, self.networks.n_inputs, self.networks.n_outputs)
        self.labels = LOSSES[settings.loss].takes_labels
        columns = {part: len(settings.record) for part in data.parts()}
        shapes = [(len(specs), columns.get(part, 0)) for part in ("train", "test", "val")]
        self.train, self.test, self.val = (np.full(shape, np.inf) for shape in shapes)
        self.train_accuracy, self.test_accuracy, self.val_accuracy = (
            np.zeros(shape if self.labels else (shape[0], 0)) for shape in shapes
        )
        self.diverged_at = np.full(len(specs), -1, dtype=np.int64)
        self.snapshots: dict[int, NetworkStack] = {}
        known = 0
        if start.rows is not None:
            known = start.rows.losses["train"].shape[1]
            self.diverged_at[:] = start.rows.diverged_at
            self.snapshots |= start.rows.snapshots
            if start.rows.state is not None:
                self.state.put(np.arange(len(specs)), start.rows.state)
        self.known = known  # of the recorded epochs
        self.column = np.full(settings.epochs + 1, -1, dtype=np.int64)  # of an epoch that is to be recorded, else -1
        self.column[settings.record[known:]] = np.arange(known, len(settings.record))
        if start.rows is None:
            self.snapshot(0)

    def pause(self, place: int, settle: Callable[[], None] | None = None) -> None:
        """Between two pieces of work: give up where the main thread asks for it, and save the state now and then.

        `place` is the number of the piece that comes next; `settle` brings networks and state up to date.
        """
        stopped = self.stop is not None and self.stop.is_set()
        if self.checkpoint is not None and place:
            spent = time.monotonic() - self.saved
            if spent > self.checkpoint.seconds or (stopped and spent > WORTH_SAVING):
                if settle is not None:
                    settle()
                self.checkpoint.save(self._arrays(place))
                self.saved = time.monotonic()
        if stopped:
            raise CancelledError("training was interrupted")

    def resume(self) -> int:
        """Take over what was saved, and return the number of the next piece of work; 0 at a fresh start."""
        found = None if self.checkpoint is None else self.checkpoint.load()
        if found is None:
            return 0
        if not self._fits(found):
            assert self.checkpoint is not None
            note(f"{self.checkpoint.path} is no state of its model, which is trained from the start")
            return 0
        for name, value in self._arrays(0).items():
            if name != "place" and not name.startswith("snapshot_"):
                value[...] = found[name]
        for epoch in self.settings.snapshots:
            if f"snapshot_{epoch}" in found:
                self.snapshots[epoch] = self.networks.take(np.arange(len(self.specs)))
                self.snapshots[epoch].parameters[:] = found[f"snapshot_{epoch}"]
        return int(found["place"][0])

    def _fits(self, found: dict[str, NDArray[Any]]) -> bool:
        """Return whether saved arrays are what this chunk saves: all there, of the same kinds and shapes."""
        expected = self._arrays(0)
        for epoch in self.settings.snapshots:
            if f"snapshot_{epoch}" in found:
                expected[f"snapshot_{epoch}"] = self.networks.parameters
        if set(found) != set(expected) or found["place"].shape != (2,) or found["place"][0] < 0:
            return False
        if found["place"][1] != sum(name.startswith("snapshot_") for name in found):
            return False
        return all(
            found[name].dtype == value.dtype and found[name].shape == value.shape for name, value in expected.items()
        )

    def _arrays(self, place: int) -> dict[str, NDArray[Any]]:
        """Return all arrays that change in training, by name."""
        arrays: dict[str, Any] = {"place": np.array([place, len(self.snapshots)]), "diverged_at": self.diverged_at}
        names = ("train", "test", "val", *self.labels * ("train_accuracy", "test_accuracy", "val_accuracy"))
        arrays |= {name: getattr(self, name) for name in names}
        arrays |= {f"snapshot_{epoch}": kept.parameters for epoch, kept in self.snapshots.items()}
        arrays |= {f"state_{name}": values for name, values in self.state.arrays().items()}
        return arrays | {"parameters": self.networks.parameters}

    def output_weights(self) -> Array:
        """Return what each output's squared error is multiplied with where it is recorded, (O,).

        Several outputs that were standardized have a variance each, which brings its error back to the original units;
        one output's is left to `rows`.
        """
        weights = np.ones(self.networks.n_outputs)
        if self.data.scale is not None and not self.labels and len(weights) > 1:
            weights *= np.square(self.data.scale.y_std)
        return weights

    def snapshot(self, epoch: int) -> None:
        """Keep the networks as they are, if this epoch's were asked for."""
        if epoch in self.settings.snapshots:
            self.snapshots[epoch] = self.networks.take(np.arange(len(self.specs)))

    def sort(self, order: NDArray[np.int64], back: bool = False) -> None:
        """Bring all that is kept per model into another order, or back from it."""
        losses, accuracies = (
            (self.train, self.test, self.val),
            (self.train_accuracy, self.test_accuracy, self.val_accuracy),
        )
        for rows in (*losses, *accuracies, self.diverged_at, *self.state.models.values()):
            if back:
                rows[order] = rows.copy()
            else:
                rows[...] = rows[order]

    def rows(self) -> Rows:
        """Return what was recorded, before this chunk too, in the original units."""
        unit = 1.0  # of several outputs, engines record the losses in the original units: each output has its own
        if self.data.scale is not None and self.data.n_outputs == 1:
            unit = float(self.data.scale.y_std) ** LOSSES[self.settings.loss].power
        losses = {part: getattr(self, part) * unit for part in self.data.parts()}
        accuracies = {part: getattr(self, f"{part}_accuracy") for part in self.data.parts() if self.labels}
        if self.start.rows is not None:
            for known, rows in ((self.start.rows.losses, losses), (self.start.rows.accuracies, accuracies)):
                for part, values in rows.items():
                    values[:, : self.known] = known[part]
        return Rows(
            losses,
            accuracies,
            self.diverged_at,
            self.networks if self.settings.keep_networks else None,
            self.snapshots,
            self.state if self.settings.keep_state else None,
        )
