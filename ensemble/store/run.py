"""Run folders: what a training run has finished so far, kept such that nothing that happens to the process loses it.

`training.train(store=DIR)` commits each chunk here as it comes back and asks here what is already done. A folder holds

- ``manifest.json``: what the run is (settings, data, versions, machine), with its own SHA-256;
- ``specs-....npz``: all its models, and in which planned chunk each is;
- ``chunks/....npz``: one file per finished chunk, written once, with the specs of its models and a SHA-256;
- ``states/....npz``: how far a single long model has come;
- ``lock``: who is at work.

A model is recognized by its own spec, not by its place, so chunks may be cut anew and specs added.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Dataset, Scale
from ensemble.engines import ENGINES, Checkpoint, Rows, Settings, checkpoint
from ensemble.networks import NetworkStack, joined
from ensemble.results import Result, empty_result, result_bytes
from ensemble.specs import CHOICES, COLUMNS, Specs
from ensemble.system import archive, memory
from ensemble.system.archive import DamagedFileError
from ensemble.system.lock import RunLock
from ensemble.system.progress import note
from ensemble.system.provenance import DECIDE_BITS, installed

__all__ = ["OtherRunError", "Run", "Verified", "clear", "load_result", "merge", "verify"]

SCHEMA = 1
_MANIFEST, _CHUNKS, _STATES, _LOCK = "manifest.json", "chunks", "states", "lock"
_MOST_MANIFEST = 16 * 2**20

_SPECS = {"chunk": ("i", 1), **{f"spec_{name}": ("ifbU", 1) for name in COLUMNS}}
_ROWS = {
    "run": ("u", 1), "train_loss": ("f", 2), "test_loss": ("f", 2), "val_loss": ("f", 2), "diverged_at": ("i", 1),
    "networks_*": ("f", 1), "snapshot_*": ("f", 1), **{f"spec_{name}": ("ifbU", 1) for name in COLUMNS},
}  # fmt: skip


class OtherRunError(ValueError):
    """The folder holds a run that differs in something that decides its results."""


class Run:
    """A run folder open for writing: a context manager that holds its lock.

    Parameters
    ----------
    folder : path
        Made where it is missing.
    specs, datasets, settings, initial
        As `training.train` has checked them.

    Raises
    ------
    ValueError
        The folder holds a run that differs, and in what; something else than a run; or another process is at work.
    DamagedFileError
        The manifest or the file of specs is damaged.
    OSError
        The folder cannot be written.
    """

    def __init__(
        self, folder: str | os.PathLike[str], specs: Specs, datasets: Mapping[str, Dataset], settings: Settings,
        initial: NetworkStack | None,
    ) -> None:  # fmt: skip
        self._prepare(folder, specs, _describe(specs, datasets, settings, initial))

    @classmethod
    def _described(cls, folder: Path, specs: Specs, description: dict[str, Any]) -> Run:
        """Return a run whose data are known by their description alone."""
        run = cls.__new__(cls)
        run._prepare(folder, specs, description)
        return run

    def _prepare(self, folder: str | os.PathLike[str], specs: Specs, description: dict[str, Any]) -> None:
        self.folder = Path(folder)
        self.specs, self.settings, self.description = specs, _settings(description), description
        self.identity = bytes.fromhex(_run_id(description))
        self._keys = _Keys(specs, sorted(description["data"]))
        self._n_inputs = description["n_inputs"]
        self._scales = _scales(description)

    def __enter__(self) -> Run:
        if self.folder.is_dir() and not (self.folder / _MANIFEST).exists():
            self._refuse_strangers()  # before anything is written there
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = RunLock(self.folder / _LOCK)
            self._lock.__enter__()
        except FileExistsError as error:
            raise ValueError(f"store {str(self.folder)!r} is no folder") from error
        except OSError as error:
            raise OSError(error.errno, f"cannot be written: {error.strerror or error}", str(self.folder)) from error
        try:
            self._stored = self._read_manifest()
            for name in (_CHUNKS, _STATES):
                (self.folder / name).mkdir(exist_ok=True)
            for left in self.folder.glob("**/.*.tmp"):  # of a process that was killed while writing
                left.unlink(missing_ok=True)
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        self._lock.__exit__(None, None, None)

    def load_into(self, result: Result) -> NDArray[np.bool_]:
        """Copy what is done into `result` and return which models that is, (M,); damaged files are removed."""
        done = np.zeros(len(self.specs), dtype=np.bool_)
        if self._stored is None:
            return done
        for path, rows in _chunk_files(self.folder, self.identity, self._n_inputs, self._scales, self.settings):
            if isinstance(rows, DamagedFileError):
                note(f"{rows}; its models are trained again")
                path.unlink(missing_ok=True)
                continue
            specs, values = rows
            for index, part in self._keys.places(specs):
                result.assemble(index, values, part)
                done[index] = True
        if not done.all():
            self._check_versions(self._stored)
        return done

    def begin(
        self, chunks: tuple[NDArray[np.int64], ...], n_bytes: int, origin: Mapping[str, Any] | None = None
    ) -> None:
        """Write down what the run is, before its first chunk.

        Parameters
        ----------
        chunks : tuple of (m,) int64
            Models that are still to do.
        n_bytes : int
            What they take on disk, in all.
        origin : manifest, optional
            Of the run that they come from, where they are not trained here.

        Raises
        ------
        ValueError
            The disk has less room than the run takes.
        """
        free = shutil.disk_usage(self.folder).free
        if n_bytes > free:
            raise ValueError(
                f"store {str(self.folder)!r} has {free / 1e9:.2f} GB of room, the run takes about "
                f"{n_bytes / 1e9:.2f} GB; free some, or choose another folder"
            )
        planned = np.full(len(self.specs), -1, dtype=np.int64)  # -1: done before this plan was made
        for number, index in enumerate(chunks):
            planned[index] = number
        content = archive.dump({"chunk": planned} | _spec_arrays(self.specs))
        name = f"specs-{hashlib.sha256(content).hexdigest()[:16]}.npz"
        manifest = {
            "schema": SCHEMA, "run": self.description, "models": len(self.specs), "specs": name,
            "chunks": len(chunks), "choices": CHOICES, "versions": _versions(), "machine": _machine(),
        }  # fmt: skip
        made = origin or self._stored
        if made is not None:  # what made the models that are here
            manifest |= {name: made[name] for name in ("versions", "machine")}
        if self._stored is not None and self._stored.get("specs") == name and not chunks:
            return
        archive.write(self.folder / name, content)
        text = json.dumps({"sha256": _json_hash(manifest), **manifest}, indent=1)
        archive.write(self.folder / _MANIFEST, text.encode())
        for old in self.folder.glob("specs-*.npz"):
            if old.name != name:
                old.unlink(missing_ok=True)

    def commit(self, index: NDArray[np.int64], rows: Rows) -> None:
        """Keep a finished chunk: on return it is on disk."""
        specs = self.specs[index]
        arrays: dict[str, NDArray[Any]] = {"run": np.frombuffer(self.identity, np.uint8), "train_loss": rows.train_loss}
        for name in ("test_loss", "val_loss"):
            values = getattr(rows, name)
            if values is not None:
                arrays[name] = values
        arrays["diverged_at"] = rows.diverged_at
        stacks = {} if rows.networks is None else {"networks": rows.networks}
        for name, stack in (stacks | {f"snapshot_{epoch}": kept for epoch, kept in rows.snapshots.items()}).items():
            arrays[f"{name}_parameters"] = stack.parameters
        name, content = archive.named(arrays | _spec_arrays(specs))
        archive.write(self.folder / _CHUNKS / f"{name[:24]}.npz", content)
        self.checkpoint(index).remove()

    def checkpoint(self, index: NDArray[np.int64]) -> Checkpoint:
        """Return where the models at `index`, trained as one chunk, keep how far they have come."""
        key = hashlib.sha256(self.identity + self._keys.of(index).tobytes()).hexdigest()[:24]
        return Checkpoint(self.folder / _STATES / f"{key}.npz", checkpoint.SECONDS)

    def _read_manifest(self) -> dict[str, Any] | None:
        """Return the manifest of the run that is here, None where there is none, or raise where it is another run."""
        if not (self.folder / _MANIFEST).exists():
            self._refuse_strangers()
            return None
        stored = _load_manifest(self.folder)
        if _run_id(stored["run"]) != self.identity.hex():
            changes = _differences(stored["run"], self.description)
            raise OtherRunError(
                f"store {str(self.folder)!r} holds another run: {changes}; choose another folder, or clear this one"
            )
        old = _load_specs(self.folder, stored)
        missing = np.flatnonzero(~self._keys.known(old))
        if len(missing):
            row = old[int(missing[0])]._asdict()
            shown = ", ".join(f"{name} {row[name]}" for name in ("width", "seed", "lr", "optimizer", "data"))
            raise OtherRunError(
                f"store {str(self.folder)!r} holds another run: {len(missing):,} of its {len(old):,} models are not "
                f"among the specs, the first with {shown}; choose another folder, or clear this one"
            )
        return stored

    def _refuse_strangers(self) -> None:
        strangers = sorted(path.name for path in self.folder.iterdir() if not _is_ours(path))
        if strangers:
            raise ValueError(
                f"store {str(self.folder)!r} holds {strangers[0]!r} and no run; choose a new or empty folder"
            )

    def _check_versions(self, stored: dict[str, Any]) -> None:
        now = _versions()
        then = stored["versions"]
        for name in DECIDE_BITS:
            if then.get(name) != now[name]:
                raise OtherRunError(
                    f"store {str(self.folder)!r} was begun with {name} {then.get(name)}, this is {now[name]}, whose "
                    "last bits may differ; go on with the old version, or clear it"
                )
        if stored["machine"] != _machine():
            note(f"{self.folder} was begun on another kind of machine; the last bits of its models may differ")


def load_result(folder: str | os.PathLike[str]) -> Result:
    """Return the result of a finished run.

    Raises
    ------
    ValueError
        There is no run, or it is not finished.
    DamagedFileError
        A file is damaged: its name, and what to do.
    """
    path = Path(folder)
    stored = _load_manifest(path)
    run = stored["run"]
    specs = _load_specs(path, stored)
    settings = _settings(run)
    scales = _scales(run)
    parts = {part: any(data["parts"][part] for data in run["data"].values()) for part in ("test", "val")}
    keys = _Keys(specs, sorted(run["data"]))
    stacks = settings.keep_networks + len(settings.snapshots)
    least = result_bytes(specs[keys.distinct()], len(settings.record), run["n_inputs"], 1, stacks)
    if least > sum(file.stat().st_size for file in (path / _CHUNKS).glob("*.npz")):
        found = verify(path)  # without taking the memory that the manifest asks for
        if found.problems:
            raise DamagedFileError(f"{found.problems[0]}; train with store={str(path)!r} again to make it anew")
        raise ValueError(_unfinished(path, found.done, found.models, f"train with store={str(path)!r} again"))
    whole = result_bytes(specs, len(settings.record), run["n_inputs"], 1 + sum(parts.values()), stacks)
    memory.require(whole, f"a result of {len(specs):,} models", "load it where there is more")
    result = empty_result(specs, settings.record, run["n_inputs"], scales, parts["test"], parts["val"],
                          settings.keep_networks, settings.snapshots)  # fmt: skip
    done = np.zeros(len(specs), dtype=np.bool_)
    damaged = []
    for _, rows in _chunk_files(path, bytes.fromhex(_run_id(run)), run["n_inputs"], scales, settings):
        if isinstance(rows, DamagedFileError):
            damaged.append(rows)
            continue
        for index, part in keys.places(rows[0]):
            result.assemble(index, rows[1], part)
            done[index] = True
    if not done.all():
        if damaged:
            raise DamagedFileError(f"{damaged[0]}; train with store={str(path)!r} again to make it anew")
        raise ValueError(_unfinished(path, int(done.sum()), len(specs), f"train with store={str(path)!r} again"))
    return result


def _unfinished(path: Path, done: int, models: int, again: str) -> str:
    return f"the run in {str(path)!r} is not finished: {done:,} of {models:,} models are done; {again} to go on"


@dataclass(frozen=True)
class Verified:
    """What `verify` has found: counts, and what is wrong with which file."""

    models: int
    done: int
    files: int
    problems: tuple[str, ...]


def verify(folder: str | os.PathLike[str]) -> Verified:
    """Read every file of a run and say what is damaged; nothing is changed.

    Raises
    ------
    ValueError
        There is no run, or its manifest or file of specs is damaged (`DamagedFileError`).
    """
    path = Path(folder)
    stored = _load_manifest(path)
    run, specs = stored["run"], _load_specs(path, stored)
    scales = _scales(run)
    keys = _Keys(specs, sorted(run["data"]))
    done, problems, count = np.zeros(len(specs), dtype=np.bool_), [], 2
    for _, rows in _chunk_files(path, bytes.fromhex(_run_id(run)), run["n_inputs"], scales, _settings(run)):
        count += 1
        if isinstance(rows, DamagedFileError):
            problems.append(str(rows))
            continue
        for index, _ in keys.places(rows[0]):
            done[index] = True
    for state in sorted((path / _STATES).glob("*.npz")):
        count += 1
        try:
            archive.read(state, {"*": ("ifbu", -1)})
        except DamagedFileError as error:
            problems.append(str(error))
    return Verified(len(specs), int(done.sum()), count, tuple(problems))


def merge(folders: Sequence[str | os.PathLike[str]], into: str | os.PathLike[str]) -> Specs:
    """Join finished runs of different models, otherwise the same, into one run folder, and return its models.

    The folders stay as they are. A merge that was ended early is gone on with by the same call.

    Raises
    ------
    ValueError
        A folder holds no run or an unfinished one, differs in more than its models (`OtherRunError`), or is damaged
        (`DamagedFileError`); `into` holds something else. Nothing is written before all folders are found in order.
    OSError
        `into` cannot be written.
    """
    if not folders:
        raise ValueError("there is nothing to merge; give the folders of the runs")
    paths = [Path(folder) for folder in folders]
    for path in paths:
        if path.resolve() == Path(into).resolve():
            raise ValueError(f"{str(path)!r} cannot be merged into itself; choose another folder")
    manifests = [_load_manifest(path) for path in paths]
    description, versions = dict(manifests[0]["run"]), manifests[0]["versions"]
    description["data"] = dict(description["data"])
    parts: list[Specs] = []
    for path, stored in zip(paths, manifests, strict=True):
        run = stored["run"]
        # A shard names only the data that its models learn.
        same = {name: data for name, data in description["data"].items() if name in run["data"]}
        shared = {name: data for name, data in run["data"].items() if name in same}
        changes = _differences(description | {"data": same}, run | {"data": shared})
        for name in DECIDE_BITS:
            if not changes and versions.get(name) != stored["versions"].get(name):
                changes = f"{name} {versions.get(name)}, not {stored['versions'].get(name)}"
        if changes:
            raise OtherRunError(f"{str(paths[0])!r} and {str(path)!r} are not parts of one run: {changes}")
        description["data"] |= run["data"]
        parts.append(_load_specs(path, stored))
        found = verify(path)
        if found.problems:
            raise DamagedFileError(f"{found.problems[0]}; run its command again to make it anew")
        if found.done < found.models:
            raise ValueError(_unfinished(path, found.done, found.models, "run its command again"))
    machines = {json.dumps(stored["machine"], sort_keys=True) for stored in manifests}
    if len(machines) > 1:
        note("these runs come from different kinds of machines; the last bits of their models may differ")
    description["data"] = {name: description["data"][name] for name in sorted(description["data"])}

    every = parts[0]
    for part in parts[1:]:
        every = every + part
    keys = _Keys(every, sorted(description["data"]))
    _, first = np.unique(keys.of(np.arange(len(every))), return_index=True)
    every = every[np.sort(first)]  # a model that two runs trained counts once
    keys = _Keys(every, sorted(description["data"]))
    size = sum(file.stat().st_size for path in paths for file in (path / _CHUNKS).glob("*.npz"))
    with Run._described(Path(into), every, description) as target:
        done = np.zeros(len(every), dtype=np.bool_)
        here = _chunk_files(target.folder, target.identity, target._n_inputs, target._scales, target.settings)
        for file, kept in here:
            if isinstance(kept, DamagedFileError):
                file.unlink(missing_ok=True)
                continue
            for index, _ in keys.places(kept[0]):
                done[index] = True
        target.begin((np.flatnonzero(~done),) if not done.all() else (), size, manifests[0])
        for path, stored in zip(paths, manifests, strict=True):
            run = stored["run"]
            identity = bytes.fromhex(_run_id(run))
            for _, kept in _chunk_files(path, identity, run["n_inputs"], _scales(run), _settings(run)):
                if isinstance(kept, DamagedFileError):  # since it was verified
                    raise kept
                for index, places in keys.places(kept[0]):
                    new = ~done[index]
                    if new.any():
                        target.commit(index[new], _some(kept[1], places[new]))
                        done[index] = True
    return every


def _some(rows: Rows, part: NDArray[np.int64]) -> Rows:
    """Return the rows of some of a chunk's models."""
    return Rows(
        rows.train_loss[part],
        None if rows.test_loss is None else rows.test_loss[part],
        None if rows.val_loss is None else rows.val_loss[part],
        rows.diverged_at[part],
        None if rows.networks is None else rows.networks.take(part),
        {epoch: kept.take(part) for epoch, kept in rows.snapshots.items()},
    )


