"""A study's folder: tables as CSV, its description as JSON, every file whole or not at all, and what is there already.

Used by `Study.save`, which hands over rows, texts and rendered figures.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ensemble.system import archive

__all__ = [
    "csv_text",
    "json_text",
    "plain",
    "prepare_folder",
    "safe_name",
    "said_before",
    "untouched",
    "write",
]

RECORD = "study.json"
MOST_RECORD, MOST_BYTES = 2**24, 2**32  # bytes of it, and of any other file that is read again


def prepare_folder(folder: str | os.PathLike[str]) -> Path:
    """Make `folder` and prove that a file can be written there, before any training is paid for.

    Raises
    ------
    ValueError
        The folder cannot be made, or nothing can be written in it.
    """
    if not os.fspath(folder):
        raise ValueError("output folder '' is not allowed; give a path")
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"output folder {str(folder)!r} cannot be written: {reason}") from error
    return path


def csv_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the rows as CSV text; columns in order of first appearance, missing cells empty, floats exact."""
    rows = list(rows)
    names = dict.fromkeys(name for names in dict.fromkeys(map(tuple, rows)) for name in names)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    # Column by column, and without a look at each cell of those that hold numbers: three times as fast as row by row.
    writer.writerows(zip(*(_column([row.get(name, "") for row in rows]) for name in names), strict=True))
    return text.getvalue()


def json_text(content: Any) -> str:
    """Return `content` as strict JSON text; numbers that JSON cannot hold (Inf, NaN) become null."""
    return json.dumps(plain(content), indent=2, allow_nan=False) + "\n"


def write(folder: Path, content: Mapping[str, bytes], about: Mapping[str, Any], origin: str) -> list[Path]:
    """Write files and, last, `study.json` with what is said `about` them, with their hashes and `origin`; return paths.

    An OSError names a file that cannot be written.
    """
    hashes = {name: hashlib.sha256(what).hexdigest() for name, what in content.items()}
    record = json_text({**about, "origin": origin, "files": hashes}).encode()
    for name, what in {**content, RECORD: record}.items():
        archive.write(folder / name, what)
    return [folder / name for name in (*content, RECORD)]


def untouched(folder: Path, origin: str) -> list[Path]:
    """Return what `write` returned for the same `origin` if no file was changed or deleted since, else nothing."""
    try:
        found = json.loads(archive.read_bytes(folder / RECORD, MOST_RECORD))
        names = found["files"] if found["origin"] == origin else {}
        for name, expected in names.items():
            if hashlib.sha256(archive.read_bytes(folder / name, MOST_BYTES)).hexdigest() != expected:
                return []
        return [folder / name for name in (*names, RECORD)] if names else []
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return []


def said_before(folder: Path, configuration: str, names: Sequence[str]) -> dict[str, Any]:
    """Return what the folder's `study.json` says under these names, or nothing where it is of another configuration."""
    try:
        found = json.loads(archive.read_bytes(folder / RECORD, MOST_RECORD))
        return {name: found[name] for name in names} if found["configuration"] == configuration else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def plain(value: Any) -> Any:
    """Return `value` with NumPy types made plain Python ones and non-finite numbers made None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def safe_name(text: str) -> str:
    """Return `text` as a part of a file name: what is no letter, digit, dot or dash becomes an underscore."""
    return re.sub(r"[^\w.-]+", "_", text)


def _column(values: list[Any]) -> list[Any]:
    """Return the plain values of a column's cells; text that a spreadsheet would take for a formula gets a quote."""
    if {*map(type, values)} <= {int, float, bool, type(None)}:
        return values
    return [_cell(value) for value in values]


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value.item() if isinstance(value, np.generic) else value
