"""The rules: a two-layer ReLU network's layers with their gradients, written out in NumPy.

They are the definition that every compiled kernel is tested against; `engine="numpy"` trains with them as they stand.
All of them take one model, or a stack of models of one width as a leading axis M.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ensemble.rules.losses import Rule, mse

__all__ = ["Matmul", "Relu", "backward", "forward", "mse"]

Array = NDArray[np.float64]


class Matmul:
    """Matrix product with an optional bias: y = x @ w + b.

    Parameters
    ----------
    w : (I, O) or (M, I, O) float64
        Weights.
    b : (O,) or (M, O) float64, optional
        Biases; left out, there are none.

    Attributes
    ----------
    dw, db : arrays like `w` and `b`
        Gradients of the loss, set by `backward`.
    """

    def __init__(self, w: Array, b: Array | None = None) -> None:
        if b is not None and b.shape != (*w.shape[:-2], w.shape[-1]):
            raise ValueError(f"b has shape {b.shape}, but w has shape {w.shape}: {w.shape[-1]} outputs")
        self.w = w
        self.b = b
        self.dw: Array | None = None
        self.db: Array | None = None

    def forward(self, x: Array) -> Array:
        """Return y (N, O) or (M, N, O) for x (N, I), which every model sees, or (M, N, I)."""
        if x.shape[-1] != self.w.shape[-2]:
            raise ValueError(f"w has shape {self.w.shape}, but x has {x.shape[-1]} columns")
        self.x = x
        y = x @ self.w
        return y if self.b is None else y + self.b[..., None, :]

    def backward(self, dy: Array) -> Array:
        """Take dL/dy, keep dL/dw and dL/db, return dL/dx.

        y_no = sum_i x_ni w_io + b_o, so dL/dw_io = sum_n x_ni dL/dy_no, that is x.T @ dy;
        dL/db_o = sum_n dL/dy_no; and dL/dx_ni = sum_o dL/dy_no w_io, that is dy @ w.T.
        """
        self.dw = np.swapaxes(self.x, -1, -2) @ dy
        self.db = None if self.b is None else dy.sum(axis=-2)
        return dy @ np.swapaxes(self.w, -1, -2)


class Relu:
    """Rectifier y = max(x, 0); its derivative at 0 is 0."""

    def forward(self, x: Array) -> Array:
        """Return max(x, 0), shape as x."""
        self.active = x > 0
        return np.where(self.active, x, 0.0)

    def backward(self, dy: Array) -> Array:
        """Return dL/dx: dy where x > 0, else 0."""
        return np.where(self.active, dy, 0.0)


def forward(x: Array, w1: Array, b1: Array, w2: Array, b2: Array) -> Array:
    """Return p = relu(x @ w1 + b1) @ w2 + b2, shape (N,) or (M, N); shapes as in `backward`."""
    h = Relu().forward(Matmul(w1, b1).forward(x))
    return Matmul(w2[..., None], b2[..., None]).forward(h)[..., 0]


def backward(
    x: Array, y: Array, w1: Array, b1: Array, w2: Array, b2: Array, loss: Rule = mse
) -> tuple[Array, tuple[Array, Array, Array, Array]]:
    """Return the training loss and its gradient for all parameters.

    Parameters
    ----------
    x : (N, D), y : (N,)
        Training data.
    w1 : (D, H) or (M, D, H), b1 : (H,) or (M, H), w2 : (H,) or (M, H), b2 : () or (M,)
        Weights.
    loss : callable, optional
        The rule of a row of `losses.LOSSES`.

    Returns
    -------
    value : () or (M,)
    gradient : (dw1, db1, dw2, db2), shaped as the weights
    """
    hidden, relu, output = Matmul(w1, b1), Relu(), Matmul(w2[..., None], b2[..., None])
    p = output.forward(relu.forward(hidden.forward(x)))  # (M, N, 1)
    value, dp = loss(p[..., 0], y)
    hidden.backward(relu.backward(output.backward(dp[..., None])))
    assert hidden.dw is not None and hidden.db is not None and output.dw is not None and output.db is not None
    return value, (hidden.dw, hidden.db, output.dw[..., 0], output.db[..., 0])
