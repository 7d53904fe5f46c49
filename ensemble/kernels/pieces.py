"""The exact training step for one input and any number of hidden layers, without a row per sample.

As a function of x, every pre-activation of every layer is a chain of straight lines. `spline` keeps it as what changes
at each kink; so does this kernel, layer by layer. An *event* is a place among the sorted samples at which some line
changes. At event t the pre-activations z (H,) of a layer change by (alpha_t x + beta_t) q_t, where alpha_t and beta_t
belong to the event and are the same in every layer, and q_t (H,) is the layer's own:

    z_l(x) = sum over the events t at or before x of (alpha_t x + beta_t) q_t

Two events of every layer are at the first sample, (alpha, beta) = (1, 0) and (0, 1): the first line. A first-layer unit
i that switches among the samples is one more, with (alpha, beta) = +-(w_i, b_i) and q_t its row of weights[1].

Walking along a layer's events keeps the line (A, B) (H,) of every unit and whether it is on. Between two events lines
do not change, so a unit switches there at most once: its signs at the two end samples say whether, a search says where.
It is a new event, with (alpha, beta) = +-(A_j, B_j) and q_t = row j of the next weights. The events that came in go on
with q_t masked by which units are on, times the next weights. So a layer costs one product of (T, H) by (H, H) for its
T events, and the second layer none; N appears in the searches alone.

Backward is the same program in reverse: with the sums S of dL/dp (and of x dL/dp) over the samples at or after an event,
which come from running sums made once per dataset, each event's dL/dq_t, dL/dalpha_t and dL/dbeta_t follow, walking
along the events from the last to the first. Two products per layer: dL/dW = q^T dq and dL/dq = dq W^T.

Rounding. Lines are in u = x - mean(x), the sums of centred x and y are rounded once each (`samples`), and the first
layer's units switch by the very expression of the dense rule. A deeper line is a sum of changes, where the dense rule
has a sum over units: a pre-activation within rounding of 0 may be decided otherwise. Where all units of a layer are off
the next layer's lines are its biases exactly, so that what is 0 in the dense rule is 0 here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensemble.kernels.jit import inner, jit
from ensemble.kernels.kinks import Places, guess, locate, sort_units
from ensemble.kernels.products import ROWS, product, transpose
from ensemble.kernels.samples import Samples, prepare
from ensemble.kernels.tiles import (
    LANES,
    active,
    add_product,
    add_scaled,
    add_up,
    first_lane,
    keep,
    read_tile,
    write_tile,
    zero_tile,
)
from ensemble.kernels.updates import Array, History, Models, Rules, Span, step

__all__ = ["prepare", "train"]

ONE = (0,)
Bits = NDArray[np.uint16]  # one bit per unit, a strip of LANES units each


class Events(NamedTuple):
    """What changes where, in all layers of one model: events 0 and 1, then each layer's own, layer after layer."""

    place: Places  # (T,) number of samples left of it
    unit: Places  # (T,) whose switch it is
    turn: Array  # (T,) +1 where the unit's line is added, -1 where it is taken away
    alpha: Array  # (T,)
    beta: Array  # (T,)
    share: Array  # (T,) what alpha and beta are multiplied with in the output
    sum_r: Array  # (T,) sum of dL/dp over the samples at or after it, and
    sum_ru: Array  # (T,) of u dL/dp
    d_alpha: Array  # (T,) dL/dalpha
    d_beta: Array  # (T,) dL/dbeta
    order: Places  # (L T,) the events of each layer by place
    dead: NDArray[np.bool_]  # (L T,) whether no unit of the layer is on from here to the next event, in that order
    count: Places  # (L,) number of events that leave each hidden layer


