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
    y_mean: float
    y_std: float

    def __post_init__(self) -> None:
        means, deviations = np.append(self.x_mean, self.y_mean), np.append(self.x_std, self.y_std)
        if not (np.isfinite(means).all() and np.isfinite(deviations).all() and (deviations > 0).all()):
            raise ValueError(
                f"a scale with means {means.tolist()} and standard deviations {deviations.tolist()} is not allowed; "
                "finite numbers are needed, the latter above 0"
            )

    @classmethod
    def of(cls, x: FloatArray, y: FloatArray) -> Scale:
        """Return the scale of a training part: x of shape (N, D), y of shape (N,).

        A constant column gets the standard deviation 1.

        Raises
        ------
        ValueError
            A column's values are so large or so close together that they cannot be standardized.
        """
        columns = [_mean_std(column, f"x_train column {i}") for i, column in enumerate(x.T)]
        x_mean, x_std = np.array(columns).T.copy()
        x_mean.flags.writeable = x_std.flags.writeable = False
        return cls(x_mean, x_std, *_mean_std(y, "y_train"))

    @classmethod
    def of_values(cls, values: FloatArray, n_inputs: int, name: str) -> Scale:
        """Return the scale of D inputs whose `values` a file holds; a ValueError that says `name` where it is none."""
        if values.shape != (2 * n_inputs + 2,) or values.dtype != np.float64:
            raise ValueError(f"{name} has shape {values.shape}")
        x_mean, x_std, (y_mean, y_std) = np.split(values.copy(), [n_inputs, 2 * n_inputs])
        try:
            return cls(x_mean, x_std, float(y_mean), float(y_std))
        except ValueError:
            wrong = "holds a mean that is not finite or a standard deviation that is not positive"
            raise ValueError(f"{name} {wrong}") from None

    def values(self) -> FloatArray:
        """Return x_mean, x_std, y_mean and y_std side by side (2 D + 2,), as files hold them."""
        return np.concatenate([self.x_mean, self.x_std, [self.y_mean, self.y_std]])

    def inputs(self, x: FloatArray) -> FloatArray:
        """Return x of shape (N, D) with each column standardized."""
        return (x - self.x_mean) / self.x_std

    def outputs(self, y: FloatArray) -> FloatArray:
        """Return y, of any shape, standardized."""
        return (y - self.y_mean) / self.y_std

    def restore(self, p: FloatArray) -> FloatArray:
        """Return predictions p, of any shape, in the original units of y."""
        return p * self.y_std + self.y_mean


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
