"""Training in one pass: run the chunks of a plan on an executor, and assemble what comes back.

Takes `specs` and `data`, hands chunks to `engines.run_chunk`, and leaves a `Result`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ThreadPoolExecutor,
    wait,
)  # fmt: skip
from contextlib import ExitStack, closing
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Dataset
from ensemble.engines import Checkpoint, Rows, Settings, Start, choose_engines, run_chunk, scale_of
from ensemble.networks import NetworkStack
from ensemble.results import Result, empty_result
from ensemble.specs import Specs
from ensemble.store import Request, Run
from ensemble.system import memory
from ensemble.system.progress import progress_bar
from ensemble.training.planning import make_plan
from ensemble.training.request import (
    Datasets,
    Engine,
    Loss,
    in_batches,
    make_settings,
    n_threads,
    named_datasets,
    outputs_of,
)  # fmt: skip
from ensemble.training.start import Beginning, beginning
from ensemble.training.stopping import StoppedError, reported

__all__ = ["train"]

WINDOW = 64  # chunks handed to the executor at once
_POLL_SECONDS = 0.1  # how often an event of the caller's is looked at
_AHEAD = 4  # with a store, how many more than there are threads: what is not written yet is lost by a kill


def train(
    specs: Specs,
    data: Dataset | Datasets,
    *,
    epochs: int,
    loss: Loss = "mse",
    record: Iterable[int] | None = None,
    snapshots: Iterable[int] | None = None,
    engine: Engine = "auto",
    threads: int | None = None,
    executor: Executor | None = None,
    store: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    keep_networks: bool = True,
    keep_state: bool = False,
    initial: NetworkStack | Result | None = None,
    on_chunk: Callable[[NDArray[np.int64], Result], object] | None = None,
    stop: threading.Event | None = None,
) -> Result:
    """Train every model of `specs` for a number of epochs, all in one pass.

    A model's result depends on its spec, its data and `epochs` alone, to the last bit: not on the other models,
    their order, `threads` or `executor`.

    Parameters
    ----------
    specs : Specs
        One row per model, from `grid`.
    data : Dataset, or dict of Dataset by name
        What they learn; with several, ``specs.data`` says which. All have the same number of inputs.
    epochs : int
        Passes of each model over its training data in all, those before a result that is gone on from included; one
        update each, or one for each of its batches. "Epoch e" is after e passes. 0 returns the initial networks.
    loss : {"mse"}
        What is minimized and recorded: the mean over the samples of (p - y)^2.
    record : sequence of int, optional
        Epochs at which errors are kept; 0 and `epochs` always are. Default: geometric, six in each doubling (45 of
        500), so that a longer run records all that a shorter one does, but for its end.
    snapshots : sequence of int, optional
        Epochs at which the networks are kept, in ``result.snapshots``.
    engine : {"auto", "numpy", "dense", "pieces", "spline"}
        "auto" takes for each model the fastest that can train it: for one input "spline" with one hidden layer and
        "pieces" with several, "dense" for more inputs; "numpy" is the readable definition.
    threads : int, optional
        Number of threads; default: one per core. Not together with `executor`.
    executor : concurrent.futures.Executor, optional
        Where to run the chunks instead: any pool of processes, or a cluster by `distributed.executor`. It stays open.
    store : path, optional
        Folder to keep every finished chunk in. The same call again goes on where the last one ended, however that was,
        to the same bits. Other calls may use it too: models that it holds are taken from there, others are added. More
        epochs than are there go on from there, where the networks, the epochs to record and, unless the optimizer is
        gd, its state were kept; fewer are taken from there if they were recorded, with the networks in `snapshots`.
    progress : bool, optional
        Whether to show a bar; default: on a terminal and in a notebook.
    keep_networks : bool
        False saves the memory of the trained networks.
    keep_state : bool
        Whether to keep what the optimizers remember, in ``result.state`` and in `store`: momentum and adam need it to
        go on, with twice the memory of the networks.
    initial : NetworkStack or Result, optional
        Networks to start from, one per row of `specs`, instead of fresh ones; optimizers start without memory. Or a
        result to go on from: training ends at the bits of one run of `epochs` epochs, at every epoch that both record;
        what it has recorded is kept. It must be of the same specs, data, loss and engine.
    on_chunk : callable, optional
        ``on_chunk(index, rows)`` is called in this thread whenever models have been trained, and stored: `index` (m,)
        are their rows in `specs`, `rows` is their `Result`, read-only. Models that come from `store` are not reported.
        An exception in it ends the run: what is finished by then is stored, and the exception is raised here.
    stop : threading.Event, optional
        Another thread may set it to end the run within about half a second, by a `StoppedError` that holds the result
        of the models that are finished. What an `executor` has begun is not waited for.

    Returns
    -------
    Result

    Raises
    ------
    ValueError
        An argument that is not allowed, a dataset that is missing or does not fit, more memory or disk than there is,
        or a `store` that is in use, or whose results must not be mixed with new ones.
    StoppedError
        `stop` was set before all models were trained.
    OSError
        The store cannot be read or written, or a cluster was lost; what is in the store stays valid.
    BrokenExecutor
        A worker process of the executor died; finished chunks are in the store.
    KeyboardInterrupt
        Ctrl-C; running chunks are given up within about half a second.
    """
    settings = make_settings(epochs, record, snapshots, keep_networks, loss, keep_state)
    datasets = named_datasets(specs, data)
    n_inputs = next(iter(datasets.values())).n_inputs
    n_outputs = outputs_of(datasets, loss)
    engines = choose_engines(engine, specs, n_inputs, loss, in_batches(specs, datasets), n_outputs)
    begin = beginning(initial, specs, datasets, engines, settings, record is not None)
    settings = begin.settings
    planned = make_plan(specs, datasets, begin)
    if store is not None and (not isinstance(store, (str, os.PathLike)) or not os.fspath(store)):
        raise ValueError(f"store is {store!r}; the path of a folder is needed")
    if executor is not None and not hasattr(executor, "submit"):
        raise ValueError(f"executor is {executor!r}; a concurrent.futures.Executor is needed")
    if threads is not None and executor is not None:
        raise ValueError(f"threads {threads} and an executor are given; the executor decides how much runs at once")
    if on_chunk is not None and not callable(on_chunk):
        raise ValueError(f"on_chunk is {on_chunk!r}; a function of (index, rows) is needed")
    if stop is not None and not hasattr(stop, "is_set"):
        raise ValueError(f"stop is {stop!r}; a threading.Event is needed")
    cores = n_threads(threads)
    memory.require(
        planned.memory, "this run", "train fewer or narrower models, record fewer epochs, or pass keep_networks=False"
    )

    result = empty_result(
        specs, settings.record, n_inputs,
        {name: scale for name, dataset in datasets.items() if (scale := scale_of(dataset, loss)) is not None},
        {part for dataset in datasets.values() for part in dataset.parts()}, begin.origin, settings.keep_networks,
        settings.snapshots, settings.keep_state, n_outputs,
    )  # fmt: skip
    with ExitStack() as held:
        run, chunks, done = None, planned.chunks, np.zeros(len(specs), dtype=np.bool_)
        if store is not None:
            run = held.enter_context(Run(store, Request.of(specs, datasets, begin.origin, settings)))
            done[:] = True
            done[run.left(result, begin.epoch)] = False
            left = [chunk[~done[chunk]] for chunk in chunks if not done[chunk].all()]
            chunks = tuple(part for chunk in left for part in run.split(chunk))
        bar = held.enter_context(progress_bar(len(specs), progress, int(done.sum())))
        work = _Work(specs, datasets, begin, run, stop)
        failed: Exception | None = None
        came = held.enter_context(closing(work.rows(chunks, cores, executor)))
        for index, rows in came if run is None else run.keep(came):
            result.assemble(index, rows)
            done[index] = result.fresh[index] = True
            bar.update(len(index))
            if on_chunk is not None and failed is None:
                try:
                    on_chunk(index, reported(index, rows, result))
                except Exception as error:
                    failed = error
                    work.halt()
    if failed is not None:
        raise failed
    if not done.all():
        raise StoppedError(result, done, None if run is None else str(run.folder))
    return result


class _Work:
    """The chunks of a run on their way through an executor."""

    def __init__(
        self, specs: Specs, datasets: Datasets, begin: Beginning, run: Run | None, stop: threading.Event | None
    ) -> None:
        self.specs, self.datasets, self.begin, self.run, self.asked_to_stop = specs, datasets, begin, run, stop
        self.give_up = threading.Event()  # chunks of our own threads look at it
        self.halted = False

    def halt(self) -> None:
        """Begin nothing more, and end what is under way; what is finished is still handed on."""
        self.halted = True
        self.give_up.set()

    def submit(self, pool: Executor, elsewhere: bool, index: NDArray[np.int64]) -> Future[Rows]:
        """Hand a chunk to the executor."""
        begin, run = self.begin, self.run
        name = str(self.specs.data[index[0]])
        data = self.datasets[name] if len(self.datasets) > 1 else next(iter(self.datasets.values()))
        engine = str(begin.origin.engine[index[0]])
        start = None if run is None else run.start(index)
        start = begin.start(index) if start is None else start
        state = None if run is None else run.checkpoint(index)
        if not elsewhere:
            return pool.submit(run_chunk, self.specs[index], data, engine, begin.settings, start, self.give_up, state)
        # An event cannot travel to another process; there, an interrupt reaches the worker itself.
        if state is not None:  # nor does a worker stand in this folder
            state = replace(state, path=state.path.absolute())
        return pool.submit(_run_elsewhere, self.specs[index], data, engine, begin.settings, start, state)

    def rows(
        self, chunks: tuple[NDArray[np.int64], ...], cores: int, executor: Executor | None
    ) -> Generator[tuple[NDArray[np.int64], Rows], None, None]:
        """Run every chunk on the executor and yield them as they finish, a bounded number under way at once."""
        own = ThreadPoolExecutor(cores, "ensemble") if executor is None else None
        pool: Executor = own if own is not None else executor  # type: ignore[assignment]
        window = getattr(executor, "window", WINDOW)  # a cluster takes more
        if own is not None and self.run is not None:
            window = cores + _AHEAD
        waiting = list(chunks[::-1])
        pending: dict[Future[Rows], NDArray[np.int64]] = {}
        patience = None if self.asked_to_stop is None else _POLL_SECONDS
        try:
            while waiting or pending:
                if self.asked_to_stop is not None and self.asked_to_stop.is_set():
                    self.halt()
                if self.halted:
                    waiting.clear()
                    for future in list(pending):
                        # Threads give up at once; what has begun elsewhere cannot be told to, and is not waited for.
                        if future.cancel() or (own is None and not future.done()):
                            del pending[future]
                while waiting and len(pending) < window:
                    index = waiting.pop()
                    pending[self.submit(pool, own is None, index)] = index
                done, _ = wait(pending, patience, return_when=FIRST_COMPLETED)
                failed: Exception | None = None
                for future in done:  # what is finished is handed on before an error ends the run
                    index = pending.pop(future)
                    try:
                        rows = future.result()
                    except CancelledError as error:
                        failed = failed or (None if self.halted else error)
                        continue
                    except Exception as error:
                        failed = failed or error
                        continue
                    yield index, rows
                if failed is not None:
                    raise failed
        except BrokenExecutor as error:
            kept = "nothing was kept" if self.run is None else f"finished chunks are kept in {str(self.run.folder)!r}"
            reason = " ".join(str(error).split()) or "a worker died"
            raise type(error)(
                f"the executor broke ({type(error).__name__}: {reason}); {kept}; train again with a new executor to go "
                "on"
            ) from error
        finally:
            self.give_up.set()
            for future in pending:
                future.cancel()
            if own is not None:
                own.shutdown(wait=True, cancel_futures=True)


def _run_elsewhere(
    specs: Specs, data: Dataset, engine: str, settings: Settings, start: Start | None, state: Checkpoint | None
) -> Rows:
    """Run a chunk in a process that may be on another machine: there, no state is kept without a shared folder."""
    if state is not None and not state.path.parent.is_dir():
        state = None
    return run_chunk(specs, data, engine, settings, start, None, state)