class Work(NamedTuple):
    """Working arrays of one model; rows are S = H rounded up to LANES apart."""

    q: Array  # (L - 1, T, S) flat: what each event changes in hidden layers 2, 3, ...
    kept: Array  # (L - 1, T, S) the same in the units that are on
    on: Bits  # (L - 1, T, strips) those units
    dq: Array  # (T, S) dL/dq of one layer
    dkept: Array  # (T, S) dL/dkept
    flipped: Array  # (S, S) transposed weights
    a: Array  # (S,) slopes of the lines where the walk is
    b: Array  # (S,) values at u = 0
    now: Bits  # (strips,) which units are on
    low: Bits  # (strips,) which are on at the first sample up to the next event
    high: Bits  # (strips,) and at the last
    units: Places  # (H,) units that switch between two events
    places: Places  # (H,) where
    k: Places  # (H,) switch positions of the first layer among the training samples
    k_part: Places  # (H,) among those of another part
    by_k: Places  # (H,) units of the first layer by (k, unit)


@inner
def first_lines(
    x: Array, k: Places, by_k: Places, x_mean: float, h: int, theta: Array, stride: int, events: Events, work: Work
) -> None:
    """Write the events of the first hidden layer, and what they change in the second."""
    place, unit, turn, alpha, beta, _, _, _, _, _, order, dead, count = events
    q, n = work.q, x.size
    weights = 2 * stride  # of the second layer
    alpha[0], beta[0], alpha[1], beta[1] = 1.0, 0.0, 0.0, 1.0
    n_on = 0
    for column in range(0, stride, LANES):
        slopes, values = zero_tile(ONE), read_tile(ONE, theta, weights + (theta_rows(h) * stride) + column)
        for i in range(h):
            w, b = theta[i], theta[stride + i]
            if w * x[0] + b > 0.0:
                row = read_tile(ONE, theta, weights + i * stride + column)
                slopes, values = add_scaled(slopes, w, row), add_scaled(values, b + w * x_mean, row)
        write_tile(q, column, slopes)
        write_tile(q, stride + column, values)
    for i in range(h):
        n_on += theta[i] * x[0] + theta[stride + i] > 0.0
    for t in range(2):
        place[t], order[t], dead[t] = 0, t, n_on == 0
    t = 2
    for s in range(h):
        i = by_k[s]
        if 0 < k[i] < n:
            w, b = theta[i], theta[stride + i]
            sign = -1.0 if w < 0.0 else 1.0
            n_on += -1 if w < 0.0 else 1
            place[t], unit[t], turn[t], alpha[t], beta[t] = k[i], i, sign, sign * w, sign * (b + w * x_mean)
            order[t], dead[t] = t, n_on == 0
            for column in range(0, stride, LANES):
                write_tile(q, t * stride + column, read_tile(ONE, theta, weights + i * stride + column))
            t += 1
    count[0] = t


@inner
def switch(
    layer: int, unit: int, at: int, slot: int, most: int, n_on: int, events: Events, work: Work
) -> int:
    """Write the event that a unit switches, as the last of all and at a slot of its layer; return how many are on."""
    count = events.count
    t, strip, bit = count[layer], unit // LANES, np.uint16(1 << (unit % LANES))
    is_on = (work.now[strip] & bit) != 0
    work.now[strip] ^= bit
    sign = -1.0 if is_on else 1.0
    n_on += -1 if is_on else 1
    events.place[t], events.unit[t], events.turn[t] = at, unit, sign
    events.alpha[t], events.beta[t] = sign * work.a[unit], sign * work.b[unit]
    events.order[layer * most + slot], events.dead[layer * most + slot] = t, n_on == 0
    count[layer] = t + 1
    return n_on


