"""The losses: how far outputs are from targets or labels, with the gradient, written out in NumPy.

One row of `LOSSES` is one loss; training, the readable engine and the checks of arguments take it from there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["LOSSES", "Loss", "Rule", "accuracy", "check_loss", "cross_entropy", "mse", "probabilities", "squared_error"]

Array = NDArray[np.float64]
Rule = Callable[[Array, Array], tuple[Array, Array]]  # of outputs and targets: the loss, and its gradient


class Loss(NamedTuple):
    """One loss: its rule, and what follows from it."""

    rule: Rule
    power: int  # of the outputs' unit in the loss's own unit: brings losses of standardized outputs back to it
    takes_labels: bool  # whether targets are classes 0, 1, ..., and outputs say how likely each is


def mse(p: Array, y: Array) -> tuple[Array, Array]:
    """Return the mean squared error of one output and its gradient.

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
    value, dp = squared_error(p[..., None], y[..., None])
    return value, dp[..., 0]


def squared_error(p: Array, y: Array) -> tuple[Array, Array]:
    """Return the mean squared error of O outputs and its gradient.

    Parameters
    ----------
    p : (N, O) or (M, N, O) float64
        Predictions.
    y : (N, O) or (M, N, O) float64
        Targets.

    Returns
    -------
    loss : () or (M,) float64
        sum_no (p_no - y_no)^2 / (N O), the mean over samples and outputs.
    dp : array like `p`
        d loss / d p_no = 2 (p_no - y_no) / (N O).
    """
    r = p - y
    flat = r.reshape(*r.shape[:-2], -1)
    return (flat * flat).mean(axis=-1), 2.0 * r / flat.shape[-1]


def cross_entropy(p: Array, y: Array) -> tuple[Array, Array]:
    """Return the mean cross-entropy of labels and its gradient; no finite outputs overflow on the way.

    Parameters
    ----------
    p : (N, O) or (M, N, O) float64
        Logits. One output is that of class 1, where the logit of class 0 is 0 (logistic regression); of K > 2 classes
        each has its own (softmax).
    y : (N,) or (M, N) float64
        Labels: 0 or 1, or 0 to K - 1.

    Returns
    -------
    loss : () or (M,) float64
        The mean over samples of -log q_n, q_n being the probability that the outputs give to the sample's own class
        (see `probabilities`).
    dp : array like `p`
        d loss / d p_nk = (probability of class k - (1 where k is the label, else 0)) / N.

    Notes
    -----
    With one output, -log q = log(1 + exp(-s p)), s being 1 for class 1 and -1 for class 0; for large |p| that is
    max(0, -s p) + log(1 + exp(-|p|)). With K outputs and m their largest, -log q = log(sum_k exp(p_k - m)) + m - p_y.
    """
    n = p.shape[-2]
    with np.errstate(over="ignore"):  # of a difference of two logits beyond 1e308
        if p.shape[-1] == 1:
            p = p[..., 0]
            small = np.exp(-np.abs(p))  # in (0, 1]
            losses = np.maximum(np.where(y > 0.5, -p, p), 0.0) + np.log1p(small)
            dp = (np.where(p >= 0.0, 1.0, small) / (1.0 + small) - y)[..., None] / n
        else:
            shifted = p - p.max(axis=-1, keepdims=True)
            powers = np.exp(shifted)
            total = powers.sum(axis=-1, keepdims=True)
            own = y[..., None] == np.arange(p.shape[-1])
            losses = np.log(total[..., 0]) - np.where(own, shifted, 0.0).sum(axis=-1)
            dp = (powers / total - own) / n
        return losses.mean(axis=-1), dp


def probabilities(p: Array) -> Array:
    """Return how likely each class is, (..., K), for logits p (..., O): one output means two classes.

    Logistic, 1 / (1 + exp(-p)) for class 1, or softmax, exp(p_k) / sum_j exp(p_j). Logits that are not finite give NaN
    where their differences are not defined.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if p.shape[-1] == 1:
            p = np.concatenate([np.zeros_like(p), p], axis=-1)
        powers = np.exp(p - p.max(axis=-1, keepdims=True))
        likely: Array = powers / powers.sum(axis=-1, keepdims=True)
        return likely


def accuracy(p: Array, y: Array) -> Array:
    """Return the share of samples whose label is the class of the largest output, the first of equal ones.

    `p` and `y` are as in `cross_entropy`; with one output class 1 is predicted where p > 0, else class 0.
    """
    predicted = p[..., 0] > 0.0 if p.shape[-1] == 1 else p.argmax(axis=-1)
    share: Array = (predicted == y).mean(axis=-1)
    return share


# The order is that of the codes in kernels: add at the end. An engine that holds some of them only says so in its
# `losses`.
LOSSES: dict[str, Loss] = {"mse": Loss(squared_error, 2, False), "cross_entropy": Loss(cross_entropy, 0, True)}


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
