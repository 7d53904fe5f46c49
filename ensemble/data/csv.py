"""Data loaded from a CSV file; what is wrong with it is told by line and column.

`load_csv` leaves a `Dataset` with its test and validation parts drawn.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

import numpy as np

from ensemble.data.dataset import Dataset
from ensemble.system import archive

__all__ = ["csv_columns", "load_csv", "parse_csv"]

_MOST_BYTES = 2**30  # of a file, which is read whole
_FEWEST_ROWS = 2  # to train on
_MOST_NAMED = 20


def load_csv(
    path: str | os.PathLike[str],
    x: str | Sequence[str],
    y: str | Sequence[str],
    *,
    test_fraction: float = 0.2,
    val_fraction: float = 0.2,
    seed: int = 0,
    standardize: bool = True,
) -> Dataset:
    """Load named columns of a CSV file: comma-separated UTF-8, whose first line names the columns.

    Rows with an empty cell in one of the named columns are dropped, and counted in `Dataset.dropped_rows`;
    blank lines are no rows. The test and validation parts are drawn at random without replacement.

    Parameters
    ----------
    path : path-like
        The file.
    x : str or sequence of str
        The input column or columns.
    y : str or sequence of str
        The output column or columns.
    test_fraction, val_fraction : float
        The parts' shares of the rows kept, each in [0, 1), rounded to whole rows; 0 for no such part.
    seed : int
        The seed of the draw, 0 or more.
    standardize : bool
        Whether models are to train on standardized inputs and outputs.

    Returns
    -------
    Dataset
        Named like the file, in the file's own units and row order.

    Raises
    ------
    ValueError
        If the file cannot be read, is no regular file or larger than 1 GiB, is not UTF-8, is empty or names a column
        twice; if a named column is not there; if a row has more or fewer cells than the header, or a cell that is not
        a finite number (the message has its line and column); if fewer than two rows are left to train on; or if
        another argument is out of range.
    """
    path = Path(path)
    try:
        content = archive.read_bytes(path, _MOST_BYTES)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    return parse_csv(
        content, path, x, y, test_fraction=test_fraction, val_fraction=val_fraction, seed=seed, standardize=standardize
    )


def csv_columns(content: bytes, path: PurePath) -> list[str]:
    """Return the names of a CSV file's columns; a ValueError as of `load_csv` where its first line does not tell."""
    return _header(_lines(content, path), path)


def parse_csv(
    content: bytes,
    path: PurePath,
    x: str | Sequence[str],
    y: str | Sequence[str],
    *,
    test_fraction: float = 0.2,
    val_fraction: float = 0.2,
    seed: int = 0,
    standardize: bool = True,
) -> Dataset:
    """Return what `load_csv` does from what the file holds; `path` is what messages call it."""
    inputs = [x] if isinstance(x, str) else list(x)
    outputs = [y] if isinstance(y, str) else list(y) if isinstance(y, Sequence) else [y]
    columns = [*inputs, *outputs]
    if not inputs or not outputs or not all(isinstance(column, str) for column in columns):
        raise ValueError(f"x must be one or more column names and y too, not x={x!r}, y={y!r}")
    if len(set(columns)) < len(columns):
        raise ValueError(f"a column is named twice among x and y: {', '.join(columns)}")

    rows: list[list[float]] = []
    dropped = 0
    lines = _lines(content, path)
    names = _header(lines, path)
    places = {name: place for place, name in enumerate(names)}
    for column in columns:
        if column not in places:
            raise ValueError(f"{path}: no column {column!r}: the columns are {_some(names)}")
    used = [places[column] for column in columns]

    for line, cells in lines:
        if len(cells) != len(names):
            raise ValueError(f"{path}: line {line} has {len(cells)} cells, but the header has {len(names)}")
        texts = [cells[i].strip() for i in used]
        # Each cell is parsed before the row is dropped: text beside an empty cell is still an error in the
        # file.
        values = [_cell(text, path, line, column) for text, column in zip(texts, columns, strict=True) if text]
        if len(values) < len(columns):
            dropped += 1
        else:
            rows.append(values)
    if not rows:
        raise ValueError(f"{path}: no row has values in all of {_some(columns)} ({dropped} with empty cells)")

    table = np.array(rows)
    try:
        data = Dataset(
            table[:, : len(inputs)],
            table[:, len(inputs) :],
            standardize=standardize,
            name=path.stem,
            x_names=inputs,
            y_names=outputs,
            dropped_rows=dropped,
        )
        data = data.split(test_fraction, val_fraction, seed)
    except ValueError as error:  # values that no model can be trained on, or too few of them
        raise ValueError(f"{path}: {error}") from error
    if data.n_train < _FEWEST_ROWS:
        raise ValueError(
            f"{path}: {len(rows)} rows leave {data.n_train} to train on with test_fraction={test_fraction} and "
            f"val_fraction={val_fraction}; at least {_FEWEST_ROWS} are needed"
        )
    return data


def _header(lines: Iterator[tuple[int, list[str]]], path: PurePath) -> list[str]:
    """Take the first line and return the names in it."""
    first, header = next(lines, (0, []))
    if not header:
        raise ValueError(f"{path}: is empty, but its first line must name the columns")
    names = [name.strip() for name in header]
    if len(set(names)) < len(names):
        twice = min(name for name, count in Counter(names).items() if count > 1)
        raise ValueError(f"{path}: line {first} names column {twice!r} more than once")
    return names


def _lines(content: bytes, path: PurePath) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) for every line that is not blank; what goes wrong is a ValueError."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + content.count(b"\n", 0, error.start)
        raise ValueError(f"{path}: line {line} is not UTF-8 text: {error.reason}") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            if len(cells) > 1 or any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise ValueError(f"{path}: line {reader.line_num} is malformed: {error}") from None


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _cell(text: str, path: PurePath, line: int, column: str) -> float:
    try:
        # float() takes Python's digit grouping, so that a mistyped 3_5 would pass as 35.
        value = math.nan if "_" in text else float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{path}: line {line}, column {column!r}: {text!r} is not a finite number")
    return value