@inner
def walk(
    u: Array, guide: NDArray[np.uint32], lowest: float, per_x: float, layer: int, h: int, theta: Array, bias_at: int,
    stride: int, most: int, events: Events, work: Work,
) -> bool:  # fmt: skip
    """Follow the lines of a hidden layer (1 is the second) along its events, and write the events that leave it.

    Return False where there are more than there is room for.
    """
    place, alpha, beta, order, dead, count = (
        events.place, events.alpha, events.beta, events.order, events.dead, events.count,
    )  # fmt: skip
    q, kept, on, a, b, now, low, high = work.q, work.kept, work.on, work.a, work.b, work.now, work.low, work.high
    units, places = work.units, work.places
    n, strips, came = u.size, stride // LANES, count[layer - 1]
    q_at, on_at, before = (layer - 1) * most * stride, (layer - 1) * most * strips, (layer - 1) * most
    count[layer] = came
    for j in range(stride):
        a[j], b[j] = q[q_at + j], q[q_at + stride + j]
    if dead[before + 1]:
        for j in range(h):
            a[j], b[j] = 0.0, theta[bias_at + j]
    n_on = 0
    for strip in range(strips):
        column = strip * LANES
        slopes, values = read_tile(ONE, a, column), read_tile(ONE, b, column)
        bits = active(slopes, u[0], values)
        now[strip] = bits
        for t in range(2):
            on[on_at + t * strips + strip] = bits
        write_tile(kept, q_at + column, keep(slopes, bits))
        write_tile(kept, q_at + stride + column, keep(values, bits))
        while bits:
            n_on += 1
            bits &= bits - np.uint16(1)
    for t in range(2):
        order[layer * most + t], dead[layer * most + t] = t, n_on == 0
    slot, s, begin = 2, 2, 0
    while True:
        # From `begin` on, up to the next event, lines are (a, b), and `now` is what was on at the sample before.
        end = n if s == came else place[order[before + s]]
        u_low, u_high = u[begin], u[end - 1]
        differ = np.uint16(0)
        for strip in range(strips):
            slopes, values = read_tile(ONE, a, strip * LANES), read_tile(ONE, b, strip * LANES)
            first, last = active(slopes, u_low, values), active(slopes, u_high, values)
            low[strip], high[strip] = first, last
            differ |= (first ^ now[strip]) | (last ^ first)
        if differ:
            if count[layer] + 2 * h > most:
                return False
            for strip in range(strips):
                bits = low[strip] ^ now[strip]
                while bits:
                    unit = strip * LANES + first_lane(bits)
                    bits &= bits - np.uint16(1)
                    n_on = switch(layer, unit, begin, slot, most, n_on, events, work)
                    slot += 1
            found = 0
            for strip in range(strips):
                bits = high[strip] ^ low[strip]
                while bits:
                    unit = strip * LANES + first_lane(bits)
                    bits &= bits - np.uint16(1)
                    start = begin
                    if guide.size:
                        start = min(max(guess(guide, lowest, per_x, a[unit], b[unit]), begin), end)
                    at = locate(u, a[unit], b[unit], start)
                    i = found
                    while i > 0 and places[i - 1] > at:
                        places[i], units[i] = places[i - 1], units[i - 1]
                        i -= 1
                    places[i], units[i] = at, unit
                    found += 1
            for i in range(found):
                n_on = switch(layer, units[i], places[i], slot, most, n_on, events, work)
                slot += 1
        if s == came:
            return True
        while s < came and place[order[before + s]] == end:
            t = order[before + s]
            for strip in range(strips):
                row, column = q_at + t * stride + strip * LANES, strip * LANES
                change, bits = read_tile(ONE, q, row), now[strip]
                on[on_at + t * strips + strip] = bits
                write_tile(kept, row, keep(change, bits))
                write_tile(a, column, add_scaled(read_tile(ONE, a, column), alpha[t], change))
                write_tile(b, column, add_scaled(read_tile(ONE, b, column), beta[t], change))
            if dead[before + s]:
                for j in range(h):
                    a[j], b[j] = 0.0, theta[bias_at + j]
            order[layer * most + slot], dead[layer * most + slot] = t, n_on == 0
            slot += 1
            s += 1
        begin = end


@inner
def theta_rows(h: int) -> int:
    """Return how many rows a matrix between hidden layers has, with padding."""
    return (h + ROWS - 1) // ROWS * ROWS


