"""Data to learn from: sampled from a target, loaded from a CSV file, or given as arrays.

A `Dataset` is one of the two things that `training.train` takes; the other is the specs of the models.
"""

from __future__ import annotations

import csv
import hashlib
import math
import operator
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from ensemble.data.targets import FloatArray, Function, Target, get_target

# Purposes of random draws: each has a stream of its own, so that changing one never moves another. Those
# below 100 belong to the networks.
NOISE_PURPOSE = 100
SPLIT_PURPOSE = 101
VALIDATION_PURPOSE = 102
ROWS_PURPOSE = 103


class Scale(NamedTuple):
    """Mean and standard deviation of each column of the training part, to standardize by.

    All in the original units. A constant column has standard deviation 1.
    """

    x_mean: FloatArray  # (D,)
    x_std: FloatArray  # (D,)
    y_mean: float
    y_std: float

    def inputs(self, x: FloatArray) -> FloatArray:
        """Return x of shape (N, D) with each column standardized."""
        return (x - self.x_mean) / self.x_std

    def outputs(self, y: FloatArray) -> FloatArray:
        """Return y, of any shape, standardized."""
        return (y - self.y_mean) / self.y_std

    def restore(self, p: FloatArray) -> FloatArray:
        """Return predictions p, of any shape, in the original units of y."""
        return p * self.y_std + self.y_mean


