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

Backward is the same program in reverse: with the sums of dL/dp, and of x dL/dp, over the samples at or after an event,
which come from running sums made once per dataset, each event's dL/dq_t, dL/dalpha_t and dL/dbeta_t follow, walking
along the events from the last to the first. Two products per layer: dL/dW = q^T dq and dL/dq = dq W^T.

Rounding. Lines are in u = x - mean(x), the sums of centred x and y are rounded once each (`samples`), and the first
layer's units switch by the very expression of the dense rule. A deeper line is a sum of changes, where the dense rule
has a sum over units: a pre-activation within rounding of 0 may be decided otherwise. Where all units of a layer are off
the next layer's lines are its biases exactly, so that what is 0 in the dense rule is 0 here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ensemble.kernels import spline
from ensemble.kernels.events import (
    ALPHA,
    BETA,
    D_ALPHA,
    D_BETA,
    ONE,
    SHARE,
    SUM_R,
    SUM_RU,
    TURN,
    UNIT,
    Bits,
    Flags,
    first_lines,
    residual_sums,
    squared_error,
    walk,
    walk_back,
)
from ensemble.kernels.jit import inlined, inner, jit
from ensemble.kernels.kinks import Guide, Places, guess, locate, sort_units
from ensemble.kernels.lanes import add_up
from ensemble.kernels.products import ROWS, product, transpose
from ensemble.kernels.samples import Samples, prepare, room
from ensemble.kernels.tiles import LANES, add_product, add_scaled, read_tile, write_tile, zero_tile
from ensemble.kernels.updates import Array, History, Models, Rules, Span, step

__all__ = ["prepare", "train"]

# theta, g, moments: rows of S numbers: weights[0], biases[0], then for each deeper hidden layer weights[l] (H rows, and
# rows of zeros up to a multiple of ROWS) and biases[l], then the output's weights, and its bias as the first number of
# the last row.


