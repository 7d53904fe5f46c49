"""What the kernels for one input and one hidden layer share: the error of a model, walking along the samples.

`spline` trains on all samples at once, `spline_batches` on some at a time; both record errors as it is done here.
"""

from __future__ import annotations

from ensemble.kernels.jit import inner
from ensemble.kernels.kinks import Places, is_left, locate
from ensemble.kernels.samples import Part
from ensemble.kernels.updates import Array

__all__ = ["MANY", "evaluate", "total"]

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
