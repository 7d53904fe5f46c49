"""Which models shall learn: one row of settings per model, as columns.

First station of the flow: `grid` makes `Specs`, `training.train` takes them together with the data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ensemble.rules.optimizers import OPTIMIZERS, SCHEDULES
from ensemble.system import html

__all__ = ["CHOICES", "COLUMNS", "Specs", "grid"]


class Column(NamedTuple):
    """One setting of a model: its type, its default (the original report's) and what is allowed."""

    kind: str  # "integer", "real", "flag", "choice" or "name"
    default: Any
    low: float = -np.inf
    high: float = np.inf
    open_low: bool = False  # whether `low` itself is refused
    open_high: bool = False


# Settings chosen by name are stored as their place in these lists: a byte per model, and what kernels branch on.
CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": tuple(OPTIMIZERS),
    "schedule": SCHEDULES,
    "init": ("normal", "he", "uniform", "fan_in"),
    "parametrization": ("standard", "mup"),
}

COLUMNS: dict[str, Column] = {
    "width": Column("integer", None, low=1, high=2**31 - 1),
    "seed": Column("integer", 0, low=0, high=2**63 - 1),
    "lr": Column("real", 0.1, low=0, open_low=True),
    "optimizer": Column("choice", "gd"),
    "momentum": Column("real", 0.9, low=0, high=1, open_high=True),
    "beta2": Column("real", 0.999, low=0, high=1, open_high=True),
    "schedule": Column("choice", "constant"),
    "weight_decay": Column("real", 0.0, low=0),
    "init": Column("choice", "normal"),
    "init_scale": Column("real", 0.1, low=0),
    "parametrization": Column("choice", "standard"),
    "hidden_bias": Column("flag", True),
    "output_bias": Column("flag", False),
    "data": Column("name", "data"),
}


