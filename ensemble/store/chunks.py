"""Chunk files: the models that one task trained, their results, and what made them.

Written by `Run` as chunks come back and read by all that looks into a run folder. Each file says all that decides
its models' results, so that a folder is a bag of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensemble.engines import Rows, Start, State
from ensemble.networks import NetworkStack
from ensemble.specs import COLUMNS
from ensemble.store import request, version_1
from ensemble.store.manifest import CHUNKS, Manifest, ours
from ensemble.store.request import Request
from ensemble.system import archive
from ensemble.system.archive import DamagedFileError, RefusedFileError
from ensemble.system.provenance import DECIDE_BITS, machine, versions

__all__ = ["KINDS", "Chunk", "Finder", "difference", "made_here", "read", "scan", "write"]

# "state_*": the optimizers' memory, where it is kept to go on from. What a later release adds to a chunk is let be.
KINDS = request.KINDS | version_1.KINDS | {
    "train_loss": ("f", 2), "test_loss": ("f", 2), "val_loss": ("f", 2), "diverged_at": ("i", 1),
    "train_accuracy": ("f", 2), "test_accuracy": ("f", 2), "val_accuracy": ("f", 2),
    "networks": ("f", 1), "snapshot_*": ("f", 1), "state_*": ("ifb", -1), "*": ("ifbuU", -1),
}  # fmt: skip


class Chunk(NamedTuple):
    """Some models and their results."""

    request: Request
    rows: Rows
    made: Mapping[str, Any]  # by what: versions, machine, and what its kernels were compiled for

    def take(self, part: NDArray[np.int64]) -> Chunk:
        """Return the models at `part`."""
        rows = self.rows
        return Chunk(
            self.request.take(part),
            Rows(
                {name: values[part] for name, values in rows.losses.items()},
                {name: values[part] for name, values in rows.accuracies.items()}, rows.diverged_at[part],
                None if rows.networks is None else rows.networks.take(part),
                {epoch: kept.take(part) for epoch, kept in rows.snapshots.items()},
                None if rows.state is None else rows.state.take(part),
            ),
            self.made,
        )  # fmt: skip

    def answer(self, asked: Request, part: NDArray[np.int64]) -> Rows:
        """Return what `asked` wants to know of the models at `part`, which have it."""
        kept, end = self._some(asked, part), self.request.epochs == asked.epochs
        networks = self.rows.networks if end else self.rows.snapshots.get(asked.epochs)
        state = self.rows.state if end and asked.keep_state else None
        return kept._replace(
            diverged_at=np.where(kept.diverged_at > asked.epochs, -1, kept.diverged_at),
            networks=networks.take(part) if networks is not None and asked.keep_networks else None,
            state=None if state is None else state.take(part),
        )

    def start(self, asked: Request, part: NDArray[np.int64]) -> Start:
        """Return where a longer training of the models at `part` goes on from; they lead to what is `asked`."""
        networks, state, epoch = self.rows.networks, self.rows.state, self.request.epochs
        assert networks is not None
        rows, networks = self._some(asked, part), networks.take(part)
        if epoch in asked.snapshots:
            rows.snapshots[epoch] = networks
        return Start(networks, epoch, rows._replace(state=None if state is None else state.take(part)))

    def _some(self, asked: Request, part: NDArray[np.int64]) -> Rows:
        """Return the losses and snapshots of some models that are asked for, as far as this training went."""
        at = np.searchsorted(self.request.record, asked.record[asked.record <= self.request.epochs])
        losses, accuracies = (
            {name: values[np.ix_(part, at)] for name, values in kept.items()}
            for kept in (self.rows.losses, self.rows.accuracies)
        )
        there = set(asked.snapshots) & set(self.rows.snapshots)
        kept = {epoch: self.rows.snapshots[epoch].take(part) for epoch in there}
        return Rows(losses, accuracies, self.rows.diverged_at[part], None, kept)


class Finder:
    """Where the models of a request are in chunks."""

    def __init__(self, asked: Request) -> None:
        self.asked, self.keys = asked, asked.keys()
        self._order = np.argsort(self.keys, kind="stable")
        self._sorted = self.keys[self._order]

    def distinct(self) -> NDArray[np.int64]:
        """Return the places of the request's models, each model once."""
        return np.unique(self.keys, return_index=True)[1]

    def places(
        self, chunk: Chunk, of: NDArray[np.bool_] | None = None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Yield places in the request with places in the chunk; more than once where a model is asked for twice.

        `of` says which models of the chunk count, by default those that answer the request.
        """
        of = chunk.request.answers(self.asked) if of is None else of
        if not of.any():
            return
        keys = chunk.request.keys()
        first = np.searchsorted(self._sorted, keys, side="left")
        count = np.where(of, np.searchsorted(self._sorted, keys, side="right") - first, 0)
        for repeat in range(int(count.max(initial=0))):
            part = np.flatnonzero(count > repeat)
            yield self._order[first[part] + repeat], part


def scan(
    folder: Path, manifest: Manifest, problems: Collection[str] | None = None
) -> Iterator[tuple[Path, Chunk | DamagedFileError]]:
    """Yield every chunk file of a folder with what it holds, or with what is wrong.

    With `problems`, files whose names say that they are for others than these (of `Request.problem`) are left out.
    Raises RefusedFileError for a file that is no regular one, and OSError where one cannot be read: it may be whole, so
    that nothing may take its place.
    """
    wanted = None if problems is None else {problem[:8] for problem in problems}
    for path in ours(folder, CHUNKS):
        mark = path.stem.rpartition("-")[0]
        if wanted is not None and mark and mark not in wanted:
            continue
        try:
            chunk = read(path, manifest)
        except RefusedFileError:
            raise
        except DamagedFileError as error:
            yield path, error
        else:
            if chunk is not None:
                yield path, chunk


def read(path: Path, manifest: Manifest) -> Chunk | None:
    """Return what one chunk file of a folder holds; None for one of a later release.

    Raises DamagedFileError and OSError.
    """
    arrays = archive.read(path, KINDS, follow=False)
    try:
        return _chunk(arrays, manifest)
    except version_1.NOT_ONE as error:
        raise DamagedFileError(f"{path} is damaged or no file of this program: {error}") from error


def _chunk(arrays: Mapping[str, NDArray[Any]], manifest: Manifest) -> Chunk | None:
    """Return what a file holds; None for one of a later release, whose models have settings that are unknown here."""
    if "run" in arrays:
        asked, arrays, made = version_1.chunk(arrays, manifest.first)
    elif any(name.startswith("spec_") and name[5:] not in COLUMNS for name in arrays):
        return None
    else:
        asked, header = Request.unpack(arrays)
        made = header["made"]
    shape = (len(asked.specs), len(asked.record))
    for name in asked.measures:
        if arrays[name].shape != shape or arrays[name].dtype != np.float64:
            raise ValueError(f"array {name!r} is {arrays[name].dtype} of shape {arrays[name].shape}, not {shape}")
    if arrays["diverged_at"].shape != shape[:1]:
        raise ValueError("array 'diverged_at' has another length")

    if not all(isinstance(made[name], dict) for name in ("versions", "machine", "target")):
        raise ValueError("it does not say what made it")
    losses, accuracies = (
        {part: arrays[name] for part in asked.parts if (name := f"{part}_{kind}") in asked.measures}
        for kind in ("loss", "accuracy")
    )
    stacks = {
        name: NetworkStack(asked.specs, asked.n_inputs, asked.scales, arrays[name], asked.n_outputs)
        for name in asked.stacks
    }
    snapshots = {epoch: stacks[f"snapshot_{epoch}"] for epoch in asked.snapshots}
    state = State.fresh(asked.specs, asked.n_inputs, asked.n_outputs) if asked.keep_state else None
    if state is not None:
        state.fill({name[6:]: values for name, values in arrays.items() if name.startswith("state_")})
    rows = Rows(losses, accuracies, arrays["diverged_at"], stacks.get("networks"), snapshots, state)
    return Chunk(asked, rows, made)


def write(folder: Path, chunk: Chunk) -> None:
    """Write a chunk file; equal chunks have equal names."""
    rows = chunk.rows
    arrays = chunk.request.pack(made=chunk.made) | {"diverged_at": rows.diverged_at}
    arrays |= {f"{part}_loss": values for part, values in rows.losses.items()}
    arrays |= {f"{part}_accuracy": values for part, values in rows.accuracies.items()}
    arrays |= {} if rows.networks is None else {"networks": rows.networks.parameters}
    arrays |= {f"snapshot_{epoch}": kept.parameters for epoch, kept in rows.snapshots.items()}
    arrays |= {} if rows.state is None else {f"state_{name}": values for name, values in rows.state.arrays().items()}
    name, content = archive.named(arrays)
    problem = chunk.request.problem(next(iter(chunk.request.data)))
    archive.write(folder / CHUNKS / f"{problem[:8]}-{name[:24]}.npz", content)


# ---- what made it ----


@cache
def made_here() -> dict[str, Any]:
    """Return what chunks that are trained here are made by."""
    from ensemble.kernels.jit import target  # imports numba, which reading need not wait for

    return {"versions": versions(), "machine": machine(), "target": target()}


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return in words what may make the last bits of two results differ, "" where nothing does."""
    for name in DECIDE_BITS:
        if old["versions"].get(name) != new["versions"].get(name):
            return f"{name} {old['versions'].get(name)}, not {new['versions'].get(name)}"
    there, here = old["target"], new["target"]
    if there and here and there != here:  # version 1 did not say what it was compiled for
        if there.get("cpu") == here.get("cpu"):
            return f"another set of instructions of the CPU {there.get('cpu')}"
        return f"kernels for the CPU {there.get('cpu')}, not {here.get('cpu')}"
    return ""