@inner
def forward(
    x: Array, u: Array, guide: NDArray[np.uint32], lowest: float, per_x: float, x_mean: float, k: Places, h: int,
    layers: int, theta: Array, stride: int, most: int, events: Events, work: Work,
) -> bool:  # fmt: skip
    """Write the events of all layers of a model among some samples; False where there is too little room."""
    q, kept = work.q, work.kept
    sort_units(h, k, work.by_k, 1)
    first_lines(x, k, work.by_k, x_mean, h, theta, stride, events, work)
    rows = theta_rows(h)
    for layer in range(1, layers):
        weights = 2 * stride + (layer - 1) * (rows + 1) * stride
        bias_at = weights + rows * stride
        if not walk(u, guide, lowest, per_x, layer, h, theta, bias_at, stride, most, events, work):
            return False
        came, leave = events.count[layer - 1], events.count[layer]
        q_at, next_at, next_weights = (layer - 1) * most * stride, layer * most * stride, bias_at + stride
        if layer < layers - 1:
            product(q[next_at:], kept, q_at, stride, 1, theta, next_weights, came, h, stride)
            for j in range(stride):
                q[next_at + stride + j] += theta[next_weights + rows * stride + j]
            for t in range(came, leave):
                row = next_weights + events.unit[t] * stride
                for column in range(0, stride, LANES):
                    write_tile(q, next_at + t * stride + column, read_tile(ONE, theta, row + column))
        else:
            for t in range(came):
                total = zero_tile(ONE)
                for column in range(0, stride, LANES):
                    change = read_tile(ONE, kept, q_at + t * stride + column)
                    total = add_product(total, change, read_tile(ONE, theta, next_weights + column))
                events.share[t] = add_up(total)
            for t in range(came, leave):
                events.share[t] = theta[next_weights + events.unit[t]]
    return True


@inner
def squared_error(u: Array, target: Array, layers: int, bias: float, most: int, events: Events) -> float:
    """Return the mean squared error among the samples whose events these are; `bias` is that of the output."""
    place, alpha, beta, share, order = events.place, events.alpha, events.beta, events.share, events.order
    leave, last = events.count[layers - 1], (layers - 1) * most
    slope, value, begin, total = share[0], share[1] + bias, 0, 0.0
    for s in range(2, leave + 1):
        t = order[last + s] if s < leave else 0
        end = place[t] if s < leave else u.size
        for i in range(begin, end):
            r = slope * u[i] + (value - target[i])
            total += r * r
        begin = end
        if s < leave:
            slope += alpha[t] * share[t]
            value += beta[t] * share[t]
    return total / u.size


@inner
def residual_sums(table: Array, n: int, layers: int, bias: float, most: int, events: Events) -> float:
    """Write each event's sums of dL/dp and of u dL/dp over the samples at or after it; return the sum over all."""
    place, alpha, beta, share, order = events.place, events.alpha, events.beta, events.share, events.order
    sum_r, sum_ru = events.sum_r, events.sum_ru
    leave, last, c = events.count[layers - 1], (layers - 1) * most, 2.0 / n
    slope, value, done, total_r, total_ru = share[0], share[1] + bias, 0, 0.0, 0.0
    su, suu, st, stu = 0.0, 0.0, 0.0, 0.0
    for s in range(2, leave + 1):
        t = order[last + s] if s < leave else 0
        at = place[t] if s < leave else n
        if at > done:
            tu, tuu, tt, ttu = table[at, 2], table[at, 3], table[at, 4], table[at, 5]
            du = tu - su
            total_r += slope * du + (value * (at - done) - (tt - st))
            total_ru += slope * (tuu - suu) + (value * du - (ttu - stu))
            done, su, suu, st, stu = at, tu, tuu, tt, ttu
        if s < leave:
            sum_r[t], sum_ru[t] = total_r, total_ru
            slope += alpha[t] * share[t]
            value += beta[t] * share[t]
    sum_r[0], sum_ru[0], sum_r[1], sum_ru[1] = 0.0, 0.0, 0.0, 0.0
    for t in range(leave):
        sum_r[t], sum_ru[t] = c * (total_r - sum_r[t]), c * (total_ru - sum_ru[t])
        events.d_alpha[t], events.d_beta[t] = share[t] * sum_ru[t], share[t] * sum_r[t]
    return c * total_r


