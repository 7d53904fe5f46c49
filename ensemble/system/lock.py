"""One run folder, one process: a lock that names its holder and that no dead process keeps.

Used by `store.py` around everything that writes to a run folder.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["LockedError", "RunLock"]

_BEAT = 1.0  # seconds between two signs of life
_DEAD_AFTER = 4.0  # without a sign of life from another machine; a dead process of this one is known at once


class LockedError(ValueError):
    """Another process is at work in the folder."""


class RunLock:
    """A lock on a folder, held from ``__enter__`` to ``__exit__``.

    On one machine the operating system's file lock decides: it ends with the process, however that ends. It may not
    reach other machines that share the folder; there a counter, raised every second by the holder, shows whether the
    holder lives.

    Parameters
    ----------
    path : Path
        The lock file; it stays behind, empty, when the lock is released.

    Raises
    ------
    LockedError
        On entering, where another process holds the lock; with its pid and host.
    OSError
        The file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = -1
        self._stop = threading.Event()
        self._beats = threading.Thread(target=self._beat, name="ensemble-lock", daemon=True)

    def __enter__(self) -> RunLock:
        self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _try_lock(self._handle):
                raise LockedError(self._complaint(self._holder()))
            holder = self._holder()
            if holder and holder.get("host") != socket.gethostname() and self._lives(holder):
                raise LockedError(self._complaint(holder))
            self._count = 0
            self._write()
        except BaseException:
            os.close(self._handle)
            raise
        _HELD.add(self)
        self._beats.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._beats.join()
        _HELD.discard(self)
        with suppress(OSError):  # the disk may be full or gone: the lock ends with the handle all the same
            os.ftruncate(self._handle, 0)
        os.close(self._handle)

    def _write(self) -> None:
        content = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "beats": self._count}).encode()
        os.pwrite(self._handle, content.ljust(200), 0)

    def _beat(self) -> None:
        while not self._stop.wait(_BEAT):
            self._count += 1
            with suppress(OSError):
                self._write()

    def _holder(self) -> dict[str, Any]:
        try:
            found = json.loads(os.pread(self._handle, 200, 0))
            return found if isinstance(found, dict) else {}
        except (ValueError, OSError):
            return {}

    def _lives(self, holder: dict[str, Any]) -> bool:
        """Watch another machine's holder until it gives a sign of life, or long enough."""
        end = time.monotonic() + _DEAD_AFTER
        while time.monotonic() < end:
            time.sleep(0.2)
            if self._holder() != holder:
                return True
        return False

    def _complaint(self, holder: dict[str, Any]) -> str:
        who = f"process {holder.get('pid', 'unknown')} on {holder.get('host', 'unknown')}"
        return f"{str(self.path.parent)!r} is in use by {who}; wait for it, or choose another folder"


_HELD: set[RunLock] = set()


def _leave_to_the_parent() -> None:
    """In a forked child: close the handles of locks, which would otherwise live on with the child."""
    for lock in _HELD:
        os.close(lock._handle)
    _HELD.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_the_parent)


def _try_lock(handle: int) -> bool:
    """Take the operating system's lock on an open file, without waiting; True also where there is none to take."""
    try:
        import fcntl
    except ImportError:  # not POSIX
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: the counter remains
        return True
    return True
