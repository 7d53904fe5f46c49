"""The work of one window: a thread that computes the newest picture asked for, and drops the older ones.

The session hands it settings and is handed pictures; windows share nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.play.picture import Picture, compute
from ensemble.play.settings import Settings
from ensemble.results import Result
from ensemble.specs import Specs
from ensemble.training import StoppedError, train

__all__ = ["Job", "Worker"]


class Job:
    """One picture that was asked for, and the event that stops it."""

    def __init__(self, settings: Settings, content: bytes | None) -> None:
        self.settings, self.content = settings, content
        self.stop = threading.Event()


class Worker:
    """A thread that computes pictures, the newest job first and only.

    Parameters
    ----------
    show : callable
        Called from the thread with a job and a `Picture`.
    progress : callable
        Called with a job, how many of the networks under way are trained, and how many they are.
    end : callable
        Called with a job that has ended, and a sentence where it failed: "" where it was finished, or "stopped".
    """

    def __init__(
        self, show: Callable[[Job, Picture], None], progress: Callable[[Job, int, int], None],
        end: Callable[[Job, str], None],
    ) -> None:  # fmt: skip
        self._show, self._progress, self._end = show, progress, end
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
            waiting, self._next = self._next, None
            self._stop_current()
        if waiting is not None:
            self._end(waiting, "stopped")

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
        def stoppable(specs: Specs, *arguments: Any, **named: Any) -> Result:
            done = 0

            def count(index: NDArray[np.int64], rows: Result) -> None:
                nonlocal done
                done += len(index)
                self._progress(job, done, len(specs))

            return train(specs, *arguments, **named, stop=job.stop, on_chunk=count)

        try:
            for picture in compute(job.settings, job.content, stoppable):
                if job.stop.is_set():
                    return "stopped"
                self._show(job, picture)
        except StoppedError:
            return "stopped"
        except (ValueError, MemoryError) as error:
            return " ".join(str(error).split()) or "there is not enough memory for this"
        return ""
