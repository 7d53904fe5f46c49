"""One run folder, one process: a lock that names its holder and ends with it.

Used by `store` around everything that writes to a run folder; reading needs none.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["LockedError", "RunLock"]

_LONGEST = 200  # bytes of the holder's pid and host
_HELD = (errno.EAGAIN, errno.EACCES, errno.EDEADLK, getattr(errno, "EDEADLOCK", errno.EDEADLK))


class LockedError(ValueError):
    """Another process is at work in the folder."""


class RunLock:
    """A lock on a folder, held from ``__enter__`` to ``__exit__``; its file stays behind, empty.

    The operating system's file lock: it ends with the process, however that ends, and on shared disks that support it
    (NFS does) it reaches other machines. Entering raises LockedError, with the holder's pid and host, where another
    process has it; ValueError where `path` is something else than a file of its own, such as a link: nothing is
    followed; OSError where the file cannot be made, or the disk has no locks.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = -1

    def __enter__(self) -> RunLock:
        if self.path.is_symlink():
            raise ValueError(f"{self.path} is a symbolic link, which is not followed here")
        flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | flags, 0o666)
        try:
            found = os.fstat(self._handle)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:  # writing to it would change another file too
                raise ValueError(f"{self.path} is no lock file of this program; remove it")
            try:
                _take(self._handle)
            except OSError as error:
                if error.errno in _HELD:
                    raise LockedError(self._complaint()) from None
                raise OSError(
                    error.errno, f"this disk has no file locks ({error.strerror or error}); choose a folder on another",
                    str(self.path),
                ) from error  # fmt: skip
            content = json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode()
            os.lseek(self._handle, 0, os.SEEK_SET)
            os.write(self._handle, content)
            os.ftruncate(self._handle, len(content))
        except BaseException:
            os.close(self._handle)
            raise
        _LOCKS.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        _LOCKS.discard(self)
        with suppress(OSError):  # the disk may be full or gone: the lock ends with the handle all the same
            os.ftruncate(self._handle, 0)
        os.close(self._handle)

    def _complaint(self) -> str:
        holder: Any = None
        with suppress(ValueError, OSError):
            os.lseek(self._handle, 0, os.SEEK_SET)
            holder = json.loads(os.read(self._handle, _LONGEST))
        known = holder if isinstance(holder, dict) else {}
        who = f"process {known.get('pid', 'unknown')} on {known.get('host', 'unknown')}"
        return f"{str(self.path.parent)!r} is in use by {who}; wait for it, or choose another folder"


_LOCKS: set[RunLock] = set()


def _leave_to_the_parent() -> None:
    """In a forked child: close the handles of locks, which would otherwise live on with the child."""
    for lock in _LOCKS:
        os.close(lock._handle)
    _LOCKS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_the_parent)


def _take(handle: int) -> None:
    """Take the system's lock on an open file without waiting, or raise OSError."""
    if sys.platform == "win32":
        # Windows locks bytes, and against reading too: one far behind the holder's name.
        os.lseek(handle, 2**30, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