class Dataset:
    """A training part, and perhaps a test and a validation part, checked once and then immutable.

    Every array is kept as a read-only, C-contiguous float64 copy in its original units, standardized or not.

    Parameters
    ----------
    x_train : array_like, shape (N,) or (N, D)
        The training inputs, of any real dtype.
    y_train : array_like, shape (N,)
        The training outputs.
    x_test, y_test, x_val, y_val : array_like, optional
        The test and validation parts, of the same D; x and y of a part are given together or not at all.
    standardize : bool
        Whether models are to train on standardized inputs and outputs; `scale` then holds how.
    name : str
        What plots and tables call the data.
    x_names : sequence of str, optional
        One name per input, for labels. Default: "x", or "x0", "x1", ... for several inputs.
    y_name : str
        The name of the output, for labels.
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
    y_train, y_test, y_val : ndarray of float64, shape (N,)
        The outputs of each part; None where there is no such part.
    scale : Scale or None
        The training part's means and standard deviations; None unless standardized.

    Raises
    ------
    ValueError
        If an array is empty, has NaN or Inf, the wrong number of dimensions or a dtype that is not real; if
        x and y of a part differ in length or one is missing; if parts differ in D; or if another argument
        is out of range.
    """

    x_train: FloatArray
    y_train: FloatArray
    x_test: FloatArray | None
    y_test: FloatArray | None
    x_val: FloatArray | None
    y_val: FloatArray | None
    scale: Scale | None
    name: str
    x_names: tuple[str, ...]
    y_name: str
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
        y_name: str = "y",
        noise_variance: float | None = None,
        target: Target | None = None,
        dropped_rows: int = 0,
    ) -> None:
        train = _part(x_train, y_train, "train")
        if train is None:
            raise ValueError("x_train and y_train are None: a dataset needs a training part")
        n_inputs = train[0].shape[1]
        test = _part(x_test, y_test, "test", n_inputs)
        val = _part(x_val, y_val, "val", n_inputs)
        if noise_variance is not None:
            noise_variance = _number(noise_variance, "noise_variance", low=0.0)
        if target is not None and not isinstance(target, Target):
            raise ValueError(f"target must be a Target or None, not {target!r}: see ensemble.targets.get_target")

        fields: dict[str, Any] = self.__dict__  # attribute assignment is closed, see __setattr__
        fields["x_train"], fields["y_train"] = train
        fields["x_test"], fields["y_test"] = test or (None, None)
        fields["x_val"], fields["y_val"] = val or (None, None)
        fields["scale"] = _scale(*train) if standardize else None
        fields["name"] = _text(name, "name")
        fields["x_names"] = _input_names(x_names, n_inputs)
        fields["y_name"] = _text(y_name, "y_name")
        fields["noise_variance"] = noise_variance
        fields["target"] = target
        fields["dropped_rows"] = _integer(dropped_rows, "dropped_rows", low=0)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Dataset is immutable: cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a Dataset is immutable: cannot delete {name!r}")

    def __setstate__(self, state: dict[str, Any]) -> None:
        # NumPy pickles and copies arrays as writeable ones.
        self.__dict__.update(state)
        for value in (*state.values(), *(self.scale or ())):
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(y)} {part}" for part, (_, y) in self.parts().items())
        notes = f"{', '.join(self.x_names) if self.n_inputs <= 4 else f'{self.n_inputs} inputs'} -> {self.y_name}"
        if self.scale is not None:
            notes += ", standardized"
        if self.dropped_rows:
            notes += f", {self.dropped_rows} rows with empty cells dropped"
        return f"<Dataset {self.name!r}: {counts}; {notes}>"

    @property
    def n_inputs(self) -> int:
        """The number of inputs, D."""
        return int(self.x_train.shape[1])

    @property
    def n_train(self) -> int:
        """The number of training samples, N."""
        return int(self.x_train.shape[0])

    def parts(self) -> dict[str, tuple[FloatArray, FloatArray]]:
        """Return the parts there are, {"train": (x, y), "val": ..., "test": ...}, in original units."""
        parts = {"train": (self.x_train, self.y_train)}
        if self.x_val is not None and self.y_val is not None:
            parts["val"] = (self.x_val, self.y_val)
        if self.x_test is not None and self.y_test is not None:
            parts["test"] = (self.x_test, self.y_test)
        return parts

    @cached_property
    def digest(self) -> str:
        """The sha256, in hexadecimal, of all arrays and the scale: what a model's result can depend on."""
        arrays = [
            (f"{letter}_{part}", a) for part, xy in self.parts().items() for letter, a in zip("xy", xy, strict=True)
        ]
        if self.scale is not None:
            arrays += [(field, np.asarray(value)) for field, value in self.scale._asdict().items()]
        sha = hashlib.sha256()
        for label, array in arrays:
            sha.update(f"{label}{array.shape}".encode())
            sha.update(array.astype("<f8").tobytes())
        return sha.hexdigest()

    def split(self, test_fraction: float = 0.2, val_fraction: float = 0.2, seed: int = 0) -> Dataset:
        """Return a dataset whose missing test and validation parts are drawn from the training part.

        Rows are drawn without replacement and keep their order. A part that is there already stays as it
        is, and its fraction is not used. Standardized data is standardized anew, by the training part that
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
            n_test = _share(self.n_train, test_fraction, "test_fraction", "training samples")
        if self.x_val is None:
            n_val = _share(self.n_train, val_fraction, "val_fraction", "training samples")
        if n_test + n_val >= self.n_train:
            raise ValueError(
                f"test_fraction={test_fraction} and val_fraction={val_fraction} leave none of "
                f"{self.n_train} training samples to train on: their sum must be smaller"
            )
        order = _generator(seed, ROWS_PURPOSE).permutation(self.n_train)
        rows = {
            "test": np.sort(order[:n_test]),
            "val": np.sort(order[n_test : n_test + n_val]),
            "train": np.sort(order[n_test + n_val :]),
        }
        parts: dict[str, tuple[FloatArray, FloatArray]] = {
            part: (self.x_train[index], self.y_train[index]) for part, index in rows.items() if index.size
        }
        parts = self.parts() | parts
        return Dataset(
            *parts["train"],
            *parts.get("test", (None, None)),
            *parts.get("val", (None, None)),
            standardize=self.scale is not None,
            name=self.name,
            x_names=self.x_names,
            y_name=self.y_name,
            noise_variance=self.noise_variance,
            target=self.target,
            dropped_rows=self.dropped_rows,
        )


def sample(
    target: str | Target | Function,
    n: int = 600,
    test_fraction: float = 0.3,
    noise: float = 0.01,
    seed: int = 0,
    *,
    n_val: int | None = None,
    interval: tuple[float, float] | None = None,
) -> Dataset:
    """Sample a target as the original did: equally spaced points, noisy values, a random test part.

    y = f(x) + noise * U[0, 1) on n equally spaced points, both ends among them. The test part is drawn from
    them without replacement; the others, in ascending order, are the training part. The validation part is
    fresh: uniform random points on the interval, with noise of the same law.

    Parameters
    ----------
    target : str, Target or callable
        What to sample; see `ensemble.targets.get_target`.
    n : int
        The number of equally spaced points, 1 or more.
    test_fraction : float
        The share of them that is the test part, in [0, 1), rounded to whole points; 0 for no test part.
    noise : float
        The width of the uniform noise, in the units of y, 0 or more. Its variance is noise^2 / 12.
    seed : int
        The seed of noise, split and validation points (a stream each), 0 or more.
    n_val : int, optional
        The number of validation points; 0 for no validation part. Default: as many as test points.
    interval : (float, float), optional
        Where to sample. Default: the target's own interval.

    Returns
    -------
    Dataset
        With `target` and `noise_variance` set.

    Raises
    ------
    ValueError
        If an argument is out of range, the target is unknown or not finite on the interval, a test_fraction
        above 0 comes to no point at all, or no training point would remain.
    """
    found = get_target(target, interval)
    n = _integer(n, "n", low=1)
    noise = _number(noise, "noise", low=0.0)
    n_test = _share(n, test_fraction, "test_fraction", "points")
    if n_test >= n:
        raise ValueError(f"test_fraction={test_fraction} of {n} points leaves none to train on")
    n_val = n_test if n_val is None else _integer(n_val, "n_val", low=0)

    x = np.linspace(found.low, found.high, n)
    y = found(x) + noise * _generator(seed, NOISE_PURPOSE).random(n)
    test = np.zeros(n, dtype=np.bool_)
    test[_generator(seed, SPLIT_PURPOSE).choice(n, size=n_test, replace=False)] = True

    x_val = y_val = None
    if n_val:
        validation = _generator(seed, VALIDATION_PURPOSE)
        x_val = validation.uniform(found.low, found.high, n_val)
        y_val = found(x_val) + noise * validation.random(n_val)
    return Dataset(
        x[~test],
        y[~test],
        x[test] if n_test else None,
        y[test] if n_test else None,
        x_val,
        y_val,
        name=found.name,
        noise_variance=noise * noise / 12.0,
        target=found,
    )


def load_csv(
    path: str | os.PathLike[str],
    x: str | Sequence[str],
    y: str,
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
    y : str
        The output column.
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
        If the file cannot be read, is not UTF-8, is empty or names a column twice; if a named column is not
        there; if a row has more or fewer cells than the header, or a cell that is not a finite number (the
        message has its line and column); if no row is left; or if another argument is out of range.
    """
    path = Path(path)
    inputs = [x] if isinstance(x, str) else list(x)
    columns = [*inputs, y]
    if not inputs or not all(isinstance(column, str) for column in columns):
        raise ValueError(f"x must be one or more column names and y one, not x={x!r}, y={y!r}")
    if len(set(columns)) < len(columns):
        raise ValueError(f"a column is named twice among x and y: {', '.join(columns)}")

    rows: list[list[float]] = []
    dropped = 0
    lines = _csv_lines(path)
    first, header = next(lines, (0, []))
    if not header:
        raise ValueError(f"{path}: is empty, but its first line must name the columns")
    names = [name.strip() for name in header]
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise ValueError(f"{path}: line {first} names column {duplicates[0]!r} more than once")
    for column in columns:
        if column not in names:
            raise ValueError(f"{path}: no column {column!r}: the columns are {', '.join(names)}")
    used = [names.index(column) for column in columns]

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
        raise ValueError(f"{path}: no row has values in all of {', '.join(columns)} ({dropped} with empty cells)")

    table = np.array(rows)
    try:
        data = Dataset(
            table[:, :-1],
            table[:, -1],
            standardize=standardize,
            name=path.stem,
            x_names=inputs,
            y_name=y,
            dropped_rows=dropped,
        )
        return data.split(test_fraction, val_fraction, seed)
    except ValueError as error:  # values that no model can be trained on, or too few of them
        raise ValueError(f"{path}: {error}") from error


