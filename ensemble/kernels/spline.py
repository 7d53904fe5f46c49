"""The exact training step for one-dimensional inputs, O(N + H) instead of O(N H).

The same gradient as `layers.backward`, reached through where each hidden unit switches instead of an N x H matrix.

A unit z(x) = w x + b is positive on a half-line. With x ascending, its switch position k is the number of samples
on its left side: it is active on samples k, k+1, ... when w >= 0, and on 0, ..., k-1 when w < 0. So the network is
A_i x_i + B_i on sample i, and A and B change at the k_j only; and a unit's gradient needs the sums of r and r x over
its active samples only, each a difference of two entries of a running sum.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensemble.kernels.jit import jit
from ensemble.kernels.updates import Array, History, Models, Rules, Span, finite_or_inf, load, step, store

Positions = NDArray[np.int64]


class Samples(NamedTuple):
    """One dataset with one input, x ascending in each part; an absent part has length 0."""

    x: Array  # (N,)
    y: Array
    x_test: Array
    y_test: Array
    x_val: Array
    y_val: Array


@jit
def is_left(x: float, w: float, b: float) -> bool:
    """Whether a sample lies on the left of a unit's kink: inactive for w >= 0, active for w < 0.

    The very expression of the dense rule: rounding keeps w * x + b monotone in x, so that the search below finds
    exactly the samples that `layers.Relu` finds.
    """
    return (w * x + b > 0.0) == (w < 0.0)


@jit
def locate(x: Array, w: float, b: float, k: int) -> int:
    """Return the number of samples left of the kink; k, the last known answer, is where the search starts."""
    n = x.size
    if k < n and is_left(x[k], w, b):
        reach, low = 1, k  # sample `low` is left; gallop right
        while low + reach < n and is_left(x[low + reach], w, b):
            low += reach
            reach *= 2
        high = min(low + reach, n)
    elif k > 0 and not is_left(x[k - 1], w, b):
        reach, high = 1, k - 1  # sample `high` is not left; gallop left
        while high - reach >= 0 and not is_left(x[high - reach], w, b):
            high -= reach
            reach *= 2
        low = max(high - reach, -1)
    else:
        return k
    while high - low > 1:
        middle = (low + high) // 2
        if is_left(x[middle], w, b):
            low = middle
        else:
            high = middle
    return high


@jit
def place_units(x: Array, theta: Array, h: int, k: Positions, jumps: Array) -> tuple[float, float]:
    """Find every unit's position and add its change of slope and intercept to jumps[k]; return those left of all x.

    `jumps` (N + 1, 2) must be zero on entry.
    """
    slope, intercept = 0.0, theta[3 * h]
    for j in range(h):
        w, b, v = theta[j], theta[h + j], theta[2 * h + j]
        at = locate(x, w, b, k[j])
        k[j] = at
        if w < 0.0:
            slope += v * w
            intercept += v * b
            jumps[at, 0] -= v * w
            jumps[at, 1] -= v * b
        else:
            jumps[at, 0] += v * w
            jumps[at, 1] += v * b
    return slope, intercept


@jit
def squared_error(x: Array, y: Array, theta: Array, h: int, k: Positions, jumps: Array) -> float:
    """Return the mean squared error on (x, y); leaves `jumps` zero."""
    slope, intercept = place_units(x, theta, h, k, jumps)
    total = 0.0
    for i in range(x.size):
        slope += jumps[i, 0]
        intercept += jumps[i, 1]
        jumps[i, 0] = 0.0
        jumps[i, 1] = 0.0
        r = slope * x[i] + intercept - y[i]
        total += r * r
    jumps[x.size, 0] = 0.0
    jumps[x.size, 1] = 0.0
    return total / x.size


@jit
def gradient(x: Array, y: Array, theta: Array, h: int, k: Positions, jumps: Array, sums: Array, g: Array) -> None:
    """Write the gradient of the training MSE into g, laid out as theta: [w (H) | b (H) | v (H) | b2].

    With R0 and R1 the sums of r and r x over a unit's active samples:
    dL/dw = (2/N) v R1,  dL/db = (2/N) v R0,  dL/dv = (2/N) (w R1 + b R0),  dL/db2 = (2/N) sum of all r.

    Parameters
    ----------
    x, y : (N,), x ascending
    theta, g : (3 H + 1,)
    k : (H,) positions, updated in place
    jumps : (N + 1, 2) zero on entry and on return
    sums : (N + 1, 2) work space: running sums of r and r x over the samples before i
    """
    n = x.size
    slope, intercept = place_units(x, theta, h, k, jumps)
    sum_r, sum_rx = 0.0, 0.0
    for i in range(n):
        sums[i, 0] = sum_r
        sums[i, 1] = sum_rx
        slope += jumps[i, 0]
        intercept += jumps[i, 1]
        jumps[i, 0] = 0.0
        jumps[i, 1] = 0.0
        r = slope * x[i] + intercept - y[i]
        sum_r += r
        sum_rx += r * x[i]
    sums[n, 0] = sum_r
    sums[n, 1] = sum_rx
    jumps[n, 0] = 0.0
    jumps[n, 1] = 0.0
    c = 2.0 / n
    for j in range(h):
        w, b, v = theta[j], theta[h + j], theta[2 * h + j]
        r0, r1 = sums[k[j], 0], sums[k[j], 1]
        if not w < 0.0:
            r0, r1 = sum_r - r0, sum_rx - r1
        g[j] = c * v * r1
        g[h + j] = c * v * r0
        g[2 * h + j] = c * (w * r1 + b * r0)
    g[3 * h] = c * sum_r


@jit
def train(samples: Samples, models: Models, rules: Rules, history: History, span: Span) -> None:
    """Train some models through some epochs, in place."""
    x, y = samples.x, samples.y
    epochs = history.column.size - 1
    widest = 0
    for m in range(span.first_model, span.last_model):
        widest = max(widest, models.starts[m + 1] - models.starts[m])
    theta, g = np.empty(3 * widest + 1), np.empty(3 * widest + 1)
    first, second = np.empty(3 * widest + 1), np.empty(3 * widest + 1)
    k, k_test, k_val = np.zeros(widest, np.int64), np.zeros(widest, np.int64), np.zeros(widest, np.int64)
    sums = np.empty((x.size + 1, 2))
    jumps = np.zeros((max(x.size, samples.x_test.size, samples.x_val.size) + 1, 2))

    for m in range(span.first_model, span.last_model):
        if history.diverged_at[m] >= 0:
            continue
        h = models.starts[m + 1] - models.starts[m]
        p = 3 * h + 1
        load(models, m, 1, theta, first, second)
        k[:h] = 0
        k_test[:h] = 0
        k_val[:h] = 0
        for epoch in range(span.first_epoch, span.last_epoch + 1):
            column = history.column[epoch]
            if column >= 0 and (epoch < span.last_epoch or epoch == epochs):
                error = squared_error(x, y, theta, h, k, jumps)
                if not error < np.inf:
                    history.diverged_at[m] = epoch
                    break
                history.train[m, column] = error
                if samples.x_test.size:
                    error = squared_error(samples.x_test, samples.y_test, theta, h, k_test, jumps)
                    history.test[m, column] = finite_or_inf(error)
                if samples.x_val.size:
                    error = squared_error(samples.x_val, samples.y_val, theta, h, k_val, jumps)
                    history.val[m, column] = finite_or_inf(error)
            if epoch == span.last_epoch:
                break
            gradient(x, y, theta, h, k, jumps, sums, g)
            if not rules.hidden_bias[m]:
                g[h : 2 * h] = 0.0
            if not rules.output_bias[m]:
                g[3 * h] = 0.0
            if not step(rules, m, epoch, models.powers, theta[:p], g[:p], first[:p], second[:p]):
                history.diverged_at[m] = epoch + 1
                break
        store(models, m, 1, theta, first, second)
