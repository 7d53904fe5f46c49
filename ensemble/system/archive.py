"""Arrays in one file that proves itself: an uncompressed `.npz` with a SHA-256 of what it holds, read without trust.

The lowest storage layer: `store.py` keeps runs in such files and `networks.py` weights. Reading never unpickles, and
takes no memory before the file's own sizes have been checked against each other.
"""

from __future__ import annotations

import ast
import hashlib
import io
import os
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["DamagedFileError", "dump", "load", "read", "write"]

Arrays = dict[str, NDArray[Any]]
Kinds = Mapping[str, tuple[str, int]]

_HASH = "sha256"
_MOST_MEMBERS = 4096
_LONGEST_HEADER = 4096


class DamagedFileError(ValueError):
    """A file that is not what it was when it was written, or never was what it claims to be."""


def dump(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return arrays as the content of a file; equal arrays give equal bytes."""
    return named(arrays)[1]


def named(arrays: Mapping[str, NDArray[Any]]) -> tuple[str, bytes]:
    """Return arrays as the content of a file, after a name that no other content has: the arrays' SHA-256.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        Of numbers, booleans or fixed-width text; no objects.
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


def load(content: bytes, kinds: Kinds, owner: str) -> Arrays:
    """Return the arrays in a file's content, after every check.

    Parameters
    ----------
    content : bytes
    kinds : mapping
        Name of each array that may be there, or its start followed by "*", and what it must be: the letters of the
        allowed ``dtype.kind`` and the number of dimensions, -1 for any.
    owner : str
        What the error message names: the file's path.

    Raises
    ------
    DamagedFileError
        Anything at all is not as `dump` writes it.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            members = file.infolist()
            if len(members) > _MOST_MEMBERS:
                raise DamagedFileError(f"{len(members)} members")
            arrays: Arrays = {}
            for member in members:
                name = member.filename.removesuffix(".npy")
                if name in arrays or member.filename == name:
                    raise DamagedFileError(f"unexpected member {member.filename!r}")
                # Nothing compressed: a member cannot unpack to more than the file's own size.
                if member.compress_type != zipfile.ZIP_STORED or member.file_size > len(content):
                    raise DamagedFileError(f"member {name!r} is compressed or larger than the file")
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


def read(path: str | os.PathLike[str], kinds: Kinds) -> Arrays:
    """Return the arrays in a file; errors as `load`, and OSError where it cannot be read."""
    return load(Path(path).read_bytes(), kinds, str(path))


def write(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file so that it is there whole or not at all, even if the machine stops: temporary file, fsync, rename.

    Raises
    ------
    OSError
        With the path as its file name; what was at `path` before is untouched.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
        try:
            left = memoryview(content)
            while left:
                left = left[os.write(handle, left) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, f"cannot be written: {error.strerror or error}", str(path)) from error
    except BaseException:  # Ctrl-C between two steps
        temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make the folder's list of files durable; a rename is not, until then."""
    if not hasattr(os, "O_DIRECTORY"):  # no such thing on this system
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
    if content[:8] != b"\x93NUMPY\x01\x00" or len(content) < 10:
        raise DamagedFileError(f"array {name!r} has no header")
    (length,) = struct.unpack("<H", content[8:10])
    if length > _LONGEST_HEADER or len(content) < 10 + length:
        raise DamagedFileError(f"array {name!r} has a header of {length} bytes")
    if b"\\" in content[10 : 10 + length]:  # no dtype has one, and Python warns of unknown escapes
        raise DamagedFileError(f"array {name!r} has an unknown header")
    header = ast.literal_eval(content[10 : 10 + length].decode("latin1").strip())
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"} or header["fortran_order"]:
        raise DamagedFileError(f"array {name!r} has an unknown header")
    shape, descr = header["shape"], header["descr"]
    if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
        raise DamagedFileError(f"array {name!r} has shape {shape!r}")
    if not isinstance(descr, str):
        raise DamagedFileError(f"array {name!r} has dtype {descr!r}")
    dtype = np.dtype(descr)
    if dtype.kind not in kind or dimensions not in (-1, len(shape)):
        raise DamagedFileError(f"array {name!r} is {descr} with {len(shape)} dimensions")
    count = 1
    for size in shape:
        count *= size
    if count * dtype.itemsize != len(content) - 10 - length:
        raise DamagedFileError(f"array {name!r} of shape {shape} does not fill its {len(content):,} bytes")
    if not dtype.itemsize:
        return np.empty(shape, dtype)
    return np.frombuffer(content, dtype, count, 10 + length).reshape(shape)
