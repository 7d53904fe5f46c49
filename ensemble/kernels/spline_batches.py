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
from ensemble.kernels.cells import evaluate, find_near, outputs_of, sums_from
from ensemble.kernels.jit import jit
from ensemble.kernels.kinks import Places, find
from ensemble.kernels.samples import Samples, both_ways, rooms
from ensemble.kernels.updates import GD, WEIGHT_LIMIT, Array, History, Models, Rules, Span, rate_factor, step

__all__ = ["train"]


class Work(NamedTuple):
    """Working arrays for the widest model, the largest part of the data and the largest batch."""

    rows: Places  # (H,) row from which on a unit is on, as in kinks.find, and
    probe: Array  # (H,)
    spots: Places  # (H,) as in cells.find_near
    slope: Array  # (H,) what a unit adds to A, and
    intercept: Array  # (H,) to B
    unit_r: Array  # (H,) sum of r over the samples on which a unit is on, and
    unit_rx: Array  # (H,) of r x
    g: Array  # (3 H + 1,) gradient, then direction of the step
    scale: Array  # (3 H + 1,) factor of each parameter's learning rate, and
    decays: Array  # (3 H + 1,) its weight decay
    scratch: Array  # (N + 1, 2) as in cells.evaluate
    all_x: Array  # (2 N + 2,) all samples, and
    x: Array  # (2 B + 2,) those of a batch, as in kinks.find; what follows has the same rows
    lines: Array  # (2 B + 2, 2) as in cells.outputs_of, zero between steps
    sum_r: Array  # (2 B + 2,) sum of r over the samples from here on, and
    sum_rx: Array  # (2 B + 2,) of r x
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
    h, largest = int(models.width[some].max()), int(sizes.max())
    rows, spots = np.empty((2, h), np.int64)
    probe, slope, intercept, unit_r, unit_rx = rooms(5, h)
    g, scale, decays = rooms(3, 3 * h + 1)
    (scratch,) = rooms(1, max(part.x.size for part in samples[:3]) + 1, 2)
    all_x = both_ways(samples.train.x)
    x, sum_r, sum_rx = rooms(3, 2 * largest + 2)
    (lines,) = rooms(1, 2 * largest + 2, 2)
    t, r = rooms(2, largest)
    words, batch, order = np.zeros(n // 2 + 4, np.uint64), np.zeros(n, np.uint32), np.zeros(n, np.uint32)
    ends = np.zeros(-(-n // int(sizes[sizes > 0].min())), np.uint32)
    work = Work(
        rows, probe, spots, slope, intercept, unit_r, unit_rx, g, scale, decays, scratch, all_x, x, lines, sum_r,
        sum_rx, words, batch, ends, order, t, r,
    )  # fmt: skip
    train_models(samples, models, rules, history, span, work)


@jit
def train_models(samples: Samples, models: Models, rules: Rules, history: History, span: Span, work: Work) -> None:
    """Train those models that have batches through some epochs, in place: one function, as in `spline`."""
    x_mean, y_mean, given = samples.x_mean, samples.y_mean, samples.given
    _, _, all_t, _ = samples.train
    rows, probe, spots, slope, intercept, unit_r, unit_rx, g, scale, decays = work[:10]
    scratch, all_x, x, lines, sum_r, sum_rx, words, batch, all_ends, order, t, r = work[10:]
    column, parts = history.column, (samples.train, samples.test, samples.val)
    errors = (history.train, history.test, history.val)
    n, epochs = all_t.size, history.column.size - 1
    for m in range(span.first_model, span.last_model):
        batch_size = rules.batch_size[m]
        if history.diverged_at[m] >= 0 or batch_size == 0:
            continue
        h, start = models.width[m], models.starts[m]
        theta = models.parameters[start : start + 3 * h + 1]
        w, b, v = theta[:h], theta[h : 2 * h], theta[2 * h : 3 * h]
        first, second = models.first[start : start + 3 * h + 1], models.second[start : start + 3 * h + 1]
        powers = models.powers[m]
        optimizer, lr, momentum, beta2 = rules.optimizer[m], rules.lr[m], rules.momentum[m], rules.beta2[m]
        hidden_bias, output_bias = rules.hidden_bias[m], rules.output_bias[m]
        rates, decay, scaled = rules.layer_factors[m], rules.weight_decay[m], rules.scaled[m]
        hidden_factor, output_factor, hidden_decay, output_decay = rates[0], rates[3], decay[0], decay[3]
        for i in range(3 * h + 1):
            kind = 0 if i < 2 * h else 3 if i < 3 * h else 4
            scale[i], decays[i] = rates[kind], decay[kind]
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
                    find(all_x, n, w, b, rows, probe)
                    for j in range(h):
                        if w[j] < 0.0:
                            rows[j] = 2 * n + 1 - rows[j]
                    for i in range(3):
                        if parts[i].x.size and (i == 0 or history.train[m, column_now] < np.inf):
                            if i > 0:
                                find_near(parts[i], rows, w, b, spots, probe, slope, intercept)
                            places, at_mean = rows if i == 0 else spots, theta[3 * h] - y_mean
                            error = evaluate(parts[i], places, w, b, v, at_mean, x_mean, scratch, slope, intercept)
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
                x[2 * size - s] = x[s]
            find(x, size, w, b, rows, probe)
            for j in range(h):
                slope[j], intercept[j] = v[j] * w[j], v[j] * b[j]
            outputs_of(x, size, rows, slope, intercept, theta[3 * h] - y_mean, h, lines, r)
            for s in range(size):
                r[s] -= t[s]
            sums_from(x, size, r, sum_r, sum_rx)
            for j in range(h):
                unit_r[j] = sum_r[np.uint64(rows[j])]
            for j in range(h):
                unit_rx[j] = sum_rx[np.uint64(rows[j])]

            c = 2.0 / size
            rate = lr * rate_factor(rules.schedule[m], epoch * steps + number, epochs * steps)
            db2 = c * sum_r[0] if output_bias else 0.0
            if optimizer == GD and hidden_factor * output_factor > 0.0:  # none is frozen: without a detour through g
                new = theta[3 * h] - rate * (rates[4] * db2 + output_decay * theta[3 * h])
                theta[3 * h] = new
                outside = 0 if abs(new) <= WEIGHT_LIMIT else 1
                rate_w, rate_b, rate_v = rate * hidden_factor * c, rate * bias_factor * c, rate * output_factor * c
                keep, keep_v = 1.0 - rate * hidden_decay, 1.0 - rate * output_decay
                for j in range(h):
                    wj, bj, vj, r0, r1 = w[j], b[j], v[j], unit_r[j], unit_rx[j]
                    new_w = keep * wj - rate_w * (vj * r1)
                    new_b = keep * bj - rate_b * (vj * r0)
                    new_v = keep_v * vj - rate_v * (wj * r1 + bj * r0)
                    w[j], b[j], v[j] = new_w, new_b, new_v
                    within = (abs(new_w) <= WEIGHT_LIMIT) & (abs(new_b) <= WEIGHT_LIMIT) & (abs(new_v) <= WEIGHT_LIMIT)
                    outside += not within  # a NaN compares false
                inside = outside == 0
            else:
                for j in range(h):
                    r0, r1 = c * unit_r[j], c * unit_rx[j]
                    g[j] = v[j] * r1
                    g[h + j] = v[j] * r0 if hidden_bias else 0.0
                    g[2 * h + j] = w[j] * r1 + b[j] * r0
                g[3 * h] = db2
                inside = step(
                    optimizer, rate, hidden_decay, momentum, beta2, powers, theta, g, first, second, scaled, scale,
                    decays,
                )  # fmt: skip
            if not inside:
                history.diverged_at[m] = epoch + 1
                break
