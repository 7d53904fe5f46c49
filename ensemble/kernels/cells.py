"""What the kernels for one input and one hidden layer share: walking along the samples, with one line for each cell.

`spline` trains on all samples at once, `spline_batches` on some at a time, and `spline_outputs` does both for several
outputs and for labels.
"""

from __future__ import annotations

import numpy as np

from ensemble.kernels.jit import inner
from ensemble.kernels.kinks import Places, is_left, locate
from ensemble.kernels.samples import Part
from ensemble.kernels.updates import Array

__all__ = ["MANY", "evaluate", "outputs_of", "sums_from", "total"]

MANY = 2**16  # samples in memory beyond the cache


@inner
def evaluate(
    part: Part, is_train: bool, k_train: Places, x_mean: float, y_mean: float, h: int, theta: Array, jumps: Array
) -> float:
    """Return the mean squared error of one model on one part of the data, O(N + H).

    A kink is between two training samples, and so about one sample away from where those are in this part.
    """
    x, u, t, place = part
    n = x.size
    a, b = 0.0, theta[3 * h] - y_mean
    for j in range(h):
        wj, bj, vj = theta[j], theta[h + j], theta[2 * h + j]
        k = k_train[j]
        if not is_train:
            k = int(place[k])
            k += 1 if (k < n) & is_left(x[k if k < n else n - 1], wj, bj) else 0  # twice, without a branch
            k += 1 if (k < n) & is_left(x[k if k < n else n - 1], wj, bj) else 0
            if (k < n) & is_left(x[k if k < n else n - 1], wj, bj):
                k = locate(x, wj, bj, k)
        rise, height = vj * wj, vj * (bj + wj * x_mean)
        falls = wj < 0.0
        off = falls & (k == 0)  # off everywhere, it must not come and go: what it adds could swallow the rest
        a += rise if falls & (not off) else 0.0
        b += height if falls & (not off) else 0.0
        jump_a = jumps[k, 0] + (0.0 if off else -rise if falls else rise)
        jump_b = jumps[k, 1] + (0.0 if off else -height if falls else height)
        jumps[k, 0], jumps[k, 1] = jump_a, jump_b
    total = 0.0
    for i in range(n):
        a += jumps[i, 0]
        b += jumps[i, 1]
        jumps[i, 0], jumps[i, 1] = 0.0, 0.0
        r = a * u[i] + (b - t[i])
        total += r * r
    jumps[n, 0], jumps[n, 1] = 0.0, 0.0
    return total / n


@inner
def total(terms: Array, h: int) -> float:
    """Return the sum of h terms, in four parts: one would wait for each addition in turn."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    for j in range(0, h - 3, 4):
        a += terms[j]
        b += terms[j + 1]
        c += terms[j + 2]
        d += terms[j + 3]
    for j in range(h - h % 4, h):
        a += terms[j]
    return (a + b) + (c + d)


@inner
def outputs_of(
    x: Array, size: int, rows: Places, slope: Array, intercept: Array, height: float, h: int, lines: Array, p: Array
) -> None:
    """Write one output p (S,) for S samples: on each, the sum of the lines of the units that are on, and `height`.

    x and `rows` are as in kinks.find. Rising units are added up in ascending, falling ones in descending order,
    so that nothing is taken off again. `lines` (2 S + 2, 2) is a working array, zero before and after.
    """
    for j in range(h):
        row = np.uint64(rows[j])  # pairs are read, then written: the compiler moves them as one
        a, b = lines[row, 0] + slope[j], lines[row, 1] + intercept[j]
        lines[row, 0], lines[row, 1] = a, b
    rising_a, rising_b, falling_a, falling_b = 0.0, height, 0.0, 0.0
    for s in range(size):
        falling = size + 1 + s
        rising_a += lines[s, 0]
        rising_b += lines[s, 1]
        falling_a += lines[falling, 0]
        falling_b += lines[falling, 1]
        lines[s, 0], lines[s, 1] = rising_a, rising_b
        lines[falling, 0], lines[falling, 1] = falling_a, falling_b
    for s in range(size):
        falling = 2 * size - s
        p[s] = (lines[s, 0] + lines[falling, 0]) * x[s] + (lines[s, 1] + lines[falling, 1])
    for s in range(2 * size + 2):
        lines[s, 0], lines[s, 1] = 0.0, 0.0


@inner
def sums_from(x: Array, size: int, r: Array, sum_r: Array, sum_rx: Array) -> None:
    """Write for each row of kinks.find, (2 S + 2,), the sums of r (S,) and r x where a unit is on from there on."""
    sum_r[size], sum_rx[size], sum_r[2 * size + 1], sum_rx[2 * size + 1] = 0.0, 0.0, 0.0, 0.0
    rising_r, rising_rx, falling_r, falling_rx = 0.0, 0.0, 0.0, 0.0
    for s in range(size):
        last, falling = size - 1 - s, 2 * size - s
        rising_r += r[last]
        rising_rx += r[last] * x[last]
        falling_r += r[s]
        falling_rx += r[s] * x[s]
        sum_r[last], sum_rx[last] = rising_r, rising_rx
        sum_r[falling], sum_rx[falling] = falling_r, falling_rx
