"""Figures drawn as the content of files by helper processes, while the caller goes on with other work.

A study's `save` hands over its figures first and collects them last. What no helper has begun the caller draws itself,
so that a helper that cannot start or fails costs time only.
"""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from threading import Thread
from types import TracebackType

import matplotlib
from matplotlib.figure import Figure

from ensemble.plots.rendering import render

__all__ = ["Drawing", "serve"]

# A new interpreter, and no fork: threads may be running here. Nor multiprocessing, which would run the user's script
# again where it has no `if __name__ == "__main__"`.
_SERVE = "import sys; sys.path[:] = sys.argv[1:]; from ensemble.plots.drawing import serve; serve()"


class Drawing:
    """Figures on their way to files.

    Leaving the `with` block ends the helpers, whatever was interrupted.

    Parameters
    ----------
    figures : mapping of Figure by file name without suffix
    formats : sequence of str
        "png", "svg", "pdf".
    configuration : str
        As in `render`.
    helpers : int
        Processes beside this one, 0 or more.
    """

    def __init__(
        self, figures: Mapping[str, Figure], formats: Sequence[str], configuration: str = "", helpers: int = 0
    ) -> None:
        self._formats, self._configuration = tuple(formats), configuration
        self._order = [f"{name}.{suffix}" for name in figures for suffix in formats]
        self._waiting = deque(figures.items())
        self._done: dict[str, bytes] = {}
        self._processes: list[subprocess.Popen[bytes]] = []
        self._threads: list[Thread] = []
        for _ in range(helpers if sys.executable else 0):
            try:
                process = subprocess.Popen(
                    [sys.executable, "-c", _SERVE, *sys.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,  # a figure that fails there is drawn here, and says why
                )  # fmt: skip
            except OSError:  # no process can be started: all is drawn here
                break
            self._processes.append(process)
            self._threads.append(Thread(target=self._feed, args=(process,), daemon=True))
            self._threads[-1].start()

    def __enter__(self) -> Drawing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()
        for thread in self._threads:
            thread.join()
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
        for thread in self._threads:
            thread.join()
        self._draw_waiting()  # what a helper gave back
        return {name: self._done[name] for name in self._order}

    def _draw_waiting(self) -> None:
        while self._waiting:
            name, figure = self._waiting.popleft()
            self._done |= contents(name, figure, self._formats, self._configuration)

    def _feed(self, process: subprocess.Popen[bytes]) -> None:
        """Give a helper one figure after another. One that it does not return is left to the caller."""
        assert process.stdin is not None and process.stdout is not None
        try:
            settings = {name: value for name, value in matplotlib.rcParams.items() if name != "backend"}
            pickle.dump((self._formats, self._configuration, settings), process.stdin)
            while True:
                try:
                    name, figure = self._waiting.popleft()
                except IndexError:
                    return
                try:
                    pickle.dump((name, figure), process.stdin)
                    process.stdin.flush()
                    self._done |= pickle.load(process.stdout)
                except BaseException:
                    self._waiting.append((name, figure))
                    raise
        except Exception:  # a figure that cannot be sent, a helper that is gone: the caller draws
            return


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
    while True:
        try:
            name, figure = pickle.load(source)
        except EOFError:
            return
        pickle.dump(contents(name, figure, formats, configuration), sink)
        sink.flush()
