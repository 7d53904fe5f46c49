"""Figures drawn as the content of files by helper processes, while the caller goes on with other work.

A study's `save` hands over its figures first and collects them last. Helpers start while the figures are made. What
no helper has begun the caller draws itself, so that a helper that is late, cannot start or fails costs time only.
"""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue
from threading import Thread

import matplotlib
from matplotlib.figure import Figure

from ensemble.plots.rendering import render

__all__ = ["Drawing", "serve"]

# A new interpreter, and no fork: threads may be running here. Nor multiprocessing, which would run the user's script
# again where it has no `if __name__ == "__main__"`. Its search for garbage would take an eighth of a short life.
_SERVE = "import gc, sys; gc.disable(); sys.path[:] = sys.argv[1:]; from ensemble.plots.drawing import serve; serve()"


class Drawing:
    """Figures on their way to files.

    They are made when the `with` block is entered; leaving it ends the helpers, whatever was interrupted.

    Parameters
    ----------
    figures : callable
        Returns pairs of a file name without suffix and a Figure. One is drawn while the next is made.
    formats : sequence of str
        "png", "svg", "pdf".
    configuration : str
        As in `render`.
    helpers : int
        Processes beside this one, 0 or more.
    """

    def __init__(
        self, figures: Callable[[], Iterable[tuple[str, Figure]]], formats: Sequence[str], configuration: str = "",
        helpers: int = 0,
    ) -> None:  # fmt: skip
        self._figures, self._formats, self._configuration = figures, tuple(formats), configuration
        self._helpers = helpers if sys.executable else 0
        self._order: list[str] = []
        self._waiting: SimpleQueue[tuple[str, Figure] | None] = SimpleQueue()
        self._done: dict[str, bytes] = {}
        self._processes: list[subprocess.Popen[bytes]] = []
        self._busy: set[subprocess.Popen[bytes]] = set()
        self._threads: list[Thread] = []

    def __enter__(self) -> Drawing:
        try:
            for _ in range(self._helpers):
                self._start_helper()
            for name, figure in self._figures():
                self._order += [f"{name}.{suffix}" for suffix in self._formats]
                self._waiting.put((name, figure))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the helpers."""
        for process in self._processes:
            process.kill()
        self._join()
        for process in self._processes:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with contextlib.suppress(OSError):  # what was not sent has no reader
                    pipe.close()

    def finish(self) -> dict[str, bytes]:
        """Return the content of every file by its name, in the order of figures and formats.

        Raises
        ------
        RuntimeError
            A figure cannot be drawn; the message names its file.
        """
        self._draw_waiting()
        for process in self._processes:
            if process not in self._busy:  # perhaps not even ready: there is nothing left to wait for
                process.kill()
        self._join()
        self._draw_waiting()  # what a helper gave back
        return {name: self._done[name] for name in self._order}

    def _draw_waiting(self) -> None:
        with contextlib.suppress(Empty):
            while True:
                if (item := self._waiting.get_nowait()) is not None:
                    self._done |= contents(*item, self._formats, self._configuration)

    def _join(self) -> None:
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _start_helper(self) -> None:
        with contextlib.suppress(OSError):  # no process can be started: all is drawn here
            process = subprocess.Popen(
                [sys.executable, "-c", _SERVE, *sys.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # a figure that fails there is drawn here, and says why
            )  # fmt: skip
            self._processes.append(process)
            self._threads.append(Thread(target=self._feed, args=(process,), daemon=True))
            self._threads[-1].start()

    def _feed(self, process: subprocess.Popen[bytes]) -> None:
        """Give a helper one figure after another. One that it does not return is left to the caller."""
        assert process.stdin is not None and process.stdout is not None
        item = None
        # What fails is a figure that cannot be sent, or a helper that is gone: the caller draws.
        with contextlib.suppress(Exception):
            settings = {name: value for name, value in matplotlib.rcParams.items() if name != "backend"}
            pickle.dump((self._formats, self._configuration, settings), process.stdin)
            process.stdin.flush()
            pickle.load(process.stdout)  # it is ready
            while (item := self._waiting.get()) is not None:
                self._busy.add(process)
                pickle.dump(item, process.stdin)
                process.stdin.flush()
                self._done |= pickle.load(process.stdout)
                self._busy.discard(process)
        if item is not None:
            self._waiting.put(item)


def contents(name: str, figure: Figure, formats: Sequence[str], configuration: str) -> dict[str, bytes]:
    """Return the files of a figure by name, or raise a RuntimeError that says which cannot be drawn."""
    found = {}
    for suffix in formats:
        try:
            found[f"{name}.{suffix}"] = render(figure, suffix, configuration)
        except Exception as error:
            raise RuntimeError(f"{name}.{suffix} cannot be drawn: {error}") from error
    return found


def serve() -> None:
    """Draw what comes through standard input until it ends: the life of a helper."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    formats, configuration, settings = pickle.load(source)
    matplotlib.rcParams.update(settings)
    pickle.dump("ready", sink)
    sink.flush()
    while True:
        try:
            name, figure = pickle.load(source)
        except EOFError:
            return
        pickle.dump(contents(name, figure, formats, configuration), sink)
        sink.flush()
