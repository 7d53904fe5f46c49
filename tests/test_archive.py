"""Files of any kind are looked at before they are read, and written whole or not at all."""

import errno
import io
import os
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from ensemble.system import archive
from ensemble.system.archive import DamagedFileError

posix = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes and devices are files on POSIX systems only")
KINDS = {"*": ("ifbuU", -1)}


def overlapping(copies=500, n=20_000):
    """Return a zip whose members all lie on the same bytes."""
    array = io.BytesIO()
    np.save(array, np.zeros(n))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("a0000.npy", array.getvalue())
    whole = content.getvalue()
    at = whole.index(b"PK\x01\x02")
    local, entry = whole[:at], whole[at : whole.index(b"PK\x05\x06")]
    entries = b"".join(entry.replace(b"a0000", f"a{i:04}".encode()) for i in range(copies))
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, copies, copies, len(entries), len(local), 0)
    return local + entries + end


# ---- reading ----


@posix
@pytest.mark.parametrize("read", [lambda path: archive.read_bytes(path, 1000), lambda path: archive.read(path, KINDS)])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_regular_file_is_refused_at_once(read, make, tmp_path):
    make(tmp_path / "file")
    with pytest.raises(DamagedFileError, match="file is no regular file"):
        read(tmp_path / "file")


def test_a_file_that_is_too_large_is_refused_unread(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    assert archive.read_bytes(path, 100) == b"x" * 100
    with open(path, "r+b") as file:
        file.truncate(10**11)  # a hole
    tracemalloc.start()
    try:
        with pytest.raises(DamagedFileError, match=r"file is too large: 100,000,000,000 bytes, at most 101 are read"):
            archive.read_bytes(path, 101)
        with pytest.raises(DamagedFileError, match="file is"):  # whether it fits into memory or not
            archive.read(path, KINDS)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_link_is_followed_only_where_asked(tmp_path):
    (tmp_path / "target").write_bytes(archive.dump({"a": np.zeros(2)}))
    (tmp_path / "link").symlink_to("target")
    assert archive.read_bytes(tmp_path / "link", 10**4) == (tmp_path / "target").read_bytes()
    assert list(archive.read(tmp_path / "link", KINDS)) == ["a"]
    for read in (
        lambda: archive.read_bytes(tmp_path / "link", 10**4, follow=False),
        lambda: archive.read(tmp_path / "link", KINDS, follow=False),
    ):
        with pytest.raises(DamagedFileError, match="link is a symbolic link, which is not followed"):
            read()


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EMFILE, errno.ESTALE])
def test_a_read_error_is_an_os_error_that_names_the_file(number, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"x")

    def failing(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(archive.os, "open", failing)
    with pytest.raises(OSError, match="cannot be read") as caught:
        archive.read_bytes(path, 10)
    assert (caught.value.errno, caught.value.filename) == (number, str(path))


def test_a_missing_file_is_a_file_not_found_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="none"):
        archive.read_bytes(tmp_path / "none", 10)


def test_a_null_byte_in_a_path_is_named():
    for call in (lambda: archive.read_bytes("a\0b", 1), lambda: archive.write("a\0b", b"")):
        with pytest.raises(ValueError, match=r"'a\\x00b' is no path: it holds a null byte"):
            call()


def test_members_that_overlap_are_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "file.npz"
    path.write_bytes(overlapping())  # 200 KB that claim 80 MB
    tracemalloc.start()
    try:
        with pytest.raises(DamagedFileError, match="its members are larger than the file"):
            archive.read(path, KINDS)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


# ---- writing ----


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "file"
    archive.write(path, "old")
    archive.write(path, "new £")
    assert path.read_text(encoding="utf-8") == "new £"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG])
def test_a_full_disk_is_an_error_that_names_the_file(number, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")

    def failing(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(archive.os, "write", failing)
    with pytest.raises(OSError, match="cannot be written") as caught:
        archive.write(path, b"new")
    assert (caught.value.errno, caught.value.filename) == (number, str(path))
    assert [left.read_text() for left in tmp_path.iterdir()] == ["old"]