def _csv_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) for every line that is not blank; what goes wrong is a ValueError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            try:
                for cells in reader:
                    if len(cells) > 1 or any(cell.strip() for cell in cells):
                        yield reader.line_num, cells
            except csv.Error as error:
                raise ValueError(f"{path}: line {reader.line_num} is malformed: {error}") from None
            except UnicodeDecodeError as error:
                raise ValueError(f"{path}: is not UTF-8 text after line {reader.line_num}: {error.reason}") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror or error}") from error


def _cell(text: str, path: Path, line: int, column: str) -> float:
    try:
        # float() takes Python's digit grouping, so that a mistyped 3_5 would pass as 35.
        value = math.nan if "_" in text else float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{path}: line {line}, column {column!r}: {text!r} is not a finite number")
    return value


def _part(x: Any, y: Any, part: str, n_inputs: int | None = None) -> tuple[FloatArray, FloatArray] | None:
    """Return the checked (x, y) of a part, or None if neither is given; D must be n_inputs if given."""
    x_name, y_name = f"x_{part}", f"y_{part}"
    if x is None and y is None:
        return None
    if x is None or y is None:
        given, missing = (y_name, x_name) if x is None else (x_name, y_name)
        raise ValueError(f"{given} is given without {missing}: pass both or neither")
    inputs, outputs = _array(x, x_name, (1, 2)), _array(y, y_name, (1,))
    if inputs.ndim == 1:
        inputs = inputs.reshape(-1, 1)
        inputs.flags.writeable = False
    if len(inputs) != len(outputs):
        raise ValueError(f"{x_name} has {len(inputs)} rows, but {y_name} has {len(outputs)}: they must be equal")
    if n_inputs is not None and inputs.shape[1] != n_inputs:
        raise ValueError(f"{x_name} has {inputs.shape[1]} columns, but x_train has {n_inputs}: they must be equal")
    return inputs, outputs


