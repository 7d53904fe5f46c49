"""The exact step of one input and one hidden layer, gd alone, as plain as it can be: what the engine is measured by.

Nothing here can be chosen, recorded or stopped; a model that stops being finite is not noticed. The mathematics is in
`ensemble/kernels/spline.py`.
"""

from __future__ import annotations

import numba
import numpy as np
import peers


@numba.njit(nogil=True, error_model="numpy", fastmath={"contract"}, cache=True)
def steps(x, sums, shift, lr, epochs, w, b, v, k, order, low, high, slope, offset, r_before, ru_before):
    """Train one model in place; x (N + 2) ascending between two infinities, sums (N + 1, 4) of u, u^2, t, t u before
    a sample, shift the means of x and y."""
    n, h = len(x) - 2, len(w)
    x_mean, y_mean = shift
    for epoch in range(epochs):
        # Every kink moves by at most one place, without a branch; only what that misses is searched.
        a, c = 0.0, -y_mean
        moves, wrong, unsorted = 0, 0, 0
        for j in range(h):
            wj, bj = w[j], b[j]
            falls = wj < 0.0
            right = (wj * high[j] + bj > 0.0) == falls
            left = (wj * low[j] + bj > 0.0) != falls
            k[j] += int(right) - int(left)
            moves += int(right) | int(left)
            height = v[j] * (bj + wj * x_mean)
            slope[j] = v[j] * abs(wj)
            offset[j] = -height if falls else height
            a += v[j] * wj if falls else 0.0
            c += height if falls else 0.0
        if moves or epoch == 0:
            for j in range(h):
                wj, bj, place = w[j], b[j], k[j]
                falls = wj < 0.0
                low[j], high[j] = x[place], x[place + 1]
                wrong += int((wj * high[j] + bj > 0.0) == falls) | int((wj * low[j] + bj > 0.0) != falls)
            if wrong:
                for j in range(h):
                    wj, bj, place = w[j], b[j], k[j]
                    falls = wj < 0.0
                    while place < n and (wj * x[place + 1] + bj > 0.0) == falls:
                        place += 1
                    while place > 0 and (wj * x[place] + bj > 0.0) != falls:
                        place -= 1
                    k[j], low[j], high[j] = place, x[place], x[place + 1]
            for i in range(1, h):
                unsorted += int(k[order[i - 1]] > k[order[i]])
            if unsorted:
                for i in range(1, h):
                    unit, at = order[i], i
                    place = k[unit]
                    while at > 0 and k[order[at - 1]] > place:
                        order[at] = order[at - 1]
                        at -= 1
                    order[at] = unit
        # Along the kinks: the sums of r = a u + c - t and of r u, from one kink to the next.
        r, ru = 0.0, 0.0
        count, u1, u2, t1, tu1 = 0, 0.0, 0.0, 0.0, 0.0
        for i in range(h):
            unit = order[i]
            place = k[unit]
            du = sums[place, 0] - u1
            r += a * du + (c * (place - count) - (sums[place, 2] - t1))
            ru += a * (sums[place, 1] - u2) + (c * du - (sums[place, 3] - tu1))
            count, u1, u2, t1, tu1 = place, sums[place, 0], sums[place, 1], sums[place, 2], sums[place, 3]
            r_before[unit], ru_before[unit] = r, ru
            a += slope[unit]
            c += offset[unit]
        du = sums[n, 0] - u1
        r += a * du + (c * (n - count) - (sums[n, 2] - t1))
        ru += a * (sums[n, 1] - u2) + (c * du - (sums[n, 3] - tu1))
        for j in range(h):
            falls = w[j] < 0.0
            g0 = 2.0 / n * (r_before[j] if falls else r - r_before[j])
            g1 = 2.0 / n * (ru_before[j] if falls else ru - ru_before[j]) + x_mean * g0
            wj, bj, vj = w[j], b[j], v[j]
            w[j] = wj - lr * vj * g1
            b[j] = bj - lr * vj * g0
            v[j] = vj - lr * (wj * g1 + bj * g0)


@numba.njit(nogil=True, error_model="numpy", cache=True)
def train(x, sums, shift, lr, epochs, w, b, v):
    """Train M models in place, w, b, v (M, H)."""
    h = w.shape[1]
    k = np.empty(h, np.int64)
    order = np.empty(h, np.int64)
    low, high, slope, offset = np.empty(h), np.empty(h), np.empty(h), np.empty(h)
    r_before, ru_before = np.empty(h), np.empty(h)
    for m in range(len(w)):
        for j in range(h):
            k[j] = min(max(np.searchsorted(x, -b[m, j] / w[m, j]) - 1, 0), len(x) - 2)
            order[j], low[j], high[j] = j, x[k[j]], x[k[j] + 1]
        steps(
            x, sums, shift, lr, epochs, w[m], b[m], v[m], k, order, low, high, slope, offset, r_before, ru_before
        )  # fmt: skip


class Plain:
    """The models of a task; calling it trains copies of them, and `errors` are then their training MSE."""

    def __init__(self, task: peers.Task) -> None:
        w, b, v = task.parameters()
        self.initial, self.trained = (w[:, 0], b, v), (w[:, 0], b, v)
        self.lr, self.epochs = task.lr, task.epochs
        x, y = task.data.x_train[:, 0], task.data.y_train
        ascending = np.argsort(x, kind="stable")
        self.samples = x[ascending], y[ascending]
        x, y = self.samples
        self.shift = float(x.mean()), float(y.mean())
        u, t = x - self.shift[0], y - self.shift[1]
        self.x = np.concatenate([[-np.inf], x, [np.inf]])
        self.sums = np.vstack([np.zeros(4), np.cumsum(np.stack([u, u * u, t, t * u], axis=1), axis=0)])

    def __call__(self) -> None:
        self.trained = tuple(values.copy() for values in self.initial)
        train(self.x, self.sums, self.shift, self.lr, self.epochs, *self.trained)

    def errors(self) -> np.ndarray:
        """Return the training MSE (M,) by the dense rule."""
        (x, y), errors = self.samples, []
        for w, b, v in zip(*self.trained, strict=True):
            errors.append(np.mean((np.maximum(x[:, None] * w + b, 0.0) @ v - y) ** 2))
        return np.array(errors)
