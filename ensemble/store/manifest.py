"""A run folder's table of contents, and the names of all that is in it.

Where everything that reads or writes a run folder begins: which files are ours, and what was asked for last.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ensemble.store import request, version_1
from ensemble.store.request import SCHEMA, Request
from ensemble.system import archive
from ensemble.system.archive import DamagedFileError, RefusedFileError

__all__ = [
    "CHUNKS", "LOCK", "MANIFEST", "STATES", "Manifest", "leftovers", "load", "load_request", "ours",
    "save", "strangers",
]  # fmt: skip

MANIFEST, CHUNKS, STATES, LOCK = "manifest.json", "chunks", "states", "lock"

# Names that we give. Only such files are ever read, replaced or deleted.
_OURS = {
    "": re.compile(r"manifest\.json|(run|specs|bounds)-[0-9a-f]{16}\.npz"),  # bounds: `analysis` keeps them
    CHUNKS: re.compile(r"([0-9a-f]{8}-)?[0-9a-f]{24}\.npz"),
    STATES: re.compile(r"[0-9a-f]{24}\.npz"),
}
_TEMPORARY = re.compile(r"\.(.+)\.\d+(-\d+)?\.tmp")  # of `archive.write`

_MOST_BYTES = 2**24
_MOST_BRACKETS = 10**5  # a manifest has few; text with millions takes seconds to parse
MOST_RUNS = 100


class Manifest(NamedTuple):
    """What a run folder says of itself."""

    runs: tuple[str, ...]  # files of requests, the latest last
    first: version_1.Run | None = None  # of a folder that version 1 wrote


def load(folder: Path) -> Manifest:
    """Return the manifest of a run folder.

    A ValueError where there is none, or it is of a later release; DamagedFileError where it is damaged.
    """
    path = folder / MANIFEST
    try:
        content = archive.read_bytes(path, _MOST_BYTES, follow=False)
    except FileNotFoundError as error:
        raise ValueError(f"{str(folder)!r} holds no run: there is no {MANIFEST}") from error
    try:
        if content.count(b"[") + content.count(b"{") > _MOST_BRACKETS:
            raise ValueError("it is nested too deeply")
        manifest: Any = json.loads(content)
        recorded = manifest.pop("sha256")
        intact = recorded == _hash(manifest)
        schema = manifest["schema"]
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise DamagedFileError(f"{path} is damaged or no file of this program: {error}") from error
    if not intact:
        raise DamagedFileError(f"{path} is damaged or no file of this program: its SHA-256 does not match")
    if schema not in (1, SCHEMA):
        raise ValueError(f"{path} has schema {schema}; this version of relu-ensemble reads up to {SCHEMA}, update it")
    try:
        runs = (manifest["specs"],) if schema == 1 else tuple(manifest["runs"])
        if not runs or not all(isinstance(name, str) and _OURS[""].fullmatch(name) for name in runs):
            raise ValueError("it names no run")
        return Manifest(runs, version_1.run(manifest, _hash(manifest["run"])) if schema == 1 else None)
    except version_1.NOT_ONE as error:
        raise DamagedFileError(f"{path} is damaged or no file of this program: {error}") from error


def save(folder: Path, asked: Request, before: Manifest | None) -> None:
    """Write down what is asked for now, after what was asked for before."""
    name, content = archive.named(asked.pack())
    name = f"run-{name[:16]}.npz"
    old = () if before is None or before.first is not None else before.runs
    archive.write(folder / name, content)
    runs = [*(run for run in old if run != name), name][-MOST_RUNS:]
    manifest = {"schema": SCHEMA, "runs": runs}
    archive.write(folder / MANIFEST, json.dumps({"sha256": _hash(manifest), **manifest}, indent=1))
    for path in ours(folder):
        if path.name not in (MANIFEST, *runs) and not path.name.startswith("bounds-"):
            path.unlink(missing_ok=True)


def load_request(folder: Path, manifest: Manifest, place: int = -1) -> Request:
    """Return what a run was asked for: the latest, or another by its place in the manifest.

    A DamagedFileError where its file is missing or damaged.
    """
    path = folder / manifest.runs[place]
    kinds = request.KINDS if manifest.first is None else version_1.KINDS
    try:
        arrays = archive.read(path, kinds, follow=False)
        return Request.unpack(arrays)[0] if manifest.first is None else version_1.request(arrays, manifest.first)
    except FileNotFoundError as error:
        raise DamagedFileError(f"{path} is missing; start afresh") from error
    except DamagedFileError:
        raise
    except version_1.NOT_ONE as error:
        raise DamagedFileError(f"{path} is damaged or no file of this program: {error}") from error


def _hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


# ---- which files are ours ----


def ours(folder: Path, name: str = "") -> list[Path]:
    """Return the files with our names in a run folder, or in `name`, one of its own folders.

    A RefusedFileError where `name` is a link, or no folder: nothing is followed.
    """
    return [path for path in _listed(folder, name) if _OURS[name].fullmatch(path.name)]


def leftovers(folder: Path) -> list[Path]:
    """Return the temporary files of processes that were killed while writing."""
    found = [(name, path) for name in _OURS for path in _listed(folder, name)]
    matched = [(_TEMPORARY.fullmatch(path.name), name, path) for name, path in found]
    return [path for match, name, path in matched if match and _OURS[name].fullmatch(match[1])]


def strangers(folder: Path) -> list[str]:
    """Return the names in a folder that are not ours."""
    known = {*ours(folder), *leftovers(folder), *(folder / name for name in (LOCK, CHUNKS, STATES))}
    return [path.name for path in _listed(folder, "") if path not in known]


def _listed(folder: Path, name: str) -> list[Path]:
    path = folder / name
    if name and path.is_symlink():
        raise RefusedFileError(f"{path} is a symbolic link, which is not followed here")
    try:
        return sorted(path.iterdir())
    except FileNotFoundError:
        return []
    except NotADirectoryError as error:
        raise RefusedFileError(f"{path} is no folder") from error
