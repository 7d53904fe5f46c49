"""Files that are whole or not there, and arrays in a file that proves itself.

The lowest storage layer: an uncompressed `.npz` with a SHA-256 of its arrays holds runs, states and networks. Reading
never unpickles, and takes no memory before the file's type and its own sizes have been checked.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ensemble.system import memory

__all__ = [
    "DamagedFileError",
    "RefusedFileError",
    "checked_path",
    "dump",
    "load",
    "named",
    "read",
    "read_bytes",
    "write",
]

Arrays = dict[str, NDArray[Any]]
Kinds = Mapping[str, tuple[str, int]]

_HASH = "sha256"
_MOST_MEMBERS = 4096
_LONGEST_HEADER = 4096
_SMALL = 2**24
_END = 22  # bytes of a zip's last record, without a comment
_LONGEST_DIRECTORY = 2**20


class DamagedFileError(ValueError):
    """A file that is not what it was when it was written, or never was what it claims to be."""


class RefusedFileError(DamagedFileError):
    """Something that was not read: no regular file, a link, or too large. It may be whole, for all that is known."""


# ---- whole files ----


def checked_path(path: str | os.PathLike[str]) -> Path:
    """Return `path` as a Path; a ValueError where it holds a null byte, which no system allows."""
    if "\0" in os.fspath(path):
        raise ValueError(f"{os.fspath(path)!r} is no path: it holds a null byte")
    return Path(path)


def read_bytes(path: str | os.PathLike[str], most: int, follow: bool = True) -> bytes:
    """Return the content of a regular file of at most `most` bytes. Its type and size are checked first.

    `follow` False refuses a symbolic link. Raises RefusedFileError for all else than a regular file (a pipe, a
    device, a folder, a link) and for a larger one, OSError where it cannot be read.
    """
    with _opened(path, most, follow) as file:
        return _content(file, path)


def write(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write a file so that it is there whole or not at all, even if the machine stops: temporary file, fsync, rename.

    An OSError has the path as its file name; what was at `path` before is untouched.
    """
    path = checked_path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        # O_EXCL: a link that someone put there is not followed
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            left = memoryview(content.encode() if isinstance(content, str) else content)
            while left:
                left = left[os.write(handle, left) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, f"cannot be written: {error.strerror or error}", str(path)) from error
    except BaseException:  # Ctrl-C between two steps
        temporary.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """Make the folder's list of files durable; a rename is not, until then."""
    if not hasattr(os, "O_DIRECTORY"):  # no such thing on this system
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _opened(path: str | os.PathLike[str], most: int | None, follow: bool) -> Iterator[BinaryIO]:
    """Open a regular file of at most `most` bytes, by default what the free memory holds, for reading."""
    path = checked_path(path)
    if not follow and path.is_symlink():
        raise RefusedFileError(f"{path} is a symbolic link, which is not followed here")
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | (0 if follow else getattr(os, "O_NOFOLLOW", 0))
    try:
        # not blocking: opening a pipe would wait for its writer
        handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise RefusedFileError(f"{path} is no regular file")
            if most is None:  # asking for the free memory takes longer than reading a small file
                most = _SMALL if found.st_size <= _SMALL else memory.available() or 2**34
            if found.st_size > most:
                raise RefusedFileError(f"{path} is too large: {found.st_size:,} bytes, at most {most:,} are read")
            with os.fdopen(handle, "rb", closefd=False) as file:
                yield file
        finally:
            os.close(handle)
    except OSError as error:
        raise OSError(error.errno, f"cannot be read: {error.strerror or error}", os.fspath(path)) from error


def _content(file: BinaryIO, path: str | os.PathLike[str]) -> bytes:
    """Return the whole content of an open file."""
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    content = file.read(size + 1)
    if len(content) > size:
        raise RefusedFileError(f"{path} grew while it was read")
    return content


# ---- arrays ----