def clear(folder: str | os.PathLike[str]) -> None:
    """Remove a run, and nothing else, from a folder.

    Raises
    ------
    ValueError
        Another process is at work there.
    """
    path = Path(folder)
    if not path.is_dir():
        return
    with RunLock(path / _LOCK):
        (path / _MANIFEST).unlink(missing_ok=True)  # first: without it the rest is no run
        for pattern in ("specs-*.npz", f"{_CHUNKS}/*.npz", f"{_STATES}/*.npz", "**/.*.tmp"):
            for file in path.glob(pattern):
                file.unlink(missing_ok=True)


# ---- models, recognized by their specs ----


class _Keys:
    """Where each model of a run stands among its specs: rows are compared as bits."""

    def __init__(self, specs: Specs, names: list[str]) -> None:
        self._names = {name: place for place, name in enumerate(names)}
        self._all = self._keys(specs)
        self._order = np.argsort(self._all, kind="stable")
        self._sorted = self._all[self._order]

    def _keys(self, specs: Specs) -> NDArray[np.bytes_]:
        columns = []
        for name in COLUMNS:
            if name == "data":
                names, which = np.unique(specs.data, return_inverse=True)
                columns.append(np.array([self._names.get(n, -1) for n in names.tolist()], np.int64)[which])
            else:
                values = specs.codes(name)
                columns.append(values.view(np.int64) if values.dtype == np.float64 else values.astype(np.int64))
        # big-endian, so that no key differs from another by trailing zero bytes alone
        table = np.ascontiguousarray(np.stack(columns, axis=1).astype(">i8"))
        return table.view(f"S{8 * len(columns)}").ravel()

    def of(self, index: NDArray[np.int64]) -> NDArray[np.bytes_]:
        """Return the keys of some of the run's models."""
        return self._all[index]

    def distinct(self) -> NDArray[np.int64]:
        """Return the places of the run's models, each model once."""
        return np.unique(self._all, return_index=True)[1]

    def known(self, specs: Specs) -> NDArray[np.bool_]:
        """Return which of these specs are among the run's."""
        keys = self._keys(specs)
        first = np.searchsorted(self._sorted, keys)
        return np.asarray(self._sorted[np.minimum(first, len(self._sorted) - 1)] == keys)

    def places(self, specs: Specs) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Yield places in the run's specs with places in these `specs`; more than once where a model is there twice."""
        keys = self._keys(specs)
        first = np.searchsorted(self._sorted, keys, side="left")
        count = np.searchsorted(self._sorted, keys, side="right") - first
        for repeat in range(int(count.max(initial=0))):
            part = np.flatnonzero(count > repeat)
            yield self._order[first[part] + repeat], part


