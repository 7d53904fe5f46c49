"""Straight lines along the samples: forward through the hidden layers of a network with one input, one at a time.

`pieces` says what an event is; here are the walks along the events of each layer, for one model on one set of samples,
its numbers in a `workspace`. `back` walks back.
"""

from __future__ import annotations

import numpy as np

from ensemble.kernels.jit import inner
from ensemble.kernels.kinks import UNIT_MASK, Guide, guess, locate
from ensemble.kernels.lanes import ALL, active, add_up, count_lanes, first_lane, get, keep, positive, put
from ensemble.kernels.rows import clear, copy_row
from ensemble.kernels.tiles import LANES, add_product, add_scaled, read_tile, write_tile, zero_tile
from ensemble.kernels.updates import Array

# isort: off
from ensemble.kernels.workspace import (
    ALPHA, BETA, COUNT, DEAD, EACH, EVENTS, FOUND, KEYS, MATRIX, MOST, NOW, ON, ONE, ORDER, OWN, PLACE, SHARE,
    STRIDE, TURN, UNIT, A, B, Bits, H, Places, Q,
)  # fmt: skip
# isort: on

__all__ = ["first_lines", "leave", "walk"]


@inner
def first_lines(x: Array, x_mean: float, k: int, f: Array, n: Places, at: Places) -> None:
    """Write the events of the first hidden layer among samples at x, and the first lines of the second.

    n[k:] are the units' switch positions, n[at[KEYS]:] the units in their order.
    """
    h, stride, q = at[H], at[STRIDE], at[Q]
    places, order, dead = at[PLACE], at[ORDER], at[DEAD]
    event, each = at[EVENTS], at[EACH]
    weights = 2 * stride  # of the second layer; its biases come after them
    n_on = 0
    listed, slopes, heights = at[FOUND], at[A], at[B]  # units that are on at the first sample
    for i in range(h):
        w, b = f[i], f[stride + i]
        n[at[OWN] + i] = 0
        if w * x[0] + b > 0.0:
            n[listed + n_on] = weights + i * stride
            f[slopes + n_on], f[heights + n_on] = w, b + w * x_mean
            n_on += 1
    for column in range(0, stride, LANES):
        slope, height = zero_tile(ONE), read_tile(ONE, f, weights + at[MATRIX] + column)
        for i in range(n_on):
            row = read_tile(ONE, f, n[listed + i] + column)
            slope, height = add_scaled(slope, f[slopes + i], row), add_scaled(height, f[heights + i], row)
        write_tile(f, q + column, slope)
        write_tile(f, q + stride + column, height)
    for t in range(2):
        n[places + t], n[order + t], n[dead + t] = 0, t, n_on == 0
        f[event + ALPHA], f[event + BETA] = 1 - t, t
        event += each
    t = 2
    for s in range(h):
        i = n[at[KEYS] + s] & UNIT_MASK
        place = n[k + i]
        if 0 < place < x.size:
            w = f[i]
            turn = -1.0 if w < 0.0 else 1.0
            n_on += int(turn)
            n[at[OWN] + i], n[at[UNIT] + t] = t, i
            n[places + t], n[order + t], n[dead + t] = place, t, n_on == 0
            f[event + ALPHA], f[event + BETA] = turn * w, turn * (f[stride + i] + w * x_mean)
            f[event + TURN] = turn
            event += each
            t += 1
    n[at[COUNT]] = t


@inner
def advance(
    f: Array, bits: Bits, at: Places, on: int, alpha: float, beta: float, row: int, low: float, high: float, out: int
) -> tuple[int, float]:
    """Add alpha and beta times a row to the lines, and write which are on at u = low, and at u = high.

    Before it, write to bits[on:] which are on now. Return whether the three differ, and the sum of the row times that
    at `out`, over units that are on.
    """
    strips, now, a, b = at[STRIDE] // LANES, at[NOW], at[A], at[B]
    differ, total = 0, zero_tile(ONE)
    for strip in range(strips):
        column = strip * LANES
        is_on, change = get(bits, now + strip), read_tile(ONE, f, row + column)
        put(bits, on + strip, is_on)
        total = add_product(total, keep(change, is_on), read_tile(ONE, f, out + column))
        slopes = add_scaled(read_tile(ONE, f, a + column), alpha, change)
        values = add_scaled(read_tile(ONE, f, b + column), beta, change)
        write_tile(f, a + column, slopes)
        write_tile(f, b + column, values)
        begins, ends = active(slopes, low, values), active(slopes, high, values)
        put(bits, now + strips + strip, begins)
        put(bits, now + 2 * strips + strip, ends)
        differ |= (begins ^ is_on) | (ends ^ begins)
    return differ, add_up(total)