class Specs:
    """Settings of M models, one row each; columns are attributes of shape (M,).

    Made by `grid`; indexed like an array (an integer array, a mask or a slice gives `Specs`, an integer a `Specs`
    of one row) and joined with ``+``.

    Attributes
    ----------
    width, seed : (M,) int64
        Number of hidden units H >= 1; seed of the initial weights >= 0.
    lr : (M,) float64
        Learning rate > 0, a step's length per unit of gradient.
    optimizer : (M,) str
        "gd", "momentum" or "adam".
    momentum, beta2 : (M,) float64
        In [0, 1). `momentum` is the decay of the first moment (of "momentum", and of "adam", where it is called
        beta1); `beta2` that of adam's second moment. Other optimizers ignore them.
    schedule : (M,) str
        "constant", or "cosine": the rate falls from lr to 0 along half a cosine over the run.
    weight_decay : (M,) float64
        >= 0, decoupled: every step also subtracts rate * weight_decay * weight.
    init : (M,) str
        "normal": all weights and biases N(0, init_scale^2); "he": weights N(0, 2 / fan_in), biases 0;
        "uniform": all U(-1, 1) / sqrt(fan_in); "fan_in": all N(0, 1 / fan_in). `init_scale` belongs to "normal" only.
    init_scale : (M,) float64
        >= 0.
    parametrization : (M,) str
        "standard", or "mup": initial weights and learning rates that depend on the width such that the best learning
        rate does not (`optimizers.layer_factors` has the table).
    hidden_bias, output_bias : (M,) bool
        Whether b1 and b2 are there (initialized and trained) or held at 0.
    data : (M,) str
        Which of several named datasets the model learns.
    """

    __slots__ = ("_columns",)

    _columns: dict[str, NDArray[Any]]

    def __init__(self, **columns: ArrayLike) -> None:
        unknown = [name for name in columns if name not in COLUMNS]
        if unknown:
            raise ValueError(f"unknown column {unknown[0]!r}; the columns are {', '.join(COLUMNS)}")
        if "width" not in columns:
            raise ValueError("column 'width' is missing; the number of hidden units has no default")
        checked = {name: _check_column(name, values) for name, values in columns.items()}
        lengths = {name: len(values) for name, values in checked.items()}
        n_models = max(lengths.values())
        for name, length in lengths.items():
            if length not in (1, n_models):
                raise ValueError(f"column {name!r} has {length} rows, but others have {n_models}")
        self._columns = {}
        for name, column in COLUMNS.items():
            values = checked[name] if name in checked else _check_column(name, [column.default])
            full = np.broadcast_to(values, (n_models,)).copy() if len(values) != n_models else values
            full.setflags(write=False)
            self._columns[name] = full

    @classmethod
    def _of(cls, columns: dict[str, NDArray[Any]]) -> Specs:
        """Wrap columns that are known to be valid."""
        specs = cls.__new__(cls)
        for values in columns.values():
            values.setflags(write=False)
        specs._columns = columns
        return specs

    def __getattr__(self, name: str) -> NDArray[Any]:
        if name.startswith("_") or name not in COLUMNS:
            raise AttributeError(f"Specs has no column {name!r}; the columns are {', '.join(COLUMNS)}")
        values = self._columns[name]
        return np.array(CHOICES[name])[values] if name in CHOICES else values

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *COLUMNS]

    def codes(self, name: str) -> NDArray[np.int8]:
        """Return a column of choices as places in ``CHOICES[name]``, shape (M,)."""
        return self._columns[name]

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return every column by name, shape (M,) each, in the order of ``COLUMNS``."""
        return {name: getattr(self, name) for name in COLUMNS}

    def row(self, index: int) -> dict[str, Any]:
        """Return one model's settings as a dict of plain Python values."""
        one = self[int(index)]
        return {name: getattr(one, name)[0].item() for name in COLUMNS}

    def __len__(self) -> int:
        return len(self._columns["width"])

    def __getitem__(self, index: Any) -> Specs:
        if isinstance(index, (int, np.integer)):
            if not -len(self) <= index < len(self):
                raise IndexError(f"model {index} of {len(self)}")
            index = slice(index, index + 1 or None)
        else:
            index = index if isinstance(index, slice) else np.asarray(index)
            if isinstance(index, np.ndarray):
                if index.ndim != 1:
                    raise IndexError(f"an index of {index.ndim} dimensions; a mask or integers in one are needed")
                index = index.astype(np.int64) if index.size == 0 else index
        return Specs._of({name: values[index] for name, values in self._columns.items()})

    def __iter__(self) -> Iterator[Specs]:
        return (self[i] for i in range(len(self)))

    def __add__(self, other: object) -> Specs:
        if not isinstance(other, Specs):
            return NotImplemented
        return Specs._of(
            {name: np.concatenate([values, other._columns[name]]) for name, values in self._columns.items()}
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Specs):
            return NotImplemented
        return all(np.array_equal(values, other._columns[name]) for name, values in self._columns.items())

    __hash__ = None  # type: ignore[assignment]  # holds arrays

    def __reduce__(self) -> tuple[Any, ...]:
        return (Specs._of, (self._columns,))

    def digest(self) -> str:
        """Return the sha256, as hex, of all rows in order."""
        sha = hashlib.sha256()
        for name, values in self._columns.items():
            plain = np.char.encode(values, "utf-8") if values.dtype.kind == "U" else values
            sha.update(f"{name}:{plain.dtype.str}:{len(plain)};".encode())
            sha.update(np.ascontiguousarray(plain).tobytes())
        return sha.hexdigest()

    def varying(self) -> list[str]:
        """Return the names of the columns that hold more than one value."""
        return [name for name, values in self._columns.items() if len(values) and (values != values[0]).any()]

    def _repr_html_(self) -> str:
        varying = self.varying()
        rows = []
        for name in COLUMNS:
            values = np.unique(getattr(self, name))
            shown = ", ".join(str(value) for value in values[:8]) + (", ..." if len(values) > 8 else "")
            rows.append((name, len(values), shown) if name in varying else (name, "", shown))
        return html.table(f"Specs of {len(self):,} models", ("column", "different values", "values"), rows)

    def __repr__(self) -> str:
        parts = []
        for name in self.varying():
            values = np.unique(getattr(self, name))
            shown = ", ".join(str(value) for value in values[:4]) + (", ..." if len(values) > 4 else "")
            parts.append(f"{name}: {shown}")
        return f"<Specs of {len(self):,} model{'s' * (len(self) != 1)}{'; ' * bool(parts)}{'; '.join(parts)}>"


