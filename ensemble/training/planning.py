"""The plan of a run: which models are trained together, in which order, and what it all costs.

`train` follows it, and `plan` shows it to the user before anything is done.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Dataset
from ensemble.engines import REGISTRY, choose_engines, epoch_seconds, state_bytes
from ensemble.networks import NetworkStack, weight_bytes
from ensemble.results import Result, result_bytes
from ensemble.rules.losses import LOSSES
from ensemble.specs import Specs
from ensemble.system import html, memory
from ensemble.training.request import Datasets, Engine, Loss, in_batches, make_settings, named_datasets, outputs_of
from ensemble.training.start import Beginning, beginning

__all__ = ["Plan", "make_plan", "plan"]

# Chunks of about a second amortize every per-chunk cost and still let the bar move and Ctrl-C lose little; a run
# shorter than that is cut finer, so that every thread has several, down to where a chunk's own 0.9 ms would show.
CHUNK_SECONDS = 1.0
CHUNKS_PER_RUN = 32
LEAST_CHUNK_SECONDS = 0.01
CHUNK_BYTES = 64 * 2**20
_INITIALIZE_SECONDS = 6e-6  # a model's seeding


@dataclass(frozen=True, repr=False)
class Plan:
    """What a run will do and take, before anything is allocated; it prints as a summary.

    Attributes
    ----------
    models, epochs : int
        Number of models; updates of each, those before `initial` ended included.
    cost : float
        Estimated time on one core, in seconds.
    memory : int
        Estimated peak memory of specs, results, initial networks and the chunks at work, in bytes.
    kept : int
        What of it is the result: specs, losses and networks, and so about what a store takes on disk.
    engines : dict of dict of int, by dataset name and engine
        How many models of each dataset each engine trains.
    chunks : tuple of (m,) int64
        Rows of the specs that are trained together: of one dataset, by one engine.
    """

    models: int
    epochs: int
    cost: float
    memory: int
    kept: int
    engines: dict[str, dict[str, int]]
    chunks: tuple[NDArray[np.int64], ...]

    def __repr__(self) -> str:
        used = sorted({name for counts in self.engines.values() for name in counts})
        engines = f"{' and '.join(used)} engine{'s' * (len(used) > 1)}"
        return (
            f"{_count(self.models, 'model')} x {_count(self.epochs, 'epoch')} on "
            f"{_count(len(self.engines), 'dataset')} ({engines}), {_count(len(self.chunks), 'chunk')}, "
            f"about {_duration(self.cost)} of one core, {memory.in_words(self.memory)} of memory"
        )

    def _repr_html_(self) -> str:
        rows = [(name, engine, n) for name, counts in self.engines.items() for engine, n in counts.items()]
        return html.table(repr(self), ("dataset", "engine", "models"), rows)


def plan(
    specs: Specs,
    data: Dataset | Datasets,
    *,
    epochs: int,
    record: Iterable[int] | None = None,
    snapshots: Iterable[int] | None = None,
    engine: Engine = "auto",
    keep_networks: bool = True,
    keep_state: bool = False,
    initial: NetworkStack | Result | None = None,
    loss: Loss = "mse",
) -> Plan:
    """Return what `train` would do with the same arguments, without doing it; a run folder is not looked at.

    Raises
    ------
    ValueError
        As `train`, except that memory is estimated and not checked.
    """
    settings = make_settings(epochs, record, snapshots, keep_networks, loss, keep_state)
    datasets = named_datasets(specs, data)
    n_inputs = next(iter(datasets.values())).n_inputs
    engines = choose_engines(engine, specs, n_inputs, loss, in_batches(specs, datasets), outputs_of(datasets, loss))
    return make_plan(specs, datasets, beginning(initial, specs, datasets, engines, settings, record is not None))


def make_plan(specs: Specs, datasets: Datasets, begin: Beginning) -> Plan:
    """Return the plan of a request that is checked."""
    settings, engines = begin.settings, begin.origin.engine
    chunks: list[NDArray[np.int64]] = []
    costs, largest = [], 0
    n_inputs, n_outputs = next(iter(datasets.values())).n_inputs, outputs_of(datasets, settings.loss)
    seconds = np.empty(len(specs))
    groups = {
        (name, engine): np.flatnonzero((specs.data == name) & (engines == engine))
        for name in datasets for engine in np.unique(engines[specs.data == name]).tolist()
    }  # fmt: skip
    for (name, engine), index in groups.items():
        estimate = epoch_seconds(engine, specs[index], datasets[name], settings.loss)
        seconds[index] = estimate * (settings.epochs - begin.epoch) + _INITIALIZE_SECONDS
    target = min(CHUNK_SECONDS, max(float(seconds.sum()) / CHUNKS_PER_RUN, LEAST_CHUNK_SECONDS))
    own_bytes = weight_bytes(specs.width, n_inputs, specs.hidden_layers, n_outputs)
    work_bytes = 4 * own_bytes
    for (name, engine), index in groups.items():
        samples = max(len(y) for _, y in datasets[name].parts().values())
        units = specs.width[index] * specs.hidden_layers[index] + n_outputs
        work_bytes[index] += REGISTRY[engine].unit_bytes * samples * units
        index = index[np.lexsort((specs.width[index], specs.hidden_layers[index]))]
        for chunk in _cut(index, np.maximum(seconds[index] / target, work_bytes[index] / CHUNK_BYTES)):
            chunks.append(chunk)
            costs.append(float(seconds[chunk].sum()))
            largest = max(largest, int(work_bytes[chunk].sum()))
    parts = {part for data in datasets.values() for part in data.parts()}
    stacks = settings.keep_networks + len(settings.snapshots)
    columns = len(settings.record) * len(parts) * (2 if LOSSES[settings.loss].takes_labels else 1)  # accuracies too
    kept = specs.nbytes + result_bytes(specs, columns, n_inputs, n_outputs, stacks, settings.keep_state)
    given = 0 if begin.initial is None else int(own_bytes.sum())
    given += state_bytes(specs, n_inputs, n_outputs) if begin.epoch else 0
    samples = max(data.n_train for data in datasets.values())
    per_epoch = 24 * settings.epochs  # both schedules' factors, and where the epoch is recorded
    work = (os.cpu_count() or 1) * (2 * largest + (64 + 24 * (n_outputs - 1)) * samples + per_epoch)
    biggest_first = np.argsort(costs, kind="stable")[::-1]  # so that no thread starts the longest chunk last
    return Plan(
        len(specs),
        settings.epochs,
        float(seconds.sum()),
        kept + given + work,
        kept,
        {name: {engine: len(index) for (other, engine), index in groups.items() if other == name} for name in datasets},
        tuple(chunks[i] for i in biggest_first),
    )


def _cut(index: NDArray[np.int64], shares: NDArray[np.float64]) -> Iterator[NDArray[np.int64]]:
    """Cut models into runs whose shares of a chunk sum to about one."""
    shares = np.minimum(shares, 1e6)  # more than one chunk is more than one, and numbers stay exact
    ends = np.cumsum(shares)
    which = np.floor(ends - shares / 2).astype(np.int64)
    yield from np.split(index, np.flatnonzero(np.diff(which)) + 1)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.2g} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.0f} h"
    )
