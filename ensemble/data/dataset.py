"""A dataset: a training part, perhaps a test and a validation part, checked once and then immutable.

One of the two things that `training.train` takes; the other is the specs of the models.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble.data.scale import Scale
from ensemble.data.targets import FloatArray, Target
from ensemble.system import html, memory
from ensemble.system.checks import flag, number, text, whole
from ensemble.system.streams import ROWS, generator

__all__ = ["PARTS", "Dataset", "held_out"]

PARTS = ("train", "val", "test")


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Dataset:
    """A training part, and perhaps a test and a validation part, checked once and then immutable.

    Every array is kept as a read-only, C-contiguous float64 copy in its original units, standardized or not.

    Parameters
    ----------
    x_train : array_like or DataFrame, shape (N,) or (N, D)
        The training inputs, of any real dtype. A DataFrame's columns name the inputs.
    y_train : array_like, DataFrame or Series, shape (N,) or (N, O)
        The training outputs, or labels 0, 1, ... for ``loss="cross_entropy"``. A DataFrame's columns, or the name of a
        Series, name the outputs. One column is the same as none: (N, 1) is kept as (N,).
    x_test, y_test, x_val, y_val : array_like, optional
        The test and validation parts, of the same D and O; x and y of a part are given together or not at all.
    standardize : bool
        Whether models are to train on standardized inputs and outputs; `scale` then holds how. Labels are never
        standardized. Several outputs are standardized each by its own, so that training weighs them equally.
    name : str
        What plots and tables call the data.
    x_names : sequence of str, optional
        One name per input, for labels. Default: the names that x_train comes with, otherwise "x", or "x0", "x1", ...
        for several inputs.
    y_name : str, optional
        The name of the one output, for labels. Default: the name that y_train comes with, otherwise "y".
    y_names : sequence of str, optional
        One name per output, instead of `y_name`. Default: the names that y_train comes with, otherwise "y0", "y1", ...
    noise_variance : float, optional
        The variance of the noise in y, where it is known: the test MSE that no model can beat in the mean.
    target : Target, optional
        The function behind the data, where there is one.
    dropped_rows : int
        How many rows of the source were left out because they had an empty cell.

    Attributes
    ----------
    x_train, x_test, x_val : ndarray of float64, shape (N, D)
        The inputs of each part; None where there is no such part.
    y_train, y_test, y_val : ndarray of float64, shape (N,), or (N, O) with several outputs
        The outputs of each part; None where there is no such part.

    Raises
    ------
    ValueError
        If an array is empty, has NaN or Inf, the wrong number of dimensions or a dtype that is not real; if
        x and y of a part differ in length or one is missing; if parts differ in D, in O or in the names of their
        columns; or if another argument is out of range.
    """

    x_train: FloatArray
    y_train: FloatArray
    x_test: FloatArray | None
    y_test: FloatArray | None
    x_val: FloatArray | None
    y_val: FloatArray | None
    standardize: bool
    name: str
    x_names: tuple[str, ...]
    y_names: tuple[str, ...]
    noise_variance: float | None
    target: Target | None
    dropped_rows: int

    def __init__(
        self,
        x_train: npt.ArrayLike,
        y_train: npt.ArrayLike,
        x_test: npt.ArrayLike | None = None,
        y_test: npt.ArrayLike | None = None,
        x_val: npt.ArrayLike | None = None,
        y_val: npt.ArrayLike | None = None,
        *,
        standardize: bool = False,
        name: str = "data",
        x_names: Sequence[str] | None = None,
        y_name: str | None = None,
        y_names: Sequence[str] | None = None,
        noise_variance: float | None = None,
        target: Target | None = None,
        dropped_rows: int = 0,
    ) -> None:
        if x_train is None and y_train is None:
            raise ValueError("x_train and y_train are None: a dataset needs a training part")
        if target is not None and not isinstance(target, Target):
            raise ValueError(f"target must be a Target or None, not {target!r}: see ensemble.data.get_target")
        fields: dict[str, Any] = {}
        for part, x, y in (("train", x_train, y_train), ("test", x_test, y_test), ("val", x_val, y_val)):
            like = (fields["x_train"], fields["y_train"]) if part != "train" else None
            fields[f"x_{part}"], fields[f"y_{part}"] = _part(x, y, part, like)
            for letter, values, first in (("x", x, x_train), ("y", y, y_train)):
                given, wanted = _column_names(values), _column_names(first)
                if len(given) > (letter == "y") and wanted not in ((), given):  # one output may have any name
                    raise ValueError(f"{letter}_{part} has the columns {given}, but {letter}_train has {wanted}")
        fields["standardize"] = flag(standardize, "standardize")
        fields["name"] = text(name, "name")
        named = _column_names(x_train) if x_names is None else x_names
        fields["x_names"] = _names("x", named, fields["x_train"].shape[1])
        if y_name is not None and y_names is not None:
            raise ValueError(f"y_name {y_name!r} and y_names {y_names!r} are given: pass one of them")
        named = _column_names(y_train) if y_names is None else y_names
        named = named if y_name is None else (text(y_name, "y_name"),)
        fields["y_names"] = _names("y", named, fields["y_train"][:1].size)
        fields["noise_variance"] = None if noise_variance is None else number(noise_variance, "noise_variance", low=0.0)
        fields["target"] = target
        fields["dropped_rows"] = whole(dropped_rows, "dropped_rows")
        self.__dict__.update(fields)  # a frozen dataclass takes no assignments
        _ = self.scale  # raises where the values cannot be standardized

    def __setstate__(self, state: dict[str, Any]) -> None:
        # NumPy pickles and copies arrays as writeable ones.
        self.__dict__.update(state)
        for value in (*state.values(), *(() if self.scale is None else vars(self.scale).values())):
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(y)} {part}" for part, (_, y) in self.parts().items())
        notes = f"{', '.join(self.x_names) if self.n_inputs <= 4 else f'{self.n_inputs} inputs'} -> "
        notes += self.y_name if self.n_outputs <= 4 else f"{self.n_outputs} outputs"
        if self.scale is not None:
            notes += ", standardized"
        if self.dropped_rows:
            notes += f", {self.dropped_rows} rows with empty cells dropped"
        return f"<Dataset {self.name!r}: {counts}; {notes}>"

    def _repr_html_(self) -> str:
        columns = np.column_stack((self.x_train, self.y_train)).T
        kinds = ["input"] * self.n_inputs + ["output"] * self.n_outputs
        rows = [
            (name, kind, *(f"{value:.4g}" for value in (values.min(), values.mean(), values.max())))
            for name, kind, values in zip((*self.x_names, *self.y_names), kinds, columns, strict=True)
        ]
        return html.table(repr(self)[1:-1], ("column", "", "min", "mean", "max of the training part"), rows)

    @property
    def n_inputs(self) -> int:
        """The number of inputs, D."""
        return int(self.x_train.shape[1])

    @property
    def n_outputs(self) -> int:
        """The number of outputs, O."""
        return len(self.y_names)

    @property
    def y_name(self) -> str:
        """The name of the output; of several, their names in a row."""
        return ", ".join(self.y_names)

    @property
    def n_train(self) -> int:
        """The number of training samples, N."""
        return int(self.x_train.shape[0])

    @cached_property
    def scale(self) -> Scale | None:
        """The training part's means and standard deviations; None unless standardized."""
        return Scale.of(self.x_train, self.y_train) if self.standardize else None

    def parts(self) -> dict[str, tuple[FloatArray, FloatArray]]:
        """Return the parts there are, {"train": (x, y), "val": ..., "test": ...}, in original units."""
        parts = {part: (getattr(self, f"x_{part}"), getattr(self, f"y_{part}")) for part in PARTS}
        return {part: both for part, both in parts.items() if both[0] is not None}

    @cached_property
    def digest(self) -> str:
        """The sha256, in hexadecimal, of all arrays and the scale: what a model's result can depend on."""
        arrays = [
            (f"{letter}_{part}", a) for part, xy in self.parts().items() for letter, a in zip("xy", xy, strict=True)
        ]
        if self.scale is not None:
            arrays += [(field, np.asarray(value)) for field, value in vars(self.scale).items()]
        sha = hashlib.sha256()
        for label, array in arrays:
            sha.update(f"{label}{array.shape}".encode())
            sha.update(array.astype("<f8").tobytes())
        return sha.hexdigest()

    def split(self, test_fraction: float = 0.2, val_fraction: float = 0.2, seed: int = 0) -> Dataset:
        """Return a dataset whose missing test and validation parts are drawn from the training part.

        Rows are drawn without replacement and keep their order. A part that is there already stays as it
        is, and its fraction is not used. Standardized data is standardized again, by the training part that
        remains.

        Parameters
        ----------
        test_fraction, val_fraction : float
            The parts' shares of this dataset's training samples, each in [0, 1); 0 leaves the part missing.
        seed : int
            The seed of the draw, 0 or more.

        Returns
        -------
        Dataset

        Raises
        ------
        ValueError
            If a fraction or the seed is out of range, if a fraction above 0 comes to no sample at all, or
            if no training sample would remain.
        """
        n_test = n_val = 0
        if self.x_test is None:
            n_test = share(self.n_train, test_fraction, "test_fraction", "training samples")
        if self.x_val is None:
            n_val = share(self.n_train, val_fraction, "val_fraction", "training samples")
        if n_test + n_val >= self.n_train:
            raise ValueError(
                f"test_fraction={test_fraction} and val_fraction={val_fraction} leave none of "
                f"{self.n_train} training samples to train on: their sum must be smaller"
            )
        order = generator(seed, ROWS).permutation(self.n_train)
        rows = {
            "test": np.sort(order[:n_test]),
            "val": np.sort(order[n_test : n_test + n_val]),
            "train": np.sort(order[n_test + n_val :]),
        }
        drawn: dict[str, Any] = {}
        for part, index in rows.items():
            if index.size:
                drawn |= {f"x_{part}": self.x_train[index], f"y_{part}": self.y_train[index]}
        return replace(self, **drawn)


