"""The training step for any number of inputs, O(N H D): forward and backward fused for one model at a time.

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

from typing import NamedTuple

import numpy as np

from ensemble.kernels.jit import jit
from ensemble.kernels.tiles import LANES, Masks, Rows, add_active, add_product, dot_active, load, multiply, store
from ensemble.kernels.updates import Array, History, Models, Rules, Span, fill_scale, finite_or_inf, step
from ensemble.kernels.updates import load as load_model
from ensemble.kernels.updates import store as store_model

BLOCK = 128  # samples in one pass over the units: at D = 8, N = 10^4 64 make 76 GFLOP/s, 128 make 81, 512 make 73

# Inputs are cut into a first group of 2, 4, 6 or 8, and groups of 8 after it, with a column of zeros if D is odd: the
# weights of 8 by 16 fill half the registers. Every group size is compiled on its own.
GROUP = 8
ONE, TWO, THREE, FOUR, FIVE = (0,), (0,) * 2, (0,) * 3, (0,) * 4, (0,) * 5
SIX, SEVEN, EIGHT, NINE = (0,) * 6, (0,) * 7, (0,) * 8, (0,) * 9

# Working arrays of one model; d is even here and in all functions but `pack` and `unpack`.
#
# theta, g, moments (S (d + 2) LANES + 1,)  strip after strip of rows [w2 | b1 | w1 of input 0 | 1 | ...], then b2; the
#                                           lanes beyond H are zero, and every rule of updates leaves them so
# scratch (2 BLOCK LANES,)                  pre-activations of one strip; p before its lanes are added up
# masks (S BLOCK,)                          which units of a strip are active on which sample of the block
# terms (BLOCK (d + 1),)                    group after group, dp x_i; dp stands in the first group, before x_0
LANE_SUMS = BLOCK * LANES  # where the second half of scratch begins


class Samples(NamedTuple):
    """One dataset; an absent part has no rows. Inputs lie flat, group after group of columns."""

    n_inputs: int
    x: Array  # (N d,)
    y: Array  # (N,)
    x_test: Array
    y_test: Array
    x_val: Array
    y_val: Array


def prepare(x: Array, y: Array, x_test: Array, y_test: Array, x_val: Array, y_val: Array) -> Samples:
    """Return one dataset as the kernel wants it; x (N, D), absent parts of length 0."""
    return Samples(x.shape[1], _grouped(x), y, _grouped(x_test), y_test, _grouped(x_val), y_val)


def _grouped(x: Array) -> Array:
    # Within a group, a sample is next to the one before it. Row after row they are D apart, and where that is a
    # multiple of 4 KB they push each other out of the cache.
    even = np.pad(x, ((0, 0), (0, x.shape[1] % 2)))
    columns = range(first_group(even.shape[1]), even.shape[1], GROUP)
    return np.concatenate([group.ravel() for group in np.split(even, columns, axis=1)])


@jit
def first_group(d: int) -> int:
    """Return how many inputs are in the first group."""
    return (d - 1) % GROUP + 1


@jit
def pack(flat: Array, d: int, h: int, packed: Array) -> None:
    """Write parameters laid out as [w1 (D H) | b1 (H) | w2 (H) | b2] into strips; d may be odd."""
    rows = d + d % 2 + 2
    for i in range(d + 2):
        row = 2 + i if i < d else d + 1 - i  # rows of w1, then b1 is row 1 and w2 row 0
        for j in range(h):
            packed[(j // LANES * rows + row) * LANES + j % LANES] = flat[i * h + j]
    packed[-1] = flat[-1]


@jit
def unpack(packed: Array, d: int, h: int, flat: Array) -> None:
    """Undo `pack`."""
    rows = d + d % 2 + 2
    for i in range(d + 2):
        row = 2 + i if i < d else d + 1 - i
        for j in range(h):
            flat[i * h + j] = packed[(j // LANES * rows + row) * LANES + j % LANES]
    flat[-1] = packed[-1]


@jit
def begin(rows: Rows, x: Array, x_at: int, n: int, theta: Array, at: int, bias_at: int, scratch: Array) -> None:
    """Start the pre-activations from the bias and one group of inputs."""
    weights, bias = load(rows, theta, at), load(ONE, theta, bias_at)
    for i in range(n):
        store(scratch, i * LANES, multiply(bias, x, x_at + i * len(rows), weights))


@jit
def extend(rows: Rows, x: Array, x_at: int, n: int, theta: Array, at: int, scratch: Array) -> None:
    """Add another group."""
    weights = load(rows, theta, at)
    for i in range(n):
        pre = multiply(load(ONE, scratch, i * LANES), x, x_at + i * len(rows), weights)
        store(scratch, i * LANES, pre)


@jit
def activate(
    rows: Rows, x: Array, x_at: int, n: int, theta: Array, at: int, scratch: Array, masks: Masks, mask_at: int
) -> None:
    """Add the first group to pre-activations that have all others; keep which are positive, and add up p."""
    weights, v = load(rows, theta, at + 2 * LANES), load(ONE, theta, at)
    for i in range(n):
        pre = multiply(load(ONE, scratch, i * LANES), x, x_at + i * len(rows), weights)
        p = dot_active(load(ONE, scratch, LANE_SUMS + i * LANES), pre, v, masks, mask_at + i)
        store(scratch, LANE_SUMS + i * LANES, p)


@jit
def activate_only(
    rows: Rows, x: Array, x_at: int, n: int, theta: Array, at: int, scratch: Array, masks: Masks, mask_at: int
) -> None:
    """Do as `activate`, where the first group is the only one: pre-activations never leave the registers."""
    weights, bias, v = load(rows, theta, at + 2 * LANES), load(ONE, theta, at + LANES), load(ONE, theta, at)
    for i in range(n):
        pre = multiply(bias, x, x_at + i * len(rows), weights)
        p = dot_active(load(ONE, scratch, LANE_SUMS + i * LANES), pre, v, masks, mask_at + i)
        store(scratch, LANE_SUMS + i * LANES, p)


@jit
def predict(x: Array, first: int, n: int, d: int, theta: Array, scratch: Array, masks: Masks, p: Array) -> None:
    """Write p (n,) for a block of samples, `first` the first of them, and where the units are active into masks."""
    size, group = x.size // d, first_group(d)
    x_at = first * group
    scratch[LANE_SUMS : LANE_SUMS + n * LANES] = 0.0
    for mask_at in range(0, masks.size, BLOCK):
        at = mask_at // BLOCK * (d + 2) * LANES
        if d > GROUP:
            begin(EIGHT, x, group * size + first * GROUP, n, theta, at + (2 + group) * LANES, at + LANES, scratch)
            for i in range(group + GROUP, d, GROUP):
                extend(EIGHT, x, i * size + first * GROUP, n, theta, at + (2 + i) * LANES, scratch)
            if group == 8:
                activate(EIGHT, x, x_at, n, theta, at, scratch, masks, mask_at)
            elif group == 6:
                activate(SIX, x, x_at, n, theta, at, scratch, masks, mask_at)
            elif group == 4:
                activate(FOUR, x, x_at, n, theta, at, scratch, masks, mask_at)
            else:
                activate(TWO, x, x_at, n, theta, at, scratch, masks, mask_at)
        elif group == 8:
            activate_only(EIGHT, x, x_at, n, theta, at, scratch, masks, mask_at)
        elif group == 6:
            activate_only(SIX, x, x_at, n, theta, at, scratch, masks, mask_at)
        elif group == 4:
            activate_only(FOUR, x, x_at, n, theta, at, scratch, masks, mask_at)
        else:
            activate_only(TWO, x, x_at, n, theta, at, scratch, masks, mask_at)
    for i in range(n):
        total = theta[-1]
        for lane in range(LANES):
            total += scratch[LANE_SUMS + i * LANES + lane]
        p[i] = total


@jit
def squared_error(x: Array, y: Array, d: int, theta: Array, scratch: Array, masks: Masks, p: Array) -> float:
    """Return the mean squared error on (x, y)."""
    total = 0.0
    for first in range(0, y.size, BLOCK):
        n = min(BLOCK, y.size - first)
        predict(x, first, n, d, theta, scratch, masks, p)
        for i in range(n):
            r = p[i] - y[first + i]
            total += r * r
    return total / y.size


@jit
def weigh(x: Array, first: int, n: int, d: int, dp: Array, terms: Array) -> None:
    """Write the terms of a block of samples."""
    size, group = x.size // d, first_group(d)
    for i in range(n):
        terms[i * (group + 1)] = dp[i]
        for k in range(group):
            terms[i * (group + 1) + 1 + k] = dp[i] * x[(first + i) * group + k]
    for start in range(group, d, GROUP):
        for i in range(n):
            for k in range(GROUP):
                terms[(1 + start) * n + i * GROUP + k] = dp[i] * x[start * size + (first + i) * GROUP + k]


@jit
def collect(rows: Rows, terms: Array, term_at: int, n: int, masks: Masks, mask_at: int, g: Array, at: int) -> None:
    """Add one group of terms to the sums of one strip, where its units are active."""
    sums = load(rows, g, at)
    for i in range(n):
        sums = add_active(sums, masks, mask_at + i, terms, term_at + i * len(rows))
    store(g, at, sums)


@jit
def collect_all(terms: Array, n: int, d: int, masks: Masks, g: Array) -> None:
    """Add a block's terms to the sums s_j and s_ij, which stand in the rows of b1 and w1 of g."""
    group = first_group(d)
    for mask_at in range(0, masks.size, BLOCK):
        at = (mask_at // BLOCK * (d + 2) + 1) * LANES
        if group == 8:
            collect(NINE, terms, 0, n, masks, mask_at, g, at)
        elif group == 6:
            collect(SEVEN, terms, 0, n, masks, mask_at, g, at)
        elif group == 4:
            collect(FIVE, terms, 0, n, masks, mask_at, g, at)
        else:
            collect(THREE, terms, 0, n, masks, mask_at, g, at)
    for i in range(group, d, GROUP):
        for mask_at in range(0, masks.size, BLOCK):
            at = (mask_at // BLOCK * (d + 2) + 2 + i) * LANES
            collect(EIGHT, terms, (1 + i) * n, n, masks, mask_at, g, at)


@jit
def finish(theta: Array, d: int, hidden_bias: bool, g: Array) -> None:
    """Turn the sums in g into the gradient; the rows of w2 are zero before."""
    for at in range(0, g.size - 1, (d + 2) * LANES):
        zero, v = load(ONE, g, at), load(ONE, theta, at)
        dv = zero
        for row in range(at + LANES, at + (d + 2) * LANES, LANES):
            s = load(ONE, g, row)
            dv = add_product(dv, load(ONE, theta, row), s)
            store(g, row, add_product(zero, v, s))
        store(g, at, dv)
        if not hidden_bias:
            store(g, at + LANES, zero)


@jit
def sum_gradient(
    x: Array, y: Array, d: int, theta: Array, scratch: Array, masks: Masks, p: Array, terms: Array, g: Array
) -> None:
    """Write the sums s_j and s_ij over all samples, and db2, into g; `finish` makes a gradient of them."""
    c = 2.0 / y.size
    g[:] = 0.0
    for first in range(0, y.size, BLOCK):
        n = min(BLOCK, y.size - first)
        predict(x, first, n, d, theta, scratch, masks, p)
        for i in range(n):
            p[i] = c * (p[i] - y[first + i])
            g[-1] += p[i]
        weigh(x, first, n, d, p, terms)
        collect_all(terms, n, d, masks, g)


@jit
def train(samples: Samples, models: Models, rules: Rules, history: History, span: Span) -> None:
    """Train some models through some epochs, in place."""
    for m in range(span.first_model, span.last_model):
        if history.diverged_at[m] < 0:
            train_one(samples, models, rules, history, span, m)


@jit
def train_one(samples: Samples, models: Models, rules: Rules, history: History, span: Span, m: int) -> None:
    """Train model m."""
    x, y, x_test, y_test = samples.x, samples.y, samples.x_test, samples.y_test
    x_val, y_val = samples.x_val, samples.y_val
    d = samples.n_inputs + samples.n_inputs % 2
    h = models.width[m]
    strips = (h + LANES - 1) // LANES
    size = strips * (d + 2) * LANES + 1
    theta, g, first, second = np.zeros(size), np.zeros(size), np.zeros(size), np.zeros(size)
    loaded = load_model(models, m)
    pack(loaded[0], samples.n_inputs, h, theta)
    if models.first.size:
        pack(loaded[2], samples.n_inputs, h, first)
        pack(loaded[3], samples.n_inputs, h, second)
    scratch, p, terms = np.empty(2 * BLOCK * LANES), np.empty(BLOCK), np.empty(BLOCK * (d + 1))
    masks = np.empty(strips * BLOCK, np.uint16)

    epochs = history.column.size - 1
    hidden_bias, output_bias = rules.hidden_bias[m], rules.output_bias[m]
    column, powers, factors = history.column, models.powers[m], rules.factors[rules.schedule[m]]
    optimizer, lr, decay = rules.optimizer[m], rules.lr[m], rules.weight_decay[m]
    momentum, beta2 = rules.momentum[m], rules.beta2[m]
    flat_scale, scale = np.empty(loaded[0].size), np.ones(size)
    scaled = fill_scale(rules.layer_factors[m], samples.n_inputs, h, flat_scale)
    if scaled:
        pack(flat_scale, samples.n_inputs, h, scale)
    for epoch in range(span.first_epoch, span.last_epoch + 1):
        at = column[epoch]
        if at >= 0 and (epoch < span.last_epoch or epoch == epochs):
            error = squared_error(x, y, d, theta, scratch, masks, p)
            if not error < np.inf:
                history.diverged_at[m] = epoch
                break
            history.train[m, at] = error
            if y_test.size:
                history.test[m, at] = finite_or_inf(squared_error(x_test, y_test, d, theta, scratch, masks, p))
            if y_val.size:
                history.val[m, at] = finite_or_inf(squared_error(x_val, y_val, d, theta, scratch, masks, p))
        if epoch == span.last_epoch:
            break
        sum_gradient(x, y, d, theta, scratch, masks, p, terms, g)
        finish(theta, d, hidden_bias, g)
        if not output_bias:
            g[-1] = 0.0
        rate = lr * factors[epoch]
        if not step(optimizer, rate, decay, momentum, beta2, powers, theta, g, first, second, scaled, scale):
            history.diverged_at[m] = epoch + 1
            break
    unpack(theta, samples.n_inputs, h, loaded[0])
    if models.first.size:
        unpack(first, samples.n_inputs, h, loaded[2])
        unpack(second, samples.n_inputs, h, loaded[3])
    store_model(models, m, loaded[0], loaded[2], loaded[3])
