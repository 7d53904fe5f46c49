"""The training step for any number of inputs, O(N H D): forward and backward fused for one model at a time.

Models with more than one hidden layer or output, and labels, go on to `deep`; from here on it is about one of each.

The rules of `layers` without their N x H matrices: of a hidden unit and a sample, one bit outlives the forward pass.

A block of samples goes through all hidden units, a strip of `LANES` units at a time, whose weights stay in registers
for the whole block; then back through all strips, whose gradients stay in registers. With dp_n = dL/dp_n and sums over
the samples on which unit j is active,

    s_j = sum dp_n             db1_j = w2_j s_j
    s_ij = sum dp_n x_ni       dw1_ij = w2_j s_ij       dw2_j = b1_j s_j + sum over i of w1_ij s_ij

so that the backward pass is D + 1 additions per unit and sample, and whether a unit is active is decided once. Like the
forward pass, dw2 loses digits where w1 x and b1 cancel: inputs around 1e4 cost it 2e-12 of its largest entry.

Where the time of a step goes, for D = 8: per 16 units and sample 16 multiply-adds, 2 comparisons and 2 masked
multiply-adds forward, 18 masked additions backward, on two vector ports; loads, stores and moves run beside them. With
H = 640, N = 420 that is 75 GFLOP/s (131 us), 105% of OpenBLAS's large matrix product on the same core; with H = 16 it
is half of that, because adding up lanes and weighing inputs cost as much as the one strip. Loops over units that the
compiler vectorizes by itself reached 4 GFLOP/s.

There is no BLAS path. NumPy with BLAS, three passes over N x H matrices, makes 9.5 GFLOP/s at D = 8, 24 at 33, 34 at
64, 43 at 128, 46 at 784 and 52 at 3072, where this kernel makes 75, 68, 70, 69, 46 and 40; and its threads and the
order of its sums are not ours to fix.
"""

from __future__ import annotations

import numpy as np

from ensemble.kernels import deep
from ensemble.kernels.batches import Room, room_of, take
from ensemble.kernels.groups import GROUP, Samples, prepare
from ensemble.kernels.jit import inner, jit
from ensemble.kernels.lanes import ALL, within, write_sums
from ensemble.kernels.samples import room as room_for
from ensemble.kernels.tiles import (
    LANES,
    Count,
    Masks,
    add_active,
    add_inputs,
    add_product,
    add_scaled,
    dot_active,
    read_tile,
    write_tile,
    zero_tile,
)
from ensemble.kernels.updates import GD, MSE, WEIGHT_LIMIT, Array, History, Models, Rules, Span, rate_factor, step

__all__ = ["prepare", "train"]

BLOCK = 128  # samples in one pass over the units: at D = 8, N = 10^4 64 make 76 GFLOP/s, 128 make 81, 512 make 73
ROWS = 8  # whose lanes are added up at once; BLOCK is a multiple of it
ONE, EIGHT = (0,), (0,) * ROWS

# Working arrays of one model; d is even here and in all functions but `move`.
#
# theta, g, moments (S (d + 2) LANES + 1,)  strip after strip of rows [w2 | b1 | w1 of input 0 | 1 | ...], then b2; the
#                                           lanes beyond H are zero, and every rule of updates leaves them so
# scratch (2 BLOCK LANES,)                  pre-activations of one strip; p before its lanes are added up
# masks (S BLOCK,)                          which units of a strip are active on which sample of the block
# terms (BLOCK (d + 1),)                    group after group, dp x_i; dp is in the first group, before x_0
LANE_SUMS = BLOCK * LANES  # where the second half of scratch begins


