"""Training in one pass: run the chunks of a plan on an executor, and assemble what comes back.

Takes `specs` and `data`, hands chunks to `engines.run_chunk`, and leaves a `Result`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Dataset
from ensemble.engines import Checkpoint, Rows, Settings, choose_engines, run_chunk
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
    check_initial,
    in_batches,
    make_settings,
    n_threads,
    named_datasets,
)

__all__ = ["train"]

WINDOW = 64  # chunks handed to the executor at once
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
    initial: NetworkStack | None = None,
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
        Passes of each model over its training data, one update each or one for each of its batches; "epoch e" is after
        e passes. 0 returns the initial networks.
    loss : {"mse"}
        What is minimized and recorded: the mean over the samples of (p - y)^2.
    record : sequence of int, optional
        Epochs at which errors are kept; 0 and `epochs` always are. Default: about 50, geometric.
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
    settings = make_settings(epochs, record, snapshots, keep_networks, loss)
    datasets = named_datasets(specs, data)
    n_inputs = next(iter(datasets.values())).n_inputs
    check_initial(initial, specs, datasets)
    engines = choose_engines(engine, specs, n_inputs, loss, in_batches(specs, datasets))
    planned = make_plan(specs, datasets, engines, settings, initial)
    if store is not None and (not isinstance(store, (str, os.PathLike)) or not os.fspath(store)):
        raise ValueError(f"store is {store!r}; the path of a folder is needed")
    if executor is not None and not hasattr(executor, "submit"):
        raise ValueError(f"executor is {executor!r}; a concurrent.futures.Executor is needed")
    if threads is not None and executor is not None:
        raise ValueError(f"threads {threads} and an executor are given; the executor decides how much runs at once")
    cores = n_threads(threads)
    memory.require(
        planned.memory, "this run", "train fewer or narrower models, record fewer epochs, or pass keep_networks=False"
    )

    result = empty_result(
        specs, settings.record, n_inputs,
        {name: dataset.scale for name, dataset in datasets.items() if dataset.scale is not None},
        {part for dataset in datasets.values() for part in dataset.parts()}, settings.keep_networks, settings.snapshots,
    )  # fmt: skip
    with ExitStack() as held:
        run, chunks, left = None, planned.chunks, np.ones(len(specs), dtype=np.bool_)
        if store is not None:
            run = held.enter_context(Run(store, Request.of(specs, datasets, engines, settings, initial)))
            left[:] = False
            left[run.left(result)] = True
            chunks = tuple(chunk[left[chunk]] for chunk in chunks if left[chunk].any())
        bar = held.enter_context(progress_bar(len(specs), progress, int((~left).sum())))
        came = held.enter_context(
            closing(_run(chunks, specs, datasets, engines, settings, initial, cores, executor, run))
        )
        for index, rows in came if run is None else run.keep(came):
            result.assemble(index, rows)
            result.fresh[index] = True
            bar.update(len(index))
    return result


def _run(
    chunks: tuple[NDArray[np.int64], ...],
    specs: Specs,
    datasets: Datasets,
    engines: NDArray[np.str_],
    settings: Settings,
    initial: NetworkStack | None,
    cores: int,
    executor: Executor | None,
    run: Run | None,
) -> Generator[tuple[NDArray[np.int64], Rows], None, None]:
    """Run every chunk on the executor and yield them as they finish, a bounded number under way at once."""
    stop = threading.Event()
    own = ThreadPoolExecutor(cores, "ensemble") if executor is None else None
    pool: Executor = own if own is not None else executor  # type: ignore[assignment]
    window = getattr(executor, "window", WINDOW)  # a cluster takes more
    if own is not None and run is not None:
        window = cores + _AHEAD
    waiting = list(chunks[::-1])
    pending: dict[Future[Rows], NDArray[np.int64]] = {}
    try:
        while waiting or pending:
            while waiting and len(pending) < window:
                index = waiting.pop()
                data = datasets[str(specs.data[index[0]])] if len(datasets) > 1 else next(iter(datasets.values()))
                engine = str(engines[index[0]])
                start = None if initial is None else initial.take(index)
                state = None if run is None else run.checkpoint(index)
                if own is not None:
                    future = pool.submit(run_chunk, specs[index], data, engine, settings, start, stop, state)
                else:  # an event cannot travel to another process; there, an interrupt reaches the worker itself
                    if state is not None:  # nor does a worker stand in this folder
                        state = replace(state, path=state.path.absolute())
                    future = pool.submit(_run_elsewhere, specs[index], data, engine, settings, start, state)
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
    specs: Specs, data: Dataset, engine: str, settings: Settings, initial: NetworkStack | None,
    state: Checkpoint | None,
) -> Rows:  # fmt: skip
    """Run a chunk in a process that may be on another machine: there, no state is kept without a shared folder."""
    if state is not None and not state.path.parent.is_dir():
        state = None
    return run_chunk(specs, data, engine, settings, initial, None, state)
