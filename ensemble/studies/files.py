"""What a study writes: tables as CSV, its description as JSON, every file whole or not at all.

Used by `save`, which hands over rows, texts and rendered figures.
"""

from __future__ import annotations

import csv
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
]

MOST_RECORD = 2**24  # bytes of a study.json


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
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def json_text(content: Any) -> str:
    """Return `content` as strict JSON text; numbers that JSON cannot hold (Inf, NaN) become null."""
    return json.dumps(plain(content), indent=2, allow_nan=False) + "\n"


def said_before(path: Path, configuration: str, names: Sequence[str]) -> dict[str, Any]:
    """Return what a `study.json` says under these names, or nothing where it is of another configuration, or none."""
    try:
        found = json.loads(archive.read_bytes(path, MOST_RECORD))
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


def _cell(value: Any) -> Any:
    """Return a cell's plain value; text that a spreadsheet would take for a formula gets a quote before it."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value.item() if isinstance(value, np.generic) else value