def _spec_arrays(specs: Specs) -> dict[str, NDArray[Any]]:
    return {f"spec_{name}": specs.codes(name) for name in COLUMNS}


def _specs_of(arrays: Mapping[str, NDArray[Any]], choices: Mapping[str, Any]) -> Specs:
    """Return the specs in a file, checked as if a user had given them."""
    columns: dict[str, NDArray[Any]] = {}
    for name in COLUMNS:
        values = arrays[f"spec_{name}"]
        if name in CHOICES:
            words = choices.get(name, [])
            if not all(isinstance(word, str) for word in words) or (values.size and not values.min() >= 0):
                raise DamagedFileError(f"column {name!r} is out of range")
            columns[name] = np.array(words)[values]
        else:
            columns[name] = values
    if len({len(values) for values in columns.values()}) != 1 or not len(columns["width"]):
        raise DamagedFileError("its columns have different lengths")
    return Specs(**columns)


# ---- files ----


def _chunk_files(
    folder: Path, identity: bytes, n_inputs: int, scales: Mapping[str, Scale], settings: Settings
) -> Iterator[tuple[Path, tuple[Specs, Rows] | DamagedFileError]]:
    """Yield every chunk file with its specs and rows, or with what is wrong."""
    for path in sorted((folder / _CHUNKS).glob("*.npz")):
        try:
            arrays = archive.read(path, _ROWS)
            try:
                yield path, _rows_of(arrays, identity, n_inputs, scales, settings)
            except (ValueError, KeyError, IndexError) as error:
                raise DamagedFileError(f"{path} is damaged or no file of this program: {error}") from error
        except DamagedFileError as error:
            yield path, error
        except OSError as error:
            yield path, DamagedFileError(f"{path} cannot be read: {error.strerror or error}")


