"""The output layer of several columns: what it puts out, its gradient, and the squared loss of many columns.

Used by `deep` between its way forward and its way back; the loss of labels is in `labels`.
"""

from __future__ import annotations

from ensemble.kernels.jit import inner
from ensemble.kernels.lanes import add_up, write_sums
from ensemble.kernels.tiles import (
    LANES,
    add_inputs,
    add_outer,
    add_product,
    add_rows,
    keep_active,
    read_tile,
    write_tile,
    zero_tile,
)
from ensemble.kernels.updates import Array

__all__ = ["BLOCK", "ROWS", "add_output_gradient", "predict_outputs", "squared_error", "squared_gradient"]

BLOCK = 128  # samples in one pass through the layers; a multiple of ROWS and of LANES
ROWS = 8  # of a tile: by two vectors, half the registers hold sums, each used once in the time an addition takes
ONE, EIGHT = (0,), (0,) * ROWS

# Everything of an output is side by side, so that no output is padded: O may be small, or no multiple of LANES.
#
# p, dp                   (O, BLOCK) outputs of a block of samples, then the loss's gradient
# y                       (O, N) targets
# theta, g at `weights`   (O, S) weights, then the O biases


@inner
def predict_outputs(
    h: Array, h_at: int, n: int, padded: int, theta: Array, weights: int, outputs: int, p: Array
) -> None:
    """Write p of n samples, from the last hidden layer's h."""
    for o in range(outputs):
        for r in range(0, n, ROWS):
            total = zero_tile(EIGHT)
            for column in range(0, padded, LANES):
                below = read_tile(EIGHT, h, h_at + column * BLOCK + r * LANES)
                total = add_product(total, below, read_tile(ONE, theta, weights + o * padded + column))
            write_sums(p, o * BLOCK + r, total)
        bias = theta[weights + outputs * padded + o]
        for i in range(o * BLOCK, o * BLOCK + n):
            p[i] += bias


@inner
def add_output_gradient(
    h: Array, h_at: int, dp: Array, n: int, padded: int, theta: Array, weights: int, outputs: int, g: Array
) -> None:
    """Add to the gradient of this layer, and of the biases before it; replace the last hidden layer's h by its dz."""
    for o in range(outputs):
        total = zero_tile(ONE)
        for i in range(o * BLOCK + n, o * BLOCK + (n + LANES - 1) // LANES * LANES):
            dp[i] = 0.0
        for i in range(o * BLOCK, o * BLOCK + n, LANES):
            total = add_rows(total, read_tile(ONE, dp, i))
        g[weights + outputs * padded + o] += add_up(total)
    for column in range(0, padded, LANES):
        for i in range(n, (n + ROWS - 1) // ROWS * ROWS):  # so that dz is 0 there in all layers
            write_tile(h, h_at + column * BLOCK + i * LANES, zero_tile(ONE))
        bias = weights - padded + column
        db = read_tile(ONE, g, bias)
        for r in range(0, n, ROWS):
            place = h_at + column * BLOCK + r * LANES
            below, dz = read_tile(EIGHT, h, place), zero_tile(EIGHT)
            for o in range(outputs):
                row = weights + o * padded + column
                write_tile(g, row, add_inputs(read_tile(ONE, g, row), dp, o * BLOCK + r, below))
                dz = add_outer(dz, dp, o * BLOCK + r, 1, read_tile(ONE, theta, row))
            dz = keep_active(dz, h, place)
            write_tile(h, place, dz)
            db = add_rows(db, dz)
        write_tile(g, bias, db)


@inner
def squared_error(p: Array, y: Array, first: int, n: int, outputs: int, weights: Array) -> float:
    """Return the sum of the squared errors of a block of samples, `first` the first of them, each times its weight."""
    total, rows = 0.0, y.size // outputs
    for o in range(outputs):
        own = 0.0
        for i in range(n):
            r = p[o * BLOCK + i] - y[o * rows + first + i]
            own += r * r
        total += weights[o] * own
    return total


@inner
def squared_gradient(p: Array, y: Array, first: int, n: int, outputs: int) -> None:
    """Replace p of a block of samples by dL/dp of the mean over samples and outputs."""
    c, rows = 2.0 / y.size, y.size // outputs
    for o in range(outputs):
        for i in range(n):
            p[o * BLOCK + i] = c * (p[o * BLOCK + i] - y[o * rows + first + i])
