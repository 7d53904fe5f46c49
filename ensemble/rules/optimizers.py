"""The update rules: gd, momentum and adam, with a learning-rate schedule and weight decay, written out in NumPy.

The definition that `kernels/updates.py` is tested against; `engine="numpy"` trains with them as they stand.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["EPSILON", "WEIGHT_LIMIT", "Moments", "init", "layer_factors", "rate_factors", "update"]

Array = NDArray[np.float64]

EPSILON = 1e-8  # adam's, added to the root of the second moment

# A weight beyond this counts as not finite: the square of a product of two such weights overflows.
WEIGHT_LIMIT = 1e75


class Moments(NamedTuple):
    """What an optimizer remembers between steps, for a stack of M models with P parameters each."""

    first: Array  # (M, P)
    second: Array  # (M, P), adam only
    powers: Array  # (M, 2): beta1^t and beta2^t after t steps, adam only


def init(n_models: int, n_parameters: int) -> Moments:
    """Return the state before the first step."""
    return Moments(np.zeros((n_models, n_parameters)), np.zeros((n_models, n_parameters)), np.ones((n_models, 2)))


def rate_factors(epochs: int) -> Array:
    """Return what each schedule multiplies the learning rate with, shape (2, epochs), rows as `CHOICES["schedule"]`.

    "cosine" is (1 + cos(pi t / epochs)) / 2 at step t (Loshchilov and Hutter 2017, without restarts).
    """
    t = np.arange(epochs)
    return np.stack([np.ones(epochs), 0.5 * (1.0 + np.cos(np.pi * t / max(epochs, 1)))])


def layer_factors(optimizer: NDArray[np.str_], width: NDArray[np.int64], mup: NDArray[np.bool_]) -> Array:
    """Return what each layer's learning rate is multiplied with, shape (M, 2): hidden layer, output weights.

    The maximal-update parametrization (mu-P) of a two-layer network with D fixed inputs, H hidden units and a scalar
    output: after any number of steps every layer has moved the outputs by as much as it can without them growing with
    H, so that the best learning rate of a narrow network is that of a wide one.

    ==================  ================  ==========  ==========  ==========
    layer               initial variance  gd          momentum    adam
    ==================  ================  ==========  ==========  ==========
    hidden, w1 and b1   as standard       H           H           1
    output weights, w2  1/H of standard*  1 / H       1 / H       1 / H
    output bias, b2     as standard       1           1           1
    ==================  ================  ==========  ==========  ==========

    (*) that is 1 / H^2 in all; "normal", whose standard variance does not fall with H, is divided by H^2 at once.
    Weight decay takes the learning rate without a factor.

    Source: Yang et al. 2021, "Tensor Programs V", table 3 (input weights and biases; output weights).
    """
    h = width.astype(np.float64)
    hidden = np.where(mup & (optimizer != "adam"), h, 1.0)
    return np.stack([hidden, np.where(mup, 1.0 / h, 1.0)], axis=1)


def update(
    optimizer: str,
    theta: Array,
    gradient: Array,
    moments: Moments,
    rate: Array,
    weight_decay: Array,
    momentum: Array,
    beta2: Array,
    factors: Array | float = 1.0,
) -> tuple[Array, Moments]:
    """Return parameters and state after one step.

    gd:        d = g
    momentum:  m <- momentum m + g,  d = m                                          (Polyak 1964, as PyTorch's SGD)
    adam:      m <- beta1 m + (1 - beta1) g,  v <- beta2 v + (1 - beta2) g^2,
               d = (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + EPSILON)        (Kingma and Ba 2015)
    theta <- theta - rate (factors d + weight_decay theta)         (decoupled decay: Loshchilov and Hutter 2019)

    Parameters
    ----------
    optimizer : {"gd", "momentum", "adam"}
    theta, gradient : (M, P)
    moments : Moments
    rate, weight_decay, momentum, beta2 : (M, 1)
        `rate` is the learning rate times the schedule's factor; `momentum` is adam's beta1.
    factors : (M, P) or 1
        Of each parameter's learning rate, from `layer_factors`.
    """
    first, second, powers = moments
    if optimizer != "adam":
        gradient = factors * gradient  # the direction is linear in it
    if optimizer == "gd":
        direction = gradient
    elif optimizer == "momentum":
        first = momentum * first + gradient
        direction = first
    elif optimizer == "adam":
        first = momentum * first + (1.0 - momentum) * gradient
        second = beta2 * second + (1.0 - beta2) * gradient * gradient
        powers = powers * np.concatenate([momentum, beta2], axis=1)
        scale = 1.0 / (1.0 - powers)
        direction = factors * (first * scale[:, :1]) / (np.sqrt(second * scale[:, 1:]) + EPSILON)
    else:
        raise ValueError(f"optimizer {optimizer!r} is unknown; allowed are gd, momentum, adam")
    return theta - rate * (direction + weight_decay * theta), Moments(first, second, powers)
