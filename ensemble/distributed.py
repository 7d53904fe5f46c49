"""Beyond one machine: a Dask cluster as the executor of `training.train`, and shards for schedulers of jobs.

`cli` calls `connected` for ``--scheduler`` and `shard` for ``--shard``. Dask (extra `dask`) is imported only where a
cluster is asked for.
"""

from __future__ import annotations

import functools
import itertools
import logging
import signal
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module, metadata
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Dataset
from ensemble.engines import choose_engine, epoch_seconds
from ensemble.specs import Specs
from ensemble.system.progress import note
from ensemble.system.provenance import DECIDE_BITS, installed

__all__ = [
    "ClusterExecutor",
    "OtherVersionError",
    "SchedulerLostError",
    "connected",
    "executor",
    "parse_shard",
    "shard",
]

_CONNECT_SECONDS = 4.0  # together below the ten seconds after which a user gives up
_ANSWER_SECONDS = 5.0
_RETRIES = 2  # of a chunk that raises; a chunk whose worker dies is Dask's `allowed-failures`
_WINDOW = 64  # chunks on the cluster at once, or so many per thread:
_WINDOW_PER_THREAD = 3


class OtherVersionError(ValueError):
    """A worker would compute other bits, or nothing."""


class SchedulerLostError(ConnectionError):
    """The scheduler cannot be reached, or no longer."""


def executor(client: Any) -> ClusterExecutor:
    """Return an executor for ``train(executor=...)`` that runs chunks on a Dask cluster.

    Each chunk is one serial task: workers need one thread per core, in one process or in several.

    Parameters
    ----------
    client : distributed.Client
        Connected; it stays open when the executor is shut down.

    Raises
    ------
    OtherVersionError
        A worker has another version of relu-ensemble, NumPy or numba.
    SchedulerLostError
        The cluster does not answer.
    """
    return ClusterExecutor(client)


class ClusterExecutor(Executor):
    """Tasks on a Dask cluster as futures of `concurrent.futures`; made by `executor`.

    A `Dataset` among a task's arguments is sent to the cluster once, as a task of its own: a worker that dies takes
    no data with it that could not be made again.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._token = uuid.uuid4().hex[:12]  # two runs on one scheduler never share a key
        self._numbers = itertools.count()
        self._sent: dict[str, Any] = {}
        self._closed = False
        threads = self._check_workers()
        self.window = max(_WINDOW, _WINDOW_PER_THREAD * threads)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run ``fn(*args, **kwargs)`` on the cluster; a future that is cancelled is given up there too."""
        if self._closed:
            raise RuntimeError("the executor is shut down")
        if self._client.status != "running":
            raise self._lost()
        data = [one for one in args if isinstance(one, Dataset)]
        call = _Call(fn, tuple(_HERE if isinstance(one, Dataset) else one for one in args), kwargs)
        theirs = self._client.submit(
            _execute, call, _versions(), *map(self._send, data),
            key=(f"ensemble-chunk-{self._token}", next(self._numbers)), pure=False, retries=_RETRIES,
        )  # fmt: skip
        mine: Future[Any] = Future()

        def give_up(future: Future[Any]) -> None:
            if future.cancelled() and self._client.status == "running":
                with suppress(Exception):  # the cluster may be gone by now
                    theirs.cancel()

        def hand_over(finished: Any) -> None:
            if mine.set_running_or_notify_cancel():
                try:
                    mine.set_result(finished.result())
                except BaseException as error:
                    mine.set_exception(self._explained(error))

        mine.add_done_callback(give_up)
        theirs.add_done_callback(hand_over)
        return mine

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Forget the data on the cluster; the client stays open."""
        self._closed = True
        self._sent.clear()

    def _send(self, data: Dataset) -> Any:
        """Return the cluster's future of a dataset."""
        if data.digest not in self._sent:
            # A dataset in the graph is what is meant here, so Dask need not advise against it.
            with import_module("dask").config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
                self._sent[data.digest] = self._client.submit(
                    _same, _Sealed(data), key=(f"ensemble-data-{self._token}", len(self._sent)), pure=False
                )
        return self._sent[data.digest]

    def _check_workers(self) -> int:
        """Compare the workers' versions with those here and return how many threads they have."""
        here = _versions()
        answers: dict[str, Any] = {}

        def ask() -> None:
            # A function of the standard library: a worker without this package can run it too.
            for name in DECIDE_BITS:
                answers[name] = self._client.run(metadata.version, name, on_error="return")
            answers["threads"] = self._client.nthreads()

        thread = threading.Thread(target=_quietly, args=(ask,), name="ensemble-versions", daemon=True)
        thread.start()
        thread.join(_ANSWER_SECONDS)
        if "threads" not in answers:
            raise SchedulerLostError(f"the workers of {_address(self._client)} do not answer")
        for name in DECIDE_BITS:
            for worker, found in sorted(answers[name].items()):
                there = found if isinstance(found, str) else "none"
                if there != here[name] and (here[name] != "unknown" or there != "none"):
                    raise OtherVersionError(_complaint(f"worker {worker}", name, there, here[name]))
        if not answers["threads"]:
            note(f"{_address(self._client)} has no workers yet; waiting for one")
        return sum(answers["threads"].values())

    def _lost(self) -> SchedulerLostError:
        return SchedulerLostError(f"the scheduler at {_address(self._client)} is lost")

    def _explained(self, error: BaseException) -> BaseException:
        """Return what to tell a user about a task that failed."""
        if isinstance(error, import_module("distributed.scheduler").KilledWorker):
            return BrokenExecutor(f"every worker that took up the chunk {error.args[0]} died; see the workers' logs")
        given_up = isinstance(error, CancelledError) or type(error).__name__ == "CancelledError"
        if self._client.status != "running" and (given_up or isinstance(error, (OSError, TimeoutError))):
            return self._lost()
        if given_up or not isinstance(error, Exception):
            return BrokenExecutor(f"the cluster cancelled a chunk: {error}")
        return error


