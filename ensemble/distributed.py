"""Beyond one machine: a Dask cluster as the executor of `training.train`.

`cli` calls `connected` for ``--scheduler``. Dask (extra `dask`) is imported only where a cluster is asked for.

    python scripts/width_study.py --scheduler local             # a process per core
    dask scheduler & dask worker tcp://HOST:8786 --nworkers 8 --nthreads 1
    python scripts/width_study.py --scheduler tcp://HOST:8786

A worker lost: the run goes on. The scheduler lost: the same command again goes on. In a program:

    with Client("tcp://HOST:8786") as client, executor(client) as pool:  # or any concurrent.futures.Executor
        result = ensemble.train(specs, data, epochs=500, executor=pool, store="run")

Workers must have the same versions and the same kind of CPU as the machine that starts the run; others are named and
refused (`NUMBA_CPU_NAME=generic` on all of them makes mixed machines agree). Any executor gives the same bits as
threads: process pools by spawn or forkserver and loky are tested. Without a cluster, an array of batch jobs takes
shares, here eight under Slurm; one that was cut off is submitted again and goes on:

    python scripts/width_study.py --out results/w --shard $SLURM_ARRAY_TASK_ID/8 --threads $SLURM_CPUS_PER_TASK

    python -m ensemble merge results/w/run-*-of-8 --into results/w/run
    python scripts/width_study.py --out results/w        # trains nothing, draws
"""

from __future__ import annotations

import asyncio
import functools
import logging
import signal
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, InvalidStateError
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from typing import Any

from ensemble.data import Dataset
from ensemble.kernels.jit import target
from ensemble.system.extras import load_extra
from ensemble.system.progress import note
from ensemble.system.provenance import DECIDE_BITS, installed

__all__ = ["ClusterExecutor", "OtherWorkerError", "SchedulerLostError", "connected", "executor"]

_CONNECT_SECONDS = 4.0  # together below the ten seconds after which a user gives up
_ANSWER_SECONDS = 5.0
_WATCH_SECONDS = 0.5
_RETRIES = 2  # of a chunk that raises; a chunk whose worker dies is Dask's `allowed-failures`
_WINDOW = 64  # chunks on the cluster at once, or so many per thread:
_WINDOW_PER_THREAD = 3


class OtherWorkerError(ValueError):
    """A worker would compute other bits, or nothing."""


class SchedulerLostError(ConnectionError):
    """The scheduler cannot be reached, or no longer."""


def executor(client: Any) -> ClusterExecutor:
    """Return an executor for ``train(executor=...)`` that runs chunks on a Dask cluster, to be used in a ``with``.

    Each chunk is one serial task: workers need one thread per core, in one process or in several. Where the cluster
    gives up, the ``with`` says why in one line: SchedulerLostError, or BrokenExecutor where a chunk ended its workers.

    Parameters
    ----------
    client : distributed.Client
        Connected; it stays open when the executor is shut down.

    Raises
    ------
    OtherWorkerError
        A worker has another version of relu-ensemble, NumPy or numba, or another kind of CPU.
    SchedulerLostError
        The cluster does not answer.
    """
    return ClusterExecutor(client)


class ClusterExecutor(Executor):
    """Dask's own executor for functions of datasets, each of which is sent once; made by `executor`.

    `window` is how many tasks keep all workers busy.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._pool = client.get_executor(pure=False, retries=_RETRIES)
        self._sent: dict[str, Any] = {}
        self._futures: weakref.WeakSet[Future[Any]] = weakref.WeakSet()
        self._closed = threading.Event()
        self.window = max(_WINDOW, _WINDOW_PER_THREAD * _check_workers(client))
        threading.Thread(target=self._watch, name="ensemble-watch", daemon=True).start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run ``fn(*args, **kwargs)`` on the cluster; a future that is cancelled is given up there too.

        Raises
        ------
        RuntimeError
            The executor is shut down.
        SchedulerLostError
            The scheduler is lost.
        """
        if self._closed.is_set():
            raise RuntimeError("the executor is shut down")
        if self._client.status != "running":
            raise _lost(self._client)
        # Datasets and networks in the graph are meant, so Dask need not advise against them.
        with import_module("dask").config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
            sent = {i: self._send(one) for i, one in enumerate(args) if isinstance(one, Dataset)}
            others = [None if i in sent else one for i, one in enumerate(args)]
            # Dask looks for futures in lists and tuples, but not inside a partial.
            task = functools.partial(_run_task, _decides_bits(), functools.partial(fn, **kwargs), others, list(sent))
            future: Future[Any] = self._pool.submit(task, *sent.values())
        self._futures.add(future)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Forget the data on the cluster; the client stays open."""
        self._closed.set()
        self._sent.clear()

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        self.shutdown()
        if isinstance(error, import_module("distributed").scheduler.KilledWorker):
            died = f"every worker that took up the chunk {error.args[0]} died; see the workers' logs"
            raise BrokenExecutor(f"{died}; what a store holds stays valid") from error
        if isinstance(error, CancelledError):
            if self._client.status != "running":
                raise _lost(self._client) from error
            raise BrokenExecutor(f"the cluster cancelled a chunk: {error}") from error

    def _send(self, data: Dataset) -> Any:
        """Return the cluster's future of a dataset.

        It is a task and not scattered: what is scattered is lost with its worker, a task is done again elsewhere.
        """
        if data.digest not in self._sent:
            self._sent[data.digest] = self._client.submit(functools.partial(_same, data), pure=False)
        return self._sent[data.digest]

    def _watch(self) -> None:
        """End what waits for a lost scheduler: Dask's executor forgets a result that was on its way just then."""
        while not self._closed.wait(_WATCH_SECONDS):
            if self._client.status != "running":
                for future in list(self._futures):
                    with suppress(InvalidStateError):  # it is done
                        future.set_exception(_lost(self._client))