@inner
def find(
    u: Array, guide: Guide, guided: bool, lowest: float, per_x: float, begin: int, end: int, f: Array, n: Places,
    bits: Bits, at: Places,
) -> int:  # fmt: skip
    """List the units that switch where the lines change, at `begin`, then those up to `end`, by place; return how many.

    What is not `guided` searches kinks from where it is.
    """
    strips, now, a, b = at[STRIDE] // LANES, at[NOW], at[A], at[B]
    units, places = at[FOUND], at[FOUND] + 2 * at[H]
    count, n_low, place = 0, 0, begin
    for strip in range(2 * strips):  # bits are those now, at the first sample, and at the last
        if strip == strips:
            n_low = count
        first = strip * LANES if strip < strips else (strip - strips) * LANES
        left = np.int64(bits[now + strip] ^ bits[now + strips + strip])
        while left:
            unit = first + first_lane(left)
            left &= left - 1
            i = count
            if strip >= strips:
                slope, value = f[a + unit], f[b + unit]
                if guided:
                    place = guess(guide, lowest, per_x, slope, value)  # the line is 0 between `begin` and `end` only
                near, left_of = place - LANES // 2, 0
                if 0 <= near <= u.size - LANES:  # LANES samples at once, without a branch, mostly are enough
                    is_left = positive(u, near, slope, value)
                    left_of = count_lanes(is_left if slope < 0.0 else ALL - is_left)
                place = near + left_of if 0 < left_of < LANES else locate(u, slope, value, place)
                while i > n_low and n[places + i - 1] > place:
                    n[units + i], n[places + i] = n[units + i - 1], n[places + i - 1]
                    i -= 1
            n[units + i], n[places + i] = unit, place
            count += 1
    return count


@inner
def walk(
    u: Array, guide: Guide, guided: bool, lowest: float, per_x: float, layer: int, f: Array, n: Places, bits: Bits,
    at: Places,
) -> bool:  # fmt: skip
    """Follow the lines of a hidden layer (1 is the second) along its events, and write the events that leave it.

    Return False where there are more than there is room for.
    """
    stride, most, strips = at[STRIDE], at[MOST], at[STRIDE] // LANES
    came = n[at[COUNT] + layer - 1]
    old = 2 if layer == 1 else n[at[COUNT] + layer - 2]  # events that came further: others changed by a row of weights
    places, units = at[PLACE], at[UNIT]
    came_order = at[ORDER] + (layer - 1) * most
    slot, apart = came_order + most, at[DEAD] - at[ORDER]
    q, on = at[Q] + (layer - 1) * most * stride, at[ON] + (layer - 1) * most * strips
    weights = 2 * stride + (layer - 1) * (at[MATRIX] + stride)
    biases = weights + at[MATRIX]
    out = biases + stride  # the next layer's weights
    events, each, new = at[EVENTS], at[EACH], came
    if n[came_order + apart + 1]:
        clear(f, q, stride)
        copy_row(f, q + stride, biases, stride)
    copy_row(f, at[A], q, stride)
    copy_row(f, at[B], q + stride, stride)
    n_on = 0
    for strip in range(strips):
        column = strip * LANES
        is_on = active(read_tile(ONE, f, q + column), u[0], read_tile(ONE, f, q + stride + column))
        put(bits, at[NOW] + strip, is_on)
        n_on += count_lanes(is_on)
    s, begin, end, differ = 0, 0, 0, 0
    while True:
        # From `begin` up to `end`, the next event, lines do not change; n[NOW:] says what was on before.
        if differ and begin < end:
            if new + 2 * at[H] > most:
                return False
            count = find(u, guide, guided, lowest, per_x, begin, end, f, n, bits, at)
            for i in range(at[FOUND], at[FOUND] + count):
                unit, event = n[i], events + new * each
                strip, bit = at[NOW] + unit // LANES, 1 << (unit % LANES)
                turn = -1.0 if bits[strip] & bit else 1.0
                n_on += int(turn)
                bits[strip] ^= bit
                n[places + new], n[units + new] = n[i + 2 * at[H]], unit
                n[slot], n[slot + apart] = new, n_on == 0
                f[event + ALPHA], f[event + BETA] = turn * f[at[A] + unit], turn * f[at[B] + unit]
                f[event + TURN], f[event + SHARE] = turn, f[out + unit]
                new += 1
                slot += 1
        if s == came:
            n[at[COUNT] + layer] = new
            return True
        t = n[came_order + s]
        s += 1
        begin, end = end, u.size if s == came else n[places + n[came_order + s]]
        event, row = events + t * each, q + t * stride if t < old else weights + n[units + t] * stride
        alpha, beta = f[event + ALPHA], f[event + BETA]
        if t < 2:  # the first line, with which the walk began
            alpha = beta = 0.0
        elif n[came_order + apart + s - 1]:
            alpha = beta = 0.0
            clear(f, at[A], stride)
            copy_row(f, at[B], biases, stride)
        differ, f[event + SHARE] = advance(
            f, bits, at, on + t * strips, alpha, beta, row, u[begin], u[end - 1], out
        )  # fmt: skip
        n[slot], n[slot + apart] = t, n_on == 0
        slot += 1


@inner
def leave(layer: int, f: Array, n: Places, bits: Bits, at: Places, kept: int) -> None:
    """Write to f[kept:] what the events that came change in units that are on."""
    stride, most, strips = at[STRIDE], at[MOST], at[STRIDE] // LANES
    old = 2 if layer == 1 else n[at[COUNT] + layer - 2]
    q, on = at[Q] + (layer - 1) * most * stride, at[ON] + (layer - 1) * most * strips
    weights = 2 * stride + (layer - 1) * (at[MATRIX] + stride)
    for t in range(n[at[COUNT] + layer - 1]):
        row = q + t * stride if t < old else weights + n[at[UNIT] + t] * stride
        for strip in range(strips):
            change = keep(read_tile(ONE, f, row + strip * LANES), get(bits, on + t * strips + strip))
            write_tile(f, kept + t * stride + strip * LANES, change)
