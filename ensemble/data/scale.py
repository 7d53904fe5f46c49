"""How a dataset is standardized: the mean and the standard deviation of each of its columns.

A `Dataset` holds one where models are to train on standardized values; predictions are brought back by it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ensemble.data.targets import FloatArray

__all__ = ["Scale"]


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of each column of the training part, in the original units.

    Raises
    ------
    ValueError
        A mean is not finite, or a standard deviation is not finite and above 0.
    """

    x_mean: FloatArray  # (D,)
    x_std: FloatArray  # (D,)
    y_mean: float | FloatArray  # (O,) of several outputs
    y_std: float | FloatArray

    def __post_init__(self) -> None:
        means, deviations = np.append(self.x_mean, self.y_mean), np.append(self.x_std, self.y_std)
        if not (np.isfinite(means).all() and np.isfinite(deviations).all() and (deviations > 0).all()):
            raise ValueError(
                f"a scale with means {means.tolist()} and standard deviations {deviations.tolist()} is not allowed; "
                "finite numbers are needed, the latter above 0"
            )

    @classmethod
    def of(cls, x: FloatArray, y: FloatArray) -> Scale:
        """Return the scale of a training part: x of shape (N, D), y of shape (N,) or (N, O).

        A constant column gets the standard deviation 1.

        Raises
        ------
        ValueError
            A column's values are so large or so close together that they cannot be standardized.
        """
        return cls(*_columns(x, "x_train"), *(_mean_std(y, "y_train") if y.ndim == 1 else _columns(y, "y_train")))

    def of_inputs(self, n_outputs: int) -> Scale:
        """Return the scale of the same inputs that leaves outputs as they are."""
        if n_outputs == 1:
            return Scale(self.x_mean, self.x_std, 0.0, 1.0)
        return Scale(self.x_mean, self.x_std, _fixed(np.zeros(n_outputs)), _fixed(np.ones(n_outputs)))

    @classmethod
    def of_values(cls, values: FloatArray, n_inputs: int, n_outputs: int, name: str) -> Scale:
        """Return the scale whose `values` a file holds; a ValueError that says `name` where it is none."""
        if values.shape != (2 * n_inputs + 2 * n_outputs,) or values.dtype != np.float64:
            raise ValueError(f"{name} has shape {values.shape}")
        ends = [n_inputs, 2 * n_inputs, 2 * n_inputs + n_outputs]
        x_mean, x_std, *outputs = (_fixed(part.copy()) for part in np.split(values, ends))
        y_mean, y_std = outputs if n_outputs > 1 else (float(part[0]) for part in outputs)
        try:
            return cls(x_mean, x_std, y_mean, y_std)
        except ValueError:
            wrong = "holds a mean that is not finite or a standard deviation that is not positive"
            raise ValueError(f"{name} {wrong}") from None

    def values(self) -> FloatArray:
        """Return x_mean, x_std, y_mean and y_std side by side (2 D + 2 O,), as files hold them."""
        return np.concatenate([self.x_mean, self.x_std, np.atleast_1d(self.y_mean), np.atleast_1d(self.y_std)])

    def inputs(self, x: FloatArray) -> FloatArray:
        """Return x of shape (N, D) with each column standardized."""
        return (x - self.x_mean) / self.x_std

    def outputs(self, y: FloatArray) -> FloatArray:
        """Return y standardized, of any shape; the last axis is that of several outputs."""
        return (y - self.y_mean) / self.y_std

    def restore(self, p: FloatArray) -> FloatArray:
        """Return predictions p in the original units of y, of any shape; the last axis is that of several outputs."""
        return p * self.y_std + self.y_mean


def _columns(values: FloatArray, name: str) -> tuple[FloatArray, FloatArray]:
    """Return the mean and the standard deviation of each column of values (N, columns)."""
    means, deviations = np.array([_mean_std(column, f"{name} column {i}") for i, column in enumerate(values.T)]).T
    return _fixed(means.copy()), _fixed(deviations.copy())


def _fixed(values: FloatArray) -> FloatArray:
    values.flags.writeable = False
    return values


def _mean_std(column: FloatArray, name: str) -> tuple[float, float]:
    # Decided on the values: the mean of equal numbers may be off by one rounding, and their deviation then not 0.
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
