"""Maps of trainability: a network a pixel, trained tile by tile, each tile kept in a file as soon as it is done.

`study` asks for maps of some windows; a `Map` says where they converge, how fast, and how rough the boundary is.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensemble import training
from ensemble.data import Dataset
from ensemble.specs import Specs
from ensemble.statistics import BoxDimension, box_dimension, edge_of
from ensemble.store import made_here
from ensemble.system import archive
from ensemble.system.lock import RunLock
from ensemble.system.progress import note

__all__ = [
    "LIMIT", "MOST_ZOOM", "PAPER", "SEED", "TAIL", "TILE", "WINDOW", "Map", "Tiles", "Window", "forget", "pixel_specs",
    "recorded", "speed_of",
]  # fmt: skip

Array = NDArray[np.float64]

PAPER = (1.17, 1.98)  # dimensions that Sohl-Dickstein 2024 reports, over six kinds of networks and training
TILE = 128  # pixels along a side: half a second of two cores, what a kill loses
LIMIT = 1e6  # of a loss, in units of the initial one
TAIL = 20  # epochs whose mean loss decides
EVERY = 10  # epochs between records where nothing hangs on each
STEEP = 32  # epochs in which almost all divergence happens
FINEST = 1e-14  # of a rate, between two pixels: less, and neighbours would be the same network
_KINDS = {"speed": ("f", 2), "diverged_at": ("i", 2)}


class Window(NamedTuple):
    """A square part of the plane of rates: its centre and its side, in powers of ten."""

    hidden: float
    output: float
    side: float

    def rates(self, pixels: int) -> tuple[Array, Array]:
        """Return the hidden rates of the columns and the output rates of the rows, ascending, at pixels' middles."""
        steps = ((np.arange(pixels) + 0.5) / pixels - 0.5) * self.side
        return 10.0 ** (self.hidden + steps), 10.0 ** (self.output + steps)

    def part(self, row: float, column: float, pixels: int, factor: float) -> Window:
        """Return the window that is `factor` times smaller, as near to a pixel as it stays inside this one."""
        side = self.side / factor
        room = (self.side - side) / 2
        shift = [((place + 0.5) / pixels - 0.5) * self.side for place in (column, row)]
        across, up = (min(max(one, -room), room) for one in shift)
        return Window(self.hidden + across, self.output + up, side)

    def fits(self, pixels: int) -> bool:
        """Return whether neighbouring pixels still have different rates."""
        return self.side * math.log(10.0) / pixels > FINEST * max(1.0, abs(self.hidden), abs(self.output))


WINDOW = Window(0.12, -2.05, 0.7)  # where the default network's boundary is richest
MOST_ZOOM = 1e9  # of --zoom: the zooms within go on from there
SEED = 3  # of ten that were looked at; within two decades around, most have boundaries of dimension 1.0 to 1.1


def recorded(epochs: int) -> list[int]:
    """Return the epochs whose losses a pixel is made of: all of the first and the last few, every tenth between."""
    return sorted({*range(min(STEEP, epochs) + 1), *range(0, epochs, EVERY), *range(max(0, epochs - TAIL), epochs + 1)})


def speed_of(losses: Array, epochs: NDArray[np.int64]) -> Array:
    """Return whether and how fast models converged or diverged, (M,), as Sohl-Dickstein 2024 has it.

    A model has converged if its mean loss over the last 20 epochs lies below its loss at the start; it has diverged if
    not: if the loss is not finite, or has not fallen. With v the loss in units of the initial one, at most 10^6:

    - converged: minus the mean of v over training, in (-10^6, 0]; nearer to 0 is faster;
    - diverged: the sum of 1/v over the epochs, above 0; nearer to 0 is faster.

    Parameters
    ----------
    losses : (M, E)
        +inf from where a model diverged.
    epochs : (E,)
        Each loss stands for the epochs since the one before.
    """
    with np.errstate(all="ignore"):
        v = losses / losses[:, :1]
        v = np.where(np.isfinite(v), np.clip(v, 1.0 / LIMIT, LIMIT), LIMIT)
    weights = np.diff(epochs, prepend=epochs[0] - 1).astype(np.float64)
    tail = np.where(epochs > epochs[-1] - TAIL, weights, 0.0)
    # Sums by row, not `v @ weights`, whose last bits depend on the number of models.
    converged = (v * tail).sum(axis=1) < tail.sum()
    speed: Array = np.where(converged, -(v * weights).sum(axis=1) / weights.sum(), (weights / v).sum(axis=1))
    return speed