@inner
def move(flat: Array, packed: Array, d: int, h: int, inward: bool) -> None:
    """Copy parameters laid out as [w1 (D H) | b1 (H) | w2 (H) | b2] into strips, or back; d may be odd."""
    rows = d + d % 2 + 2
    for i in range(d + 2):
        row = 2 + i if i < d else d + 1 - i  # rows of w1, then b1 is row 1 and w2 row 0
        for j in range(h):
            place = (j // LANES * rows + row) * LANES + j % LANES
            if inward:
                packed[place] = flat[i * h + j]
            else:
                flat[i * h + j] = packed[place]
    if inward:
        packed[packed.size - 1] = flat[flat.size - 1]
    else:
        flat[flat.size - 1] = packed[packed.size - 1]


@inner
def predict(
    x: Array, first: int, n: int, d: int, group: Count, others: Count | None, theta: Array, scratch: Array,
    masks: Masks, p: Array,
) -> None:  # fmt: skip
    """Write p (n,) for a block of samples, `first` the first of them, and where the units are active into masks."""
    size, width = x.size // d, len(group)
    for i in range(n):
        write_tile(scratch, LANE_SUMS + i * LANES, zero_tile(ONE))
    for mask_at in range(0, masks.size, BLOCK):
        at = mask_at // BLOCK * (d + 2) * LANES
        bias = read_tile(ONE, theta, at + LANES)
        if others is not None:  # pre-activations of all inputs but the first group's
            for k in range(width, d, GROUP):
                weights = read_tile(others, theta, at + (2 + k) * LANES)
                for i in range(n):
                    before = bias if k == width else read_tile(ONE, scratch, i * LANES)
                    x_at = k * size + (first + i) * GROUP
                    write_tile(scratch, i * LANES, add_inputs(before, x, x_at, weights))
        weights, v = read_tile(group, theta, at + 2 * LANES), read_tile(ONE, theta, at)
        for i in range(n):
            before = bias if others is None else read_tile(ONE, scratch, i * LANES)
            pre = add_inputs(before, x, (first + i) * width, weights)
            total = dot_active(read_tile(ONE, scratch, LANE_SUMS + i * LANES), pre, v, masks, mask_at + i)
            write_tile(scratch, LANE_SUMS + i * LANES, total)
    for i in range(0, n, ROWS):
        write_sums(p, i, read_tile(EIGHT, scratch, LANE_SUMS + i * LANES))
    bias_out = theta[theta.size - 1]
    for i in range(n):
        p[i] += bias_out


@inner
def squared_error(
    x: Array, y: Array, d: int, group: Count, others: Count | None, theta: Array, scratch: Array, masks: Masks,
    p: Array,
) -> float:  # fmt: skip
    """Return the mean squared error on (x, y), NaN as +inf: a diverged error is infinitely bad, not unknown."""
    total = 0.0
    for first in range(0, y.size, BLOCK):
        n = min(BLOCK, y.size - first)
        predict(x, first, n, d, group, others, theta, scratch, masks, p)
        for i in range(n):
            r = p[i] - y[first + i]
            total += r * r
    return total / y.size if total <= np.inf else np.inf


@inner
def weigh(x: Array, first: int, n: int, d: int, group: int, dp: Array, terms: Array) -> None:
    """Write the terms of a block of samples."""
    size = x.size // d
    for i in range(n):
        terms[i * (group + 1)] = dp[i]
        for k in range(group):
            terms[i * (group + 1) + 1 + k] = dp[i] * x[(first + i) * group + k]
    for start in range(group, d, GROUP):
        for i in range(n):
            for k in range(GROUP):
                terms[(1 + start) * n + i * GROUP + k] = dp[i] * x[start * size + (first + i) * GROUP + k]


@inner
def collect(rows: Count, terms: Array, term_at: int, n: int, masks: Masks, mask_at: int, g: Array, at: int) -> None:
    """Add one group of terms to the sums of one strip, where its units are active."""
    sums = read_tile(rows, g, at)
    for i in range(n):
        sums = add_active(sums, masks, mask_at + i, terms, term_at + i * len(rows))
    write_tile(g, at, sums)


@inner
def sum_gradient(
    x: Array, y: Array, d: int, group: Count, group_terms: Count, others: Count | None, theta: Array, scratch: Array,
    masks: Masks, p: Array, terms: Array, g: Array,
) -> None:  # fmt: skip
    """Write the sums s_j and s_ij over all samples into the rows of b1 and w1 of g, and db2; `finish` does the rest."""
    c, db2 = 2.0 / y.size, 0.0
    for i in range(g.size):
        g[i] = 0.0
    for first in range(0, y.size, BLOCK):
        n = min(BLOCK, y.size - first)
        predict(x, first, n, d, group, others, theta, scratch, masks, p)
        for i in range(n):
            p[i] = c * (p[i] - y[first + i])
        for i in range(n):  # by itself, as each addition waits for the one before it
            db2 += p[i]
        weigh(x, first, n, d, len(group), p, terms)
        for mask_at in range(0, masks.size, BLOCK):
            collect(group_terms, terms, 0, n, masks, mask_at, g, (mask_at // BLOCK * (d + 2) + 1) * LANES)
        if others is not None:
            for k in range(len(group), d, GROUP):
                for mask_at in range(0, masks.size, BLOCK):
                    collect(
                        others, terms, (1 + k) * n, n, masks, mask_at, g, (mask_at // BLOCK * (d + 2) + 2 + k) * LANES
                    )
    g[g.size - 1] = db2


@inner
def finish(theta: Array, d: int, hidden_bias: bool, g: Array) -> None:
    """Turn the sums in g into the gradient; the rows of w2 are zero before."""
    for at in range(0, g.size - 1, (d + 2) * LANES):
        zero, v = read_tile(ONE, g, at), read_tile(ONE, theta, at)
        dv = zero
        for row in range(at + LANES, at + (d + 2) * LANES, LANES):
            s = read_tile(ONE, g, row)
            dv = add_product(dv, read_tile(ONE, theta, row), s)
            write_tile(g, row, add_product(zero, v, s))
        write_tile(g, at, dv)
        if not hidden_bias:
            write_tile(g, at + LANES, zero)


@inner
def descend(theta: Array, d: int, hidden_bias: bool, output_bias: bool, rate: float, decay: float, g: Array) -> bool:
    """Do as `finish` and `step` for gd, in one pass: a step on 32 samples takes a seventh less time."""
    keep, inside, zero, last = 1.0 - rate * decay, ALL, zero_tile(ONE), theta.size - 1
    for at in range(0, last, (d + 2) * LANES):
        v, dv = read_tile(ONE, theta, at), zero
        towards = add_scaled(zero, -rate, v)
        for row in range(at + LANES, at + (d + 2) * LANES, LANES):
            s, old = read_tile(ONE, g, row), read_tile(ONE, theta, row)
            dv = add_product(dv, old, s)
            if hidden_bias or row > at + LANES:
                new = add_product(add_scaled(zero, keep, old), towards, s)
                write_tile(theta, row, new)
                inside &= within(new)
        new = add_scaled(add_scaled(zero, keep, v), -rate, dv)
        write_tile(theta, at, new)
        inside &= within(new)
    theta[last] = keep * theta[last] - (rate * g[last] if output_bias else 0.0)
    within_limit: bool = inside == ALL and abs(theta[last]) <= WEIGHT_LIMIT
    return within_limit


def train(samples: Samples, models: Models, rules: Rules, history: History, span: Span) -> None:
    """Train some models through some epochs, in place; they are sorted by their number of hidden layers."""
    some = models.hidden_layers[span.first_model : span.last_model]
    only_one = rules.outputs == 1 and rules.loss == MSE
    first_deep = span.first_model + (int(np.searchsorted(some, 2)) if only_one else 0)
    with np.errstate(all="ignore"):  # for NUMBA_DISABLE_JIT=1: compiled code never warns
        for room in rooms_of(samples, rules, span):
            if first_deep > span.first_model:
                d = samples.n_inputs + samples.n_inputs % 2
                strips = -(-int(models.width[span.first_model : first_deep].max()) // LANES)
                state = room_for(6, strips * (d + 2) * LANES + 8)
                work = room_for(2 * BLOCK * LANES), room_for(BLOCK), room_for(BLOCK * (d + 1))
                masks, those = np.zeros(strips * BLOCK, np.uint16), span._replace(last_model=first_deep)
                train_models(samples, models, rules, history, those, state, *work, masks, room)
            if first_deep < span.last_model:
                those = span._replace(first_model=first_deep)
                deep.train(samples.n_inputs, samples[1:7], models, rules, history, those, room)


def rooms_of(samples: Samples, rules: Rules, span: Span) -> list[Room | None]:
    """Return None for the models that train on all samples, and room for batches for those that do not, where any do.

    Kernels are called once for each: for room they are compiled once more, and only where it is used.
    """
    sizes = rules.batch_size[span.first_model : span.last_model]
    columns, d = rules.outputs if rules.loss == MSE else 1, samples.n_inputs + samples.n_inputs % 2
    with_room = [room_of(samples.y.size // columns, d, int(sizes.max()), columns)] if sizes.any() else []
    return [None] * (not sizes.all()) + with_room


@jit
def train_models(
    samples: Samples, models: Models, rules: Rules, history: History, span: Span, state: Array, scratch: Array,
    p: Array, terms: Array, all_masks: Masks, room: Room | None,
) -> None:  # fmt: skip
    """Train some models with one hidden layer, in place: those that have batches, or without room those that do not."""
    n_inputs, x, y, x_test, y_test, x_val, y_val, group, group_terms, others = samples
    column, flat = history.column, (models.parameters, models.first, models.second)
    kinds = 3 if models.first.size else 1
    d, n, epochs = n_inputs + n_inputs % 2, y.size, column.size - 1
    for m in range(span.first_model, span.last_model):
        batch_size = rules.batch_size[m]
        if history.diverged_at[m] >= 0 or (batch_size > 0) != (room is not None):
            continue
        h, begin, end = models.width[m], models.starts[m], models.starts[m + 1]
        strips = (h + LANES - 1) // LANES
        size, masks = strips * (d + 2) * LANES + 1, all_masks[: strips * BLOCK]
        theta, first, second = state[0, :size], state[1, :size], state[2, :size]
        g, scale, decays = state[3, :size], state[4, :size], state[5, :size]
        for kind in range(3):
            for i in range(size):
                state[kind, i] = 0.0
        for kind in range(kinds):
            move(flat[kind][begin:end], state[kind, :size], n_inputs, h, True)
        for i in range(size):  # in a strip, w2 is first
            kind = 4 if i == size - 1 else 3 if i % ((d + 2) * LANES) < LANES else 0
            scale[i], decays[i] = rules.layer_factors[m, kind], rules.weight_decay[m, kind]
        powers, factors = models.powers[m], rules.factors[rules.schedule[m]]
        optimizer, lr, decay = rules.optimizer[m], rules.lr[m], rules.weight_decay[m, 0]
        momentum, beta2, scaled = rules.momentum[m], rules.beta2[m], rules.scaled[m]
        steps = (n + batch_size - 1) // batch_size if batch_size else 1
        for turn in range((span.last_epoch - span.first_epoch) * steps + 1):
            epoch, number = span.first_epoch + turn // steps, turn % steps
            at = column[epoch]
            if number == 0 and at >= 0 and (epoch < span.last_epoch or epoch == epochs):
                error = squared_error(x, y, d, group, others, theta, scratch, masks, p)
                if not error < np.inf:
                    history.diverged_at[m] = epoch
                    break
                history.train[m, at] = error
                if y_test.size:
                    history.test[m, at] = squared_error(x_test, y_test, d, group, others, theta, scratch, masks, p)
                if y_val.size:
                    history.val[m, at] = squared_error(x_val, y_val, d, group, others, theta, scratch, masks, p)
            if epoch == span.last_epoch:
                break
            if room is not None:
                x_now, y_now = take(rules.pools, m, epoch, number, batch_size, x, y, d, len(group), GROUP, room)
                factor = rate_factor(rules.schedule[m], epoch * steps + number, epochs * steps)
            else:
                x_now, y_now, factor = x, y, factors[epoch]
            sum_gradient(x_now, y_now, d, group, group_terms, others, theta, scratch, masks, p, terms, g)
            rate = lr * factor
            if optimizer == GD and not scaled:
                inside = descend(theta, d, rules.hidden_bias[m], rules.output_bias[m], rate, decay, g)
            else:
                finish(theta, d, rules.hidden_bias[m], g)
                if not rules.output_bias[m]:
                    g[size - 1] = 0.0
                inside = step(
                    optimizer, rate, decay, momentum, beta2, powers, theta, g, first, second, scaled, scale, decays
                )
            if not inside:
                history.diverged_at[m] = epoch + 1
                break
        for kind in range(kinds):
            move(flat[kind][begin:end], state[kind, :size], n_inputs, h, False)
