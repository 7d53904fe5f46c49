"""The losses: how far predictions are from targets, with the gradient, written out in NumPy.

One row of `LOSSES` is one loss; training, the readable engine and the checks of arguments take it from there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["LOSSES", "Loss", "Rule", "check_loss", "mse"]

Array = NDArray[np.float64]
Rule = Callable[[Array, Array], tuple[Array, Array]]  # of predictions and targets: the loss, and its gradient


class Loss(NamedTuple):
    """One loss: its rule, and what follows from it."""

    rule: Rule
    power: int  # of the outputs' unit in the loss's own unit: brings losses of standardized outputs back to it


def mse(p: Array, y: Array) -> tuple[Array, Array]:
    """Return the mean squared error and its gradient.

    Parameters
    ----------
    p : (N,) or (M, N) float64
        Predictions.
    y : (N,) or (M, N) float64
        Targets.

    Returns
    -------
    loss : () or (M,) float64
        sum_n (p_n - y_n)^2 / N.
    dp : array like `p`
        d loss / d p_n = 2 (p_n - y_n) / N.
    """
    r = p - y
    return (r * r).mean(axis=-1), 2.0 * r / r.shape[-1]


# An engine that holds some of them only says so in its `losses`.
LOSSES: dict[str, Loss] = {"mse": Loss(mse, 2)}


def check_loss(loss: str) -> str:
    """Return the name of a loss as it is.

    Raises
    ------
    ValueError
        An unknown loss.
    """
    if not isinstance(loss, str) or loss not in LOSSES:
        raise ValueError(f"loss {loss!r} is unknown; allowed are {', '.join(LOSSES)}")
    return loss
