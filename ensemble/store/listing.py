"""What the run folders under a folder hold, read without being changed: the list of `python -m ensemble runs`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ensemble.store import chunks, manifest
from ensemble.store.chunks import Finder
from ensemble.store.manifest import CHUNKS, MANIFEST, STATES
from ensemble.system import archive
from ensemble.system.archive import DamagedFileError

__all__ = ["Kept", "listed"]


@dataclass(frozen=True)
class Kept:
    """What a run folder holds.

    Attributes
    ----------
    folder : Path
    models, done : int
        How many models the latest request asks for, and how many of these are there.
    epochs : int
    loss : str
    data : tuple of str
        Names of the datasets.
    kept : int
        Models of all requests, a model trained for two numbers of epochs counting twice.
    bytes : int
        Of all files.
    changed : datetime
        When a file of it was last written.
    problem : str
        The first damage that was found; "" where there is none.
    """

    folder: Path
    models: int
    done: int
    epochs: int
    loss: str
    data: tuple[str, ...]
    kept: int
    bytes: int
    changed: datetime
    problem: str

    @property
    def complete(self) -> bool:
        """Whether all that was asked for last is there."""
        return self.done == self.models and not self.problem


def listed(folder: str | os.PathLike[str]) -> Iterator[Kept]:
    """Yield what each run folder in a folder and below it holds, by name; links are not followed.

    Raises
    ------
    ValueError
        There is no such folder, a run folder was written by a later release, or holds links.
    OSError
        A file cannot be read.
    """
    path = archive.checked_path(folder)
    if not path.is_dir():
        raise ValueError(f"{str(path)!r} is no folder")
    for place, inner, names in os.walk(path):
        inner[:] = sorted(name for name in inner if not (MANIFEST in names and name in (CHUNKS, STATES)))
        if MANIFEST in names:
            yield _kept(Path(place))


def _kept(folder: Path) -> Kept:
    files = [file for name in ("", CHUNKS, STATES) for file in manifest.ours(folder, name)]
    found = [file.lstat() for file in files]
    size = sum(one.st_size for one in found)
    changed = datetime.fromtimestamp(max(one.st_mtime for one in found), UTC)
    try:
        table = manifest.load(folder)
        asked = manifest.load_request(folder, table)
    except DamagedFileError as error:
        return Kept(folder, 0, 0, 0, "", (), 0, size, changed, str(error))
    finder, done, kept, problem = Finder(asked), np.zeros(len(asked.specs), dtype=np.bool_), 0, ""
    for _, chunk in chunks.scan(folder, table):
        if isinstance(chunk, DamagedFileError):
            problem = problem or str(chunk)
            continue
        kept += len(chunk.request.specs)
        for index, _ in finder.places(chunk):
            done[index] = True
    return Kept(
        folder, len(done), int(done.sum()), asked.epochs, asked.loss, tuple(asked.data), kept, size, changed, problem
    )  # fmt: skip
