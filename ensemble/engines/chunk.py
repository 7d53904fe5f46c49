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
from ensemble.networks import NetworkStack
from ensemble.rules.losses import LOSSES
from ensemble.specs import Specs
from ensemble.system.progress import note

__all__ = ["Chunk", "Rows", "Settings"]

Array = NDArray[np.float64]

WORTH_SAVING = 5.0  # seconds of work that an interrupt should not lose


class Settings(NamedTuple):
    """What is the same for every model of a run."""

    epochs: int
    record: NDArray[np.int64]  # (E,) ascending, with 0 and the last
    snapshots: tuple[int, ...]  # ascending
    keep_networks: bool
    loss: str = "mse"  # a name in rules.losses.LOSSES


class Rows(NamedTuple):
    """A chunk's part of the result, rows in the order of the chunk's specs."""

    losses: dict[str, Array]  # by part of the data that there is, "train" among them; (m, E)
    diverged_at: NDArray[np.int64]  # (m,)
    networks: NetworkStack | None
    snapshots: dict[int, NetworkStack]


class Chunk:
    """A chunk under way: its networks, what it has recorded so far, and whether it must stop."""

    def __init__(
        self, specs: Specs, data: Dataset, settings: Settings, networks: NetworkStack, stop: threading.Event | None,
        checkpoint: Checkpoint | None,
    ) -> None:  # fmt: skip
        self.specs, self.data, self.settings, self.networks, self.stop = specs, data, settings, networks, stop
        self.checkpoint, self.saved = checkpoint, time.monotonic()
        shape = (len(specs), len(settings.record))
        self.train = np.full(shape, np.inf)
        self.test = np.full(shape if data.x_test is not None else (shape[0], 0), np.inf)
        self.val = np.full(shape if data.x_val is not None else (shape[0], 0), np.inf)
        self.diverged_at = np.full(len(specs), -1, dtype=np.int64)
        self.snapshots: dict[int, NetworkStack] = {}

    def pause(self, place: int, more: Callable[[], dict[str, Array]]) -> None:
        """Between two pieces of work: give up where the main thread asks for it, and save the state now and then.

        `place` is the number of the piece that comes next, `more` returns the state that only the engine knows.
        """
        stopped = self.stop is not None and self.stop.is_set()
        if self.checkpoint is not None and place:
            spent = time.monotonic() - self.saved
            if spent > self.checkpoint.seconds or (stopped and spent > WORTH_SAVING):
                self.checkpoint.save(self._state(place) | more())
                self.saved = time.monotonic()
        if stopped:
            raise CancelledError("training was interrupted")

    def resume(self, more: dict[str, Array]) -> tuple[int, dict[str, Array]]:
        """Return the number of the next piece of work and what the engine has saved; 0 and nothing at a fresh start.

        `more` is the engine's own state as it is now, which the saved one must be like.
        """
        found = None if self.checkpoint is None else self.checkpoint.load()
        if found is None:
            return 0, {}
        if not self._fits(found, more):
            assert self.checkpoint is not None
            note(f"{self.checkpoint.path} is no state of its model, which is trained from the start")
            return 0, {}
        for name, value in self._state(0).items():
            if name != "place" and not name.startswith("snapshot_"):
                value[...] = found.pop(name)
        for epoch in self.settings.snapshots:
            if f"snapshot_{epoch}" in found:
                self.snapshots[epoch] = self.networks.take(np.arange(len(self.specs)))
                self.snapshots[epoch].parameters[:] = found.pop(f"snapshot_{epoch}")
        return int(found.pop("place")[0]), found

    def _fits(self, found: dict[str, Array], more: dict[str, Array]) -> bool:
        """Return whether saved arrays are what this chunk saves: all there, of the same kinds and shapes."""
        expected = self._state(0) | more
        for epoch in self.settings.snapshots:
            if f"snapshot_{epoch}" in found:
                expected[f"snapshot_{epoch}"] = self.networks.parameters
        if set(found) != set(expected) or found["place"].shape != (2,) or found["place"][0] < 0:
            return False
        if found["place"][1] != sum(name.startswith("snapshot_") for name in found):
            return False
        return all(
            found[name].dtype == value.dtype
            and (found[name].shape == value.shape or (name.endswith("_alive") and _is_subset(found[name], value)))
            for name, value in expected.items()
        )

    def _state(self, place: int) -> dict[str, Array]:
        """Return all arrays that change in training, by name."""
        arrays: dict[str, Any] = {"place": np.array([place, len(self.snapshots)]), "diverged_at": self.diverged_at}
        arrays |= {"train": self.train, "test": self.test, "val": self.val}
        arrays |= {f"snapshot_{epoch}": kept.parameters for epoch, kept in self.snapshots.items()}
        return arrays | {"parameters": self.networks.parameters}

    def snapshot(self, epoch: int) -> None:
        """Keep the networks as they are, if this epoch's were asked for."""
        if epoch in self.settings.snapshots:
            self.snapshots[epoch] = self.networks.take(np.arange(len(self.specs)))

    def rows(self) -> Rows:
        """Return what was recorded, in the original units."""
        unit = 1.0 if self.data.scale is None else self.data.scale.y_std ** LOSSES[self.settings.loss].power
        return Rows(
            {part: getattr(self, part) * unit for part in self.data.parts()},
            self.diverged_at,
            self.networks if self.settings.keep_networks else None,
            self.snapshots,
        )


def _is_subset(found: Array, whole: Array) -> bool:
    return found.ndim == 1 and bool(np.isin(found, whole).all() and (np.diff(found) > 0).all())
