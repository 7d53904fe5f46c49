"""What all kernels share: the arguments they take, loading and storing one model, and one optimizer step.

Compiled forms of the rules in `optimizers.py`; `spline` and `dense` call them once per model or once per epoch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensemble.kernels.jit import jit

Array = NDArray[np.float64]

GD, MOMENTUM, ADAM = 0, 1, 2  # places in OPTIMIZERS of rules/optimizers.py

# The same numbers as there, which says what they are for.
EPSILON = 1e-8
WEIGHT_LIMIT = 1e75


class Models(NamedTuple):
    """A chunk's networks and their optimizers' state, packed model after model."""

    width: NDArray[np.int64]  # (M,)
    starts: NDArray[np.int64]  # (M + 1,) first parameter of each model
    parameters: Array  # (sum P,): weights[0] (D, H), biases[0] (H,), weights[1] (H, 1), biases[1] (1,) side by side
    first: Array  # (sum P,): moments, as in optimizers.Moments
    second: Array  # (sum P,); both empty in a chunk of gd alone
    powers: Array  # (M, 2)


class Rules(NamedTuple):
    """How each model of a chunk is trained, (M,) each but for the last."""

    optimizer: NDArray[np.int8]  # place in specs.CHOICES
    schedule: NDArray[np.int8]
    lr: Array
    momentum: Array
    beta2: Array
    weight_decay: Array
    hidden_bias: NDArray[np.bool_]
    output_bias: NDArray[np.bool_]
    factors: Array  # (2, epochs) of each schedule at each step
    layer_factors: Array  # (M, 2) of the learning rates of w1 and b1, and of w2


class History(NamedTuple):
    """Where a chunk's errors go; rows start as +inf, which is what a diverged model leaves."""

    column: NDArray[np.int64]  # (epochs + 1,) place of a recorded epoch among the columns, else -1
    train: Array  # (M, E)
    test: Array  # (M, E), or (M, 0) without such data
    val: Array  # (M, E), or (M, 0)
    diverged_at: NDArray[np.int64]  # (M,) epoch, or -1


class Span(NamedTuple):
    """What one kernel call does: some models, through some epochs."""

    first_model: int
    last_model: int  # exclusive
    first_epoch: int
    last_epoch: int  # exclusive, except that the run's last epoch is recorded too


@jit
def load(models: Models, m: int) -> tuple[Array, Array, Array, Array]:
    """Return working arrays for model m: its parameters, g, and its moments."""
    a, b = models.starts[m], models.starts[m + 1]
    theta, g, first, second = models.parameters[a:b].copy(), np.empty(b - a), np.empty(b - a), np.empty(b - a)
    if models.first.size:
        first[:] = models.first[a:b]
        second[:] = models.second[a:b]
    return theta, g, first, second


@jit
def store(models: Models, m: int, theta: Array, first: Array, second: Array) -> None:
    """Copy the working arrays back into model m."""
    a, b = models.starts[m], models.starts[m + 1]
    models.parameters[a:b] = theta
    if models.first.size:
        models.first[a:b] = first
        models.second[a:b] = second


@jit
def descend(rate: float, decay: float, theta: Array, direction: Array) -> bool:
    """Take the step; return whether every parameter is still within `WEIGHT_LIMIT`."""
    outside = 0
    for i in range(theta.size):
        new = theta[i] - rate * (direction[i] + decay * theta[i])
        theta[i] = new
        outside += not (abs(new) <= WEIGHT_LIMIT)  # a NaN compares false
    return outside == 0


@jit
def fill_scale(layer_factors: Array, d: int, h: int, scale: Array) -> bool:
    """Write the factor of each parameter's learning rate, laid out as theta; return whether one differs from 1."""
    scale[: (d + 1) * h] = layer_factors[0]
    scale[(d + 1) * h : (d + 2) * h] = layer_factors[1]
    scale[(d + 2) * h] = 1.0
    return bool(layer_factors[0] != 1.0 or layer_factors[1] != 1.0)


@jit
def multiply(g: Array, scale: Array) -> None:
    """Multiply each entry with its factor, in place."""
    for i in range(g.size):
        g[i] *= scale[i]


@jit
def remember(momentum: float, g: Array, first: Array) -> None:
    """Momentum's direction, written over its memory."""
    for i in range(g.size):
        first[i] = momentum * first[i] + g[i]


@jit
def adapt(beta1: float, beta2: float, powers: Array, g: Array, first: Array, second: Array) -> None:
    """Adam's direction, written over the gradient."""
    powers[0] *= beta1
    powers[1] *= beta2
    scale1, scale2 = 1.0 / (1.0 - powers[0]), 1.0 / (1.0 - powers[1])
    for i in range(g.size):
        first[i] = beta1 * first[i] + (1.0 - beta1) * g[i]
        second[i] = beta2 * second[i] + (1.0 - beta2) * g[i] * g[i]
        g[i] = (first[i] * scale1) / (np.sqrt(second[i] * scale2) + EPSILON)


@jit
def finite_or_inf(value: float) -> float:
    """Return the value, or +inf for a NaN: a diverged error is infinitely bad, not unknown."""
    return value if value <= np.inf else np.inf


@jit
def step(
    optimizer: int,
    rate: float,
    decay: float,
    momentum: float,
    beta2: float,
    powers: Array,
    theta: Array,
    g: Array,
    first: Array,
    second: Array,
    scaled: bool,
    scale: Array,
) -> bool:
    """Update one model's parameters in place; return whether they are still within `WEIGHT_LIMIT`."""
    if scaled and optimizer != ADAM:  # the direction is linear in g
        multiply(g, scale)
    if optimizer == MOMENTUM:
        remember(momentum, g, first)
    elif optimizer == ADAM:
        adapt(momentum, beta2, powers, g, first, second)
        if scaled:
            multiply(g, scale)
    return descend(rate, decay, theta, first if optimizer == MOMENTUM else g)
