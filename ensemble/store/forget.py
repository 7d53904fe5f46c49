"""What a run folder holds of a request, taken out of it: `--fresh` of the studies."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble.store import chunks, manifest
from ensemble.store.chunks import Chunk, Finder
from ensemble.store.manifest import MANIFEST
from ensemble.store.request import Request
from ensemble.store.run import Run, clear
from ensemble.system import archive
from ensemble.system.archive import DamagedFileError

__all__ = ["forget"]


def forget(folder: str | os.PathLike[str], asked: Request, planned: Iterable[NDArray[np.int64]]) -> None:
    """Remove the models that a request would take from a folder or go on from; all others stay.

    Files that hold both are written again without those models. Where the table of contents is damaged, nothing can be
    told apart, and the whole run is removed.

    Parameters
    ----------
    folder : path
    asked : Request
    planned : iterable of arrays
        The chunks in which its models are to be trained: how far single ones have come is forgotten too.

    Raises
    ------
    ValueError
        Another process is at work there, the folder holds something else, or what should be a file is a link.
    OSError
        A file cannot be read, written or removed.
    """
    path = archive.checked_path(folder)
    if not os.path.lexists(path / MANIFEST):
        return
    try:
        manifest.load(path)
    except DamagedFileError:
        clear(path)
        return
    with Run(path, asked) as run:
        finder, table = Finder(asked), run.renewed()
        for file, found in chunks.scan(path, table, asked.problems()):
            if not isinstance(found, DamagedFileError):
                _without(path, file, found, finder)
        for index in planned:
            run.checkpoint(index).remove()


def _without(folder: Path, file: Path, chunk: Chunk, finder: Finder) -> None:
    """Take the models that the finder's request would use out of a chunk file."""
    used = chunk.request.answers(finder.asked) | chunk.request.leads_to(finder.asked)
    gone = [part for _, part in finder.places(chunk, used)]
    if gone:
        rest = np.setdiff1d(np.arange(len(chunk.request.specs)), np.concatenate(gone))
        if len(rest):
            chunks.write(folder, chunk.take(rest))
        file.unlink()
