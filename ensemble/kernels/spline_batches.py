"""The exact training step for one-dimensional inputs on a batch of samples, O(B + H log B): the cell form of `spline`.

An epoch's batches are drawn and sorted once, by counting, and each step searches its batch for every kink. Rising units
see the batch in ascending order and falling ones in descending order: both are off and then on. What units add to the
lines is summed up in the order in which they come on, and r and r x from the end backwards. So no two sums are ever
subtracted, and nothing has to be centred.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ensemble.kernels.batches import Batch, Words, order_of
from ensemble.kernels.cells import evaluate, find_near, move, outputs_of, sums_from, write_factors
from ensemble.kernels.jit import jit
from ensemble.kernels.kinks import Places
from ensemble.kernels.lanes import ALL, within
from ensemble.kernels.samples import Samples, room, rooms
from ensemble.kernels.search import PIVOTS, find, pairs
from ensemble.kernels.tiles import LANES, add_product, add_scaled, read_tile, write_tile, zero_tile
from ensemble.kernels.updates import GD, WEIGHT_LIMIT, Array, History, Models, Rules, Span, rate_factor, step

__all__ = ["train"]

ONE = (0,)


class Work(NamedTuple):
    """Working arrays for the widest model, H units in rows of LANES, the largest part of the data and batch."""

    rows: Places  # (H,) row from which on a unit is on, as in search.find, and
    probe: Array  # (H,)
    pivots: Array  # (PIVOTS,)
    spots: Places  # (H,) as rows in cells.find_near
    state: Array  # (3, 3 H + 1) parameters, then moments, as in optimizers.Moments
    g: Array  # (3 H + 1,) gradient, then direction of the step
    scale: Array  # (3 H + 1,) factor of each parameter's learning rate, and
    decays: Array  # (3 H + 1,) its weight decay
    scratch: Array  # (N + 1, 2) as in cells.evaluate
    all_x: Array  # (N + 1,) all samples, and
    x: Array  # (B + 1,) those of a batch, as in search.find
    lines: Array  # (2 B + 2, 2) as in cells.outputs_of, zero between steps
    sums: Array  # (2 B + 2, 2) as in cells.sums_from
    words: Words  # as in batches.order_of, which
    batch: Batch
    ends: Batch
    order: Batch  # (N,) writes this
    t: Array  # (B,) t of the batch's samples, and
    r: Array  # (B,) r


def train(samples: Samples, models: Models, rules: Rules, history: History, span: Span) -> None:
    """Train those models that have batches through some epochs, in place."""
    some = slice(span.first_model, span.last_model)
    n, sizes = samples.train.x.size, rules.batch_size[some]
    h, largest = -(-int(models.width[some].max()) // LANES) * LANES, int(sizes.max())
    rows, spots = np.empty((2, h), np.int64)
    probe, pivots = room(h), room(PIVOTS)
    size = 3 * h + 1
    state, (g, scale, decays) = room(3, size + -size % 8), rooms(3, size)
    scratch = room(max(part.x.size for part in samples[:3]) + 1, 2)
    x, (lines, sums) = room(largest + 1), rooms(2, 2 * largest + 2, 2)
    t, r = rooms(2, largest)
    words, batch, order = np.zeros(n // 2 + 4, np.uint64), np.zeros(n, np.uint32), np.zeros(n, np.uint32)
    ends = np.zeros(-(-n // int(sizes[sizes > 0].min())), np.uint32)
    work = Work(
        rows, probe, pivots, spots, state, g, scale, decays, scratch, samples.edges[1:], x, lines, sums, words,
        batch, ends, order, t, r,
    )  # fmt: skip
    train_models(samples, models, rules, history, span, work)


@jit
def train_models(samples: Samples, models: Models, rules: Rules, history: History, span: Span, work: Work) -> None:
    """Train those models that have batches through some epochs, in place: one function, as in `spline`."""
    x_mean, y_mean, given = samples.x_mean, samples.y_mean, samples.given
    _, _, all_t, _ = samples.train
    rows, probe, pivots, spots, state, all_g, all_scale, all_decays = work[:8]
    scratch, all_x, x, lines, sums, words, batch, all_ends, order, t, r = work[8:]
    zero = zero_tile(ONE)
    column, parts = history.column, (samples.train, samples.test, samples.val)
    errors = (history.train, history.test, history.val)
    flat, kinds = (models.parameters, models.first, models.second), 3 if models.first.size else 1
    n, epochs = all_t.size, history.column.size - 1
    for m in range(span.first_model, span.last_model):
        batch_size = rules.batch_size[m]
        if history.diverged_at[m] >= 0 or batch_size == 0:
            continue
        width, start, end = models.width[m], models.starts[m], models.starts[m + 1]
        h = (width + LANES - 1) // LANES * LANES
        size = 3 * h + 1
        theta, first, second = state[0, :size], state[1, :size], state[2, :size]
        g, scale, decays = all_g[:size], all_scale[:size], all_decays[:size]
        for i in range(kinds):
            move(flat[i][start:end], state[i], width, 1, True)
        w, b, v = theta[:h], theta[h : 2 * h], theta[2 * h : 3 * h]
        powers = models.powers[m]
        optimizer, lr, momentum, beta2 = rules.optimizer[m], rules.lr[m], rules.momentum[m], rules.beta2[m]
        hidden_bias, output_bias = rules.hidden_bias[m], rules.output_bias[m]
        rates, decay, scaled = rules.layer_factors[m], rules.weight_decay[m], rules.scaled[m]
        hidden_factor, output_factor, hidden_decay, output_decay = rates[0], rates[3], decay[0], decay[3]
        write_factors(rates, decay, h, 1, scale, decays)
        bias_factor = hidden_factor if hidden_bias else 0.0
        steps = (n + batch_size - 1) // batch_size
        ends = all_ends[:steps]
        inside = True
        for turn in range((span.last_epoch - span.first_epoch) * steps + 1):
            number = turn % steps
            epoch = span.first_epoch + turn // steps
            if number == 0:
                column_now = column[epoch]
                if column_now >= 0 and (epoch < span.last_epoch or epoch == epochs):
                    find(all_x, n, w, b, rows, probe, pivots)
                    for j in range(h):
                        if w[j] < 0.0:
                            rows[j] = 2 * n + 1 - rows[j]
                    for i in range(3):
                        if parts[i].x.size and (i == 0 or history.train[m, column_now] < np.inf):
                            if i > 0:
                                find_near(parts[i], rows, w, b, spots, g[:h], g[h : 2 * h], g[2 * h : 3 * h])
                            places, at_mean = rows if i == 0 else spots, theta[3 * h] - y_mean
                            error = evaluate(parts[i], places, w, b, v, at_mean, x_mean, scratch, g[:h], g[h : 2 * h])
                            errors[i][m, column_now] = error if error <= np.inf else np.inf
                    if not history.train[m, column_now] < np.inf:
                        history.diverged_at[m] = epoch
                        break
                if epoch == span.last_epoch:
                    break
                order_of(rules.pools, m, epoch, batch_size, given, words, batch, ends, order)

            begin = number * batch_size
            size = min(batch_size, n - begin)
            for s in range(size):
                sample = order[begin + s]
                x[s], t[s] = all_x[sample], all_t[sample]
            find(x, size, w, b, rows, probe, pivots)
            outputs_of(x, size, rows, w, b, v, theta[3 * h] - y_mean, lines, r)
            for s in range(size):
                r[s] -= t[s]
            sums_from(x, size, r, sums)

            c = 2.0 / size
            rate = lr * rate_factor(rules.schedule[m], epoch * steps + number, epochs * steps)
            db2 = c * sums[0, 0] if output_bias else 0.0
            if optimizer == GD and hidden_factor * output_factor > 0.0:  # none is frozen: without a detour through g
                new = theta[3 * h] - rate * (rates[4] * db2 + output_decay * theta[3 * h])
                theta[3 * h] = new
                inside = abs(new) <= WEIGHT_LIMIT
                rate_w, rate_b, rate_v = rate * hidden_factor * c, rate * bias_factor * c, rate * output_factor * c
                keep, keep_v, lanes = 1.0 - rate * hidden_decay, 1.0 - rate * output_decay, ALL
                for j in range(0, h, LANES):
                    wj, bj, vj = read_tile(ONE, w, j), read_tile(ONE, b, j), read_tile(ONE, v, j)
                    r0, r1 = pairs(sums, rows, j, 2)
                    dv = add_product(add_product(zero, wj, r1), bj, r0)
                    new_w = add_scaled(add_scaled(zero, keep, wj), -rate_w, add_product(zero, vj, r1))
                    new_b = add_scaled(add_scaled(zero, keep, bj), -rate_b, add_product(zero, vj, r0))
                    new_v = add_scaled(add_scaled(zero, keep_v, vj), -rate_v, dv)
                    write_tile(w, j, new_w)
                    write_tile(b, j, new_b)
                    write_tile(v, j, new_v)
                    lanes &= within(new_w) & within(new_b) & within(new_v)
                inside &= lanes == ALL
            else:
                for j in range(0, h, LANES):
                    wj, bj, vj = read_tile(ONE, w, j), read_tile(ONE, b, j), read_tile(ONE, v, j)
                    r0, r1 = pairs(sums, rows, j, 2)
                    r0, r1 = add_scaled(zero, c, r0), add_scaled(zero, c, r1)
                    write_tile(g, j, add_product(zero, vj, r1))
                    write_tile(g, h + j, add_product(zero, vj, r0) if hidden_bias else zero)
                    write_tile(g, 2 * h + j, add_product(add_product(zero, wj, r1), bj, r0))
                g[3 * h] = db2
                inside = step(
                    optimizer, rate, hidden_decay, momentum, beta2, powers, theta, g, first, second, scaled, scale,
                    decays,
                )  # fmt: skip
            if not inside:
                history.diverged_at[m] = epoch + 1
                break
        for i in range(kinds):
            move(flat[i][start:end], state[i], width, 1, False)