def share(n: int, fraction: float, name: str, of: str) -> int:
    """Return how many of n, which the message calls `of`, a fraction comes to.

    A ValueError where the fraction is not in [0, 1), or is above 0 and comes to none.
    """
    fraction = number(fraction, name, low=0.0)
    if fraction >= 1.0:
        raise ValueError(f"{name} must be below 1, not {fraction}")
    count = round(n * fraction)
    if count == 0 and fraction > 0.0:
        raise ValueError(f"{name}={fraction} of {n} {of} comes to none: give more, or {name}=0")
    return count


def held_out(n: int, test_fraction: float, n_val: int | None, point_bytes: int) -> tuple[int, int]:
    """Return how many of n points are for testing, and how many more for validation: `n_val`, or as many if None.

    A ValueError where none of the n is left to train on, or all do not fit in memory at `point_bytes` each.
    """
    n_test = share(n, test_fraction, "test_fraction", "points")
    if n_test >= n:
        raise ValueError(f"test_fraction={test_fraction} of {n} points leaves none to train on")
    n_val = n_test if n_val is None else whole(n_val, "n_val")
    memory.require(point_bytes * (n + n_val), f"a dataset of {n + n_val:,} points", "take fewer points")
    return n_test, n_val


def _part(
    x: Any, y: Any, part: str, like: tuple[FloatArray, FloatArray] | None
) -> tuple[FloatArray, FloatArray] | tuple[None, None]:
    """Return the checked (x, y) of a part, or Nones if neither is given; D and O must be those of `like` if given."""
    x_name, y_name = f"x_{part}", f"y_{part}"
    if x is None and y is None:
        return None, None
    if x is None or y is None:
        given, missing = (y_name, x_name) if x is None else (x_name, y_name)
        raise ValueError(f"{given} is given without {missing}: pass both or neither")
    inputs, outputs = _array(x, x_name, "(N,) or (N, D)"), _array(y, y_name, "(N,) or (N, O)")
    if len(inputs) != len(outputs):
        raise ValueError(f"{x_name} has {len(inputs)} rows, but {y_name} has {len(outputs)}: they must be equal")
    for name, values, first in zip((x_name, y_name), (inputs, outputs), like or (), strict=False):
        columns = first[:1].size
        if values.shape[1] != columns:
            raise ValueError(
                f"{name} has {values.shape[1]} columns, but {name[0]}_train has {columns}: they must be equal"
            )
    return inputs, outputs[:, 0] if outputs.shape[1] == 1 else outputs


