"""The columns of specs: each setting's type, default and what is allowed, and the same for type checkers.

A new setting is a line in `COLUMNS` and in `Axes` here, and in `Spec` and `Specs`; a test holds the four equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, Required, TypeAlias, TypedDict, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from ensemble.rules.optimizers import OPTIMIZERS, SCHEDULES
from ensemble.system.checks import text

__all__ = [
    "CHOICES", "COLUMNS", "RESULT_COLUMNS", "Axes", "Column", "Init", "Optimizer", "Parametrization", "Schedule",
    "check_column", "check_names",
]  # fmt: skip

# For type checkers, who cannot read a table; `CHOICES` holds the same names.
Optimizer = Literal["gd", "momentum", "adam"]
Schedule = Literal["constant", "cosine"]
Init = Literal["normal", "he", "uniform", "fan_in"]
Parametrization = Literal["standard", "mup"]

# Settings chosen by name are stored as their place in these lists: a byte per model, and what kernels branch on.
CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": tuple(OPTIMIZERS),
    "schedule": SCHEDULES,
    "init": get_args(Init),
    "parametrization": get_args(Parametrization),
}


class Column(NamedTuple):
    """One setting of a model: its type, its default (the original report's) and what is allowed."""

    kind: str  # "integer", "real", "flag", "choice" or "name"
    default: Any
    low: float = -np.inf
    high: float = np.inf
    open_low: bool = False  # whether `low` itself is refused
    open_high: bool = False


COLUMNS: dict[str, Column] = {
    "width": Column("integer", None, low=1, high=2**31 - 1),
    "hidden_layers": Column("integer", 1, low=1, high=1000),
    "seed": Column("integer", 0, low=0, high=2**63 - 1),
    "lr": Column("real", 0.1, low=0, open_low=True),
    "hidden_lr_factor": Column("real", 1.0, low=0),
    "output_lr_factor": Column("real", 1.0, low=0),
    "optimizer": Column("choice", "gd"),
    "momentum": Column("real", 0.9, low=0, high=1, open_high=True),
    "beta2": Column("real", 0.999, low=0, high=1, open_high=True),
    "schedule": Column("choice", "constant"),
    "weight_decay": Column("real", 0.0, low=0),
    "batch_size": Column("integer", 0, low=0, high=2**31 - 1),
    "init": Column("choice", "normal"),
    "init_scale": Column("real", 0.1, low=0),
    "parametrization": Column("choice", "standard"),
    "hidden_bias": Column("flag", True),
    "output_bias": Column("flag", False),
    "data": Column("name", "data"),
}

# What `Result.to_pandas` writes beside the columns, one row per model: `Specs.from_rows` passes over it.
RESULT_COLUMNS = ("model", "train_loss", "val_loss", "test_loss", "status", "diverged_at")

_T = TypeVar("_T")
_Several: TypeAlias = _T | Iterable[_T] | NDArray[Any]  # one value for all models, or the values of an axis
_Whole: TypeAlias = int | np.integer[Any]
_Real: TypeAlias = float | np.floating[Any] | _Whole
_Flag: TypeAlias = bool | np.bool_


class Axes(TypedDict, total=False):
    """The columns as keywords of `grid` and `Specs`, for type checkers and editors."""

    width: Required[_Several[_Whole]]
    hidden_layers: _Several[_Whole]
    seed: _Several[_Whole]
    lr: _Several[_Real]
    hidden_lr_factor: _Several[_Real]
    output_lr_factor: _Several[_Real]
    optimizer: _Several[Optimizer]
    momentum: _Several[_Real]
    beta2: _Several[_Real]
    schedule: _Several[Schedule]
    weight_decay: _Several[_Real]
    batch_size: _Several[_Whole]
    init: _Several[Init]
    init_scale: _Several[_Real]
    parametrization: _Several[Parametrization]
    hidden_bias: _Several[_Flag]
    output_bias: _Several[_Flag]
    data: _Several[str]


def check_names(columns: Mapping[str, Any]) -> None:
    """Raise a ValueError where a name is no column, or the width is missing."""
    for name in columns:
        if name not in COLUMNS:
            raise ValueError(f"unknown column {name!r}; the columns are {', '.join(COLUMNS)}")
    if "width" not in columns:
        raise ValueError("column 'width' is missing; the number of hidden units has no default")


def check_column(name: str, values: Any) -> NDArray[Any]:
    """Return `values` as the column's array, or raise a ValueError that names column, value and what is allowed."""
    column = COLUMNS[name]
    if np.ma.is_masked(values):
        raise ValueError(f"column {name!r} has masked values; drop or fill them first")
    array = np.atleast_1d(np.asarray(values))
    if array.dtype.kind == "O":  # such as pandas keeps text in; what is inside may still be of one type
        array = np.asarray(array.tolist())
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
        for value in set(array.tolist()):
            text(value, f"column {name!r}")
        return array.astype(np.str_)
    if column.kind == "flag":
        if not all(isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)) for value in array.tolist()):
            raise ValueError(f"column {name!r} holds {array.tolist()[:3]}; True or False is needed")
        return array.astype(np.bool_)
    return _check_numbers(name, column, array)


def _check_numbers(name: str, column: Column, array: NDArray[Any]) -> NDArray[Any]:
    open_high = column.open_high or column.high == np.inf
    bounds = f"{'(' if column.open_low else '['}{column.low}, {column.high}{')' if open_high else ']'}"
    wanted = f"{'a whole number' if column.kind == 'integer' else 'a finite number'} in {bounds}"
    if array.dtype.kind not in "iuf" and len(array):
        listed = array.tolist()
        wrong = next((v for v in listed if isinstance(v, bool) or not isinstance(v, (int, float))), listed[0])
        raise ValueError(f"{name} {wrong!r} is not allowed; {wanted} is needed")
    if array.dtype.kind == "f":  # half precision cannot be compared with 2^63
        array = array.astype(np.float64)
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