@inner
def walk_back(layer: int, stride: int, most: int, events: Events, work: Work) -> None:
    """Turn the gradients of what leaves a hidden layer, in `dkept`, into those of what came, in `dq`."""
    unit, turn, alpha, beta, d_alpha, d_beta = (
        events.unit, events.turn, events.alpha, events.beta, events.d_alpha, events.d_beta,
    )  # fmt: skip
    q, on, dq, dkept, a, b = work.q, work.on, work.dq, work.dkept, work.a, work.b
    strips, came, leave = stride // LANES, events.count[layer - 1], events.count[layer]
    q_at, on_at = (layer - 1) * most * stride, (layer - 1) * most * strips
    for j in range(stride):  # gradients of the lines of units that switch later
        a[j], b[j] = 0.0, 0.0
    for s in range(leave - 1, 1, -1):
        t = events.order[layer * most + s]
        if t >= came:
            a[unit[t]] += turn[t] * d_alpha[t]
            b[unit[t]] += turn[t] * d_beta[t]
        else:
            along_a, along_b = zero_tile(ONE), zero_tile(ONE)
            for strip in range(strips):
                column = strip * LANES
                row = t * stride + column
                slopes, values = read_tile(ONE, a, column), read_tile(ONE, b, column)
                change = read_tile(ONE, q, q_at + row)
                along_a, along_b = add_product(along_a, change, slopes), add_product(along_b, change, values)
                grown = keep(read_tile(ONE, dkept, row), on[on_at + t * strips + strip])
                write_tile(dq, row, add_scaled(add_scaled(grown, alpha[t], slopes), beta[t], values))
            d_alpha[t] += add_up(along_a)
            d_beta[t] += add_up(along_b)
    for strip in range(strips):
        column, bits = strip * LANES, on[on_at + strip]
        write_tile(dq, column, add_scaled(keep(read_tile(ONE, dkept, column), bits), 1.0, read_tile(ONE, a, column)))
        row = stride + column
        write_tile(dq, row, add_scaled(keep(read_tile(ONE, dkept, row), bits), 1.0, read_tile(ONE, b, column)))


@inner
def backward(x0: float, x_mean: float, h: int, layers: int, theta: Array, stride: int, most: int, events: Events,
             work: Work, g: Array) -> None:  # fmt: skip
    """Write the gradient of all parameters but the output's bias, from the sums of `residual_sums`."""
    unit, turn, alpha, beta = events.unit, events.turn, events.alpha, events.beta
    sum_r, sum_ru, d_alpha, d_beta, count = events.sum_r, events.sum_ru, events.d_alpha, events.d_beta, events.count
    kept, dq, dkept = work.kept, work.dq, work.dkept
    rows = theta_rows(h)
    output = 2 * stride + (layers - 1) * (rows + 1) * stride
    for i in range(g.size):
        g[i] = 0.0
    for layer in range(layers - 1, 0, -1):
        came, leave = count[layer - 1], count[layer]
        q_at = (layer - 1) * most * stride
        if layer == layers - 1:
            for t in range(came):
                grown = alpha[t] * sum_ru[t] + beta[t] * sum_r[t]
                for column in range(0, stride, LANES):
                    row = t * stride + column
                    write_tile(dkept, row, add_scaled(zero_tile(ONE), grown, read_tile(ONE, theta, output + column)))
                    total = add_scaled(read_tile(ONE, g, output + column), grown, read_tile(ONE, kept, q_at + row))
                    write_tile(g, output + column, total)
            for t in range(came, leave):
                g[output + unit[t]] += alpha[t] * sum_ru[t] + beta[t] * sum_r[t]
        else:  # dq holds the gradients of the next layer's rows
            weights = 2 * stride + layer * (rows + 1) * stride
            product(g[weights:], kept, q_at, 1, stride, dq, 0, rows, came, stride)
            for t in range(came, leave):
                row = weights + unit[t] * stride
                for column in range(0, stride, LANES):
                    grown_row = add_scaled(read_tile(ONE, g, row + column), 1.0, read_tile(ONE, dq, t * stride + column))
                    write_tile(g, row + column, grown_row)
            transpose(theta, weights, h, h, stride, work.flipped)
            product(dkept, dq, 0, stride, 1, work.flipped, 0, came, h, stride)
        walk_back(layer, stride, most, events, work)
        bias_at = 2 * stride + (layer - 1) * (rows + 1) * stride + rows * stride
        for j in range(stride):
            g[bias_at + j] = dq[stride + j]
    weights = 2 * stride
    for t in range(2, count[0]):
        i = unit[t]
        g[i], g[stride + i] = turn[t] * d_alpha[t], turn[t] * d_beta[t]
        for column in range(0, stride, LANES):
            write_tile(g, weights + i * stride + column, read_tile(ONE, dq, t * stride + column))
    for i in range(h):
        w, b = theta[i], theta[stride + i]
        if w * x0 + b > 0.0:
            along_w, along_b = zero_tile(ONE), zero_tile(ONE)
            for column in range(0, stride, LANES):
                row = weights + i * stride + column
                change, slopes, values = (
                    read_tile(ONE, theta, row), read_tile(ONE, dq, column), read_tile(ONE, dq, stride + column),
                )  # fmt: skip
                grown_row = add_scaled(add_scaled(read_tile(ONE, g, row), w, slopes), b + w * x_mean, values)
                write_tile(g, row, grown_row)
                along_w, along_b = add_product(along_w, change, slopes), add_product(along_b, change, values)
            g[i] += add_up(along_w)
            g[stride + i] += add_up(along_b)
        g[i] += x_mean * g[stride + i]