def _array(value: Any, name: str, allowed: tuple[int, ...]) -> FloatArray:
    """Return a read-only, C-contiguous float64 copy; `allowed` are the numbers of dimensions."""
    shapes = {(1,): "(N,)", (1, 2): "(N,) or (N, D)"}[allowed]
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(f"{name} has masked values: drop or fill them first")
    try:
        raw = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is not an array of shape {shapes}: {error}") from None
    if raw.dtype.kind not in "biuf":
        raise ValueError(f"{name} has dtype {raw.dtype}: it must hold real numbers")
    if raw.ndim not in allowed:
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
    array.flags.writeable = False
    return array


def _scale(x: FloatArray, y: FloatArray) -> Scale:
    x_columns = [_mean_std(column, f"x_train column {i}") for i, column in enumerate(x.T)]
    y_mean, y_std = _mean_std(y, "y_train")
    x_mean, x_std = np.array(x_columns).T.copy()
    x_mean.flags.writeable = x_std.flags.writeable = False
    return Scale(x_mean, x_std, y_mean, y_std)


def _mean_std(column: FloatArray, name: str) -> tuple[float, float]:
    # Decided on the values: the mean of equal numbers may be off by one rounding, and their deviation then
    # not 0.
    if np.all(column == column[0]):
        return float(column[0]), 1.0
    with np.errstate(all="ignore"):
        mean, std = float(column.mean()), float(column.std())
        usable = math.isfinite(mean) and math.isfinite(std) and bool(np.all(np.isfinite((column - mean) / std)))
    if not usable:
        raise ValueError(
            f"{name} cannot be standardized (mean {mean}, standard deviation {std}): "
            "rescale it, or pass standardize=False"
        )
    return mean, std


def _input_names(names: Sequence[str] | None, n_inputs: int) -> tuple[str, ...]:
    if names is None:
        return ("x",) if n_inputs == 1 else tuple(f"x{i}" for i in range(n_inputs))
    found = (names,) if isinstance(names, str) else tuple(names)
    if len(found) != n_inputs:
        raise ValueError(f"x_names has {len(found)} names, but x_train has {n_inputs} columns: they must be equal")
    return tuple(_text(name, "x_names") for name in found)


def _generator(seed: int, purpose: int) -> np.random.Generator:
    seed = _integer(seed, "seed", low=0)
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(purpose,))))


def _share(n: int, fraction: float, name: str, of: str) -> int:
    """Return how many of n a fraction comes to; `of` is what the message counts."""
    fraction = _number(fraction, name, low=0.0)
    if fraction >= 1.0:
        raise ValueError(f"{name} must be below 1, not {fraction}")
    count = round(n * fraction)
    if count == 0 and fraction > 0.0:
        raise ValueError(f"{name}={fraction} of {n} {of} comes to none: give more, or {name}=0")
    return count


def _integer(value: Any, name: str, *, low: int) -> int:
    try:
        found = None if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        found = None
    if found is None or found < low:
        raise ValueError(f"{name} must be a whole number, {low} or more, not {value!r}")
    return found


def _number(value: Any, name: str, *, low: float) -> float:
    try:
        found = math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not (math.isfinite(found) and found >= low):
        raise ValueError(f"{name} must be a finite number, {low:g} or more, not {value!r}")
    return found


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} must be a non-empty string, not {value!r}")
    return value