def _check_workers(client: Any) -> int:
    """Require workers that compute the bits of this process, and return how many threads they have."""
    try:  # Dask itself waits without end for a worker that was stopped
        answers = client.sync(client.run, _decides_bits, on_error="return", callback_timeout=_ANSWER_SECONDS)
    except OSError as error:
        raise SchedulerLostError(f"the workers of {_address(client)} do not answer") from error
    for worker, found in sorted(answers.items()):
        if not isinstance(found, OSError):  # a worker that has just left; each task is checked again where it runs
            _require_same(f"worker {worker}", found, _decides_bits())
    if not answers:
        note(f"{_address(client)} has no workers yet; waiting for one")
    return sum(client.nthreads().values())


def _require_same(worker: str, there: Mapping[str, str] | Exception, here: Mapping[str, str]) -> None:
    """Require that a worker has the versions and the kind of CPU that are here."""
    package, version = DECIDE_BITS[0], here[DECIDE_BITS[0]]
    if isinstance(there, Exception):
        raise OtherWorkerError(f"{worker} cannot run {package} {version} ({there}); install {package}=={version} there")
    for name in DECIDE_BITS:
        if there[name] != here[name]:
            raise OtherWorkerError(
                f"{worker} has {name} {there[name]}, this is {here[name]}: the last bits may differ; "
                f"install {name}=={here[name]} there"
            )
    if there != here:
        features = sorted(set(there["features"].split(",")) ^ set(here["features"].split(",")))
        raise OtherWorkerError(
            f"{worker} compiles for the CPU {there['cpu']}, this is {here['cpu']} ({len(features)} features differ): "
            "the last bits may differ; set NUMBA_CPU_NAME=generic in both places"
        )


@functools.cache
def _decides_bits() -> dict[str, str]:
    """Return what the last bits of a result depend on: versions, and what the compiler compiles for."""
    return installed(DECIDE_BITS) | target()


def _lost(client: Any) -> SchedulerLostError:
    return SchedulerLostError(f"the scheduler at {_address(client)} is lost")


def _address(client: Any) -> str:
    return str(getattr(client.scheduler, "address", "the cluster"))


# ---- on a worker ----


def _same(data: Dataset) -> Dataset:
    return data


def _run_task(
    expected: Mapping[str, str], fn: Callable[..., Any], others: list[Any], places: list[int], *data: Dataset
) -> Any:
    """Run a function with datasets at their places; a worker that came after the first check is checked here."""
    _require_same(f"worker {import_module('distributed').get_worker().address}", _decides_bits(), expected)
    datasets = dict(zip(places, data, strict=True))
    return fn(*(datasets.get(i, one) for i, one in enumerate(others)))


# ---- the command line's cluster ----


@contextmanager
def connected(address: str, say: Callable[[str], None] | None = None) -> Iterator[ClusterExecutor]:
    """Connect to a scheduler, or start one with a process per core, and yield its executor.

    Parameters
    ----------
    address : str
        Such as "tcp://HOST:8786"; "local" starts a cluster on this machine and ends it in the end.
    say : callable, optional
        Is given the dashboard's address.

    Raises
    ------
    ImportError
        The extra is not installed.
    SchedulerLostError
        Nothing answers at the address.
    ValueError
        It is not an address that Dask knows.
    OtherWorkerError
        As `executor`.
    """
    distributed = load_extra("distributed", "dask", "Dask clusters")
    with ExitStack() as held, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Dask's tables of versions; what matters is checked and said in one line
        for name in ("distributed", "distributed.client", "tornado", "tornado.application", "asyncio"):
            held.callback(logging.getLogger(name).setLevel, logging.getLogger(name).level)
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        try:
            where: Any = address
            if address == "local":
                with _children_ignoring_ctrl_c():
                    where = held.enter_context(
                        distributed.LocalCluster(
                            threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL
                        )
                    )
            else:  # a client that cannot connect prints a traceback when it is deleted, so none is made before
                asyncio.run(_reach(address))
            client = held.enter_context(distributed.Client(where, timeout=_CONNECT_SECONDS, set_as_default=False))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{address!r} is no address of a scheduler: {error}") from error
        except (OSError, KeyError, RuntimeError) as error:
            reason = str(error) or f"no answer within {_CONNECT_SECONDS:g} s"
            raise SchedulerLostError(f"no scheduler answers at {address!r}: {reason}") from error
        tasks = held.enter_context(executor(client))
        if say is not None and client.dashboard_link:
            say(f"dashboard at {client.dashboard_link}")
        yield tasks


async def _reach(address: str) -> None:
    """Require that a scheduler answers."""
    distributed = import_module("distributed")
    certificates = distributed.Security().get_connection_args("client")  # as Dask's settings name them
    async with distributed.rpc(address, timeout=_CONNECT_SECONDS, connection_args=certificates) as there:
        found = await asyncio.wait_for(there.identity(), _CONNECT_SECONDS)
    if found["type"] != "Scheduler":
        raise ValueError(f"a {found['type'].lower()} answers there")


@contextmanager
def _children_ignoring_ctrl_c() -> Iterator[None]:
    """Start processes that ignore Ctrl-C: a terminal sends it to all, and each would print its traceback."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
