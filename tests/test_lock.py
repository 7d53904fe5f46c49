"""R11: one process at a time in a run folder, and none that is dead."""

import errno
import os
import signal
import sys
import types
from importlib import util

import pytest
from stored import make_specs, python, train

from ensemble import store
from ensemble.system import lock

pytestmark = pytest.mark.jit_heavy

HOLD = """
import sys, time
from pathlib import Path
from ensemble.system.lock import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path):
    train(make_specs(1), store=tmp_path)
    holder = python(HOLD, tmp_path / "lock")
    try:
        assert holder.stdout.readline() == "held\n"
        for attempt in (lambda: train(make_specs(), store=tmp_path), lambda: store.clear(tmp_path)):
            with pytest.raises(ValueError, match=f"in use by process {holder.pid} on {os.uname().nodename}"):
                attempt()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        train(make_specs(), store=tmp_path)
    finally:
        holder.kill()
        holder.communicate()


def test_the_same_process_twice(tmp_path):
    train(make_specs(), store=tmp_path)
    with lock.RunLock(tmp_path / "lock"), pytest.raises(ValueError, match=f"in use by process {os.getpid()}"):
        train(make_specs(), store=tmp_path)
    train(make_specs(), store=tmp_path)


def test_a_forked_child_does_not_keep_its_parents_lock(tmp_path):
    code = (
        "import os, sys, time; from pathlib import Path; from ensemble.system.lock import RunLock\n"
        "with RunLock(Path(sys.argv[1])):\n"
        "    if os.fork():\n"
        "        os._exit(0)\n"
        "    print(os.getpid(), flush=True)\n"
        "    time.sleep(600)\n"
    )
    parent = python(code, tmp_path / "lock")
    child = int(parent.stdout.readline())
    try:
        parent.wait()
        train(make_specs(), store=tmp_path)
    finally:
        os.kill(child, signal.SIGKILL)
        parent.communicate()


@pytest.mark.parametrize("left", [b"", b"\0" * 200, b"no json", b"[1, 2]", b'{"pid": 1}', b"\xff" * 300])
def test_any_content_of_the_lock_file(left, tmp_path):
    (tmp_path / "lock").write_bytes(left)
    train(make_specs(), store=tmp_path)
    assert (tmp_path / "lock").read_bytes() == b""


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_disk_without_locks_is_one_clear_error(number, tmp_path, monkeypatch):
    def failing(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(lock.fcntl, "flock", failing)
    with pytest.raises(OSError, match="this disk has no file locks .*; choose a folder on another") as caught:
        train(make_specs(1), store=tmp_path)
    assert (caught.value.errno, caught.value.filename) == (number, str(tmp_path / "lock"))


def test_windows_locks_a_byte_behind_the_holders_name(tmp_path, monkeypatch):
    """The branch for Windows, with its one system call played by a table."""
    locked = set()

    def locking(handle, mode, count):
        at = (os.fstat(handle).st_ino, os.lseek(handle, 0, os.SEEK_CUR))
        if at in locked:
            raise PermissionError(errno.EACCES, "Permission denied")
        locked.add(at)

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "msvcrt", types.SimpleNamespace(locking=locking, LK_NBLCK=2))
    for name in ("pread", "pwrite", "O_NOFOLLOW", "O_NONBLOCK", "register_at_fork"):  # none of them is there
        monkeypatch.delattr(os, name)
    source = util.spec_from_file_location("windows_lock", lock.__file__)
    windows = util.module_from_spec(source)
    source.loader.exec_module(windows)
    path = tmp_path / "lock"
    with windows.RunLock(path), pytest.raises(windows.LockedError, match=f"in use by process {os.getpid()} on"):
        windows.RunLock(path).__enter__()
    assert {place for _, place in locked} == {2**30}
    assert path.read_bytes() == b""
