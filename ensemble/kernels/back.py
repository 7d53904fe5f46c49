"""Backward along the events of one hidden layer: what `events` does, in reverse."""

from __future__ import annotations

from ensemble.kernels.descent import descend, factors, step_row
from ensemble.kernels.jit import inner
from ensemble.kernels.lanes import ALL, add_up, get, keep, put
from ensemble.kernels.rows import add_row, clear
from ensemble.kernels.tiles import LANES, add_product, add_scaled, read_tile, write_tile, zero_tile
from ensemble.kernels.updates import GD, Array

# isort: off
from ensemble.kernels.workspace import (
    ALPHA, BETA, COUNT, D_ALPHA, D_BETA, D_SHARE, DKEPT, DQ, EACH, EVENTS, GRADIENT, LAYERS, MATRIX, MOST, ON, ONE,
    OPTIMIZER, ORDER, OUT_BIASES, OUTPUTS, OUTSIDE, SCRATCH, SHARE, STRIDE, TURN, UNIT, A, B, Bits, Places, Q,
)  # fmt: skip
# isort: on

__all__ = ["outputs_back", "walk_back"]


@inner
def shares(f: Array, n: Places, at: Places) -> None:
    """Write the share of each event in each of several outputs, from the rows that `leave` wrote to dkept."""
    stride, came, event = at[STRIDE], n[at[COUNT] + at[LAYERS] - 2], at[EVENTS]
    for t in range(n[at[COUNT] + at[LAYERS] - 1]):
        weights = at[OUT_BIASES] - at[OUTPUTS] * stride
        row, columns = at[DKEPT] + t * stride, stride if t < came else 0
        for o in range(at[OUTPUTS]):
            total = zero_tile(ONE)
            for column in range(0, columns, LANES):
                total = add_product(total, read_tile(ONE, f, row + column), read_tile(ONE, f, weights + column))
            f[event + SHARE + 3 * o] = add_up(total) if t < came else f[weights + n[at[UNIT] + t]]
            weights += stride
        event += at[EACH]


@inner
def outputs_back(f: Array, n: Places, at: Places) -> None:
    """Write dkept in place of kept, and the gradient of several outputs' weights, from D_SHARE."""
    stride, came = at[STRIDE], n[at[COUNT] + at[LAYERS] - 2]
    size = at[OUTPUTS] * stride
    weights, event = at[OUT_BIASES] - size, at[EVENTS]
    clear(f, at[GRADIENT], size)
    for t in range(n[at[COUNT] + at[LAYERS] - 1]):
        row, change = at[DKEPT] + t * stride, at[DQ]  # dq is not there yet
        if t < came:
            for column in range(0, stride, LANES):
                write_tile(f, change + column, read_tile(ONE, f, row + column))
            clear(f, row, stride)
        for o in range(at[OUTPUTS]):
            share, gradient = f[event + D_SHARE + 3 * o], at[GRADIENT] + o * stride
            if t < came:
                add_row(f, row, share, weights + o * stride, stride)
                add_row(f, gradient, share, change, stride)
            else:
                f[gradient + n[at[UNIT] + t]] += share
        event += at[EACH]


@inner
def walk_back(layer: int, f: Array, n: Places, bits: Bits, at: Places) -> None:
    """Turn the gradients of what leaves a hidden layer, dkept, D_ALPHA and D_BETA, into those of what came, dq.

    For one output dkept is never written: it is D_SHARE times the output's weights, whose gradient is found on the way.
    Rows of the first hidden matrix whose units rise take their step here.
    """
    stride, most, strips = at[STRIDE], at[MOST], at[STRIDE] // LANES
    came = n[at[COUNT] + layer - 1]
    old = 2 if layer == 1 else n[at[COUNT] + layer - 2]
    single = layer == at[LAYERS] - 1 and at[OUTPUTS] == 1
    order, on = at[ORDER] + layer * most, at[ON] + (layer - 1) * most * strips
    q, weights = at[Q] + (layer - 1) * most * stride, 2 * stride + (layer - 1) * (at[MATRIX] + stride)
    out, d_out = weights + at[MATRIX] + stride, at[GRADIENT]
    a, b = at[A], at[B]
    clear(f, a, stride)  # gradients of the lines of units that switch at later events
    clear(f, b, stride)
    if single:
        clear(f, d_out, stride)
    shrink, step = factors(f, at, 1)
    inside, plain = ALL, at[OPTIMIZER] == GD and step != 0.0  # without a detour through memory
    for s in range(n[at[COUNT] + layer] - 1, -1, -1):
        t = get(n, order + s)
        event, unit = at[EVENTS] + t * at[EACH], get(n, at[UNIT] + t)
        share = get(f, event + D_SHARE) if single else 1.0
        if t >= came:
            turn = get(f, event + TURN)
            put(f, a + unit, get(f, a + unit) + turn * get(f, event + D_ALPHA))
            put(f, b + unit, get(f, b + unit) + turn * get(f, event + D_BETA))
            if single:
                put(f, d_out + unit, get(f, d_out + unit) + share)
        else:
            along_a, along_b = zero_tile(ONE), zero_tile(ONE)
            alpha, beta = get(f, event + ALPHA), get(f, event + BETA)
            row, given = q + t * stride if t < old else weights + unit * stride, at[DKEPT] + t * stride
            if single:
                given = out
            # A first-layer unit that rises is on from its event on only: its row's gradient is complete.
            rises = layer == 1 and t > 1 and get(f, event + TURN) > 0.0
            to = at[SCRATCH] if rises else at[DQ] + t * stride
            for strip in range(strips):
                column = strip * LANES
                is_on, change = get(bits, on + t * strips + strip), read_tile(ONE, f, row + column)
                slopes, values = read_tile(ONE, f, a + column), read_tile(ONE, f, b + column)
                along_a, along_b = add_product(along_a, change, slopes), add_product(along_b, change, values)
                if single:
                    total = add_scaled(read_tile(ONE, f, d_out + column), share, keep(change, is_on))
                    write_tile(f, d_out + column, total)
                total = add_scaled(zero_tile(ONE), share, keep(read_tile(ONE, f, given + column), is_on))
                total = add_scaled(add_scaled(total, alpha, slopes), beta, values)
                if rises and plain:
                    inside &= step_row(f, row + column, change, shrink, step, total)
                else:
                    write_tile(f, to + column, total)
            if rises and not plain:
                descend(f, at, row, stride, to, 1)
            put(f, event + D_ALPHA, get(f, event + D_ALPHA) + add_up(along_a))
            put(f, event + D_BETA, get(f, event + D_BETA) + add_up(along_b))
    if inside != ALL:
        at[OUTSIDE] = 1
