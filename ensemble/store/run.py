"""A run folder open for writing: which models are left to train, and the keeping of those that are.

`training.train(store=DIR)` keeps each chunk here as it comes back, such that nothing that happens to the process loses
it. A folder holds

- ``manifest.json``: the requests that were made of it, by file, the latest last;
- ``run-....npz``: one file per request: its models, and what was to be kept of them;
- ``chunks/....npz``: one file per finished chunk, written once, with its models, all that decides their results, and a
  SHA-256;
- ``states/....npz``: how far a single long chunk has come;
- ``lock``: who is at work.

A model is found by what decides its result, not by its place or its request, so models of any settings may be in one
folder, and a request takes from there what it holds.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.engines import Checkpoint, Rows, Start, checkpoint
from ensemble.results import Result
from ensemble.store import chunks, manifest
from ensemble.store.bases import Bases
from ensemble.store.chunks import Chunk, Finder
from ensemble.store.manifest import CHUNKS, LOCK, MANIFEST, STATES, Manifest
from ensemble.store.request import Request
from ensemble.system import archive, memory
from ensemble.system.archive import DamagedFileError, RefusedFileError
from ensemble.system.lock import RunLock
from ensemble.system.progress import note

__all__ = ["OtherRunError", "Run", "clear"]


class OtherRunError(ValueError):
    """The folder holds results that must not be mixed with new ones."""


class Run:
    """A run folder open for writing: a context manager that holds its lock.

    Parameters
    ----------
    folder : path
        Made where it is missing.
    request : Request
        What is asked of it.
    made : mapping, optional
        By what models were made that were trained elsewhere.

    Raises
    ------
    ValueError
        The folder holds something else than runs, links that are not followed, or another process is at work in it.
    DamagedFileError
        The manifest is damaged.
    OSError
        A file cannot be read, or the folder cannot be written. A finished run is read from a disk that cannot be
        written, too.
    """

    def __init__(self, folder: str | os.PathLike[str], request: Request, made: Mapping[str, Any] | None = None) -> None:
        self.folder = archive.checked_path(folder)
        self.request, self._made = request, made
        self._finder = Finder(request)
        self._lock: RunLock | None = None
        self._unwritable: OSError | None = None
        self._before: Manifest | None = None
        self._latest: Request | None = None
        self._left = np.arange(len(request.specs))
        self._bases = Bases(self._finder, 0)
        self._damaged: list[Path] = []

    def __enter__(self) -> Run:
        if self.folder.is_dir() and not os.path.lexists(self.folder / MANIFEST):
            self._refuse_strangers()  # before anything is written there
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = RunLock(self.folder / LOCK)
            self._lock.__enter__()
        except FileExistsError as error:
            raise ValueError(f"store {str(self.folder)!r} is no folder") from error
        except OSError as error:
            self._lock = None
            self._unwritable = OSError(
                error.errno, f"cannot be written: {error.strerror or error}", error.filename or str(self.folder)
            )
            if not (self.folder / MANIFEST).exists():
                raise self._unwritable from error
        try:
            if os.path.lexists(self.folder / MANIFEST):
                self._before = manifest.load(self.folder)
                self._latest = self._asked_last(self._before)
            else:
                self._refuse_strangers()
            if self._lock is not None:
                for left in manifest.leftovers(self.folder):
                    left.unlink(missing_ok=True)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.__exit__(None, None, None)

    def _asked_last(self, before: Manifest) -> Request | None:
        """Return the latest request, None where its file is damaged: the models say themselves what they are."""
        try:
            return manifest.load_request(self.folder, before)
        except DamagedFileError as error:
            if before.first is not None or isinstance(error, RefusedFileError):
                raise
            note(f"{error}; what this folder was last asked for is forgotten")
            return None

    def _refuse_strangers(self) -> None:
        found = manifest.strangers(self.folder)
        if found:
            raise ValueError(f"store {str(self.folder)!r} holds {found[0]!r} and no run; choose a new or empty folder")

    def left(self, result: Result | None = None, epoch: int = 0) -> NDArray[np.int64]:
        """Copy what the folder holds of the models into `result` and return which are left to train.

        `epoch` is how far these are without the folder. An OtherRunError where what is there was made by what may make
        other last bits than training the rest here. Where a file cannot be read, nothing is deleted.
        """
        done = np.zeros(len(self.request.specs), dtype=np.bool_)
        self._bases = Bases(self._finder, epoch)
        made: list[Mapping[str, Any]] = []
        for path, found in chunks.scan(self.folder, self._before, self.request.problems()) if self._before else ():
            if isinstance(found, DamagedFileError):
                note(f"{found}; its models are trained again")
                self._damaged.append(path)
                continue
            for index, part in self._finder.places(found):
                if result is not None:
                    result.assemble(index, found.answer(self.request, part), found.made)
                done[index] = True
                if found.made not in made:
                    made.append(found.made)
            if self._before is not None and self._before.first is None:  # version 1's files are about to be renewed
                self._bases.add(path, found)
        self._left = np.flatnonzero(~done)
        if len(self._left):
            for one in made:
                self._check(one)
            self._bases.choose(self._left, self._usable)
        return self._left

    def _usable(self, made: Mapping[str, Any]) -> bool:
        """Return whether models that were made in a way can be gone on with here; say so where they cannot."""
        differs = chunks.difference(made, self._made or chunks.made_here())
        if differs:
            note(f"{self.folder}: models made with {differs} are trained from the start, not gone on with")
        else:
            self._check(made)
        return not differs

    def _check(self, made: Mapping[str, Any]) -> None:
        here = self._made or chunks.made_here()
        differs = chunks.difference(made, here)
        if differs:
            raise OtherRunError(
                f"store {str(self.folder)!r} holds some of these models, made with {differs}: the last bits of the "
                "others may differ; go on where it was begun, choose another folder, or clear this one"
            )
        if any(made["machine"].get(name) != here["machine"].get(name) for name in ("architecture", "processor")):
            note(f"{self.folder} was begun on another kind of machine; the last bits of its models may differ")

    def split(self, index: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Yield parts of a chunk, each of models for which `start` returns the same epoch from one file."""
        return self._bases.split(index)

    def start(self, index: NDArray[np.int64]) -> Start | None:
        """Return where a part of a chunk goes on from; None where the folder has no more of it than the caller."""
        return self._bases.start(index, self._before) if self._before is not None else None

    def keep(self, rows: Iterable[tuple[NDArray[np.int64], Rows]]) -> Iterator[tuple[NDArray[np.int64], Rows]]:
        """Yield chunks as they come, models that `left` has returned with their results, each when it is on disk.

        The first is asked for when all is ready to keep it. A ValueError where the disk has less room than the models
        that are left take; where the folder cannot be written, what it holds stays valid.
        """
        self.begin()
        for index, part in rows:
            chunks.write(self.folder, Chunk(self.request.take(index), part, chunks.made_here()))
            self.checkpoint(index).remove()
            yield index, part

    def begin(self) -> None:
        """Write down what is asked for, where that is not done, and make room for what comes; errors as `keep`."""
        if self._unwritable is not None:
            if len(self._left):
                raise self._unwritable
            return
        asked = self.request
        if len(self._left):
            needed = asked.result_bytes(asked.specs[self._left]) + 120 * len(self._left)
            free = shutil.disk_usage(self.folder).free
            if needed > free:
                raise ValueError(
                    f"store {str(self.folder)!r} has {memory.in_words(free)} of room, the run takes about "
                    f"{memory.in_words(needed)}; free some, or choose another folder"
                )
        elif self._latest is not None and archive.dump(self._latest.pack()) == archive.dump(asked.pack()):
            return
        for name in (CHUNKS, STATES):
            (self.folder / name).mkdir(exist_ok=True)
        for path in self._damaged:
            path.unlink(missing_ok=True)
        if self._before is not None:
            self._before = self.renewed()
        manifest.save(self.folder, asked, self._before)

    def renewed(self) -> Manifest:
        """Return the manifest that was found, its folder's files being those of version 2."""
        assert self._before is not None
        return self._before if self._before.first is None else self._renew(self._before)

    def _renew(self, before: Manifest) -> Manifest:
        """Write the files of version 1 as those of version 2. Ended early, it is done by the next call."""
        for path, found in chunks.scan(self.folder, before):
            if not isinstance(found, DamagedFileError) and "-" not in path.stem:
                chunks.write(self.folder, found)
                path.unlink()
        assert self._latest is not None
        manifest.save(self.folder, self._latest, None)
        return manifest.load(self.folder)

    def checkpoint(self, index: NDArray[np.int64]) -> Checkpoint:
        """Return where the models at `index`, trained as one chunk, keep how far they have come."""
        asked, made = self.request, chunks.made_here()
        decides = [asked.epochs, asked.record.tolist(), asked.snapshots, made["versions"], made["target"]]
        decides += [int(epoch) for epoch in self._bases.epoch[index[:1]] if epoch]  # where the chunk began
        key = hashlib.sha256(json.dumps(decides).encode() + self._finder.keys[index].tobytes()).hexdigest()[:24]
        return Checkpoint(self.folder / STATES / f"{key}.npz", checkpoint.SECONDS)


def clear(folder: str | os.PathLike[str]) -> None:
    """Remove all runs, and nothing else, from a folder: files with names that `Run` gives. No link is followed.

    Raises
    ------
    ValueError
        Another process is at work there, or what should be a folder of the run is a link.
    OSError
        A file cannot be removed.
    """
    path = archive.checked_path(folder)
    found = [path / MANIFEST, *(file for name in ("", CHUNKS, STATES) for file in manifest.ours(path, name))]
    if not any(map(os.path.lexists, found)):
        return
    with RunLock(path / LOCK):
        for file in [*found, *manifest.leftovers(path)]:  # the manifest first: without it the rest is no run
            file.unlink(missing_ok=True)
