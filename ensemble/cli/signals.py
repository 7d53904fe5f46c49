"""Ctrl-C and SIGTERM: one line and the right exit status, from the first import to the last line.

`guard` surrounds every command. This file imports nothing heavy, so that its handler is there before anything is.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

__all__ = ["DONE", "FAILED", "INTERRUPTED", "USAGE", "Stage", "guard"]

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130  # exit statuses; another signal's is 128 + its number
SIGNALS: list[int] = [signal.SIGINT, signal.SIGTERM, *([signal.SIGALRM] if hasattr(signal, "SIGALRM") else [])]
AGAIN = 1.0  # seconds until a signal that had no effect comes again


class Stage:
    """How far a command is: `words` go into the line that is printed where a signal ends it."""

    def __init__(self) -> None:
        self.words = "interrupted"


def guard(name: str, body: Callable[[Stage], int], *, last: bool = False) -> int:
    """Run a command's body and return its exit status; SIGINT and SIGTERM end it in one line and 130 or 143.

    A signal raises KeyboardInterrupt in the body. Libraries may turn that into another error, or lose it in a callback
    of C code, which Python only prints: so any error after a signal counts as its effect, and where nothing has ended
    after a second, it is raised again. A signal that the process was told to ignore, such as Ctrl-C in a background
    job of a script, stays ignored.

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
        ended = True
    except BaseException as error:
        ended = True
        if not caught and not isinstance(error, KeyboardInterrupt):
            raise
        status = INTERRUPTED
    finally:
        if before and hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if last else handler)
        sys.unraisablehook = hook
    if caught:
        status = 128 + caught[0]
    if status >= INTERRUPTED:
        print(f"{name}: {stage.words}", file=sys.stderr)
        if last:  # a library that was interrupted while it was imported can crash in the interpreter's own end
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    return status