@inner
def pack(flat: Array, h: int, layers: int, stride: int, packed: Array) -> None:
    """Copy one model's parameters from where they are side by side to rows `stride` apart."""
    at, to = 0, 0
    rows = theta_rows(h)
    for block in range(2 + (layers - 1) * (rows + 1) + 1):
        inside = (block - 2) % (rows + 1)
        if block >= 2 and block < 2 + (layers - 1) * (rows + 1) and inside >= h and inside < rows:
            to += stride
            continue
        for j in range(h):
            packed[to + j] = flat[at + j]
        at += h
        to += stride
    packed[to] = flat[at]


@inner
def unpack(packed: Array, h: int, layers: int, stride: int, flat: Array) -> None:
    """Undo `pack`."""
    at, to = 0, 0
    rows = theta_rows(h)
    for block in range(2 + (layers - 1) * (rows + 1) + 1):
        inside = (block - 2) % (rows + 1)
        if block >= 2 and block < 2 + (layers - 1) * (rows + 1) and inside >= h and inside < rows:
            to += stride
            continue
        for j in range(h):
            flat[at + j] = packed[to + j]
        at += h
        to += stride
    flat[at] = packed[to]


@inner
def new_events(layers: int, most: int) -> Events:
    """Return room for `most` events."""
    return Events(
        np.zeros(most, np.int64), np.zeros(most, np.int64), np.zeros(most), np.zeros(most), np.zeros(most),
        np.zeros(most), np.zeros(most), np.zeros(most), np.zeros(most), np.zeros(most),
        np.zeros(layers * most, np.int64), np.zeros(layers * most, np.bool_), np.zeros(layers, np.int64),
    )  # fmt: skip


@inner
def new_work(layers: int, most: int, h: int, stride: int) -> Work:
    """Return working arrays for `most` events."""
    strips = stride // LANES
    return Work(
        np.zeros((layers - 1) * most * stride), np.zeros((layers - 1) * most * stride),
        np.zeros((layers - 1) * most * strips, np.uint16), np.zeros(most * stride), np.zeros(most * stride),
        np.zeros(stride * stride), np.zeros(stride), np.zeros(stride),
        np.zeros(strips, np.uint16), np.zeros(strips, np.uint16), np.zeros(strips, np.uint16),
        np.zeros(h, np.int64), np.zeros(h, np.int64), np.zeros(h, np.int64), np.zeros(h, np.int64), np.arange(h),
    )  # fmt: skip