def _rows_of(
    arrays: Mapping[str, NDArray[Any]], identity: bytes, n_inputs: int, scales: Mapping[str, Scale], settings: Settings
) -> tuple[Specs, Rows]:
    if arrays["run"].tobytes() != identity:
        raise DamagedFileError("it belongs to another run")
    specs = _specs_of(arrays, CHOICES)
    shape = (len(specs), len(settings.record))
    for name in ("train_loss", "test_loss", "val_loss"):
        if (name in arrays or name == "train_loss") and arrays[name].shape != shape:
            raise DamagedFileError(f"array {name!r} has shape {arrays[name].shape}, not {shape}")
    if arrays["diverged_at"].shape != shape[:1]:
        raise DamagedFileError("array 'diverged_at' has another length")

    def stack(name: str) -> NetworkStack:
        parameters = arrays.get(f"{name}_parameters")
        if parameters is None:  # as releases before 1.0 wrote it
            parameters = joined(specs.width, n_inputs, [arrays[f"{name}_{p}"] for p in ("w1", "b1", "w2", "b2")])
        return NetworkStack(specs, n_inputs, scales, parameters)

    return specs, Rows(
        arrays["train_loss"], arrays.get("test_loss"), arrays.get("val_loss"), arrays["diverged_at"],
        stack("networks") if settings.keep_networks else None,
        {epoch: stack(f"snapshot_{epoch}") for epoch in settings.snapshots},
    )  # fmt: skip