def train(samples: Samples, models: Models, rules: Rules, history: History, span: Span) -> None:
    """Train some models through some epochs, in place."""
    deep = span.first_model + int((models.hidden_layers[span.first_model : span.last_model] == 1).sum())
    if deep > span.first_model:  # models lie by depth; one hidden layer needs no walk
        spline.train(samples, models, rules, history, span._replace(last_model=deep))
    some = slice(deep, span.last_model)
    h, layers = int(models.width[some].max(initial=1)), int(models.hidden_layers[some].max(initial=2))
    n_events = 2 + 2 * h * (layers + 1)  # about as many units switch as there are
    model, epoch = deep, span.first_epoch
    while model < span.last_model:
        work = _work(layers, h, -(-n_events // ROWS) * ROWS)
        with np.errstate(all="ignore"):  # for NUMBA_DISABLE_JIT=1: compiled code never warns
            model, epoch = train_models(
                samples, models, rules, history, model, span.last_model, epoch, span.first_epoch, span.last_epoch, *work
            )
        n_events *= 2  # where a model stopped for want of room


def _work(layers: int, h: int, most: int) -> tuple[Any, ...]:
    """Return working arrays for models of so many layers, units and events; their sizes are in `events`."""
    strips = -(-h // LANES)
    stride, rows = strips * LANES, -(-h // ROWS) * ROWS
    size = (2 + (layers - 1) * (rows + 1) + 2) * stride
    integers = (np.zeros((most, 2), np.int64), np.zeros((layers, most), np.int64), np.zeros(layers, np.int64))
    ids, order, count = integers
    return (
        room(3 * size), room(size), room(2 * size), ids, room(most, 8), order, np.zeros((layers, most), np.bool_),
        count, room((layers - 1) * most * stride), room((layers - 1) * most * stride),
        np.zeros((layers - 1) * most * strips, np.uint16), room(most * stride), room(most * stride),
        room(stride * stride), room(stride), room(stride), np.zeros(3 * strips, np.uint16),
        np.zeros((2, 2 * h), np.int64), np.zeros((3, h), np.int64),
    )  # fmt: skip


@inlined
def forward(
    x: Array, u: Array, guide: Guide, lowest: float, per_x: float, x_mean: float, k: Places, by_k: Places, h: int,
    layers: int, theta: Array, stride: int, rows: int, ids: Places, events: Array, order: Places, dead: Flags,
    count: Places, q: Array, kept: Array, on: Bits, a: Array, b: Array, bits: Bits, found: Places,
) -> bool:  # fmt: skip
    """Write the events of all layers of a model among some samples; False where there is too little room."""
    most = order.shape[1]
    bias_at = (2 + rows) * stride
    first_lines(x[0], x.size, k, by_k, x_mean, h, theta, stride, bias_at, ids, events, order, dead, count, q)
    for layer in range(1, layers):
        if not walk(
            u, guide, lowest, per_x, layer, h, theta, stride, bias_at, ids, events, order, dead, count, q, kept, on,
            a, b, bits, found,
        ):  # fmt: skip
            return False
        came, leave = count[layer - 1], count[layer]
        q_at, next_at, weights = (layer - 1) * most * stride, layer * most * stride, bias_at + stride
        bias_at = weights + rows * stride
        if layer < layers - 1:
            product(q, next_at, kept, q_at, stride, 1, theta, weights, came, h, stride)
            for column in range(0, stride, LANES):
                row = next_at + stride + column
                write_tile(q, row, add_scaled(read_tile(ONE, q, row), 1.0, read_tile(ONE, theta, bias_at + column)))
            for t in range(came, leave):
                row = weights + ids[t, UNIT] * stride
                for column in range(0, stride, LANES):
                    write_tile(q, next_at + t * stride + column, read_tile(ONE, theta, row + column))
        else:
            for t in range(came):
                total = zero_tile(ONE)
                for column in range(0, stride, LANES):
                    change = read_tile(ONE, kept, q_at + t * stride + column)
                    total = add_product(total, change, read_tile(ONE, theta, weights + column))
                events[t, SHARE] = add_up(total)
            for t in range(came, leave):
                events[t, SHARE] = theta[weights + ids[t, UNIT]]
    return True


@inlined
def backward(
    x0: float, x_mean: float, h: int, layers: int, theta: Array, g: Array, stride: int, rows: int, ids: Places,
    events: Array, order: Places, count: Places, q: Array, kept: Array, on: Bits, dq: Array, dkept: Array,
    flipped: Array, a: Array, b: Array,
) -> None:  # fmt: skip
    """Write the gradient of all parameters but the output's bias, from the sums of `residual_sums`."""
    most = order.shape[1]
    for at in range(0, g.size, LANES):
        write_tile(g, at, zero_tile(ONE))
    for layer in range(layers - 1, 0, -1):
        came, leave = count[layer - 1], count[layer]
        q_at, weights = (layer - 1) * most * stride, (2 + layer * (rows + 1)) * stride
        if layer == layers - 1:
            for t in range(came):
                share = events[t, ALPHA] * events[t, SUM_RU] + events[t, BETA] * events[t, SUM_R]
                for column in range(0, stride, LANES):
                    row, at = t * stride + column, weights + column
                    write_tile(dkept, row, add_scaled(zero_tile(ONE), share, read_tile(ONE, theta, at)))
                    write_tile(g, at, add_scaled(read_tile(ONE, g, at), share, read_tile(ONE, kept, q_at + row)))
            for t in range(came, leave):
                g[weights + ids[t, UNIT]] += events[t, ALPHA] * events[t, SUM_RU] + events[t, BETA] * events[t, SUM_R]
        else:  # dq holds the gradients of the next layer's q
            product(g, weights, kept, q_at, 1, stride, dq, 0, rows, came, stride)
            for t in range(came, leave):
                row = weights + ids[t, UNIT] * stride
                for column in range(row, row + stride, LANES):
                    change = read_tile(ONE, dq, t * stride + column - row)
                    write_tile(g, column, add_scaled(read_tile(ONE, g, column), 1.0, change))
            transpose(theta, weights, h, h, stride, flipped)
            product(dkept, 0, dq, 0, stride, 1, flipped, 0, came, h, stride)
        walk_back(layer, stride, ids, events, order, count, q, on, dq, dkept, a, b)
        for column in range(0, stride, LANES):
            write_tile(g, weights - stride + column, read_tile(ONE, dq, stride + column))
    weights = 2 * stride
    for t in range(2, count[0]):
        i = ids[t, UNIT]
        g[i], g[stride + i] = events[t, TURN] * events[t, D_ALPHA], events[t, TURN] * events[t, D_BETA]
        for column in range(0, stride, LANES):
            write_tile(g, weights + i * stride + column, read_tile(ONE, dq, t * stride + column))
    for i in range(h):
        w, height = theta[i], theta[stride + i] + theta[i] * x_mean
        if w * x0 + theta[stride + i] > 0.0:
            along_w, along_b = zero_tile(ONE), zero_tile(ONE)
            for column in range(0, stride, LANES):
                row = weights + i * stride + column
                change, slopes, values = (
                    read_tile(ONE, theta, row), read_tile(ONE, dq, column), read_tile(ONE, dq, stride + column),
                )  # fmt: skip
                write_tile(g, row, add_scaled(add_scaled(read_tile(ONE, g, row), w, slopes), height, values))
                along_w, along_b = add_product(along_w, change, slopes), add_product(along_b, change, values)
            g[i] += add_up(along_w)
            g[stride + i] += add_up(along_b)
        g[i] += x_mean * g[stride + i]


@inner
def move(flat: Array, packed: Array, packed_at: int, h: int, stride: int, rows: int, inward: bool) -> None:
    """Copy one model's parameters from where they are side by side into rows of S numbers, or back."""
    at, row = 0, packed_at
    for i in range((flat.size - 1) // h):
        if i >= 2 and (i - 2) % (h + 1) == h:  # after the rows of a matrix come rows of zeros
            row += (rows - h) * stride
        for j in range(h):
            if inward:
                packed[row + j] = flat[at + j]
            else:
                flat[at + j] = packed[row + j]
        at += h
        row += stride
    if inward:
        packed[row] = flat[at]
    else:
        flat[at] = packed[row]


@jit
def train_models(
    samples: Samples, models: Models, rules: Rules, history: History, first_model: int, last_model: int,
    resumed_epoch: int, first_epoch: int, last_epoch: int, state: Array, all_g: Array, all_scale: Array, ids: Places,
    events: Array, order: Places, dead: Flags, count: Places, q: Array, kept: Array, on: Bits, dq: Array, dkept: Array,
    flipped: Array, a: Array, b: Array, bits: Bits, found: Places, kinks: Places,
) -> tuple[int, int]:  # fmt: skip
    """Train some models, the first of them from `resumed_epoch` on, in place.

    Return the model and the epoch at which there was too little room for its events; `last_model` at the end.
    """
    guide, lowest, per_x, table = samples.guide, samples.lowest, samples.per_x, samples.table
    x_mean, y_mean, leftmost = samples.x_mean, samples.y_mean, samples.train.x[0]
    parts, errors = (samples.test, samples.val, samples.train), (history.test, history.val, history.train)
    flat = (models.parameters, models.first, models.second)
    column = history.column
    k, k_part, by_k = kinks[0], kinks[1], kinks[2]
    for m in range(first_model, last_model):
        if history.diverged_at[m] >= 0:
            continue
        h, layers, begin, end = models.width[m], models.hidden_layers[m], models.starts[m], models.starts[m + 1]
        stride, rows = (h + LANES - 1) // LANES * LANES, (h + ROWS - 1) // ROWS * ROWS
        size = (2 + (layers - 1) * (rows + 1) + 2) * stride  # the output's bias is the first number of the last row
        output_bias = size - stride
        leave = layers - 1
        theta, first, second = state[:size], state[size : 2 * size], state[2 * size : 3 * size]
        g, scale, decays = all_g[:size], all_scale[:size], all_scale[size : 2 * size]
        for at in range(0, 3 * size, LANES):
            write_tile(state, at, zero_tile(ONE))
        for at in range(0, stride * stride, LANES):
            write_tile(flipped, at, zero_tile(ONE))
        kinds = 3 if models.first.size else 1
        for i in range(kinds):
            move(flat[i][begin:end], state, i * size, h, stride, rows, True)
        for row in range(size // stride):
            kind = (row - 2) % (rows + 1)  # of a hidden matrix, or of what stands where one would
            kind = (
                0
                if row == 0
                else 4
                if row * stride == output_bias
                else 3
                if (row + 1) * stride == output_bias
                else 2
                if row == 1 or kind == rows
                else 1
            )
            for at in range(row * stride, (row + 1) * stride):
                scale[at], decays[at] = rules.layer_factors[m, kind], rules.weight_decay[m, kind]
        powers, factors = models.powers[m], rules.factors[rules.schedule[m]]
        for i in range(h):
            k[i], by_k[i] = guess(guide, lowest, per_x, theta[i], theta[stride + i]), i
        gap, stopped = h, -1
        for epoch in range(resumed_epoch if m == first_model else first_epoch, last_epoch + 1):
            at = column[epoch]
            recorded = at >= 0 and (epoch < last_epoch or epoch == column.size - 1)
            if epoch == last_epoch and not recorded:
                break
            bias = theta[output_bias] - y_mean
            for p in range(0 if recorded else 2, 3):  # the training part last: what follows goes on with its events
                part = parts[p]
                k_now = k if p == 2 else k_part
                if part.x.size == 0:
                    continue
                for i in range(h):
                    near = int(k[i] if p == 2 else np.int64(part.place[k[i]]))
                    k_now[i] = locate(part.x, theta[i], theta[stride + i], near)
                sort_units(h, k_now, by_k, gap)
                gap = 1
                if not forward(
                    part.x, part.u, guide if p == 2 else guide[:0], lowest - x_mean, per_x, x_mean, k_now, by_k, h,
                    layers, theta, stride, rows, ids, events, order, dead, count, q, kept, on, a, b, bits, found,
                ):  # fmt: skip
                    stopped = epoch
                    break
                if recorded:
                    error = squared_error(part.u, part.t, bias, ids, events, order, leave, count[leave])
                    errors[p][m, at] = error if error <= np.inf else np.inf
            if stopped >= 0:
                break
            if recorded and not history.train[m, at] < np.inf:
                for p in range(2):
                    if parts[p].x.size:
                        errors[p][m, at] = np.inf
                history.diverged_at[m] = epoch
                break
            if epoch == last_epoch:
                break
            db = residual_sums(table, bias, ids, events, order, leave, count[leave])
            backward(
                leftmost, x_mean, h, layers, theta, g, stride, rows, ids, events, order, count, q, kept, on, dq,
                dkept, flipped, a, b,
            )  # fmt: skip
            g[output_bias] = db if rules.output_bias[m] else 0.0
            if not rules.hidden_bias[m]:
                for layer in range(layers):
                    row = (1 + layer * (rows + 1)) * stride
                    for at in range(row, row + stride, LANES):
                        write_tile(g, at, zero_tile(ONE))
            rate = rules.lr[m] * factors[epoch]
            if not step(
                rules.optimizer[m], rate, rules.weight_decay[m, 0], rules.momentum[m], rules.beta2[m], powers, theta, g,
                first, second, rules.scaled[m], scale, decays,
            ):  # fmt: skip
                history.diverged_at[m] = epoch + 1
                break
        for i in range(kinds):
            move(flat[i][begin:end], state, i * size, h, stride, rows, False)
        if stopped >= 0:
            return m, stopped
    return last_model, first_epoch
