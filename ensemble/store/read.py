"""Run folders read without being changed: the result of the latest request, and a look at every file.

Reading takes no lock: every file is there whole or not at all.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ensemble.results import Result, empty_result, result_bytes
from ensemble.store import chunks, manifest
from ensemble.store.chunks import Finder
from ensemble.store.manifest import CHUNKS, STATES
from ensemble.system import archive, memory
from ensemble.system.archive import DamagedFileError, RefusedFileError
from ensemble.system.progress import note

__all__ = ["Verified", "load_result", "unfinished", "verify"]


def load_result(folder: str | os.PathLike[str]) -> Result:
    """Return the result of the training that a folder was last used for.

    Raises
    ------
    ValueError
        There is no run, it is not finished, or its result needs more memory than is free.
    DamagedFileError
        A file is damaged: its name, and what to do.
    OSError
        A file cannot be read.
    """
    path = archive.checked_path(folder)
    table = manifest.load(path)
    asked = manifest.load_request(path, table)
    finder = Finder(asked)
    specs, again = asked.specs, f"train with store={str(path)!r} again"
    n_parts = 1 + asked.has("test") + asked.has("val")
    stacks = asked.keep_networks + len(asked.snapshots)
    least = result_bytes(specs[finder.distinct()], len(asked.record), asked.n_inputs, 1, stacks)
    if least > sum(file.lstat().st_size for file in manifest.ours(path, CHUNKS)):
        found = verify(path)  # without taking the memory that the request asks for
        if found.problems:
            raise DamagedFileError(f"{found.problems[0]}; {again} to replace it")
        raise ValueError(unfinished(path, found.done, found.models, again))
    whole = result_bytes(specs, len(asked.record), asked.n_inputs, n_parts, stacks)
    memory.require(whole, f"a result of {len(specs):,} models", "load it where there is more")
    result = empty_result(specs, asked.record, asked.n_inputs, asked.scales, asked.has("test"), asked.has("val"),
                          asked.keep_networks, asked.snapshots)  # fmt: skip
    done = np.zeros(len(specs), dtype=np.bool_)
    damaged, mixed = "", Mix()
    for file, chunk in chunks.scan(path, table, {asked.problem(name) for name in asked.data}):
        if isinstance(chunk, DamagedFileError):
            damaged = damaged or str(chunk)
            continue
        for index, part in finder.places(chunk):
            result.assemble(index, chunk.answer(asked, part))
            done[index] = True
            mixed.add(file, chunk)
    if not done.all():
        if damaged:
            raise DamagedFileError(f"{damaged}; {again} to replace it")
        raise ValueError(unfinished(path, int(done.sum()), len(specs), again))
    if mixed.words:
        note(mixed.words)
    return result


def unfinished(path: Path, done: int, models: int, again: str) -> str:
    """Return the sentence that says so."""
    return f"the run in {str(path)!r} is not finished: {done:,} of {models:,} models are done; {again} to go on"


class Mix:
    """Whether chunks of one result were made by what may make different last bits."""

    def __init__(self) -> None:
        self.words = ""
        self._made: dict[str, object] | None = None

    def add(self, file: Path, chunk: chunks.Chunk) -> None:
        """Compare one more chunk with the first."""
        if self._made is None:
            self._made = dict(chunk.made)
        differs = chunks.difference(chunk.made, self._made)
        if differs and not self.words:
            self.words = f"{file} was made with {differs}, as others: the last bits of their models may differ"


@dataclass(frozen=True)
class Verified:
    """What `verify` has found: counts, and what is wrong with which file."""

    models: int
    done: int
    files: int
    problems: tuple[str, ...]
    mixed: str = ""  # which models were made with what may make other last bits than the others have


def verify(folder: str | os.PathLike[str]) -> Verified:
    """Read every file of a run folder and say what is damaged; nothing is changed.

    Models are counted as the latest request asks for them.

    Raises
    ------
    ValueError
        There is no run, or its manifest or its latest request is damaged (`DamagedFileError`).
    OSError
        A file cannot be read.
    """
    path = archive.checked_path(folder)
    table = manifest.load(path)
    asked = manifest.load_request(path, table)
    finder = Finder(asked)
    done = np.zeros(len(asked.specs), dtype=np.bool_)
    problems, count, mixed = [], 1 + len(table.runs), Mix()
    for place in range(len(table.runs) - 1):
        try:
            manifest.load_request(path, table, place)
        except DamagedFileError as error:
            problems.append(str(error))
    for file, chunk in chunks.scan(path, table):
        count += 1
        if isinstance(chunk, DamagedFileError):
            problems.append(str(chunk))
            continue
        for index, _ in finder.places(chunk):
            done[index] = True
            mixed.add(file, chunk)
    for state in manifest.ours(path, STATES):
        count += 1
        try:
            archive.read(state, {"*": ("ifbu", -1)}, follow=False)
        except RefusedFileError:
            raise
        except DamagedFileError as error:
            problems.append(str(error))
    return Verified(len(done), int(done.sum()), count, tuple(problems), mixed.words)
