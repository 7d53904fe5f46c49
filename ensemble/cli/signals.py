"""Ctrl-C and SIGTERM: one line and the right exit status, from the first import to the last line.

`guard` surrounds every command. This file imports nothing heavy, so that its handler is there before anything is.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

__all__ = ["DONE", "FAILED", "INTERRUPTED", "UNREAD", "USAGE", "Stage", "guard", "unread"]

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130  # exit statuses; another signal's is 128 + its number
UNREAD = 141  # what a shell expects of a command whose reader has ended, as in `runs | head -1`
SIGNALS: list[int] = [signal.SIGINT, signal.SIGTERM, *([signal.SIGALRM] if hasattr(signal, "SIGALRM") else [])]
AGAIN = 1.0  # seconds until a signal that had no effect comes again


class Stage:
    """How far a command is: `words` go into the line that is printed where a signal ends it."""

    def __init__(self) -> None:
        self.words = "interrupted"


def unread() -> bool:
    """Return whether the program that read what this one prints has ended."""
    if not hasattr(select, "poll"):  # Windows
        return False
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a stream that is no file, or is closed
            poll = select.poll()
            poll.register(stream.fileno(), 0)
            if any(event & select.POLLERR for _, event in poll.poll(0)):
                return True
    return False


def guard(name: str, body: Callable[[Stage], int], *, last: bool = False) -> int:
    """Run a command's body and return its exit status; SIGINT and SIGTERM end it in one line and 130 or 143.

    A signal raises KeyboardInterrupt in the body. Libraries may turn that into another error, or lose it in a callback
    of C code, which Python only prints: so any error after a signal counts as its effect, and where nothing has ended
    after a second, it is raised again. A signal that the process was told to ignore, such as Ctrl-C in a background
    job of a script, stays ignored.

    Where the reader of what is printed has ended, so does the command, without a word.

    Parameters
    ----------
    name : str
        Of the command, the start of the line.
    body : callable
        Takes the `Stage`, whose words it keeps up to date.
    last : bool
        The process ends afterwards: its last moments are not disturbed by another signal.
    """
    stage = Stage()
    caught: list[int] = []
    ended = False

    def stop(number: int, _: Any) -> None:
        if ended:
            return
        if number in SIGNALS[:2]:
            caught.append(number)
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, AGAIN)
        raise KeyboardInterrupt

    def unraisable(found: Any) -> None:
        if not caught:
            hook(found)

    hook, sys.unraisablehook = sys.unraisablehook, unraisable
    before: dict[int, Any] = {}
    try:
        with suppress(ValueError):  # in a thread: Python handles signals in the main thread alone
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    before[number] = signal.signal(number, stop)
        status = body(stage)
        sys.stdout.flush()
        ended = True
    except BaseException as error:
        ended = True
        if isinstance(error, BrokenPipeError) and not caught and unread():
            status = UNREAD
        elif not caught and not isinstance(error, KeyboardInterrupt):
            raise
        else:
            status = INTERRUPTED
    finally:
        if before and hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if last else handler)
        sys.unraisablehook = hook
    if caught:
        status = 128 + caught[0]
    if status == UNREAD and last:  # nothing is left to be said, and Python would, about its buffers
        os._exit(status)
    if status >= INTERRUPTED and status != UNREAD:
        print(f"{name}: {stage.words}", file=sys.stderr)
        if last:  # a library that was interrupted while it was imported can crash in the interpreter's own end
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    return status
