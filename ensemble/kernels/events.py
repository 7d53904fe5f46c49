"""Straight lines along the samples: forward through the hidden layers of a network with one input, one at a time.

`pieces` says what an event is; here are the walks along the events of each layer, for one model on one set of samples,
its numbers in a `workspace`. `back` walks back.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ensemble.kernels.jit import inner
from ensemble.kernels.kinks import UNIT_MASK, Guide, bucket_of, guess, locate
from ensemble.kernels.rows import clear, copy_row
from ensemble.kernels.tiles import LANES, add_product, add_scaled, read_tile, write_tile, zero_tile
from ensemble.kernels.updates import Array

# isort: off
from ensemble.kernels.lanes import (
    ALL, WORD, active, add_up, count_lanes, first_lane, get, get_word, keep, mark, positive, put, put_word,
)  # fmt: skip
from ensemble.kernels.workspace import (
    ALPHA, BETA, COUNT, DEAD, EACH, EVENTS, FOUND, KEYS, MATRIX, MOST, NOW, ON, ONE, ORDER, OWN, PLACE, SHARE,
    STRIDE, TURN, UNIT, WORDS, A, B, Bits, H, Places, Q,
)  # fmt: skip
# isort: on

__all__ = ["first_lines", "leave", "walk"]


@inner
def first_lines(x: Array, x_mean: float, k: int, f: Array, n: Places, at: Places) -> None:
    """Write the events of the first hidden layer among samples at x, and the first lines of the second.

    n[k:] are the units' switch positions, n[at[KEYS]:] the units in their order.
    """
    h, stride, q = at[H], at[STRIDE], at[Q]
    places, order, dead, units, own, keys = at[PLACE], at[ORDER], at[DEAD], at[UNIT], at[OWN], at[KEYS]
    event, each = at[EVENTS], at[EACH]
    weights = 2 * stride  # of the second layer; its biases come after them
    first, n_on = x[0], 0
    listed, slopes, heights = at[FOUND], at[A], at[B]  # units that are on at the first sample
    for i in range(h):
        w, b = get(f, i), get(f, stride + i)
        put(n, own + i, 0)
        if w * first + b > 0.0:
            put(n, listed + n_on, weights + i * stride)
            put(f, slopes + n_on, w)
            put(f, heights + n_on, b + w * x_mean)
            n_on += 1
    for column in range(0, stride, LANES):
        slope, height = zero_tile(ONE), read_tile(ONE, f, weights + at[MATRIX] + column)
        for i in range(n_on):
            row = read_tile(ONE, f, get(n, listed + i) + column)
            slope = add_scaled(slope, get(f, slopes + i), row)
            height = add_scaled(height, get(f, heights + i), row)
        write_tile(f, q + column, slope)
        write_tile(f, q + stride + column, height)
    for t in range(2):
        n[places + t], n[order + t], n[dead + t] = 0, t, n_on == 0
        f[event + ALPHA], f[event + BETA] = 1 - t, t
        event += each
    t = 2
    for s in range(h):
        i = get(n, keys + s) & UNIT_MASK
        place = get(n, k + i)
        if 0 < place < x.size:
            w = get(f, i)
            turn = -1.0 if w < 0.0 else 1.0
            n_on += 1 if turn > 0.0 else -1
            put(n, own + i, t)
            put(n, units + t, i)
            put(n, places + t, place)
            put(n, order + t, t)
            put(n, dead + t, np.int64(n_on == 0))
            put(f, event + ALPHA, turn * w)
            put(f, event + BETA, turn * (get(f, stride + i) + w * x_mean))
            put(f, event + TURN, turn)
            event += each
            t += 1
    n[at[COUNT]] = t


@inner
def advance(
    f: Array, bits: Bits, at: Places, now: int, after: int, on: int, alpha: float, beta: float, row: int, low: float,
    high: float, out: int,
) -> tuple[int, float]:  # fmt: skip
    """Add alpha and beta times a row to the lines, and write which are on afterwards, up to u = high.

    bits[now:] says which are on before; it is copied to bits[on:]. bits[after:] gets which are on at u = high, and the
    words which switch before u = low, and from there on. Return whether any does, and the sum of the row times
    that at `out`, over units that are on before.
    """
    strips, word, a, b = at[STRIDE] // LANES, at[WORDS], at[A], at[B]
    differ, total = 0, zero_tile(ONE)
    for first in range(0, strips, WORD):
        switch_first, switch_then = 0, 0
        for strip in range(first, first + WORD if first + WORD < strips else strips):
            column = strip * LANES
            is_on, change = get(bits, now + strip), read_tile(ONE, f, row + column)
            put(bits, on + strip, is_on)
            total = add_product(total, keep(change, is_on), read_tile(ONE, f, out + column))
            slopes = add_scaled(read_tile(ONE, f, a + column), alpha, change)
            values = add_scaled(read_tile(ONE, f, b + column), beta, change)
            write_tile(f, a + column, slopes)
            write_tile(f, b + column, values)
            begins, ends = active(slopes, low, values), active(slopes, high, values)
            put(bits, after + strip, ends)
            switch_first = mark(switch_first, strip, is_on, begins)
            switch_then = mark(switch_then, strip, begins, ends)
        put_word(bits, word, switch_first)
        put_word(bits, word + WORD, switch_then)
        differ |= switch_first | switch_then
        word += 2 * WORD
    return differ, add_up(total)


@inner
def find(
    u: Array, guide: Guide, guided: bool, lowest: float, per_x: float, begin: int, f: Array, n: Places, bits: Bits,
    at: Places,
) -> int:  # fmt: skip
    """List the units that switch where the lines change, at `begin`, or after it, by place; return how many.

    What is not `guided` searches kinks from where it is.
    """
    a, b, units, places = at[A], at[B], at[FOUND], at[FOUND] + 2 * at[H]
    fine = u.size <= LANES // 8 * guide.size  # where it is in a bucket then makes no difference below
    near: Any = begin
    count, first, word = 0, 0, at[WORDS]
    while first < at[H]:
        for half in range(2):
            left = get_word(bits, word)
            word += WORD
            while left:
                unit, place, i = first + first_lane(left), begin, count
                left &= left - 1
                if half:
                    slope, value = get(f, a + unit), get(f, b + unit)
                    if guided and fine:  # the line is 0 from there on only
                        near = np.int64(guide[np.int64(bucket_of(guide, lowest, per_x, slope, value))])
                    elif guided:
                        near = guess(guide, lowest, per_x, slope, value)
                    place, left_of = near - LANES // 2, 0
                    if 0 <= place <= u.size - LANES:  # LANES samples at once, without a branch, mostly are enough
                        is_left = positive(u, place, slope, value)
                        left_of = count_lanes(is_left if slope < 0.0 else ALL - is_left)
                    place = place + left_of if 0 < left_of < LANES else locate(u, slope, value, near)
                    near = place
                while i > 0 and get(n, places + i - 1) > place:
                    put(n, units + i, get(n, units + i - 1))
                    put(n, places + i, get(n, places + i - 1))
                    i -= 1
                put(n, units + i, unit)
                put(n, places + i, place)
                count += 1
        first += WORD * LANES
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
    h, a, b, found, now = at[H], at[A], at[B], at[FOUND], at[NOW]
    after, n_on = (now + at[WORDS]) // 2, 0
    for strip in range(strips):
        column = strip * LANES
        is_on = active(read_tile(ONE, f, q + column), u[0], read_tile(ONE, f, q + stride + column))
        put(bits, now + strip, is_on)
        n_on += count_lanes(is_on)
    s, begin, end, differ = 0, 0, 0, 0
    while True:
        # From `begin` up to `end`, the next event, lines do not change; bits[now:] says what was on before.
        if begin < end:
            now, after = after, now
        if differ and begin < end:
            if new + 2 * h > most:
                return False
            count = find(u, guide, guided, lowest, per_x, begin, f, n, bits, at)
            for i in range(found, found + count):
                unit, place, event = get(n, i), get(n, i + 2 * h), events + new * each
                slope, value = get(f, a + unit), get(f, b + unit)
                turn = 1.0 if slope * get(u, place) + value > 0.0 else -1.0
                n_on += 1 if turn > 0.0 else -1
                put(n, places + new, place)
                put(n, units + new, unit)
                put(n, slot, new)
                put(n, slot + apart, np.int64(n_on == 0))
                put(f, event + ALPHA, turn * slope)
                put(f, event + BETA, turn * value)
                put(f, event + TURN, turn)
                put(f, event + SHARE, get(f, out + unit))
                new += 1
                slot += 1
        if s == came:
            n[at[COUNT] + layer] = new
            return True
        t = get(n, came_order + s)
        s += 1
        begin, end = end, u.size if s == came else get(n, places + get(n, came_order + s))
        event, row = events + t * each, q + t * stride if t < old else weights + get(n, units + t) * stride
        alpha, beta = get(f, event + ALPHA), get(f, event + BETA)
        if t < 2:  # the first line, with which the walk began
            alpha = beta = 0.0
        elif get(n, came_order + apart + s - 1):
            alpha = beta = 0.0
            clear(f, a, stride)
            copy_row(f, b, biases, stride)
        differ, total = advance(f, bits, at, now, after, on + t * strips, alpha, beta, row, u[begin], u[end - 1], out)
        put(f, event + SHARE, total)
        put(n, slot, t)
        put(n, slot + apart, np.int64(n_on == 0))
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
