"""Finished runs become one: the shards of a study, trained apart, in one folder to draw from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ensemble.specs import Specs
from ensemble.store import chunks, manifest
from ensemble.store.chunks import Chunk, Finder
from ensemble.store.read import unfinished, verify
from ensemble.store.request import Request
from ensemble.store.run import OtherRunError, Run
from ensemble.system import archive
from ensemble.system.archive import DamagedFileError
from ensemble.system.progress import note

__all__ = ["merge"]


def merge(folders: Sequence[str | os.PathLike[str]], into: str | os.PathLike[str]) -> Specs:
    """Join finished runs of different models, otherwise the same, into one run folder, and return its models.

    The run of a folder is the training that it was last used for. What else a folder holds comes along: models of
    other losses, data or epochs, each once. The folders stay as they are. A merge that was ended early is gone on with
    by the same call.

    Raises
    ------
    ValueError
        A folder holds no run or an unfinished one, differs in more than its models (`OtherRunError`), or is damaged
        (`DamagedFileError`); `into` holds something else. Nothing is written before all folders are found in order.
    OSError
        A file cannot be read, or `into` cannot be written.
    """
    if not folders:
        raise ValueError("there is nothing to merge; give the folders of the runs")
    paths = [archive.checked_path(folder) for folder in folders]
    for path in paths:
        if path.resolve() == archive.checked_path(into).resolve():
            raise ValueError(f"{str(path)!r} cannot be merged into itself; choose another folder")
    parts = [manifest.load_request(path, manifest.load(path)) for path in paths]
    whole = parts[0]
    for path, part in zip(paths[1:], parts[1:], strict=True):
        differs = _differences(whole, part)
        if differs:
            raise OtherRunError(f"{str(paths[0])!r} and {str(path)!r} are not parts of one run: {differs}")
        whole = replace(
            whole,
            specs=whole.specs + part.specs,
            engine=np.concatenate([whole.engine, part.engine]),
            initial=np.concatenate([whole.initial, part.initial]),
            data=dict(sorted((*whole.data.items(), *part.data.items()))),
        )
    whole = whole.take(np.sort(Finder(whole).distinct()))  # a model that two runs trained counts once
    made = None
    for path, part in zip(paths, parts, strict=True):
        found = verify(path)
        if found.problems or found.done < found.models:
            raise unfinished(path, found, "run its command again")
        if found.mixed:
            raise OtherRunError(found.mixed)
        finder = Finder(part)
        one = next(chunk.made for chunk in _chunks(path) if any(len(rows) for _, rows in finder.places(chunk)))
        made = made or one
        differs = chunks.difference(made, one)
        if differs:
            raise OtherRunError(f"{str(paths[0])!r} and {str(path)!r} are not parts of one run: {differs}")
        if one["machine"] != made["machine"]:
            note("these runs come from different kinds of machines; the last bits of their models may differ")
    assert made is not None
    with Run(into, whole, made) as target:
        target.left()
        target.begin()
        there = {mark for chunk in _chunks(target.folder, whole=False) for mark in _marks(chunk)}
        for path in paths:
            for chunk in _chunks(path):
                marks = _marks(chunk)
                new = np.flatnonzero([mark not in there for mark in marks])
                if len(new):
                    chunks.write(target.folder, chunk if len(new) == len(marks) else chunk.take(new))
                    there.update(marks)
    return whole.specs


def _chunks(path: Path, *, whole: bool = True) -> Iterator[Chunk]:
    """Yield the chunks of all trainings in a run folder; a DamagedFileError where it is not `whole` and has to be."""
    for _, chunk in chunks.scan(path, manifest.load(path)):
        if not isinstance(chunk, DamagedFileError):
            yield chunk
        elif whole:  # damaged since it was verified
            raise chunk


def _marks(chunk: Chunk) -> list[bytes]:
    """Return a hash for each model of a chunk, of what it is and what is kept of it: equal hashes, equal content."""
    kept = chunk.request
    what = repr((kept.epochs, kept.record.tolist(), kept.snapshots, kept.keep_networks, kept.keep_state)).encode()
    return [hashlib.sha256(key + what).digest()[:16] for key in kept.keys().tolist()]


def _differences(old: Request, new: Request) -> str:
    """Return in words what two requests differ in besides their models."""
    found = [
        f"{name} {getattr(old, name)}, not {getattr(new, name)}"
        for name in ("loss", "epochs", "keep_networks", "keep_state")
        if getattr(old, name) != getattr(new, name)
    ]
    if old.epochs == new.epochs and not np.array_equal(old.record, new.record):
        found.append("another record")
    if old.snapshots != new.snapshots:
        found.append("another snapshots")
    if old.n_inputs != new.n_inputs:
        found.append(f"{old.n_inputs} inputs, not {new.n_inputs}")
    if old.n_outputs != new.n_outputs:
        found.append(f"{old.n_outputs} outputs, not {new.n_outputs}")
    changed = [name for name in old.data if name in new.data and old.data[name].digest != new.data[name].digest]
    if changed:
        found.append(f"other data ({', '.join(sorted(changed))})")
    return ", ".join(found)
