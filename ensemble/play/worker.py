"""The work of one window: a thread that computes the newest picture asked for, and drops the older ones.

The session hands it settings and is handed pictures; windows share the pool of threads and nothing else.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

from ensemble.play.picture import Picture, compute
from ensemble.play.settings import Settings
from ensemble.results import Result
from ensemble.training import train

__all__ = ["Job", "Stopped", "Worker", "make_pool"]

Progress = Callable[[int, int], None]  # (chunks done, chunks known)


class Stopped(Exception):
    """The work was stopped, or newer work came."""


def make_pool() -> ThreadPoolExecutor:
    """Return the threads that all windows train on, one per core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ThreadPoolExecutor(cores, "play")


class Lane(Executor):
    """A window's share of the pool: its chunks do nothing once the window has asked them to stop."""

    def __init__(self, pool: Executor, stop: threading.Event, progress: Progress) -> None:
        self._pool, self._stop, self._progress = pool, stop, progress
        self._known = self._done = 0

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Hand a chunk to the pool."""
        if self._stop.is_set():
            raise Stopped
        self._known += 1

        def run() -> Any:
            if self._stop.is_set():
                raise Stopped
            found = function(*arguments, **named)
            self._done += 1
            self._progress(self._done, self._known)
            return found

        return self._pool.submit(run)


class Job:
    """One picture that was asked for, and the event that stops it."""

    def __init__(self, settings: Settings, content: bytes | None) -> None:
        self.settings, self.content = settings, content
        self.stop = threading.Event()


class Worker:
    """A thread that computes pictures, the newest job first and only.

    Parameters
    ----------
    pool : Executor
        Where chunks are trained.
    show : callable
        Called from the thread with a job and a `Picture`.
    progress : callable
        Called with a job, and how many chunks are done and known.
    end : callable
        Called with a job that has ended, and a sentence where it failed: "" where it was finished, or "stopped".
    """

    def __init__(
        self, pool: Executor, show: Callable[[Job, Picture], None], progress: Callable[[Job, int, int], None],
        end: Callable[[Job, str], None],
    ) -> None:  # fmt: skip
        self._pool, self._show, self._progress, self._end = pool, show, progress, end
        self._wake = threading.Condition()
        self._next: Job | None = None
        self._current: Job | None = None
        self._closed = False
        self.thread = threading.Thread(target=self._loop, name="play-window", daemon=True)
        self.thread.start()

    def submit(self, job: Job) -> None:
        """Compute a job; what is under way is stopped."""
        with self._wake:
            self._next = job
            self._stop_current()
            self._wake.notify()

    def stop(self) -> None:
        """Stop what is under way and what waits."""
        with self._wake:
            self._next = None
            self._stop_current()

    def close(self) -> None:
        """Stop, and end the thread."""
        with self._wake:
            self._closed = True
            self._next = None
            self._stop_current()
            self._wake.notify()

    def _stop_current(self) -> None:
        if self._current is not None:
            self._current.stop.set()

    def _loop(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closed or self._next is not None)
                if self._closed:
                    return
                job, self._next = self._next, None
                self._current = job
            assert job is not None
            self._end(job, self._run(job))
            with self._wake:
                self._current = None

    def _run(self, job: Job) -> str:
        lane = Lane(self._pool, job.stop, lambda done, known: self._progress(job, done, known))

        def stoppable(*arguments: Any, **named: Any) -> Result:
            if job.stop.is_set():
                raise Stopped
            return train(*arguments, **named, executor=lane)

        try:
            for picture in compute(job.settings, job.content, stoppable):
                if job.stop.is_set():
                    return "stopped"
                self._show(job, picture)
        except Stopped:
            return "stopped"
        except (ValueError, MemoryError) as error:
            return " ".join(str(error).split()) or "there is not enough memory for this"
        return ""
