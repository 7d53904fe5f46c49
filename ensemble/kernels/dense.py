"""The training step for any number of inputs, O(N H D): forward and backward fused for one model at a time.

The rules of `layers` without their N x H matrices: a network's weights stay in cache for all its epochs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ensemble.kernels.jit import jit
from ensemble.kernels.updates import Array, History, Models, Rules, Span, finite_or_inf, load, step, store


class Samples(NamedTuple):
    """One dataset; an absent part has no rows."""

    x: Array  # (N, D)
    y: Array  # (N,)
    x_test: Array
    y_test: Array
    x_val: Array
    y_val: Array


def prepare(x: Array, y: Array, x_test: Array, y_test: Array, x_val: Array, y_val: Array) -> Samples:
    """Return one dataset as the kernel wants it; absent parts of length 0."""
    return Samples(x, y, x_test, y_test, x_val, y_val)


@jit
def predict_one(x: Array, theta: Array, h: int, z: Array) -> float:
    """Return p for one sample x (D,), and leave the pre-activations z (H,)."""
    d = x.size
    for j in range(h):
        z[j] = x[0] * theta[j]
    for i in range(1, d):
        for j in range(h):
            z[j] += x[i] * theta[i * h + j]
    for j in range(h):
        z[j] += theta[d * h + j]
    p: float = theta[(d + 2) * h]
    for j in range(h):
        p += max(z[j], 0.0) * theta[(d + 1) * h + j]
    return p


@jit
def squared_error(x: Array, y: Array, theta: Array, h: int, z: Array) -> float:
    """Return the mean squared error on (x, y)."""
    total = 0.0
    for n in range(y.size):
        r = predict_one(x[n], theta, h, z) - y[n]
        total += r * r
    return total / y.size


@jit
def gradient(x: Array, y: Array, theta: Array, h: int, z: Array, g: Array) -> None:
    """Write the gradient of the training MSE into g, laid out as theta: [w1 (D H) | b1 (H) | w2 (H) | b2].

    With s_j = dp w2_j where z_j > 0 and else 0:  dw1_ij += s_j x_i,  db1_j += s_j,  dw2_j += dp relu(z_j),  db2 += dp.
    """
    d = x.shape[1]
    c = 2.0 / y.size
    g[:] = 0.0
    for n in range(y.size):
        dp = c * (predict_one(x[n], theta, h, z) - y[n])
        for j in range(h):
            active = z[j] > 0.0
            g[(d + 1) * h + j] += dp * (z[j] if active else 0.0)
            z[j] = dp * theta[(d + 1) * h + j] if active else 0.0
            g[d * h + j] += z[j]
        for i in range(d):
            for j in range(h):
                g[i * h + j] += x[n, i] * z[j]
        g[(d + 2) * h] += dp


@jit
def train(samples: Samples, models: Models, rules: Rules, history: History, span: Span) -> None:
    """Train some models through some epochs, in place."""
    for m in range(span.first_model, span.last_model):
        if history.diverged_at[m] < 0:
            train_one(samples, models, rules, history, span, m)


@jit
def train_one(samples: Samples, models: Models, rules: Rules, history: History, span: Span, m: int) -> None:
    """Train model m."""
    x, y = samples.x, samples.y
    d = x.shape[1]
    epochs = history.column.size - 1
    h = models.starts[m + 1] - models.starts[m]
    theta, g, first, second = load(models, m, d)
    z = np.empty(h)
    powers, factors = models.powers[m], rules.factors[rules.schedule[m]]
    optimizer, lr, decay = rules.optimizer[m], rules.lr[m], rules.weight_decay[m]
    momentum, beta2 = rules.momentum[m], rules.beta2[m]
    for epoch in range(span.first_epoch, span.last_epoch + 1):
        column = history.column[epoch]
        if column >= 0 and (epoch < span.last_epoch or epoch == epochs):
            error = squared_error(x, y, theta, h, z)
            if not error < np.inf:
                history.diverged_at[m] = epoch
                break
            history.train[m, column] = error
            if samples.y_test.size:
                history.test[m, column] = finite_or_inf(squared_error(samples.x_test, samples.y_test, theta, h, z))
            if samples.y_val.size:
                history.val[m, column] = finite_or_inf(squared_error(samples.x_val, samples.y_val, theta, h, z))
        if epoch == span.last_epoch:
            break
        gradient(x, y, theta, h, z, g)
        if not rules.hidden_bias[m]:
            g[d * h : (d + 1) * h] = 0.0
        if not rules.output_bias[m]:
            g[(d + 2) * h] = 0.0
        rate = lr * factors[epoch]
        if not step(optimizer, rate, decay, momentum, beta2, powers, theta, g, first, second):
            history.diverged_at[m] = epoch + 1
            break
    store(models, m, d, theta, first, second)