def dump(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return arrays as the content of a file; equal arrays give equal bytes."""
    return named(arrays)[1]


def named(arrays: Mapping[str, NDArray[Any]]) -> tuple[str, bytes]:
    """Return arrays as the content of a file, after a name that no other content has: the arrays' SHA-256.

    They are numbers, booleans or fixed-width text; no objects.
    """
    packed = {name: np.require(array, requirements="C") for name, array in arrays.items()}
    digest = _digest(packed)
    packed[_HASH] = np.frombuffer(digest, dtype=np.uint8)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as file:
        for name, array in packed.items():
            if array.dtype.hasobject:
                raise ValueError(f"array {name!r} holds objects, which no file of this program does")
            header = io.BytesIO()
            np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
            info = zipfile.ZipInfo(f"{name}.npy")  # a fixed date: no two runs differ
            info.file_size = header.tell() + array.nbytes
            with file.open(info, "w") as member:
                member.write(header.getvalue())
                if array.size:
                    member.write(array.reshape(-1).view(np.uint8).data)  # as write_array does, without its copies
    return digest.hex(), content.getvalue()


def read(path: str | os.PathLike[str], kinds: Kinds, follow: bool = True) -> Arrays:
    """Return the arrays in a file: `path` and `follow` as of `read_bytes`, `kinds` as of `load`; errors as of both.

    A file larger than the free memory is a RefusedFileError.
    """
    with _opened(path, None, follow) as file:
        file.seek(-min(_END, os.fstat(file.fileno()).st_size), os.SEEK_END)
        end = file.read(_END)
        # Before the rest is read: whether it ends as a zip without a comment does, and how long its directory is.
        if end[:4] != b"PK\5\6" or int.from_bytes(end[12:16], "little") > _LONGEST_DIRECTORY:
            raise DamagedFileError(f"{path} is damaged or no file of this program: it has no zip directory")
        content = _content(file, path)
    return load(content, kinds, os.fspath(path))


def load(content: bytes, kinds: Kinds, owner: str) -> Arrays:
    """Return the arrays in a file's content; a DamagedFileError where anything at all is not as `dump` writes it.

    Parameters
    ----------
    content : bytes
    kinds : mapping
        Name of each array that may be there, or its start followed by "*", and what it must be: the letters of the
        allowed ``dtype.kind`` and the number of dimensions, -1 for any.
    owner : str
        What the error message names: the file's path.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            members = file.infolist()
            if len(members) > _MOST_MEMBERS:
                raise DamagedFileError(f"{len(members)} members")
            # Nothing compressed, no byte in two members: they cannot unpack to more than the file's own size.
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise DamagedFileError("a member is compressed")
            if sum(max(member.file_size, member.compress_size) for member in members) > len(content):
                raise DamagedFileError("its members are larger than the file")
            arrays: Arrays = {}
            for member in members:
                name = member.filename.removesuffix(".npy")
                if name in arrays or member.filename == name:
                    raise DamagedFileError(f"unexpected member {member.filename!r}")
                kind, dimensions = ("u", 1) if name == _HASH else _kind_of(name, kinds)
                arrays[name] = _parse(file.read(member), name, kind, dimensions)
    except DamagedFileError as error:
        raise DamagedFileError(f"{owner} is damaged or no file of this program: {error}") from None
    except Exception as error:  # a file that was made to harm finds more ways to fail than can be listed
        raise DamagedFileError(f"{owner} is damaged or no file of this program: {error}") from error
    recorded = arrays.pop(_HASH, None)
    if recorded is None or recorded.tobytes() != _digest(arrays):
        raise DamagedFileError(f"{owner} is damaged or no file of this program: its SHA-256 does not match")
    return arrays


def _digest(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        total.update(repr((name, array.dtype.str, array.shape)).encode())
        total.update(array.data if array.size else b"")
    return total.digest()


def _kind_of(name: str, kinds: Kinds) -> tuple[str, int]:
    if name in kinds:
        return kinds[name]
    for pattern, kind in kinds.items():
        if pattern.endswith("*") and name.startswith(pattern[:-1]):
            return kind
    raise DamagedFileError(f"unexpected member {name!r}")


def _parse(content: bytes, name: str, kind: str, dimensions: int) -> NDArray[Any]:
    """Return the array in a `.npy` member, its header checked against the bytes that follow it."""
    end = 10 + int.from_bytes(content[8:10], "little")
    shape, fortran, dtype = _header(content[:end], name)
    if fortran or not all(type(size) is int and size >= 0 for size in shape):
        raise DamagedFileError(f"array {name!r} has shape {shape!r}, or another order than C")
    if dtype.kind not in kind or dimensions not in (-1, len(shape)):
        raise DamagedFileError(f"array {name!r} is {dtype} with {len(shape)} dimensions")
    count = 1
    for size in shape:
        count *= size
    if count * dtype.itemsize != len(content) - end or (count and not dtype.itemsize):
        raise DamagedFileError(f"array {name!r} of shape {shape} does not fill its {len(content):,} bytes")
    return np.frombuffer(content, dtype, count, end).reshape(shape)


@lru_cache(maxsize=1024)
def _header(start: bytes, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return the shape, order and type that a header names: kept, as NumPy parses it as Python and few differ."""
    member = io.BytesIO(start)
    if np.lib.format.read_magic(member) != (1, 0):
        raise DamagedFileError(f"array {name!r} has an unknown header")
    if b"\\" in start[10:] or b"L" in start[10:]:  # no header of ours has one, and Python and NumPy would warn of them
        raise DamagedFileError(f"array {name!r} has an unknown header")
    return np.lib.format.read_array_header_1_0(member, max_header_size=_LONGEST_HEADER)