@jit
def train(samples: Samples, models: Models, rules: Rules, history: History, span: Span) -> None:
    """Train some models through some epochs, in place."""
    train, test, val, guide, lowest, per_x, table, x_mean, y_mean, _ = samples
    parts, errors = (test, val, train), (history.test, history.val, history.train)
    no_guide = guide[:0]
    column, n = history.column, train.x.size
    for m in range(span.first_model, span.last_model):
        if history.diverged_at[m] >= 0:
            continue
        h, layers, begin, end = models.width[m], models.hidden_layers[m], models.starts[m], models.starts[m + 1]
        stride, rows = (h + LANES - 1) // LANES * LANES, theta_rows(h)
        output = 2 * stride + (layers - 1) * (rows + 1) * stride
        size = output + stride + 1
        theta, g, first, second, scale = np.zeros(size), np.zeros(size), np.zeros(size), np.zeros(size), np.ones(size)
        pack(models.parameters[begin:end], h, layers, stride, theta)
        if models.first.size:
            pack(models.first[begin:end], h, layers, stride, first)
            pack(models.second[begin:end], h, layers, stride, second)
        scaled = False
        powers, factors = models.powers[m], rules.factors[rules.schedule[m]]
        optimizer, lr, decay = rules.optimizer[m], rules.lr[m], rules.weight_decay[m]
        momentum, beta2 = rules.momentum[m], rules.beta2[m]
        hidden_bias, output_bias = rules.hidden_bias[m], rules.output_bias[m]
        most = (2 + 2 * h * (layers + 1) + ROWS - 1) // ROWS * ROWS
        events, work = new_events(layers, most), new_work(layers, most, h, stride)
        for i in range(h):
            work.k[i] = locate(train.x, theta[i], theta[stride + i], guess(guide, lowest, per_x, theta[i], theta[stride + i]))
        for epoch in range(span.first_epoch, span.last_epoch + 1):
            at = column[epoch]
            recorded = at >= 0 and (epoch < span.last_epoch or epoch == column.size - 1)
            if epoch == span.last_epoch and not recorded:
                break
            bias = theta[size - 1] - y_mean
            for i in range(h):
                work.k[i] = locate(train.x, theta[i], theta[stride + i], work.k[i])
            for p in range(3):
                part = parts[p]
                if p < 2 and (not recorded or part.x.size == 0):
                    continue
                k = work.k
                if p < 2:
                    k = work.k_part
                    for i in range(h):
                        k[i] = locate(part.x, theta[i], theta[stride + i], int(part.place[work.k[i]]))
                while not forward(
                    part.x, part.u, guide if p == 2 else no_guide, lowest - x_mean, per_x, x_mean, k, h, layers, theta,
                    stride, most, events, work,
                ):  # fmt: skip
                    most *= 2
                    k_now, by_k = work.k.copy(), work.by_k.copy()
                    events, work = new_events(layers, most), new_work(layers, most, h, stride)
                    for i in range(h):
                        work.k[i], work.by_k[i] = k_now[i], by_k[i]
                    k = work.k
                    if p < 2:
                        k = work.k_part
                        for i in range(h):
                            k[i] = locate(part.x, theta[i], theta[stride + i], int(part.place[work.k[i]]))
                if recorded:
                    error = squared_error(part.u, part.t, layers, bias, most, events)
                    errors[p][m, at] = error if error <= np.inf else np.inf
            if recorded and not history.train[m, at] < np.inf:
                for p in range(2):
                    if parts[p].x.size:
                        errors[p][m, at] = np.inf
                history.diverged_at[m] = epoch
                break
            if epoch == span.last_epoch:
                break
            db = residual_sums(table, n, layers, bias, most, events)
            backward(train.x[0], x_mean, h, layers, theta, stride, most, events, work, g)
            g[size - 1] = db if output_bias else 0.0
            if not hidden_bias:
                for j in range(h):
                    g[stride + j] = 0.0
                    for layer in range(1, layers):
                        g[2 * stride + (layer - 1) * (rows + 1) * stride + rows * stride + j] = 0.0
            rate = lr * factors[epoch]
            if not step(optimizer, rate, decay, momentum, beta2, powers, theta, g, first, second, scaled, scale):
                history.diverged_at[m] = epoch + 1
                break
        unpack(theta, h, layers, stride, models.parameters[begin:end])
        if models.first.size:
            unpack(first, h, layers, stride, models.first[begin:end])
            unpack(second, h, layers, stride, models.second[begin:end])