def grid(**axes: Any) -> Specs:
    """Return one model per combination of the given values, the last axis running fastest.

    Parameters
    ----------
    **axes
        A column of `Specs` each, as one value or a sequence of values; columns left out take the defaults of the
        original report. ``width`` has no default.

    Raises
    ------
    ValueError
        An unknown column, an empty axis, or a value that the column does not allow.

    Examples
    --------
    >>> len(grid(width=[4, 16, 64], seed=range(32), lr=[0.03, 0.1]))
    192
    """
    if "width" not in axes:
        Specs(**axes)  # names an unknown column first, then the missing width
    checked = {}
    for name, values in axes.items():
        if name not in COLUMNS:
            raise ValueError(f"unknown column {name!r}; the columns are {', '.join(COLUMNS)}")
        listed = [values] if np.ndim(values) == 0 and not hasattr(values, "__iter__") else values
        listed = [listed] if isinstance(listed, str) else listed
        listed = np.atleast_1d(listed) if isinstance(listed, np.ndarray) else list(listed)
        if len(listed) == 0:
            raise ValueError(f"axis {name!r} is empty; give at least one value")
        checked[name] = _check_column(name, listed)
    shape = tuple(len(values) for values in checked.values())
    places = np.unravel_index(np.arange(prod(shape)), shape)
    columns = {name: values[place] for (name, values), place in zip(checked.items(), places, strict=True)}
    for name, column in COLUMNS.items():
        if name not in columns:
            columns[name] = np.repeat(_check_column(name, [column.default]), prod(shape))
    return Specs._of({name: columns[name] for name in COLUMNS})


def _check_column(name: str, values: ArrayLike) -> NDArray[Any]:
    """Return `values` as the column's array, or raise a ValueError that names column, value and what is allowed."""
    column = COLUMNS[name]
    array = np.atleast_1d(np.asarray(values))
    if array.ndim != 1:
        raise ValueError(f"column {name!r} has shape {array.shape}; one value per model is needed")
    if column.kind == "choice":
        allowed = CHOICES[name]
        for value in array.tolist():
            if value not in allowed:
                raise ValueError(f"{name} {value!r} is unknown; allowed are {', '.join(allowed)}")
        return np.array([allowed.index(value) for value in array.tolist()], dtype=np.int8)
    if column.kind == "name":
        if len(array) and (array.dtype.kind != "U" or (array == "").any()):
            raise ValueError(f"column {name!r} holds {array[0]!r}; names of datasets (non-empty text) are needed")
        return array.astype(np.str_)
    if column.kind == "flag":
        if not all(isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)) for value in array.tolist()):
            raise ValueError(f"column {name!r} holds {array.tolist()[:3]}; True or False is needed")
        return array.astype(np.bool_)
    return _check_numbers(name, column, array)


def _check_numbers(name: str, column: Column, array: NDArray[Any]) -> NDArray[Any]:
    bounds = f"{'(' if column.open_low else '['}{column.low:g}, {column.high:g}{')' if column.open_high else ']'}"
    wanted = f"{'a whole number' if column.kind == 'integer' else 'a finite number'} in {bounds}"
    if array.dtype.kind not in "iuf" and len(array):
        raise ValueError(f"{name} {array.tolist()[0]!r} is not allowed; {wanted} is needed")
    bad = ~np.isfinite(array)
    if column.kind == "integer":
        bad |= array != np.floor(array)
        if array.dtype.kind == "f":
            bad |= array >= 2.0**63  # where the highest int64 is rounded to, and beyond it
    bad |= (array <= column.low) if column.open_low else (array < column.low)
    bad |= (array >= column.high) if column.open_high else (array > column.high)
    if bad.any():
        raise ValueError(f"{name} {array[bad][0].item()!r} is not allowed; {wanted} is needed")
    if column.kind == "integer":
        return array.astype(np.int64)
    return array.astype(np.float64) + 0.0  # -0.0 and 0.0 are one setting, and have one digest
