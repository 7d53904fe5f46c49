"""Shorter trainings in a run folder that longer ones go on from: which file holds the furthest of each model.

Filled by `Run.left` as it reads the folder, and asked by `training` where each chunk starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.engines import Start
from ensemble.store.chunks import Chunk, Finder, read
from ensemble.store.manifest import Manifest

__all__ = ["Bases"]


class Bases:
    """Where each model of a request can be gone on from.

    Parameters
    ----------
    finder : Finder
        Of the request's models.
    epoch : int
        How far the models are without the folder; only what is further counts.

    Attributes
    ----------
    epoch : (M,) int64
        How far they are with it.
    """

    def __init__(self, finder: Finder, epoch: int) -> None:
        n_models = len(finder.asked.specs)
        self._finder = finder
        self._found: list[tuple[Path, Mapping[str, Any], int, NDArray[np.int64], NDArray[np.int64]]] = []
        self._file = np.full(n_models, -1)  # of each model, in `_found`; -1: none
        self._part = np.zeros(n_models, dtype=np.int64)  # its place there
        self.epoch = np.full(n_models, epoch)

    def add(self, path: Path, chunk: Chunk) -> None:
        """Look for models in a chunk file."""
        for index, part in self._finder.places(chunk, chunk.request.leads_to(self._finder.asked)):
            self._found.append((path, chunk.made, chunk.request.epochs, index, part))

    def choose(self, left: NDArray[np.int64], usable: Callable[[Mapping[str, Any]], bool]) -> None:
        """Choose where each of the models that are left goes on from, among what was made in a way that is usable."""
        wanted = np.zeros(len(self.epoch), dtype=np.bool_)
        wanted[left] = True
        verdicts: dict[str, bool] = {}  # each way is judged once
        for file, (_, made, epoch, index, part) in enumerate(self._found):
            further = wanted[index] & (epoch > self.epoch[index])
            if further.any() and str(made) not in verdicts:
                verdicts[str(made)] = usable(made)
            if further.any() and verdicts[str(made)]:
                index, part = index[further], part[further]
                self._file[index], self._part[index], self.epoch[index] = file, part, epoch

    def split(self, index: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Yield parts of a chunk that start from one file each."""
        for file in np.unique(self._file[index]).tolist():
            yield index[self._file[index] == file]

    def start(self, index: NDArray[np.int64], manifest: Manifest) -> Start | None:
        """Return where models that `split` has put together go on from; None where no file has more of them."""
        if self._file[index[0]] < 0:
            return None
        chunk = read(self._found[self._file[index[0]]][0], manifest)
        assert chunk is not None
        return chunk.start(self._finder.asked, self._part[index])