def _array(value: Any, name: str, shapes: str) -> FloatArray:
    """Return a read-only, C-contiguous float64 copy of shape (N, columns); `shapes` are named where it has another."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(f"{name} has masked values: drop or fill them first")
    try:
        raw = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is not an array of shape {shapes}: {error}") from None
    if raw.dtype.kind not in "biuf":
        raise ValueError(f"{name} has dtype {raw.dtype}: it must hold real numbers")
    if raw.ndim not in (1, 2):
        raise ValueError(f"{name} has shape {raw.shape}: it must have shape {shapes}")
    if raw.size == 0:
        raise ValueError(f"{name} is empty (shape {raw.shape}): it must have at least one sample")
    with np.errstate(over="ignore"):  # a long double beyond float64 becomes Inf, and is refused as such
        array = np.array(raw, dtype=np.float64, order="C", subok=False)
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        first = tuple(int(i) for i in wrong[0])
        where = f"row {first[0]}" if array.ndim == 1 else f"row {first[0]}, column {first[1]}"
        raise ValueError(f"{name} has {array[first]} in {where}: every value must be finite")
    array += 0.0  # -0.0 becomes 0.0: equal data have one digest
    array = array.reshape(len(array), -1)
    array.flags.writeable = False
    return array


def _column_names(value: Any) -> tuple[str, ...]:
    """Return the names that a DataFrame or a Series gives its columns; () for anything else."""
    if not hasattr(value, "to_numpy"):
        return ()
    names = value.columns if hasattr(value, "columns") else [value.name]
    return tuple(str(name) for name in names if name is not None)


def _names(letter: str, names: Sequence[str], count: int) -> tuple[str, ...]:
    """Return one name for each of so many columns of x or y."""
    if len(names) == 0:
        return (letter,) if count == 1 else tuple(f"{letter}{i}" for i in range(count))
    found = (names,) if isinstance(names, str) else tuple(names)
    if len(found) != count:
        raise ValueError(
            f"{letter}_names has {len(found)} names, but {letter}_train has {count} columns: they must be equal"
        )
    return tuple(text(name, f"{letter}_names") for name in found)
