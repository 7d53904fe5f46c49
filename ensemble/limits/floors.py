"""Exact floors of the training MSE: what no network of a width, or without hidden bias, can pass.

`analysis` draws them beside trained models. `built.py` starts from the data and the best pieces that are made here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ensemble.data import Dataset
from ensemble.system.checks import flag, whole

if TYPE_CHECKING:
    from ensemble.kernels.broken_lines import Points

__all__ = [
    "Array", "Pieces", "Problem", "best_pieces", "checked", "checked_widths", "no_bias_floor", "noise_floor",
    "problem_of", "width_floor",
]  # fmt: skip

Array = NDArray[np.float64]

_ROUNDING = 64 * np.finfo(np.float64).eps  # see `_safely_below`


class Problem(NamedTuple):
    """The data in the units of the search: distinct x within [-1, 1], y of size 1."""

    points: Points
    n: int  # N O, numbers in y before those of one x were joined
    within: float  # sum of squares of y around its mean at each x, which no function of x can pass
    x_mid: float
    x_unit: float
    y_mid: float  # 0 if the line y = 0 has to stay where it is; (O,) with several outputs
    y_unit: float


class Pieces(NamedTuple):
    """The best fits of the first points by at most 1 .. K separate lines, for G points."""

    best: Array  # (K, G + 1) least sums of squares
    cut: NDArray[np.int32]  # (K, G + 1) first point of the last piece


def noise_floor(data: Dataset) -> float | None:
    """Return the variance of the noise in y, which no model's test MSE can beat in the mean; None if unknown.

    Parameters
    ----------
    data : Dataset
        Of `ensemble.sample`, or with `noise_variance` given.

    Returns
    -------
    float or None
        In units of y^2. Noise a U[0, 1) has variance a^2 / 12.

    Raises
    ------
    ValueError
        `data` is not a Dataset.
    """
    if not isinstance(data, Dataset):
        raise ValueError(f"data is {type(data).__name__}, but an ensemble.Dataset is needed")
    return data.noise_variance


def width_floor(x: ArrayLike, y: ArrayLike, widths: ArrayLike, hidden_layers: int = 1) -> Array:
    """Return a lower bound on the training MSE of every network of each width, with whatever biases.

    It bounds the squared loss alone, and says nothing of the cross-entropy of labels.

    A network of H units has at most H kinks, so on x in ascending order it is at most H + 1 lines. A further hidden
    layer cuts each line at most H times more, so with L of them it is at most (H + 1)^L lines. The bound is the best
    fit of so many lines that need not meet, found exactly by dynamic programming (Bellman and Roth 1969, "Curve
    fitting by segmented straight lines"); samples of one x stay in one piece. All outputs bend at the same kinks, so
    that with several of them a piece has a line for each, whose sums of squares are added. All widths come from one run
    of O(G^2 (K + O)) steps at most and O(G K) memory, with G distinct x and K pieces.

    Parameters
    ----------
    x : array_like, shape (N,) or (N, 1)
        Inputs, in any order and units.
    y : array_like, shape (N,) or (N, O)
        Outputs.
    widths : array_like of int, shape (W,)
        Numbers of hidden units of each hidden layer, each 1 or more, in any order.
    hidden_layers : int
        L, 1 or more.

    Returns
    -------
    (W,) float64
        In units of y^2; never rises with the width. An allowance for rounding is taken off, 64 machine epsilons of
        the size of y per sample, so that a network that is evaluated in floating point is not below it either.

    Raises
    ------
    ValueError
        x or y is empty, not finite, not real, of a wrong shape, or of different lengths; x has more than one
        column; a width or `hidden_layers` is no whole number of 1 or more.
    """
    inputs, outputs = checked(x, y, several=True)
    layers = whole(hidden_layers, "hidden_layers", 1)
    # More lines than samples are of no use; as floats, whose powers end in infinity and not in a negative number.
    with np.errstate(over="ignore"):
        lines = np.minimum((checked_widths(widths) + 1.0) ** layers, len(inputs)).astype(np.int64)
    problem = problem_of(inputs, outputs, centred=True)
    best = best_pieces(problem, int(lines.max())).best
    sums = best[np.minimum(lines, len(best)) - 1, -1] + problem.within
    return _safely_below(sums / problem.n, problem.y_unit)


def no_bias_floor(x: ArrayLike, y: ArrayLike, output_bias: bool = False) -> float:
    """Return a lower bound on the training MSE of every network without hidden bias, whatever its width.

    All its kinks sit at x = 0, so it is a relu(x) + c relu(-x), plus d with an output bias: least squares gives the
    least MSE exactly, for each output by itself, and two units reach it. It bounds the squared loss alone.

    Parameters
    ----------
    x : array_like, shape (N,) or (N, 1)
        Inputs, in the units that the network sees: 0 is where its kinks are. For standardized data, pass
        `data.scale.inputs(x)` and `data.scale.outputs(y)`.
    y : array_like, shape (N,) or (N, O)
        Outputs.
    output_bias : bool
        Whether the network has an output bias.

    Returns
    -------
    float
        In units of y^2, less the allowance for rounding of `width_floor`.

    Raises
    ------
    ValueError
        As `width_floor`, and if `output_bias` is no bool.
    """
    inputs, outputs = checked(x, y, several=True)
    flag(output_bias, "output_bias")
    y_unit = _size(outputs)
    scaled_x, scaled_y = inputs / _size(inputs), outputs / y_unit
    columns = [np.maximum(scaled_x, 0.0), np.maximum(-scaled_x, 0.0)]
    if output_bias:
        columns.append(np.ones_like(scaled_x))
        scaled_y = scaled_y - scaled_y.mean(axis=0)
    basis = np.stack([column for column in columns if column.any()] or columns[:1], axis=1)
    basis = basis / np.maximum(np.sqrt((basis * basis).sum(axis=0)), np.finfo(np.float64).tiny)
    r = scaled_y - basis @ np.linalg.lstsq(basis, scaled_y, rcond=None)[0]
    return float(_safely_below(np.asarray((r * r).mean()), y_unit))


def best_pieces(problem: Problem, most: int) -> Pieces:
    """Return the best fits by separate lines, up to `most` of them."""
    from ensemble.kernels import broken_lines

    g = len(problem.points.x)
    k = min(most, (g + 1) // 2)  # so many pass through every point
    pieces = Pieces(np.empty((k, g + 1)), np.empty((k, g + 1), dtype=np.int32))
    points = problem.points._replace(y=np.atleast_2d(problem.points.y))
    broken_lines.best_pieces(points, pieces.best, pieces.cut, np.empty(g))
    return pieces


def _safely_below(mse: Array, y_unit: float) -> Array:
    """Return a mean square in units of y^2 from one in units of y_unit^2, less an allowance for rounding.

    Two roundings could put a network below its bound: that of the bound itself, and that of the network's own
    predictions. Either moves the root of the mean square by some machine epsilons of the size of y.
    """
    root = np.sqrt(mse) * (1.0 - _ROUNDING) - _ROUNDING
    with np.errstate(over="ignore"):  # a mean square beyond the largest number is inf, as a network's is
        allowed: Array = (np.maximum(root, 0.0) * y_unit) ** 2
    return allowed


def problem_of(x: Array, y: Array, centred: bool) -> Problem:
    """Return the data in the units of the search."""
    from ensemble.kernels.broken_lines import Points

    x_mid = 0.5 * x.min() + 0.5 * x.max()
    y_mid = y.mean(axis=0) if centred else 0.0
    x_unit, y_unit = _size(x - x_mid), _size(y - y_mid)  # one unit for all outputs: their squares are added
    distinct, group, counts = np.unique(x, return_inverse=True, return_counts=True)
    scaled = np.atleast_2d(((y - y_mid) / y_unit).T)
    weight = counts.astype(np.float64)
    mean = np.array([np.bincount(group, output) for output in scaled]) / weight
    r = scaled - mean[:, group]
    points = Points((distinct - x_mid) / x_unit, mean[0] if y.ndim == 1 else mean, weight)
    return Problem(points, y.size, float((r * r).sum()), float(x_mid), x_unit, y_mid, y_unit)


def _size(values: Array) -> float:
    """Return the largest absolute value, or 1 if all are 0."""
    return float(np.abs(values).max()) or 1.0


def checked(x: ArrayLike, y: ArrayLike, *, several: bool = False) -> tuple[Array, Array]:
    """Return x and y as (N,) float64, or raise a ValueError that names what is wrong.

    y is (N, O) of several outputs, where they are allowed.
    """
    arrays = []
    for name, values in (("x", x), ("y", y)):
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise ValueError(f"{name} has dtype {array.dtype}: real numbers are needed")
        if array.ndim == 2:
            if array.shape[1] == 1:
                array = array[:, 0]
            elif name == "x" or not several:
                one = "input" if name == "x" else "output"
                raise ValueError(
                    f"{name} has {array.shape[1]} columns: these limits hold for one {one}, (N,) or (N, 1)"
                )
        if array.ndim not in ((1,) if name == "x" or not several else (1, 2)) or array.size == 0:
            raise ValueError(f"{name} has shape {array.shape}: at least one sample, (N,), is needed")
        array = array.astype(np.float64)
        if not np.isfinite(array).all():
            bad = ", ".join(map(str, np.argwhere(~np.isfinite(array))[0].tolist()))
            raise ValueError(f"{name}[{bad}] is {array[~np.isfinite(array)][0]}: finite numbers are needed")
        arrays.append(array)
    if len(arrays[0]) != len(arrays[1]):
        raise ValueError(f"x has {len(arrays[0])} samples, but y has {len(arrays[1])}: one y per x is needed")
    return arrays[0], arrays[1]


def checked_widths(widths: ArrayLike) -> NDArray[np.int64]:
    """Return the widths as (W,) whole numbers, or raise a ValueError that names what is wrong."""
    array = np.asarray(widths)
    if array.ndim != 1 or len(array) == 0:
        raise ValueError(f"widths has shape {array.shape}: at least one width, (W,), is needed")
    return np.array([whole(width, "width", 1, 2**31 - 1) for width in array.tolist()], dtype=np.int64)
