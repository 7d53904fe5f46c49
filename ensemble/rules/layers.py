"""The rules: the layers of a ReLU network of any depth with their gradients, written out in NumPy.

They are the definition that every compiled kernel is tested against; `engine="numpy"` trains with them as they stand.
All of them take one model, or a stack of models of one shape as a leading axis M.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ensemble.rules.losses import LOSSES, Loss, mse

__all__ = ["Matmul", "Relu", "backward", "forward", "mse"]

Array = NDArray[np.float64]
Arrays = tuple[Array, ...]


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


def forward(x: Array, weights: Sequence[Array], biases: Sequence[Array]) -> Array:
    """Return p (N, O) or (M, N, O): every layer but the last is followed by a ReLU. Shapes are those of `backward`."""
    h = x
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        h = Relu().forward(Matmul(w, b).forward(h))
    return Matmul(weights[-1], biases[-1]).forward(h)


def backward(
    x: Array, y: Array, weights: Sequence[Array], biases: Sequence[Array], loss: Loss = LOSSES["mse"]
) -> tuple[Array, tuple[Arrays, Arrays]]:
    """Return the training loss and its gradient for all parameters.

    Parameters
    ----------
    x : (N, D), y : (N, O)
        Training data; with a leading axis M, each model's own. Labels, and targets of one output, are (N,).
    weights : L + 1 arrays
        (D, H), (H, H), ..., (H, O), all with a leading axis M for a stack of models.
    biases : L + 1 arrays
        (H,), ..., (O,), likewise.
    loss : Loss, optional
        A row of `losses.LOSSES`.

    Returns
    -------
    value : () or (M,)
    gradient : (dweights, dbiases), shaped as the parameters
    """
    products = [Matmul(w, b) for w, b in zip(weights, biases, strict=True)]
    relus = [Relu() for _ in products[1:]]
    h = x
    for product, relu in zip(products[:-1], relus, strict=True):
        h = relu.forward(product.forward(h))
    targets = y[..., None] if y.ndim < x.ndim and not loss.takes_labels else y
    value, dh = loss.rule(products[-1].forward(h), targets)
    dh = products[-1].backward(dh)
    for product, relu in zip(products[-2::-1], relus[::-1], strict=True):
        dh = product.backward(relu.backward(dh))
    dweights, dbiases = (tuple(getattr(product, name) for product in products) for name in ("dw", "db"))
    return value, (dweights, dbiases)
