"""Forward and backward through all layers of a deep network with one input, along its events.

Backward steps on the way: a layer's parameters are updated as soon as their gradient is there.
"""

from __future__ import annotations

from ensemble.kernels.back import outputs_back, shares, walk_back
from ensemble.kernels.descent import descend, factors, step_row
from ensemble.kernels.events import first_lines, leave, walk
from ensemble.kernels.jit import inner
from ensemble.kernels.kinks import Guide
from ensemble.kernels.lanes import ALL, add_up, get, put
from ensemble.kernels.products import product, transpose
from ensemble.kernels.rows import add_row
from ensemble.kernels.tiles import LANES, add_product, add_scaled, read_tile, write_tile, zero_tile
from ensemble.kernels.updates import GD, Array

# isort: off
from ensemble.kernels.workspace import (
    COUNT, D_ALPHA, D_BETA, D_BIASES, DKEPT, DQ, EACH, EVENTS, FLIPPED, GRADIENT, KEPT, LAYERS, MATRIX, MOST, ONE,
    OPTIMIZER, OUT_BIASES, OUTPUTS, OUTSIDE, OWN, SCRATCH, STRIDE, TURN, UNIT, ZEROS, Bits, H, Places, Q, Several,
)  # fmt: skip
# isort: on

__all__ = ["backward", "forward"]


@inner
def forward(
    x: Array, u: Array, guide: Guide, guided: bool, lowest: float, per_x: float, x_mean: float, k: int, f: Array,
    n: Places, bits: Bits, at: Places, several: Several,
) -> bool:  # fmt: skip
    """Write the events of all layers of a model among some samples; False where there is too little room.

    `several` is None for one output: what is for more is not compiled then.
    """
    h, stride, layers = at[H], at[STRIDE], at[LAYERS]
    first_lines(x, x_mean, k, f, n, at)
    for layer in range(1, layers):
        if not walk(u, guide, guided, lowest, per_x, layer, f, n, bits, at):
            return False
        if layer < layers - 1:
            done = (layer - 1) * at[MOST] * stride
            q, kept = at[Q] + done + at[MOST] * stride, at[KEPT] + done  # q of the next layer
            weights = 2 * stride + layer * (at[MATRIX] + stride)
            leave(layer, f, n, bits, at, kept)
            product(f, q, f, kept, stride, 1, f, weights, n[at[COUNT] + layer - 1], h, stride)
            add_row(f, q + stride, 1.0, weights + at[MATRIX], stride)
    if several is not None:
        leave(layers - 1, f, n, bits, at, at[DKEPT])
        shares(f, n, at)
    return True


@inner
def backward(
    x0: float, x_mean: float, hidden_bias: bool, f: Array, n: Places, bits: Bits, at: Places, several: Several
) -> None:
    """Take a step with all parameters, from the gradients of `residual_sums`."""
    h, stride, layers = at[H], at[STRIDE], at[LAYERS]
    gradient, dq, size = at[GRADIENT], at[DQ], at[OUTPUTS] * at[STRIDE]
    d_biases = dq + stride if hidden_bias else at[ZEROS]
    if several is not None:
        outputs_back(f, n, at)
    walk_back(layers - 1, f, n, bits, at)
    descend(f, at, at[OUT_BIASES] - size, size, gradient, 3)
    descend(f, at, at[OUT_BIASES], at[OUTPUTS], at[D_BIASES], 4)
    descend(f, at, at[OUT_BIASES] - size - stride, stride, d_biases, 2)
    for layer in range(layers - 2, 0, -1):  # dq holds the gradients of the next layer's q
        came, weights = n[at[COUNT] + layer - 1], 2 * stride + layer * (at[MATRIX] + stride)
        kept = at[KEPT] + (layer - 1) * at[MOST] * stride
        product(f, gradient, f, kept, 1, stride, f, dq, at[MATRIX] // stride, came, stride)
        for t in range(came, n[at[COUNT] + layer]):
            add_row(f, gradient + n[at[UNIT] + t] * stride, 1.0, dq + t * stride, stride)
        transpose(f, weights, h, h, stride, f, at[FLIPPED])
        product(f, at[DKEPT], f, dq, stride, 1, f, at[FLIPPED], came, h, stride)
        walk_back(layer, f, n, bits, at)
        descend(f, at, weights, h * stride, gradient, 1)
        descend(f, at, weights - stride, stride, d_biases, 2)
    first_back(x0, x_mean, f, n, at)
    descend(f, at, 0, stride, gradient, 0)
    descend(f, at, stride, stride, gradient + stride if hidden_bias else at[ZEROS], 2)


@inner
def first_back(x0: float, x_mean: float, f: Array, n: Places, at: Places) -> None:
    """Take a step with what is left of the first hidden matrix, and write the gradient of what is before it."""
    h, stride, dq = at[H], at[STRIDE], at[DQ]
    weights, gradient = 2 * stride, at[GRADIENT]
    shrink, step = factors(f, at, 1)
    inside, plain = ALL, at[OPTIMIZER] == GD and step != 0.0  # as in `walk_back`
    for i in range(h):
        t, w, b = get(n, at[OWN] + i), get(f, i), get(f, stride + i)
        row, own = weights + i * stride, at[ZEROS]
        d_w, d_b = 0.0, 0.0
        if t > 0:
            event, own = at[EVENTS] + t * at[EACH], dq + t * stride
            d_w = get(f, event + TURN) * get(f, event + D_ALPHA)
            d_b = get(f, event + TURN) * get(f, event + D_BETA)
        is_on = w * x0 + b > 0.0
        if is_on:
            height = b + w * x_mean
            along_w, along_b = zero_tile(ONE), zero_tile(ONE)
            for column in range(0, stride, LANES):
                change = read_tile(ONE, f, row + column)
                slopes, values = read_tile(ONE, f, dq + column), read_tile(ONE, f, dq + stride + column)
                total = add_scaled(add_scaled(read_tile(ONE, f, own + column), w, slopes), height, values)
                along_w, along_b = add_product(along_w, change, slopes), add_product(along_b, change, values)
                if plain:
                    inside &= step_row(f, row + column, change, shrink, step, total)
                else:
                    write_tile(f, at[SCRATCH] + column, total)
            own = at[SCRATCH]
            d_w += add_up(along_w)
            d_b += add_up(along_b)
        if (is_on and not plain) or (not is_on and t == 0):  # else the step is taken
            descend(f, at, row, stride, own, 1)
        put(f, gradient + i, d_w + x_mean * d_b)
        put(f, gradient + stride + i, d_b)
    for column in range(h, stride):
        f[gradient + column] = f[gradient + stride + column] = 0.0
    if inside != ALL:
        at[OUTSIDE] = 1
