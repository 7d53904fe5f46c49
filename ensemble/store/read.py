"""Run folders read without being changed: the result of the latest request, and a look at every file.

Reading takes no lock: every file is there whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ensemble.results import Result, empty_result, result_bytes
from ensemble.store import chunks, manifest
from ensemble.store.chunks import Finder
from ensemble.store.manifest import CHUNKS, STATES, Manifest
from ensemble.store.request import Request
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
    again = f"train with store={str(path)!r} again"
    distinct = asked.specs[Finder(asked).distinct()]
    stacks = len({*asked.snapshots, *([asked.epochs] if asked.keep_networks else [])})  # one array may serve for both
    least = result_bytes(distinct, len(asked.record), asked.n_inputs, asked.n_outputs, stacks)
    if least > sum(file.lstat().st_size for file in manifest.ours(path, CHUNKS)):
        raise unfinished(path, verify(path), again)  # without taking the memory that the request asks for
    what = f"a result of {len(asked.specs):,} models"
    memory.require(asked.result_bytes(asked.specs), what, "load it where there is more")
    result = empty_result(asked.specs, asked.record, asked.n_inputs, asked.scales, asked.parts,
                          asked.origin, asked.keep_networks, asked.snapshots, asked.keep_state,
                          asked.n_outputs)  # fmt: skip
    found = _read(path, table, asked, asked.problems(), result)
    if found.done < found.models:
        raise unfinished(path, found, again)
    if found.mixed:
        note(found.mixed)
    return result


@dataclass(frozen=True)
class Verified:
    """What `verify` has found: counts, and what is wrong with which file."""

    models: int
    done: int
    files: int
    problems: tuple[str, ...]
    mixed: str = ""  # which models were made with what may make other last bits than the others have


def unfinished(path: Path, found: Verified, again: str) -> ValueError:
    """Return the error for a run that is damaged or not finished; `again` says what to do."""
    if found.problems:
        return DamagedFileError(f"{found.problems[0]}; {again} to replace it")
    counts = f"{found.done:,} of {found.models:,} models are done"
    return ValueError(f"the run in {str(path)!r} is not finished: {counts}; {again} to go on")


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
    found = _read(path, table, asked)
    problems, states = list(found.problems), manifest.ours(path, STATES)
    for place in range(len(table.runs) - 1):
        try:
            manifest.load_request(path, table, place)
        except DamagedFileError as error:
            problems.append(str(error))
    for state in states:
        try:
            archive.read(state, {"*": ("ifbu", -1)}, follow=False)
        except RefusedFileError:
            raise
        except DamagedFileError as error:
            problems.append(str(error))
    count = 1 + len(table.runs) + found.files + len(states)
    return replace(found, files=count, problems=tuple(problems))


def _read(
    path: Path, table: Manifest, asked: Request, problems: Collection[str] | None = None, result: Result | None = None
) -> Verified:
    """Read the chunk files of a run folder, as `chunks.scan` does, and write what `asked` wants to `result`."""
    finder = Finder(asked)
    done = np.zeros(len(asked.specs), dtype=np.bool_)
    damaged: list[str] = []
    count, mixed, made = 0, "", None
    for file, chunk in chunks.scan(path, table, problems):
        count += 1
        if isinstance(chunk, DamagedFileError):
            damaged.append(str(chunk))
            continue
        for index, part in finder.places(chunk):
            if result is not None:
                result.assemble(index, chunk.answer(asked, part), chunk.made)
            done[index] = True
            made = made or chunk.made
            differs = chunks.difference(chunk.made, made)
            if differs and not mixed:
                mixed = f"{file} was made with {differs}, as others: the last bits of their models may differ"
    return Verified(len(done), int(done.sum()), count, tuple(damaged), mixed)