def _quietly(ask: Callable[[], None]) -> None:
    with suppress(Exception):  # no answer: the caller sees it
        ask()


# ---- on a worker ----


class _Here(NamedTuple):
    """Where a dataset goes among the arguments."""


_HERE = _Here()


class _Sealed:
    """Something that Dask shall not look into for futures."""

    def __init__(self, content: Any) -> None:
        self.content = content


class _Call:
    """A function and its arguments, sealed likewise."""

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self.fn, self.args, self.kwargs = fn, args, kwargs


def _same(sealed: _Sealed) -> Any:
    return sealed.content


def _execute(call: _Call, versions: Mapping[str, str], *data: Dataset) -> Any:
    """Run a call; a worker that came after the first check is checked here."""
    for name, version in _versions().items():
        if version != versions[name]:
            raise OtherVersionError(_complaint("a worker", name, version, versions[name]))
    datasets = iter(data)
    return call.fn(*(next(datasets) if isinstance(one, _Here) else one for one in call.args), **call.kwargs)


@functools.cache
def _versions() -> dict[str, str]:
    return installed(DECIDE_BITS)


def _complaint(worker: str, name: str, there: str, here: str) -> str:
    return f"{worker} has {name} {there}, this is {here}: the last bits may differ; install {name}=={here} there"


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
    OtherVersionError
        As `executor`.
    """
    try:
        distributed = import_module("distributed")
    except ImportError as error:
        raise ImportError(
            "a Dask cluster needs the extra 'dask', which is not installed: pip install 'relu-ensemble[dask]'"
        ) from error
    with ExitStack() as held, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Dask's tables of versions; what matters is checked and said in one line
        for name in ("distributed", "distributed.client", "tornado", "tornado.application", "asyncio"):
            held.callback(logging.getLogger(name).setLevel, logging.getLogger(name).level)
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        try:
            if address == "local":
                with _deaf_children():
                    target: Any = held.enter_context(
                        distributed.LocalCluster(
                            threads_per_worker=1, n_workers=_cores(), processes=True,
                            dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL,
                        )
                    )  # fmt: skip
            else:
                target = address

            def connect() -> Any:
                return distributed.Client(target, timeout=_CONNECT_SECONDS, set_as_default=False)

            client = held.enter_context(_in_time(connect))
        except (OSError, ValueError, TypeError, KeyError) as error:
            reason = str(error) or type(error).__name__
            raise SchedulerLostError(f"no scheduler answers at {address!r}: {reason}") from error
        tasks = held.enter_context(executor(client))
        if say is not None and client.dashboard_link:
            say(f"dashboard at {client.dashboard_link}")
        yield tasks


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Start processes that do not hear Ctrl-C: a terminal sends it to all, and each would print its traceback."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _in_time(connect: Callable[[], Any]) -> Any:
    """Return what `connect` returns; Dask waits without end for something that listens and never answers."""
    outcome: Future[Any] = Future()

    def attempt() -> None:
        try:
            outcome.set_result(connect())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=attempt, name="ensemble-connect", daemon=True).start()
    try:
        return outcome.result(_CONNECT_SECONDS + 1)
    except TimeoutError as error:
        raise OSError(f"no answer within {_CONNECT_SECONDS:g} s") from error


def _address(client: Any) -> str:
    scheduler = getattr(client, "scheduler", None)
    return str(getattr(scheduler, "address", "the cluster"))


def _cores() -> int:
    from ensemble.training.request import n_threads

    return n_threads(None)


# ---- shards ----


def shard(specs: Specs, datasets: Mapping[str, Dataset], number: int, count: int) -> NDArray[np.int64]:
    """Return the rows of the specs that are shard `number` of `count`, counted from 1; all shards cost about the same.

    Raises
    ------
    ValueError
        The number is not among 1 ... count, or there are fewer models than shards.
    """
    if not 1 <= number <= count:
        raise ValueError(f"shard {number}/{count} is not allowed; K/N with 1 <= K <= N is needed")
    if count > len(specs):
        raise ValueError(f"shard {number}/{count} is not allowed; there are only {len(specs)} models to share out")
    cost = np.empty(len(specs))
    for name in np.unique(specs.data).tolist():
        index = np.flatnonzero(specs.data == name)
        data = datasets[name]
        cost[index] = epoch_seconds(choose_engine("auto", data.n_inputs), specs[index], data)
    return np.sort(np.argsort(cost, kind="stable")[number - 1 :: count])


def parse_shard(text: str) -> tuple[int, int]:
    """Return K and N of "K/N"."""
    parts: Sequence[str] = text.split("/")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"shard {text!r} is not allowed; K/N such as 1/8 is needed")
    number, count = map(int, parts)
    if not 1 <= number <= count:
        raise ValueError(f"shard {text!r} is not allowed; K/N with 1 <= K <= N is needed")
    return number, count
