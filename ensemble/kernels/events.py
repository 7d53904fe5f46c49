"""Straight lines along the samples: forward and backward through the hidden layers of a network with one input.

`pieces` says what an event is; here are the walks along the events of each layer, for one model on one set of samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ensemble.kernels.jit import inner
from ensemble.kernels.kinks import Guide, Places, guess, locate
from ensemble.kernels.lanes import active, add_up, count_lanes, first_lane, keep
from ensemble.kernels.tiles import LANES, add_product, add_scaled, read_tile, write_tile, zero_tile
from ensemble.kernels.updates import Array

__all__ = [
    "ALPHA", "BETA", "D_ALPHA", "D_BETA", "ONE", "PLACE", "SHARE", "SUM_R", "SUM_RU", "TURN", "UNIT", "Bits", "Flags",
    "first_lines", "residual_sums", "squared_error", "walk", "walk_back",
]  # fmt: skip

ONE = (0,)
Bits = NDArray[np.uint16]  # one bit per unit, a strip of LANES units each
Flags = NDArray[np.bool_]

# One model's working arrays, in the order in which functions take them. L hidden layers, room for T events; rows of a
# layer are S = H rounded up to LANES apart.
#
# ids (T, 2)      place: the number of samples left of the event; unit: whose switch it is
# events (T, 8)   numbers of each event, below
# order (L, T)    the events that leave each hidden layer, by place; dead (L, T): whether no unit of the layer is on
#                 from there to the next
# count (L,)      how many leave each hidden layer; the first of them are those that came
# q, kept         (L - 1, T, S) flat: what each event changes in hidden layers 2, 3, ...; the same in units that are on
# on              (L - 1, T, strips) flat: those units, a bit each
# dq, dkept       (T, S) flat: dL/dq, dL/dkept of one layer
# a, b (S,)       slopes of the lines where a walk is, and values at u = 0
# bits            (3, strips) flat: which units are on, at the first sample up to the next event, at the last one
# found (2, 2 H)  units that switch where the lines change, then those between two events, and where
PLACE, UNIT = 0, 1
ALPHA, BETA = 0, 1
TURN = 2  # +1 where the unit's line is added, -1 where it is taken away
SHARE = 3  # what alpha and beta are multiplied with in the output
SUM_R, SUM_RU = 4, 5  # sums of dL/dp and of u dL/dp over the samples at or after it
D_ALPHA, D_BETA = 6, 7  # dL/dalpha, dL/dbeta


@inner
def first_lines(
    x0: float, n: int, k: Places, by_k: Places, x_mean: float, h: int, theta: Array, stride: int, bias_at: int,
    ids: Places, events: Array, order: Places, dead: Flags, count: Places, q: Array,
) -> None:  # fmt: skip
    """Write the events of the first hidden layer, and what they change in the second.

    k (H,) are the units' switch positions among the n samples, by_k (H,) the units in their order, x0 the first x.
    """
    weights = 2 * stride  # of the second layer; its biases are at bias_at
    n_on = 0
    for column in range(0, stride, LANES):
        write_tile(q, column, zero_tile(ONE))
        write_tile(q, stride + column, read_tile(ONE, theta, bias_at + column))
    for i in range(h):
        w, b = theta[i], theta[stride + i]
        if w * x0 + b > 0.0:
            n_on += 1
            height = b + w * x_mean
            for column in range(0, stride, LANES):
                row = read_tile(ONE, theta, weights + i * stride + column)
                write_tile(q, column, add_scaled(read_tile(ONE, q, column), w, row))
                write_tile(q, stride + column, add_scaled(read_tile(ONE, q, stride + column), height, row))
    for t in range(2):
        ids[t, PLACE], order[0, t], dead[0, t] = 0, t, n_on == 0
        events[t, ALPHA], events[t, BETA] = 1 - t, t
    t = 2
    for s in range(h):
        i = by_k[s]
        if 0 < k[i] < n:
            w, b = theta[i], theta[stride + i]
            turn = -1.0 if w < 0.0 else 1.0
            n_on += -1 if w < 0.0 else 1
            ids[t, PLACE], ids[t, UNIT], order[0, t], dead[0, t] = k[i], i, t, n_on == 0
            events[t, ALPHA], events[t, BETA], events[t, TURN] = turn * w, turn * (b + w * x_mean), turn
            for column in range(0, stride, LANES):
                write_tile(q, t * stride + column, read_tile(ONE, theta, weights + i * stride + column))
            t += 1
    count[0] = t


@inner
def walk(
    u: Array, guide: Guide, lowest: float, per_x: float, layer: int, h: int, theta: Array, stride: int, bias_at: int,
    ids: Places, events: Array, order: Places, dead: Flags, count: Places, q: Array, kept: Array, on: Bits, a: Array,
    b: Array, bits: Bits, found: Places,
) -> bool:  # fmt: skip
    """Follow the lines of a hidden layer (1 is the second) along its events, and write the events that leave it.

    Return False where there are more than there is room for. Without a guide (length 0) kinks are searched from where
    the walk is.
    """
    most, n, strips, came = order.shape[1], u.size, stride // LANES, count[layer - 1]
    q_at, on_at = (layer - 1) * most * stride, (layer - 1) * most * strips
    if dead[layer - 1, 1]:
        for column in range(0, stride, LANES):
            write_tile(q, q_at + column, zero_tile(ONE))
            write_tile(q, q_at + stride + column, read_tile(ONE, theta, bias_at + column))
    n_on = 0
    for strip in range(strips):
        column = strip * LANES
        slopes, values = read_tile(ONE, q, q_at + column), read_tile(ONE, q, q_at + stride + column)
        is_on = active(slopes, u[0], values)
        bits[strip] = on[on_at + strip] = on[on_at + strips + strip] = is_on
        write_tile(a, column, slopes)
        write_tile(b, column, values)
        write_tile(kept, q_at + column, keep(slopes, is_on))
        write_tile(kept, q_at + stride + column, keep(values, is_on))
        n_on += count_lanes(is_on)
    for t in range(2):
        order[layer, t], dead[layer, t] = t, n_on == 0
    slot, s, begin, new = 2, 2, 0, came
    while True:
        # From `begin` up to the next event the lines are (a, b); `bits` says what was on at the sample before.
        end = n if s == came else ids[order[layer - 1, s], PLACE]
        differ = 0
        for strip in range(strips):
            slopes, values = read_tile(ONE, a, strip * LANES), read_tile(ONE, b, strip * LANES)
            low, high = active(slopes, u[begin], values), active(slopes, u[end - 1], values)
            bits[strips + strip], bits[2 * strips + strip] = low, high
            differ |= (low ^ bits[strip]) | (high ^ low)
        if differ:
            if new + 2 * h > most:
                return False
            n_found = 0
            for strip in range(strips):  # those that switch where the lines change
                left = np.int64(bits[strips + strip] ^ bits[strip])
                while left:
                    found[0, n_found], found[1, n_found] = strip * LANES + first_lane(left), begin
                    left &= left - 1
                    n_found += 1
            n_low = n_found
            for strip in range(strips):  # those that switch between two samples, by place
                left = np.int64(bits[2 * strips + strip] ^ bits[strips + strip])
                while left:
                    unit = strip * LANES + first_lane(left)
                    left &= left - 1
                    at = begin
                    if guide.size:
                        at = min(max(guess(guide, lowest, per_x, a[unit], b[unit]), begin), end)
                    at = locate(u, a[unit], b[unit], at)
                    i = n_found
                    while i > n_low and found[1, i - 1] > at:
                        found[0, i], found[1, i] = found[0, i - 1], found[1, i - 1]
                        i -= 1
                    found[0, i], found[1, i] = unit, at
                    n_found += 1
            for i in range(n_found):
                unit = found[0, i]
                strip, bit = unit // LANES, 1 << (unit % LANES)
                turn = -1.0 if bits[strip] & bit else 1.0
                n_on += -1 if bits[strip] & bit else 1
                bits[strip] ^= bit
                ids[new, PLACE], ids[new, UNIT], order[layer, slot], dead[layer, slot] = (
                    found[1, i],
                    unit,
                    new,
                    n_on == 0,
                )
                events[new, ALPHA], events[new, BETA], events[new, TURN] = turn * a[unit], turn * b[unit], turn
                new += 1
                slot += 1
        if s == came:
            count[layer] = new
            return True
        while s < came and ids[order[layer - 1, s], PLACE] == end:
            t = order[layer - 1, s]
            for strip in range(strips):
                column = strip * LANES
                row, is_on = t * stride + column, bits[strip]
                change = read_tile(ONE, q, q_at + row)
                on[on_at + t * strips + strip] = is_on
                write_tile(kept, q_at + row, keep(change, is_on))
                write_tile(a, column, add_scaled(read_tile(ONE, a, column), events[t, ALPHA], change))
                write_tile(b, column, add_scaled(read_tile(ONE, b, column), events[t, BETA], change))
            if dead[layer - 1, s]:
                for column in range(0, stride, LANES):
                    write_tile(a, column, zero_tile(ONE))
                    write_tile(b, column, read_tile(ONE, theta, bias_at + column))
            order[layer, slot], dead[layer, slot] = t, n_on == 0
            slot += 1
            s += 1
        begin = end


@inner
def walk_back(
    layer: int, stride: int, ids: Places, events: Array, order: Places, count: Places, q: Array, on: Bits, dq: Array,
    dkept: Array, a: Array, b: Array,
) -> None:  # fmt: skip
    """Turn the gradients of what leaves a hidden layer, dkept, D_ALPHA and D_BETA, into those of what came."""
    most, strips, came = order.shape[1], stride // LANES, count[layer - 1]
    q_at, on_at = (layer - 1) * most * stride, (layer - 1) * most * strips
    for column in range(0, stride, LANES):  # gradients of the lines of units that switch at later events
        write_tile(a, column, zero_tile(ONE))
        write_tile(b, column, zero_tile(ONE))
    for s in range(count[layer] - 1, 1, -1):
        t = order[layer, s]
        if t >= came:
            a[ids[t, UNIT]] += events[t, TURN] * events[t, D_ALPHA]
            b[ids[t, UNIT]] += events[t, TURN] * events[t, D_BETA]
        else:
            along_a, along_b = zero_tile(ONE), zero_tile(ONE)
            for strip in range(strips):
                column = strip * LANES
                row = t * stride + column
                slopes, values, change = (
                    read_tile(ONE, a, column),
                    read_tile(ONE, b, column),
                    read_tile(ONE, q, q_at + row),
                )
                along_a, along_b = add_product(along_a, change, slopes), add_product(along_b, change, values)
                total = keep(read_tile(ONE, dkept, row), on[on_at + t * strips + strip])
                write_tile(dq, row, add_scaled(add_scaled(total, events[t, ALPHA], slopes), events[t, BETA], values))
            events[t, D_ALPHA] += add_up(along_a)
            events[t, D_BETA] += add_up(along_b)
    for strip in range(strips):
        column, is_on = strip * LANES, on[on_at + strip]
        slopes, values = read_tile(ONE, a, column), read_tile(ONE, b, column)
        write_tile(dq, column, add_scaled(keep(read_tile(ONE, dkept, column), is_on), 1.0, slopes))
        row = stride + column
        write_tile(dq, row, add_scaled(keep(read_tile(ONE, dkept, row), is_on), 1.0, values))


@inner
def squared_error(
    u: Array, target: Array, bias: float, ids: Places, events: Array, order: Places, last: int, leave: int
) -> float:
    """Return the mean squared error among the samples whose events these are; `bias` is that of the output."""
    slope, value, begin, total = events[0, SHARE], events[1, SHARE] + bias, 0, 0.0
    for s in range(2, leave + 1):
        t = order[last, s] if s < leave else 0
        end = ids[t, PLACE] if s < leave else u.size
        for i in range(begin, end):
            r = slope * u[i] + (value - target[i])
            total += r * r
        begin = end
        slope += events[t, ALPHA] * events[t, SHARE]
        value += events[t, BETA] * events[t, SHARE]
    return total / u.size


@inner
def residual_sums(table: Array, bias: float, ids: Places, events: Array, order: Places, last: int, leave: int) -> float:
    """Write each event's sums of dL/dp and of u dL/dp over the samples at or after it; return the first of all."""
    n = table.shape[0] - 1
    slope, value, done, total_r, total_ru = events[0, SHARE], events[1, SHARE] + bias, 0, 0.0, 0.0
    su, suu, st, stu = 0.0, 0.0, 0.0, 0.0
    for s in range(2, leave + 1):
        t = order[last, s] if s < leave else 0
        at = ids[t, PLACE] if s < leave else n
        if at > done:
            tu, tuu, tt, ttu = table[at, 0], table[at, 1], table[at, 2], table[at, 3]
            du = tu - su
            total_r += slope * du + (value * (at - done) - (tt - st))
            total_ru += slope * (tuu - suu) + (value * du - (ttu - stu))
            done, su, suu, st, stu = at, tu, tuu, tt, ttu
        events[t, SUM_R], events[t, SUM_RU] = total_r, total_ru
        slope += events[t, ALPHA] * events[t, SHARE]
        value += events[t, BETA] * events[t, SHARE]
    c = 2.0 / n
    for t in range(leave):
        before_r, before_ru = (0.0, 0.0) if t < 2 else (events[t, SUM_R], events[t, SUM_RU])
        sum_r, sum_ru = c * (total_r - before_r), c * (total_ru - before_ru)
        events[t, SUM_R], events[t, SUM_RU] = sum_r, sum_ru
        events[t, D_ALPHA], events[t, D_BETA] = events[t, SHARE] * sum_ru, events[t, SHARE] * sum_r
    return float(c * total_r)
