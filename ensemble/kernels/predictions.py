"""Predictions of many models on the same inputs: with one input and one hidden layer along the lines, else by `deep`.

`NetworkStack.predict` calls them; a model's predictions do not depend on the models beside it.
"""

from __future__ import annotations

import numpy as np

from ensemble.kernels import deep, dense
from ensemble.kernels.deep import GROUP
from ensemble.kernels.jit import jit
from ensemble.kernels.kinks import Places, is_left, locate
from ensemble.kernels.outputs import BLOCK, ROWS
from ensemble.kernels.samples import room
from ensemble.kernels.tiles import LANES, write_tile, zero_tile
from ensemble.kernels.updates import WEIGHT_LIMIT, Array

__all__ = ["predict"]

CALL_SECONDS = 0.25  # a kernel call delays Ctrl-C until it returns


def predict(
    x: Array, width: Places, hidden_layers: Places, starts: Places, ends: Places, parameters: Array, outputs: int = 1
) -> Array:
    """Return the predictions (M, N, O) of networks for x (N, D).

    Model m has its parameters side by side in parameters[starts[m] : ends[m]].
    """
    n, d = x.shape
    p = np.empty((len(width), outputs, n))
    if not n:
        return np.swapaxes(p, 1, 2)
    parameters = np.require(parameters, requirements=["C", "W"])  # read-only is another type to numba
    order = np.argsort(x[:, 0], kind="stable")
    ascending = x[order, 0]
    jumps = np.zeros((n + 1, 2))
    none = np.empty((0, d)), np.empty(0)
    grouped = dense.prepare(x, np.empty(n), *none, *none).x
    is_line = (hidden_layers == 1) & (d == 1) & (outputs == 1)
    if not (parameters.min() >= -WEIGHT_LIMIT and parameters.max() <= WEIGHT_LIMIT):  # some model diverged
        for m in np.flatnonzero(is_line):  # along its lines, what overflows in one unit would be NaN for all samples
            is_line[m] = np.abs(parameters[starts[m] : ends[m]]).max() <= WEIGHT_LIMIT
    seconds = 2e-9 * n + np.where(
        is_line, 1e-7 * width, n / 2e10 * ((d + outputs) * width + (hidden_layers - 1.0) * width**2)
    )
    for line in (True, False):
        models = np.flatnonzero(is_line == line)
        calls = (np.cumsum(seconds[models]) / CALL_SECONDS).astype(np.int64)
        for some in np.split(models, np.flatnonzero(np.diff(calls)) + 1) if len(models) else ():
            with np.errstate(all="ignore"):  # for NUMBA_DISABLE_JIT=1: compiled code never warns
                if line:
                    predict_lines(ascending, order, width, starts, parameters, some, jumps, p[:, 0])
                else:
                    most, layers = int(width[some].max()), int(hidden_layers[some].max())
                    padded, rows, rows_in = (-(-a // b) * b for a, b in ((most, LANES), (most, ROWS), (d, GROUP)))
                    theta = room(deep.size_of(layers, rows_in, rows, padded, outputs))
                    h, block = room(layers * BLOCK * padded), room(outputs * BLOCK)
                    predict_deep(d, grouped, width, hidden_layers, starts, ends, parameters, some, theta, h, block, p)
    return np.swapaxes(p, 1, 2)


@jit
def predict_lines(
    x: Array, order: Places, width: Places, starts: Places, parameters: Array, models: Places, jumps: Array, p: Array
) -> None:
    """Write the predictions of networks with one hidden layer for ascending x, in O(N + H log N).

    On sample i a network is A x_i + B; A and B change where a unit switches. x is not centred: the mean of samples far
    apart is far from some of them, and what is exact there would be rounded as if they were there.
    """
    n = x.size
    for m in models:
        h, at = width[m], starts[m]
        a, b = 0.0, parameters[at + 3 * h]
        for j in range(h):
            wj, bj, vj = parameters[at + j], parameters[at + h + j], parameters[at + 2 * h + j]
            k = locate(x, wj, bj, n // 2)
            rise, height = vj * wj, vj * bj
            falls = wj < 0.0
            if falls and not is_left(x[0], wj, bj):
                continue  # off everywhere, it must not come and go: what it adds could swallow the rest
            if falls:
                a += rise
                b += height
            jumps[k, 0] += -rise if falls else rise
            jumps[k, 1] += -height if falls else height
        for i in range(n):
            a += jumps[i, 0]
            b += jumps[i, 1]
            jumps[i, 0], jumps[i, 1] = 0.0, 0.0
            p[m, order[i]] = a * x[i] + b
        jumps[n, 0], jumps[n, 1] = 0.0, 0.0


@jit
def predict_deep(
    n_inputs: int, x: Array, width: Places, hidden_layers: Places, starts: Places, ends: Places, parameters: Array,
    models: Places, theta: Array, h: Array, block: Array, p: Array,
) -> None:  # fmt: skip
    """Write the predictions p (M, O, N) of networks of any depth for x as `dense.prepare` leaves it."""
    d, (_, outputs, n) = n_inputs + n_inputs % 2, p.shape
    rows_in = (d + GROUP - 1) // GROUP * GROUP
    for m in models:
        units, layers = width[m], hidden_layers[m]
        padded, rows = (units + LANES - 1) // LANES * LANES, (units + ROWS - 1) // ROWS * ROWS
        own = theta[: deep.size_inside(layers, rows_in, rows, padded, outputs)]
        for at in range(0, own.size, LANES):
            write_tile(own, at, zero_tile((0,)))
        flat = parameters[starts[m] : ends[m]]
        deep.move(flat, own, 0, n_inputs, units, layers, rows_in, rows, padded, outputs, True)
        for first in range(0, n, BLOCK):
            count = min(BLOCK, n - first)
            deep.predict(x, first, count, d, units, layers, rows_in, rows, padded, outputs, own, h, block)
            for o in range(outputs):
                for i in range(count):
                    p[m, o, first + i] = block[o * BLOCK + i]