@dataclass(frozen=True)
class Map:
    """What became of the networks of a window, rows of pixels by output rate and columns by hidden rate, ascending.

    Attributes
    ----------
    name : str
    window : Window
    zoom : float
        How many times smaller than the study's own window.
    speed : (n, n) float64
        As `speed_of` returns it.
    diverged_at : (n, n) int64
        Epoch in which weights or loss left what numbers can hold, or -1.
    """

    name: str
    window: Window
    zoom: float
    speed: Array
    diverged_at: NDArray[np.int64]

    @property
    def pixels(self) -> int:
        """Number of pixels along a side."""
        return len(self.speed)

    @property
    def converged(self) -> NDArray[np.bool_]:
        """Where training converged, (n, n)."""
        return self.speed <= 0.0

    @cached_property
    def edge(self) -> NDArray[np.bool_]:
        """The pixels that converged beside one that did not, (n, n): the boundary."""
        return edge_of(self.converged)

    @cached_property
    def boxes(self) -> BoxDimension:
        """The boundary's box counts and dimension."""
        return box_dimension(self.edge)

    def richest(self, factor: int) -> tuple[int, int]:
        """Return row and column of the middle of the part, `factor` times smaller, with the most of the boundary."""
        side = max(1, self.pixels // factor)
        sums = np.pad(self.edge.astype(np.int64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
        found = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
        row, column = np.unravel_index(int(found.argmax()), found.shape)
        return int(row) + side // 2, int(column) + side // 2

    def typical(self, share: float) -> tuple[int, int]:
        """Return the pixel of the boundary that this share of all of them comes before, row by row."""
        places = np.argwhere(self.edge)
        row, column = places[int(share * len(places))].tolist()
        return row, column


class Tiles:
    """Where pixels come from: tiles that a folder holds, or that are trained now and kept there.

    Parameters
    ----------
    model : Specs
        One row: what all pixels share.
    data : Dataset
    epochs : int
    folder : path or None
        Where tiles are kept; None keeps none.
    owner : str
        Whose they are: in their names, so that `forget` finds them.
    done : callable
        Told the number of pixels, whenever some are finished.
    threads, executor
        As of `train`.
    """

    def __init__(
        self, model: Specs, data: Dataset, epochs: int, folder: Path | None, owner: str,
        done: Callable[[int], object], threads: int | None = None, executor: Executor | None = None,
    ) -> None:  # fmt: skip
        self.model, self.data, self.epochs, self.done = model, data, epochs, done
        self.folder, self.owner, self.threads, self.executor = folder, owner, threads, executor
        self.trained = 0
        self._held = ExitStack()
        made = made_here()
        shared = [model.digest, data.digest, epochs, recorded(epochs), made["versions"], made["target"]]
        self._shared = json.dumps(shared).encode()  # all that decides a tile but its rates

    def __enter__(self) -> Tiles:
        if self.folder is not None:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except FileExistsError as error:
                raise ValueError(f"store {str(self.folder)!r} is no folder") from error
            self._held.enter_context(RunLock(self.folder / "lock"))
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def map(self, name: str, window: Window, pixels: int, zoom: float) -> Map:
        """Return the map of a window, tile by tile."""
        hidden, output = window.rates(pixels)
        speed, diverged_at = np.empty((pixels, pixels)), np.empty((pixels, pixels), dtype=np.int64)
        for row in range(0, pixels, TILE):
            for column in range(0, pixels, TILE):
                place = slice(row, row + TILE), slice(column, column + TILE)
                speed[place], diverged_at[place] = self._tile(hidden[place[1]], output[place[0]])
        return Map(name, window, zoom, speed, diverged_at)

    def _tile(self, hidden: Array, output: Array) -> tuple[Array, NDArray[np.int64]]:
        shape, path = (len(output), len(hidden)), None
        if self.folder is not None:
            key = hashlib.sha256(self._shared + hidden.tobytes() + output.tobytes()).hexdigest()[:24]
            path = self.folder / f"tile-{self.owner}-{key}.npz"
            if path.exists():
                try:
                    found = archive.read(path, _KINDS, follow=False)
                    if {found[name].shape for name in _KINDS if name in found} == {shape} and len(found) == len(_KINDS):
                        self.done(shape[0] * shape[1])
                        return found["speed"], found["diverged_at"]
                    note(f"{path} is no tile of its map; it is trained again")
                except archive.DamagedFileError as error:
                    note(f"{error}; its pixels are trained again")
        result = training.train(
            pixel_specs(self.model, *(axis.ravel() for axis in np.meshgrid(hidden, output))), self.data,
            epochs=self.epochs, record=recorded(self.epochs), keep_networks=False, progress=False,
            threads=self.threads, executor=self.executor, on_chunk=lambda index, _: self.done(len(index)),
        )  # fmt: skip
        speed = speed_of(result.train_loss, result.epochs).reshape(shape)
        diverged_at = result.diverged_at.reshape(shape)
        self.trained += len(result)
        if path is not None:
            archive.write(path, archive.dump({"speed": speed, "diverged_at": diverged_at}))
        return speed, diverged_at


def pixel_specs(model: Specs, hidden: Array, output: Array) -> Specs:
    """Return a model with other rates in each row, (M,) each."""
    columns: dict[str, Any] = dict(model.columns())
    return Specs(**columns | {"lr": [1.0], "hidden_lr_factor": hidden, "output_lr_factor": output})


def forget(folder: Path, owner: str) -> None:
    """Remove the tiles of one owner, and nothing else, from a folder."""
    found = [path for name in ("tile-{}-*.npz", ".tile-{}-*.npz.*.tmp") for path in folder.glob(name.format(owner))]
    if found:
        with RunLock(folder / "lock"):
            for path in found:
                path.unlink(missing_ok=True)
