"""Training in one pass: check the request, cut it into chunks of equal cost, run them on an executor, assemble.

Takes `specs` and `data`, hands chunks to `engines.run_chunk`, and leaves a `Result`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Dataset
from ensemble.engines import Rows, Settings, choose_engine, epoch_seconds, run_chunk
from ensemble.networks import NetworkStack, weight_bytes
from ensemble.results import Result, empty_result, result_bytes
from ensemble.specs import Specs
from ensemble.system import memory
from ensemble.system.progress import progress_bar

if TYPE_CHECKING:
    from ensemble.engines import Checkpoint
    from ensemble.store import Run

__all__ = ["Plan", "plan", "train"]

Datasets = Mapping[str, Dataset]

# Chunks of about a second amortize every per-chunk cost and still let the bar move and Ctrl-C lose little; a run
# shorter than that is cut finer, so that every thread has several.
_CHUNK_SECONDS = 1.0
_CHUNKS_PER_RUN = 32
_CHUNK_BYTES = 64 * 2**20
_WINDOW = 64  # chunks handed to the executor at once
_INITIALIZE_SECONDS = 2e-5  # a model's seeding


@dataclass(frozen=True)
class Plan:
    """What a run will do and take, before anything is allocated.

    Attributes
    ----------
    models, epochs : int
        Number of models; updates of each.
    cost : float
        Estimated time on one core, in seconds.
    memory : int
        Estimated peak memory of results and of the chunks at work, in bytes.
    kept : int
        What of it is the result: histories and networks, and so about what a store takes on disk.
    engines : dict of str by dataset name
        Which engine trains the models of each dataset.
    chunks : tuple of (m,) int64
        Rows of the specs that are trained together.
    """

    models: int
    epochs: int
    cost: float
    memory: int
    kept: int
    engines: dict[str, str]
    chunks: tuple[NDArray[np.int64], ...]

    def __str__(self) -> str:
        engines = ", ".join(sorted(set(self.engines.values())))
        return (
            f"{_count(self.models, 'model')} x {_count(self.epochs, 'epoch')} on "
            f"{_count(len(self.engines), 'dataset')} ({engines} engine), {_count(len(self.chunks), 'chunk')}, "
            f"about {_duration(self.cost)} of one core, {memory.in_words(self.memory)} of memory"
        )


def plan(
    specs: Specs,
    data: Dataset | Datasets,
    *,
    epochs: int,
    record: Iterable[int] | None = None,
    snapshots: Iterable[int] | None = None,
    engine: str = "auto",
    keep_networks: bool = True,
) -> Plan:
    """Return what `train` would do with the same arguments, without doing it.

    Raises
    ------
    ValueError
        As `train`, except that memory is estimated and not checked.
    """
    settings = _settings(epochs, record, snapshots, engine, keep_networks)
    return _plan(specs, _datasets(specs, data), settings)


def train(
    specs: Specs,
    data: Dataset | Datasets,
    *,
    epochs: int,
    record: Iterable[int] | None = None,
    snapshots: Iterable[int] | None = None,
    engine: str = "auto",
    threads: int | None = None,
    executor: Executor | None = None,
    store: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    keep_networks: bool = True,
    initial: NetworkStack | None = None,
) -> Result:
    """Train every model of `specs` for a number of full-batch epochs, all in one pass.

    A model's result depends on its spec, its data and `epochs` alone, to the last bit: not on the other models,
    their order, `threads` or `executor`.

    Parameters
    ----------
    specs : Specs
        One row per model, from `grid`.
    data : Dataset, or dict of Dataset by name
        What they learn; with several, ``specs.data`` says which. All have the same number of inputs.
    epochs : int
        Updates of each model; 0 returns the initial networks.
    record : sequence of int, optional
        Epochs at which errors are kept; 0 and `epochs` always are. Default: about 50, geometric.
    snapshots : sequence of int, optional
        Epochs at which the networks are kept, in ``result.snapshots``.
    engine : {"auto", "numpy", "dense", "spline"}
        "auto" takes "spline" for one input and "dense" for more; "numpy" is the readable definition.
    threads : int, optional
        Number of threads; default: one per core. Not together with `executor`.
    executor : concurrent.futures.Executor, optional
        Where to run the chunks instead: any pool of processes, or a cluster by `distributed.executor`. It stays open.
    store : path, optional
        Folder to keep every finished chunk in. The same call again goes on where the last one ended, however that was,
        to the same bits. Other calls may use it too: models that it holds are taken from there, others are added.
    progress : bool, optional
        Whether to show a bar; default: on a terminal only.
    keep_networks : bool
        False saves the memory of the trained networks.
    initial : NetworkStack, optional
        Networks to go on from, one per row of `specs`, instead of fresh ones; optimizers start without memory.

    Returns
    -------
    Result

    Raises
    ------
    ValueError
        An argument that is not allowed, a dataset that is missing or does not fit, more memory or disk than there is,
        or a `store` that is in use, or whose results must not be mixed with new ones.
    OSError
        The store cannot be read or written, or a cluster was lost; what is in the store stays valid.
    BrokenExecutor
        A worker process of the executor died; finished chunks are in the store.
    KeyboardInterrupt
        Ctrl-C; running chunks are given up within about half a second.
    """
    settings = _settings(epochs, record, snapshots, engine, keep_networks)
    datasets = _datasets(specs, data)
    planned = _plan(specs, datasets, settings)
    if store is not None and (not isinstance(store, (str, os.PathLike)) or not os.fspath(store)):
        raise ValueError(f"store is {store!r}; the path of a folder is needed")
    if executor is not None and not hasattr(executor, "submit"):
        raise ValueError(f"executor is {executor!r}; a concurrent.futures.Executor is needed")
    if threads is not None and executor is not None:
        raise ValueError(f"threads {threads} and an executor are given; the executor decides how much runs at once")
    n_threads = _n_threads(threads)
    _check_initial(initial, specs, next(iter(datasets.values())).n_inputs)
    memory.require(
        planned.memory, "this run", "train fewer or narrower models, record fewer epochs, or pass keep_networks=False"
    )

    result = empty_result(
        specs, settings.record, next(iter(datasets.values())).n_inputs,
        {name: dataset.scale for name, dataset in datasets.items() if dataset.scale is not None},
        any(dataset.x_test is not None for dataset in datasets.values()),
        any(dataset.x_val is not None for dataset in datasets.values()), settings.keep_networks, settings.snapshots,
    )  # fmt: skip
    with ExitStack() as held:
        run, chunks, left = None, planned.chunks, np.ones(len(specs), dtype=np.bool_)
        if store is not None:
            from ensemble.store import Run

            run = held.enter_context(Run(store, specs, datasets, settings, initial))
            left[:] = False
            left[run.left(result)] = True
            chunks = tuple(chunk[left[chunk]] for chunk in chunks if left[chunk].any())
        bar = held.enter_context(progress_bar(len(specs), progress, int((~left).sum())))
        came = held.enter_context(closing(_run(chunks, specs, datasets, settings, initial, n_threads, executor, run)))
        for index, rows in came if run is None else run.keep(came):
            result.assemble(index, rows)
            result.fresh[index] = True
            bar.update(len(index))
    return result


# ---- checks ----


def _settings(
    epochs: int,
    record: Iterable[int] | None,
    snapshots: Iterable[int] | None,
    engine: str,
    keep_networks: bool,
) -> Settings:
    if isinstance(epochs, bool) or not isinstance(epochs, (int, np.integer)) or not 0 <= epochs <= 10**9:
        raise ValueError(f"epochs {epochs!r} is not allowed; a whole number in [0, 1e9] is needed")
    epochs = int(epochs)
    if record is None:
        geometric = np.round(np.geomspace(1, max(epochs, 1), 50)).astype(np.int64)
        recorded = {0, epochs, *geometric[geometric <= epochs].tolist()}
    else:
        recorded = {0, epochs, *_epoch_list("record", record, epochs)}
    kept = () if snapshots is None else tuple(sorted(set(_epoch_list("snapshots", snapshots, epochs))))
    choose_engine(engine, 1)
    return Settings(epochs, np.array(sorted(recorded)), kept, engine, bool(keep_networks))


def _epoch_list(name: str, values: Iterable[int], epochs: int) -> list[int]:
    listed = list(values)
    for value in listed:
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 0 <= value <= epochs:
            raise ValueError(f"{name} holds {value!r}; whole numbers in [0, {epochs}] are needed")
    return [int(value) for value in listed]


def _datasets(specs: Specs, data: Dataset | Datasets) -> dict[str, Dataset]:
    """Return the datasets that the specs name."""
    if not isinstance(specs, Specs):
        raise ValueError(f"specs is a {type(specs).__name__}; Specs are needed, as ensemble.grid(width=...) makes")
    if not len(specs):
        raise ValueError("specs is empty; at least one model is needed")
    names = np.unique(specs.data).tolist()
    if isinstance(data, Dataset):
        if len(names) > 1:
            raise ValueError(f"specs name the datasets {names}, but data is a single one; give a dict by name")
        return {names[0]: data}
    if not isinstance(data, Mapping):
        raise ValueError(f"data is a {type(data).__name__}; a Dataset or a dict of them by name is needed")
    for name in names:
        if not isinstance(data.get(name), Dataset):
            raise ValueError(f"specs name the dataset {name!r}, but data holds {sorted(map(str, data))}")
    used = {name: data[name] for name in names}
    inputs = {name: dataset.n_inputs for name, dataset in used.items()}
    if len(set(inputs.values())) > 1:
        raise ValueError(f"datasets have different numbers of inputs, {inputs}; train them in separate passes")
    return used


def _n_threads(threads: int | None) -> int:
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(threads, bool) or not isinstance(threads, (int, np.integer)) or threads < 1:
        raise ValueError(f"threads {threads!r} is not allowed; a whole number >= 1 is needed")
    return int(threads)


def _check_initial(initial: NetworkStack | None, specs: Specs, n_inputs: int) -> None:
    if initial is None:
        return
    if not isinstance(initial, NetworkStack):
        raise ValueError(f"initial is a {type(initial).__name__}; a NetworkStack is needed")
    if len(initial) != len(specs) or initial.n_inputs != n_inputs or (initial.specs.width != specs.width).any():
        raise ValueError(
            f"initial holds {len(initial)} networks of {initial.n_inputs} inputs, widths {initial.specs.width[:4]}...; "
            f"the specs need {len(specs)} of {n_inputs} inputs, widths {specs.width[:4]}..., in this order"
        )
    for i, network in enumerate(initial):
        if (not specs.hidden_bias[i] and network.b1.any()) or (not specs.output_bias[i] and network.b2):
            raise ValueError(f"initial network {i} has a bias that its spec switches off")


# ---- planning ----


def _plan(specs: Specs, datasets: Datasets, settings: Settings) -> Plan:
    engines = {name: choose_engine(settings.engine, data.n_inputs) for name, data in datasets.items()}
    chunks: list[NDArray[np.int64]] = []
    costs, largest = [], 0
    n_inputs = next(iter(datasets.values())).n_inputs
    seconds = np.empty(len(specs))
    members = {name: np.flatnonzero(specs.data == name) for name in datasets}
    for name, index in members.items():
        estimate = epoch_seconds(engines[name], specs[index], datasets[name])
        seconds[index] = estimate * settings.epochs + _INITIALIZE_SECONDS
    target = min(_CHUNK_SECONDS, float(seconds.sum()) / _CHUNKS_PER_RUN)
    work_bytes = 4 * weight_bytes(specs.width, n_inputs)
    for name, index in members.items():
        if not len(index):  # all its models are done: a run is gone on with
            continue
        if engines[name] == "numpy":  # its hidden activations and their gradients are arrays (m, N, H)
            samples = max(len(y) for _, y in datasets[name].parts().values())
            work_bytes[index] += 40 * samples * specs.width[index]
        index = index[np.argsort(specs.width[index], kind="stable")]
        for chunk in _cut(index, np.maximum(seconds[index] / target, work_bytes[index] / _CHUNK_BYTES)):
            chunks.append(chunk)
            costs.append(float(seconds[chunk].sum()))
            largest = max(largest, int(work_bytes[chunk].sum()))
    test, val = (any(getattr(d, f"x_{part}") is not None for d in datasets.values()) for part in ("test", "val"))
    stacks = settings.keep_networks + len(settings.snapshots)
    kept = result_bytes(specs, len(settings.record), n_inputs, 1 + test + val, stacks)
    samples = max(data.n_train for data in datasets.values())
    per_epoch = 24 * settings.epochs  # both schedules' factors, and where the epoch is recorded
    work = (os.cpu_count() or 1) * (2 * largest + 64 * samples + per_epoch)
    biggest_first = np.argsort(costs, kind="stable")[::-1]  # so that no thread starts the longest chunk last
    return Plan(
        len(specs),
        settings.epochs,
        float(seconds.sum()),
        kept + work,
        kept + 120 * len(specs),
        engines,
        tuple(chunks[i] for i in biggest_first),
    )


def _cut(index: NDArray[np.int64], shares: NDArray[np.float64]) -> Iterator[NDArray[np.int64]]:
    """Cut models into runs whose shares of a chunk sum to about one."""
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


# ---- running ----


def _run(
    chunks: tuple[NDArray[np.int64], ...],
    specs: Specs,
    datasets: Datasets,
    settings: Settings,
    initial: NetworkStack | None,
    n_threads: int,
    executor: Executor | None,
    run: Run | None,
) -> Generator[tuple[NDArray[np.int64], Rows], None, None]:
    """Run every chunk on the executor and yield them as they finish, a bounded number under way at once."""
    stop = threading.Event()
    own = ThreadPoolExecutor(n_threads, "ensemble") if executor is None else None
    pool: Executor = own if own is not None else executor  # type: ignore[assignment]
    window = getattr(executor, "window", _WINDOW)  # a cluster takes more
    waiting = list(chunks[::-1])
    pending: dict[Future[Rows], NDArray[np.int64]] = {}
    try:
        while waiting or pending:
            while waiting and len(pending) < window:
                index = waiting.pop()
                data = datasets[str(specs.data[index[0]])] if len(datasets) > 1 else next(iter(datasets.values()))
                start = None if initial is None else initial.take(index)
                state = None if run is None else run.checkpoint(index)
                if own is not None:
                    future = pool.submit(run_chunk, specs[index], data, settings, start, stop, state)
                else:  # an event cannot travel to another process; there, an interrupt reaches the worker itself
                    if state is not None:  # nor does a worker stand in this folder
                        state = replace(state, path=state.path.absolute())
                    future = pool.submit(_run_elsewhere, specs[index], data, settings, start, state)
                pending[future] = index
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            failed: Exception | None = None
            for future in done:  # what is finished is handed on before an error ends the run
                index = pending.pop(future)
                try:
                    rows = future.result()
                except Exception as error:
                    failed = failed or error
                    continue
                yield index, rows
            if failed is not None:
                raise failed
    except BrokenExecutor as error:
        kept = "nothing was kept" if run is None else f"finished chunks are kept in {str(run.folder)!r}"
        reason = " ".join(str(error).split()) or "a worker died"
        raise type(error)(
            f"the executor broke ({type(error).__name__}: {reason}); {kept}; train again with a new executor to go on"
        ) from error
    finally:
        stop.set()
        for future in pending:
            future.cancel()
        if own is not None:
            own.shutdown(wait=True, cancel_futures=True)


def _run_elsewhere(
    specs: Specs, data: Dataset, settings: Settings, initial: NetworkStack | None, state: Checkpoint | None
) -> Rows:
    """Run a chunk in a process that may be on another machine: there, no state is kept without a shared folder."""
    if state is not None and not state.path.parent.is_dir():
        state = None
    return run_chunk(specs, data, settings, initial, None, state)
