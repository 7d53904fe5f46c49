"""What all kernels share: the arguments they take, and the optimizer step.

The compiled form of `rules/optimizers.py`; `spline` and `dense` take one step an epoch.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensemble.kernels.jit import inlined, inner

Array = NDArray[np.float64]

GD, MOMENTUM, ADAM = 0, 1, 2  # places in OPTIMIZERS of rules/optimizers.py
COSINE = 1  # and in SCHEDULES
MSE, CROSS_ENTROPY = 0, 1  # and in LOSSES of rules/losses.py

# The same numbers as there, which says what they are for.
EPSILON = 1e-8
WEIGHT_LIMIT = 1e75


class Models(NamedTuple):
    """A chunk's networks and their optimizers' state, packed model after model."""

    width: NDArray[np.int64]  # (M,)
    hidden_layers: NDArray[np.int64]  # (M,)
    starts: NDArray[np.int64]  # (M + 1,) first parameter of each model
    parameters: Array  # (sum P,): weights[0] (D, H), biases[0] (H,), weights[1] (H, 1), biases[1] (1,) side by side
    first: Array  # (sum P,): moments, as in optimizers.Moments
    second: Array  # (sum P,); both empty in a chunk of gd alone
    powers: Array  # (M, 2)


class Rules(NamedTuple):
    """How each model of a chunk is trained, (M,) each but where another shape is named."""

    optimizer: NDArray[np.int8]  # place in specs.CHOICES
    schedule: NDArray[np.int8]
    lr: Array
    momentum: Array
    beta2: Array
    weight_decay: Array  # (M, 5) of each kind of parameters, optimizers.KINDS
    hidden_bias: NDArray[np.bool_]
    output_bias: NDArray[np.bool_]
    factors: Array  # (2, epochs) of each schedule at each step
    layer_factors: Array  # (M, 5) of the learning rates of each kind; 0 where they are frozen
    scaled: NDArray[np.bool_]  # whether the rate or the decay of any kind differs from the model's own
    batch_size: NDArray[np.int64]  # 0: all samples at once
    pools: NDArray[np.uint64]  # (M, 4) what batches are drawn from
    loss: int  # place in LOSSES of rules/losses.py, the same for all models
    outputs: int  # O of the networks: for labels of K classes 1 where K = 2, else K


class History(NamedTuple):
    """Where a chunk's losses and accuracies go.

    Losses start as +inf and accuracies as 0, which is what a diverged model leaves. An accuracy is the share of a
    part's samples whose class is predicted: that of the largest output, the first of equal ones; with one output class
    1 where p > 0, else 0. Where the loss is not finite the accuracy is 0.
    """

    column: NDArray[np.int64]  # (epochs + 1,) place of a recorded epoch among the columns, else -1
    train: Array  # (M, E)
    test: Array  # (M, E), or (M, 0) without such data
    val: Array  # (M, E), or (M, 0)
    diverged_at: NDArray[np.int64]  # (M,) epoch, or -1
    train_accuracy: Array  # (M, E) of labels; (M, 0) with another loss than CROSS_ENTROPY
    test_accuracy: Array  # (M, E), or (M, 0), also without such data
    val_accuracy: Array  # (M, E), or (M, 0)
    output_weights: Array  # (O,) MSE records sum_o weights_o mean_n r_no^2 / O; the gradient knows no weights


class Span(NamedTuple):
    """What one kernel call does: some models, through some epochs."""

    first_model: int
    last_model: int  # exclusive
    first_epoch: int
    last_epoch: int  # exclusive, except that the run's last epoch is recorded too


@inner
def rate_factor(schedule: int, t: int, steps: int) -> float:
    """Return what multiplies the learning rate at a step: an entry of optimizers.rate_factors."""
    return 0.5 * (1.0 + math.cos(math.pi * t / steps)) if schedule == COSINE else 1.0


@inlined
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
    decays: Array,
) -> bool:
    """Update one model's parameters in place; return whether they are still within `WEIGHT_LIMIT`.

    All arrays have one entry for each parameter, in any order; g is used up. If `scaled`, `scale` is the
    factor of each parameter's learning rate, 0 where it is frozen, and `decays` takes the place of `decay`.
    """
    if scaled:  # where the direction is linear in g, g has the factor; no gradient reaches what is frozen
        for i in range(theta.size):
            factor = scale[i] if optimizer != ADAM else 1.0
            g[i] = factor * g[i] if scale[i] != 0.0 else 0.0
    outside = 0
    if optimizer == ADAM:
        powers[0] *= momentum
        powers[1] *= beta2
        scale1, scale2 = 1.0 / (1.0 - powers[0]), 1.0 / (1.0 - powers[1])
        if not scaled:  # in one loop: the update is done while it waits for divisions and square roots
            for i in range(theta.size):
                first[i] = momentum * first[i] + (1.0 - momentum) * g[i]
                second[i] = beta2 * second[i] + (1.0 - beta2) * g[i] * g[i]
                direction = (first[i] * scale1) / (math.sqrt(second[i] * scale2) + EPSILON)
                new = theta[i] - rate * (direction + decay * theta[i])
                theta[i] = new
                outside += not (abs(new) <= WEIGHT_LIMIT)  # a NaN compares false
            return outside == 0
        for i in range(theta.size):
            first[i] = momentum * first[i] + (1.0 - momentum) * g[i]
            second[i] = beta2 * second[i] + (1.0 - beta2) * g[i] * g[i]
            g[i] = (first[i] * scale1) / (math.sqrt(second[i] * scale2) + EPSILON) * scale[i]
    elif optimizer == MOMENTUM:
        for i in range(theta.size):
            first[i] = momentum * first[i] + g[i]
            g[i] = first[i]
    if scaled:
        for i in range(theta.size):
            g[i] += decays[i] * theta[i]
        decay = 0.0
    for i in range(theta.size):
        new = theta[i] - rate * (g[i] + decay * theta[i])
        theta[i] = new
        outside += not (abs(new) <= WEIGHT_LIMIT)
    return outside == 0