def _load_manifest(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    try:
        if path.stat().st_size > _MOST_MANIFEST:
            raise DamagedFileError(f"{path} is damaged or no file of this program: it is too large")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ValueError(f"{str(folder)!r} holds no run: there is no {_MANIFEST}") from error
    try:
        manifest: Any = json.loads(content)
        recorded = manifest.pop("sha256")
        intact = recorded == _json_hash(manifest)
        schema = manifest["schema"]
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise DamagedFileError(f"{path} is damaged or no file of this program: {error}") from error
    if not intact:
        raise DamagedFileError(f"{path} is damaged or no file of this program: its SHA-256 does not match")
    if schema != SCHEMA:
        raise ValueError(f"{path} has schema {schema}; this version of relu-ensemble reads up to {SCHEMA}, update it")
    try:
        _check_manifest(manifest)
    except (ValueError, KeyError, AttributeError, TypeError, OverflowError) as error:
        raise DamagedFileError(f"{path} is damaged or no file of this program: {error}") from error
    return dict(manifest)


def _check_manifest(manifest: Mapping[str, Any]) -> None:
    """Raise where a manifest, though its SHA-256 is right, does not describe a run."""
    run = manifest["run"]
    whole = [manifest["models"], run["epochs"], *run["record"], *run["snapshots"], run["n_inputs"] - 1]
    if not all(type(value) is int and 0 <= value <= 10**9 for value in whole):
        raise ValueError("a count or an epoch is out of range")
    scales = _scales(run).values()
    dictionaries = [manifest["choices"], manifest["versions"], manifest["machine"], run["data"]]
    if not (
        isinstance(manifest["specs"], str)
        and "\0" not in manifest["specs"]
        and isinstance(run["keep_networks"], bool)
        and run["engine"] in ENGINES
        and run["record"] == sorted({0, run["epochs"], *run["record"]})
        and run["data"]
        and all(isinstance(value, dict) for value in dictionaries)
        and all(type(data["parts"][part]) is bool for data in run["data"].values() for part in ("test", "val"))
        and all(x.shape == (run["n_inputs"],) for scale in scales for x in (scale.x_mean, scale.x_std))
        and all(np.isfinite([*scale.x_mean, *scale.x_std, scale.y_mean, scale.y_std]).all() for scale in scales)
    ):
        raise ValueError("it does not describe a run")


def _load_specs(folder: Path, manifest: Mapping[str, Any]) -> Specs:
    path = folder / str(manifest["specs"])
    if path.parent != folder:
        raise DamagedFileError(f"{folder / _MANIFEST} names a file outside the run")
    try:
        arrays = archive.read(path, _SPECS)
        specs = _specs_of(arrays, manifest["choices"])
    except FileNotFoundError as error:
        raise DamagedFileError(f"{path} is missing; start afresh") from error
    except DamagedFileError:
        raise
    except (ValueError, KeyError, IndexError) as error:
        raise DamagedFileError(f"{path} is damaged or no file of this program: {error}") from error
    if len(specs) != manifest["models"]:
        raise DamagedFileError(f"{path} holds {len(specs)} models, the manifest says {manifest['models']}")
    return specs


def _is_ours(path: Path) -> bool:
    return path.name in (_LOCK, _CHUNKS, _STATES) or (path.name.startswith(".") and path.name.endswith(".tmp")) or (
        path.name.startswith("specs-") and path.name.endswith(".npz")
    )  # fmt: skip


# ---- what a run is ----


def _describe(
    specs: Specs, datasets: Mapping[str, Dataset], settings: Settings, initial: NetworkStack | None
) -> dict[str, Any]:
    """Return all that must be the same for a run to be gone on with, except its models."""
    start = ""
    if initial is not None:
        total = hashlib.sha256(specs.digest.encode())
        for part in (initial.slots, initial.parameters):
            total.update(np.ascontiguousarray(part).tobytes())
        start = total.hexdigest()
    return {
        "epochs": settings.epochs, "record": settings.record.tolist(), "snapshots": list(settings.snapshots),
        "engine": settings.engine, "keep_networks": settings.keep_networks, "initial": start,
        "n_inputs": next(iter(datasets.values())).n_inputs,
        "data": {
            name: {
                "sha256": data.digest, "samples": data.n_train,
                "parts": {"test": data.x_test is not None, "val": data.x_val is not None},
                "scale": None if data.scale is None else {
                    "x_mean": data.scale.x_mean.tolist(), "x_std": data.scale.x_std.tolist(),
                    "y_mean": float(data.scale.y_mean), "y_std": float(data.scale.y_std),
                },
            }
            for name, data in sorted(datasets.items())
        },
    }  # fmt: skip


def _settings(run: Mapping[str, Any]) -> Settings:
    return Settings(
        run["epochs"], np.array(run["record"], np.int64), tuple(run["snapshots"]), run["engine"], run["keep_networks"]
    )


def _scales(run: Mapping[str, Any]) -> dict[str, Scale]:
    return {name: _scale(data["scale"]) for name, data in run["data"].items() if data["scale"] is not None}


def _scale(stored: Mapping[str, Any]) -> Scale:
    return Scale(np.array(stored["x_mean"]), np.array(stored["x_std"]), stored["y_mean"], stored["y_std"])


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return in words what two runs differ in."""
    found = []
    for name in new:
        if old.get(name) == new[name]:
            continue
        if name == "data":
            names = sorted(set(old[name]) | set(new[name]))
            changed = [n for n in names if old[name].get(n) != new[name].get(n)]
            found.append(f"other data ({', '.join(changed)})")
        elif name in ("record", "snapshots", "initial"):
            found.append(f"another {name}")
        else:
            found.append(f"{name} {old.get(name)}, not {new[name]}")
    return ", ".join(found)


def _run_id(description: Mapping[str, Any]) -> str:
    return _json_hash(description)


def _json_hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | installed(DECIDE_BITS)


def _machine() -> dict[str, str]:
    """Return what may change the last bits: the kind of processor."""
    model = ""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "")
    except OSError:  # not Linux
        model = platform.processor()
    return {"architecture": platform.machine(), "processor": model}
