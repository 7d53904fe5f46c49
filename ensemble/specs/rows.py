"""Specs: which models to train, one row of settings per model, kept as columns.

Made by `grid`; `training.train` takes them together with the data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from ensemble.specs.columns import CHOICES, COLUMNS, RESULT_COLUMNS, Axes, check_column, check_names
from ensemble.system import html

__all__ = ["Spec", "Specs"]


class Spec(NamedTuple):
    """One model's settings as plain values: what ``specs[0]`` gives. The meaning of each is told at `Specs`."""

    width: int
    hidden_layers: int
    seed: int
    lr: float
    hidden_lr_factor: float
    output_lr_factor: float
    optimizer: str
    momentum: float
    beta2: float
    schedule: str
    weight_decay: float
    batch_size: int
    init: str
    init_scale: float
    parametrization: str
    hidden_bias: bool
    output_bias: bool
    data: str


class Specs:
    """Settings of M models, one row each; columns are attributes of shape (M,).

    Made by `grid`; indexed like an array (a mask, a slice or an integer array gives `Specs`, an integer one row as a
    `Spec`) and joined with ``+``.

    Parameters
    ----------
    **columns
        One value for all models, or one per model; columns left out take their defaults. ``width`` has no default.

    Raises
    ------
    ValueError
        An unknown column, columns of different lengths, or a value that the column does not allow.

    Attributes
    ----------
    width, hidden_layers : (M,) int64
        Number of hidden units H >= 1 of every hidden layer; number of hidden layers L, 1 to 1,000.
    seed : (M,) int64
        Seed of the initial weights, and of the order of the samples in batches, >= 0.
    lr : (M,) float64
        Learning rate > 0, a step's length per unit of gradient.
    hidden_lr_factor, output_lr_factor : (M,) float64
        >= 0: what multiplies `lr` for all weights and biases of the hidden layers, and of the output layer, in their
        weight decay too. 0 freezes them: they stay as they were initialized.
    optimizer : (M,) str
        "gd", "momentum" or "adam".
    momentum, beta2 : (M,) float64
        In [0, 1). `momentum` is the decay of the first moment (of "momentum", and of "adam", where it is called
        beta1); `beta2` that of adam's second moment. Other optimizers ignore them.
    schedule : (M,) str
        "constant", or "cosine": the rate falls from lr to 0, step by step, along half a cosine over the run.
    weight_decay : (M,) float64
        >= 0, decoupled: every step also subtracts rate * weight_decay * weight.
    batch_size : (M,) int64
        Samples of each step, 0 for all of them. Every epoch is one pass over the training data in an order of its own,
        cut into batches of this size (`ensemble.batches`); the last may be smaller. N or more is the same as 0.
    init : (M,) str
        "normal": all weights and biases N(0, init_scale^2); "he": weights N(0, 2 / fan_in), biases 0;
        "uniform": all U(-1, 1) / sqrt(fan_in); "fan_in": all N(0, 1 / fan_in). `init_scale` belongs to "normal" only.
    init_scale : (M,) float64
        >= 0.
    parametrization : (M,) str
        "standard", or "mup": initial weights and learning rates that depend on the width such that the best learning
        rate does not (`optimizers.layer_factors` has the table).
    hidden_bias, output_bias : (M,) bool
        Whether the biases of the hidden layers, and of the output layer, are there (initialized and trained) or held
        at 0.
    data : (M,) str
        Which of several named datasets the model learns.
    """

    __slots__ = ("_columns",)

    _columns: dict[str, NDArray[Any]]

    if TYPE_CHECKING:  # a name that is not here is refused by type checkers and by `__getattr__`
        width: NDArray[np.int64]
        hidden_layers: NDArray[np.int64]
        seed: NDArray[np.int64]
        lr: NDArray[np.float64]
        hidden_lr_factor: NDArray[np.float64]
        output_lr_factor: NDArray[np.float64]
        optimizer: NDArray[np.str_]
        momentum: NDArray[np.float64]
        beta2: NDArray[np.float64]
        schedule: NDArray[np.str_]
        weight_decay: NDArray[np.float64]
        batch_size: NDArray[np.int64]
        init: NDArray[np.str_]
        init_scale: NDArray[np.float64]
        parametrization: NDArray[np.str_]
        hidden_bias: NDArray[np.bool_]
        output_bias: NDArray[np.bool_]
        data: NDArray[np.str_]

    def __init__(self, **columns: Unpack[Axes]) -> None:
        check_names(columns)
        checked = {name: check_column(name, values) for name, values in columns.items()}
        lengths = {name: len(values) for name, values in checked.items()}
        n_models = max(lengths.values())
        for name, length in lengths.items():
            if length not in (1, n_models):
                raise ValueError(f"column {name!r} has {length} rows, but others have {n_models}")
        self._columns = {}
        for name, column in COLUMNS.items():
            values = checked[name] if name in checked else check_column(name, [column.default])
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

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, Any] | Spec] | Any) -> Specs:
        """Return specs from one row per model: the inverse of iterating over them, and of `Result.to_pandas`.

        Parameters
        ----------
        rows : iterable of dict or of Spec, or DataFrame
            A setting that a dict or the DataFrame leaves out takes its default; ``width`` has none. Columns that
            `Result.to_pandas` adds to a row of settings (`RESULT_COLUMNS`) are passed over in a DataFrame.

        Raises
        ------
        ValueError
            An unknown or a missing column, or a value that the column does not allow.

        Examples
        --------
        A search by Optuna, which proposes 32 models at a time::

            study = optuna.create_study()
            for _ in range(10):
                trials = [study.ask() for _ in range(32)]
                rows = [{"width": trial.suggest_int("width", 1, 64, log=True),
                         "optimizer": trial.suggest_categorical("optimizer", ["gd", "adam"]),
                         "lr": trial.suggest_float("lr", 1e-3, 1.0, log=True)} for trial in trials]
                result = ensemble.train(ensemble.Specs.from_rows(rows), data, epochs=200)
                for trial, loss in zip(trials, result.val_loss[:, -1].tolist(), strict=True):
                    study.tell(trial, loss)
            print(study.best_params)
        """
        if hasattr(rows, "columns") and hasattr(rows, "to_numpy"):  # a DataFrame, without importing pandas
            frame: Any = rows
            return cls(**{name: np.asarray(frame[name]) for name in frame.columns if name not in RESULT_COLUMNS})
        listed = [row._asdict() if isinstance(row, Spec) else row for row in rows]
        for place, row in enumerate(listed):
            if not isinstance(row, Mapping):
                raise ValueError(f"row {place} is a {type(row).__name__}; a dict of settings or a Spec is needed")
            check_names(row)
        if not listed:
            return cls(width=[])
        named = [name for name in COLUMNS if any(name in row for row in listed)]
        return cls(**{name: [row.get(name, COLUMNS[name].default) for row in listed] for name in named})

    if not TYPE_CHECKING:

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

    def __len__(self) -> int:
        return len(self._columns["width"])

    @overload
    def __getitem__(self, index: int | np.integer[Any]) -> Spec: ...
    @overload
    def __getitem__(self, index: slice | NDArray[Any] | Iterable[int] | Iterable[bool]) -> Specs: ...
    def __getitem__(self, index: Any) -> Spec | Specs:
        if isinstance(index, (int, np.integer)):
            if not -len(self) <= index < len(self):
                raise IndexError(f"model {index} of {len(self)}")
            return next(iter(self[index : index + 1 or None]))
        places = self.places(index)
        return Specs._of({name: values[places] for name, values in self._columns.items()})

    def places(self, index: slice | NDArray[Any] | Iterable[int] | Iterable[bool]) -> NDArray[np.int64]:
        """Return which models a mask, a slice or an integer array picks, in its order."""
        if isinstance(index, slice):
            return np.arange(*index.indices(len(self)), dtype=np.int64)
        found = np.asarray(index)
        if found.ndim != 1:
            raise IndexError(f"an index of {found.ndim} dimensions; a mask or integers in one are needed")
        if not len(found):
            return np.empty(0, dtype=np.int64)  # an empty list comes as float64
        places: NDArray[np.int64] = np.arange(len(self), dtype=np.int64)[found]
        return places

    def __iter__(self) -> Iterator[Spec]:
        return map(Spec._make, zip(*(getattr(self, name).tolist() for name in COLUMNS), strict=True))

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

    @property
    def digest(self) -> str:
        """The sha256, as hex, of all rows in order."""
        sha = hashlib.sha256()
        for name, values in self._columns.items():
            plain = np.char.encode(values, "utf-8") if values.dtype.kind == "U" else values
            sha.update(f"{name}:{plain.dtype.str}:{len(plain)};".encode())
            sha.update(np.ascontiguousarray(plain).tobytes())
        return sha.hexdigest()

    @property
    def nbytes(self) -> int:
        """The memory of all columns, in bytes."""
        return sum(values.nbytes for values in self._columns.values())

    def varying(self) -> list[str]:
        """Return the names of the columns that hold more than one value."""
        return [name for name, values in self._columns.items() if len(values) and (values != values[0]).any()]

    def _values(self, name: str, most: int) -> tuple[int, str]:
        """Return how many different values a column has, and the first of them in words."""
        values = np.unique(getattr(self, name))
        return len(values), ", ".join(str(value) for value in values[:most]) + (", ..." if len(values) > most else "")

    def _repr_html_(self) -> str:
        varying = self.varying()
        rows = []
        for name in COLUMNS:
            count, shown = self._values(name, 8)
            rows.append((name, count if name in varying else "", shown))
        return html.table(f"Specs of {len(self):,} models", ("column", "different values", "values"), rows)

    def __repr__(self) -> str:
        parts = [f"{name}: {self._values(name, 4)[1]}" for name in self.varying()]
        return f"<Specs of {len(self):,} model{'s' * (len(self) != 1)}{'; ' * bool(parts)}{'; '.join(parts)}>"
